/*
 * conn.c - the connection that is kept, and the queries that it runs.
 *
 * Runs in a pool process, one login at a time.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

const struct sql_driver *
sql_driver_of(enum sql_dialect dialect)
{
	switch (dialect) {
	case SQL_SQLITE:
		return &sql_driver_sqlite;
	case SQL_PGSQL:
#ifdef WITH_PGSQL
		return &sql_driver_pgsql;
#endif
	case SQL_MYSQL:
#ifdef WITH_MYSQL
		if (dialect == SQL_MYSQL)
			return &sql_driver_mysql;
#endif
		break;
	}
	return NULL;
}

static bool
port_parse(const char *s, const char *end, unsigned *out)
{
	unsigned v = 0;

	if (s == end || end - s > 5)
		return false;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned)(*s - '0');
	}
	*out = v;
	return v > 0 && v < 65536;
}

bool
sql_host_parse(struct span text, struct auth_server *out)
{
	const char *p = text.p, *end = p + text.n, *colon = NULL;
	size_t n = text.n;

	*out = (struct auth_server){.port = 0};
	if (n > 0 && p[0] == '[') {
		const char *close = memchr(p, ']', n);

		if (close == NULL || (close + 1 < end && close[1] != ':'))
			return false;
		n = (size_t)(close - p) - 1;
		colon = close + 1 < end ? close + 1 : NULL;
		p++;
	} else if (n > 0 && p[0] != '/') {
		colon = memchr(p, ':', n);
		if (colon != NULL)
			n = (size_t)(colon - p);
	}
	if (n == 0 || n > 255 || memchr(p, ',', n) != NULL ||
	    (colon != NULL && !port_parse(colon + 1, end, &out->port)))
		return false;
	out->text = strndup(p, n);
	out->name = out->text;
	return out->text != NULL;
}

const struct auth_server *
sql_server(const struct sql_conn *c)
{
	return &c->servers.v[c->at];
}

void
sql_conn_close(struct sql_conn *c)
{
	if (c->db != NULL)
		c->driver->close(c);
	c->db = NULL;
	c->lost = false;
}

static culver_status
server_open(void *arg, unsigned at, uint64_t deadline, struct culver_call *call)
{
	struct sql_conn *c = arg;
	culver_status st;

	c->at = at;
	st = c->driver->open(c, deadline, call);
	if (st != CULVER_OK) {
		c->lost = true;
		sql_conn_close(c);
	}
	return st;
}

/* --- run --------------------------------------------------------------------- */

/* Ask on the connection that there is, or a new one.  Sets *LATE if the
 * query_timeout was over. */
static culver_status
run_once(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call, bool *late)
{
	struct culver_call part = *call;
	uint64_t end;
	culver_status st = CULVER_OK;

	*late = false;
	row->n = row->rows = 0;
	if (c->db == NULL)
		st = auth_servers_open(&c->servers, &c->at, server_open, c,
		    call);
	if (st != CULVER_OK)
		return st;
	end = c->host->now(c->host) +
	    (uint64_t)c->opt[OPT_QUERY_TIMEOUT].u.i;
	part.size = sizeof(part);
	if (end < part.deadline)
		part.deadline = end;
	c->call = &part;
	st = c->driver->run(c, which, values, row, &part);
	c->call = NULL;
	*late = auth_time_left(c->host, part.deadline) == 0;
	return st;
}

culver_status
sql_run(struct sql_conn *c, unsigned which, const struct culver_auth_req *rq,
    struct auth_row *row, struct culver_call *call)
{
	struct sql_values values;
	unsigned tries = 0;
	bool again, kept, late;
	culver_status st;

	sql_values_set(&c->query[which], rq, &values);
	do {
		kept = c->db != NULL;
		st = run_once(c, which, &values, row, call, &late);
		again = c->lost;
		/* The server may have ended a kept one long ago. */
		if (c->lost && (!kept || late))
			auth_servers_failed(&c->servers, c->at, call);
		if (c->lost)
			sql_conn_close(c);
		/* It only read, so it can be asked again. */
	} while (again && tries++ < c->servers.n &&
	    auth_time_left(c->host, call->deadline) > 0);
	if (st == CULVER_OK && row->rows > 1)
		return culver_fail(call, CULVER_E_TEMP, 0, "the %s query "
		    "gives more than one row for user %s",
		    which == SQL_QUERY_USER ? "user" : "password", rq->user);
	return st == CULVER_OK || st == CULVER_E_NOMEM ? st : CULVER_E_TEMP;
}
