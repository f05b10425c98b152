/*
 * pgsql.c - users from PostgreSQL, through libpq's calls that do not block.
 *
 * Runs in a pool process as the auth user, with a network.  Whoever answers is
 * believed as far as `tls' says; nothing waits past its deadline but the
 * resolver, which the process's watchdog ends.
 */
#include "config.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

static culver_status
fail(struct sql_conn *c, const char *text, struct culver_call *call)
{
	return auth_server_fail(sql_server(c), text, call);
}

/* Wait for EVENTS; false: the time is over, or the socket is gone. */
static bool
await(struct sql_conn *c, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = PQsocket(c->db), .events = events};
	int left;

	while (p.fd >= 0 && (left = auth_time_left(c->host, deadline)) > 0)
		if (poll(&p, 1, left) > 0)
			return true;
	return false;
}

static void
hush(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static const char *
option(const struct sql_conn *c, unsigned i)
{
	struct span s = span_option(&c->opt[i]);

	return s.n > 0 ? s.p : NULL;
}

static PGconn *
begin(const struct sql_conn *c)
{
	static const char *const modes[] = {"disable", "require",
	    "verify-full"};
	enum { N = 14 };
	const char *const keys[N + 1] = {"host", "port", "dbname", "user",
	    "password", "sslmode", "sslrootcert", "sslcert", "sslkey",
	    "gssencmode", "client_encoding", "application_name",
	    "keepalives_idle", "keepalives_interval", NULL};
	const struct auth_server *h = sql_server(c);
	int64_t tls = h->name[0] == '/' ? SQL_TLS_OFF : c->opt[OPT_TLS].u.i;
	const char *ca = option(c, OPT_TLS_CA);
	char port[8] = "";
	const char *values[N + 1] = {h->name, port,
	    option(c, OPT_DATABASE), option(c, OPT_USER),
	    option(c, OPT_PASSWORD), modes[tls],
	    tls == SQL_TLS_VERIFY && ca == NULL ? PLUG_SYSTEM_CA : ca,
	    option(c, OPT_TLS_CERT), option(c, OPT_TLS_KEY), "disable",
	    "UTF8", "culver", "30", "10", NULL};

	if (h->port != 0)
		snprintf(port, sizeof(port), "%u", h->port % 65536);
	return PQconnectStartParams(keys, values, 0);
}

static culver_status
db_open(struct sql_conn *c, uint64_t deadline, struct culver_call *call)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;
	PGconn *pg = begin(c);

	c->db = pg;
	if (pg == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "database");
	PQsetNoticeProcessor(pg, hush, NULL);
	while (PQstatus(pg) != CONNECTION_BAD && want != PGRES_POLLING_OK &&
	    want != PGRES_POLLING_FAILED) {
		if (!await(c, want == PGRES_POLLING_READING ? POLLIN :
		    POLLOUT, deadline))
			return fail(c, "no answer in time", call);
		want = PQconnectPoll(pg);
	}
	if (want != PGRES_POLLING_OK || PQsetnonblocking(pg, 1) != 0)
		return fail(c, PQerrorMessage(pg), call);
	return CULVER_OK;
}

static void
db_close(struct sql_conn *c)
{
	PQfinish(c->db);
}

static culver_status
broken(struct sql_conn *c, const char *text, struct culver_call *call)
{
	c->lost = true;
	return fail(c, text, call);
}

static culver_status
send(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct culver_call *call)
{
	const char *v[SQL_MAX_VARS] = {NULL};
	int rest;

	for (unsigned i = 0; i < values->n; i++) {
		v[i] = culver_strndup(c->host, call, values->v[i].p,
		    values->v[i].n);
		if (v[i] == NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "query");
	}
	if (PQsendQueryParams(c->db, c->query[which].text, (int)values->n,
	    NULL, v, NULL, NULL, 0) != 1)
		return broken(c, PQerrorMessage(c->db), call);
	while ((rest = PQflush(c->db)) > 0)
		if (!await(c, POLLIN | POLLOUT, call->deadline) ||
		    PQconsumeInput(c->db) != 1)
			return broken(c, "the query cannot be sent", call);
	return rest == 0 ? CULVER_OK :
	    broken(c, PQerrorMessage(c->db), call);
}

/* The rows of RES, or its error. */
static culver_status
take(struct sql_conn *c, const PGresult *res, struct auth_row *row,
    struct culver_call *call)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	culver_status st = CULVER_OK;
	int n = PQnfields(res), rows = PQntuples(res);

	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		/* the server ends, or has no room: ask another */
		c->lost |= state != NULL && (strncmp(state, "57", 2) == 0 ||
		    strncmp(state, "08", 2) == 0);
		return fail(c, state != NULL ? PQresultErrorMessage(res) :
		    "the query gives no rows", call);
	}
	row->rows = rows > 1 ? 2 : (unsigned)rows;
	for (int i = 0; rows > 0 && i < n && st == CULVER_OK; i++)
		st = auth_row_add(c->host, row, PQfname(res, i),
		    PQgetisnull(res, 0, i) ? NULL : PQgetvalue(res, 0, i),
		    (size_t)PQgetlength(res, 0, i), call);
	return st;
}

static culver_status
db_run(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	culver_status st = send(c, which, values, call);
	PGresult *res;
	bool first = true;

	while (st == CULVER_OK || (!first && !c->lost)) {
		while (PQisBusy(c->db))
			if (!await(c, POLLIN, call->deadline))
				return broken(c, "no answer in time", call);
			else if (PQconsumeInput(c->db) != 1)
				return broken(c, PQerrorMessage(c->db), call);
		res = PQgetResult(c->db);
		if (res == NULL)
			break;
		if (first)
			st = take(c, res, row, call);
		first = false;
		PQclear(res);
	}
	c->lost |= PQstatus(c->db) == CONNECTION_BAD;
	return st != CULVER_OK || !first ? st :
	    broken(c, "no answer", call);
}

const struct sql_driver sql_driver_pgsql = {
	.open = db_open, .run = db_run, .close = db_close,
};
