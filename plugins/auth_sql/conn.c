/*
 * conn.c - the connection that is kept: which host, when to try again.
 *
 * Runs in a pool process, one login at a time.  A host that does not answer is
 * left alone for a time that grows, so that a dead one does not cost every
 * login its timeout.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

#define MS 1000000ull
#define PAUSE_MIN (100 * MS)
#define PAUSE_MAX (3000 * MS)

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
sql_host_parse(struct span text, struct sql_host *out)
{
	const char *p = text.p, *end = p + text.n, *colon = NULL;
	size_t n = text.n;

	*out = (struct sql_host){.port = 0};
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

int
sql_time_left(const struct sql_conn *c, uint64_t deadline)
{
	uint64_t now = c->host->now(c->host), left;

	if (now >= deadline)
		return 0;
	left = (deadline - now) / MS;
	return left < 1 ? 1 : left > 60000 ? 60000 : (int)left;
}

void
sql_conn_close(struct sql_conn *c)
{
	if (c->db != NULL)
		c->driver->close(c);
	c->db = NULL;
	c->lost = false;
}

/* --- connect ---------------------------------------------------------------- */

/* A host failed, as call->err says: when may it be tried again? */
static void
host_failed(struct sql_conn *c, struct sql_host *h, struct culver_call *call)
{
	uint64_t pause = PAUSE_MIN << (h->failures < 5 ? h->failures : 5);

	snprintf(c->error, sizeof(c->error), "%s", call->err->text);
	h->not_before = c->host->now(c->host) +
	    (pause < PAUSE_MAX ? pause : PAUSE_MAX);
	if (h->failures++ == 0)
		culver_logf(c->host, CULVER_LOG_WARN, "database: %s",
		    c->error);
	c->down = true;
}

static culver_status
host_connect(struct sql_conn *c, struct sql_host *h, unsigned to_try,
    struct culver_call *call)
{
	uint64_t now = c->host->now(c->host), deadline = call->deadline;
	uint64_t most = (uint64_t)c->opt[OPT_CONNECT_TIMEOUT].u.i;
	culver_status st;

	/* Leave time for the others and for the query. */
	if (deadline != UINT64_MAX && deadline > now &&
	    (deadline - now) / (to_try + 1) < most)
		most = (deadline - now) / (to_try + 1);
	if (deadline == UINT64_MAX || deadline - now > most)
		deadline = now + most;
	st = c->driver->open(c, h, deadline, call);
	if (st == CULVER_OK) {
		if (c->down)
			culver_logf(c->host, CULVER_LOG_INFO, "database: "
			    "connected%s%s", h->name != NULL ? " to " : "",
			    h->name != NULL ? h->name : "");
		c->down = false;
		h->failures = 0;
		h->not_before = 0;
		return st;
	}
	sql_conn_close(c);
	host_failed(c, h, call);
	return st;
}

/* Any host that is not left alone for now, the last good one first. */
static culver_status
conn_open(struct sql_conn *c, struct culver_call *call)
{
	unsigned first = c->at;

	for (unsigned i = 0; i < c->n_hosts; i++) {
		unsigned at = (first + i) % c->n_hosts;
		struct sql_host *h = &c->hosts[at];
		uint64_t now = c->host->now(c->host);

		if (now >= call->deadline)
			break;
		if (now < h->not_before)
			continue;
		if (host_connect(c, h, c->n_hosts - i, call) == CULVER_OK) {
			c->at = at;
			return CULVER_OK;
		}
	}
	call->err->sys_errno = 0;
	return culver_fail(call, CULVER_E_TEMP, 0, "the database is away: "
	    "%.180s", c->error[0] != 0 ? c->error : "no time to connect");
}

/* --- run --------------------------------------------------------------------- */

static culver_status
run_once(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	culver_status st = CULVER_OK;

	row->n = row->rows = 0;
	if (c->db == NULL)
		st = conn_open(c, call);
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
	if (lost && kept && sql_time_left(c, call->deadline) > 0) {
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
