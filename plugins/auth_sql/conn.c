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
	if (st != CULVER_OK)
		sql_conn_close(c);
	return st;
}

/* --- run --------------------------------------------------------------------- */

static culver_status
run_once(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	culver_status st = CULVER_OK;

	row->n = row->rows = 0;
	if (c->db == NULL)
		st = auth_servers_open(&c->servers, &c->at, server_open, c,
		    call);
	if (st == CULVER_OK)
		st = c->driver->run(c, which, values, row, call);
	return st;
}

culver_status
sql_run(struct sql_conn *c, unsigned which, const struct culver_auth_req *rq,
    struct auth_row *row, struct culver_call *call)
{
	struct sql_values values;
	bool kept = c->db != NULL, lost;
	culver_status st;

	sql_values_set(&c->query[which], rq, &values);
	c->call = call;
	st = run_once(c, which, &values, row, call);
	lost = c->lost;
	if (lost)
		sql_conn_close(c);
	/* The server may have ended a kept one long ago; it only read. */
	if (lost && kept && auth_time_left(c->host, call->deadline) > 0) {
		st = run_once(c, which, &values, row, call);
		if (c->lost)
			sql_conn_close(c);
	}
	c->call = NULL;
	if (st == CULVER_OK && row->rows > 1)
		return culver_fail(call, CULVER_E_TEMP, 0, "the %s query "
		    "gives more than one row for user %s",
		    which == SQL_QUERY_USER ? "user" : "password", rq->user);
	return st == CULVER_OK || st == CULVER_E_NOMEM ? st : CULVER_E_TEMP;
}
