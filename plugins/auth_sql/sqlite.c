/*
 * sqlite.c - users from an SQLite database, which is only read.
 *
 * Runs in a pool process as the auth user.  A database that is missing, moved
 * away or replaced is opened again at the next login.
 */
#include "config.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

enum { STEPS = 4000 };	/* of SQLite between looks at the clock */

struct db {
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_N_QUERIES];
};

static int
on_progress(void *arg)
{
	const struct sql_conn *c = arg;

	return c->call != NULL &&
	    auth_time_left(c->host, c->call->deadline) == 0;
}

/* Somebody writes: wait until the call's time is over. */
static int
on_busy(void *arg, int count)
{
	const struct timespec pause = {.tv_nsec = count < 10 ? 1000000 :
	    10000000};

	if (on_progress(arg))
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

static culver_status
fail(struct sql_conn *c, int rc, const char *what, struct culver_call *call)
{
	struct db *d = c->db;
	int code = d->db != NULL ? sqlite3_extended_errcode(d->db) : rc;
	const char *hint = code == SQLITE_CANTOPEN_DIRTYWAL ||
	    code == SQLITE_READONLY_CANTINIT ||
	    code == SQLITE_READONLY_RECOVERY ?
	    " (its journal_mode is WAL, which cannot be read where nobody "
	    "may write)" : "";

	return culver_fail(call, CULVER_E_TEMP,
	    d->db != NULL ? sqlite3_system_errno(d->db) : 0, "%s: %s: %s%s",
	    c->opt[OPT_PATH].u.s.p, what,
	    d->db != NULL && rc != SQLITE_NOMEM ? sqlite3_errmsg(d->db) :
	    sqlite3_errstr(rc), hint);
}

static void
db_close(struct sql_conn *c)
{
	struct db *d = c->db;

	for (unsigned i = 0; i < SQL_N_QUERIES; i++)
		sqlite3_finalize(d->stmt[i]);
	sqlite3_close(d->db);
	free(d);
}

static culver_status
db_open(struct sql_conn *c, uint64_t deadline, struct culver_call *call)
{
	struct db *d = calloc(1, sizeof(*d));
	int rc;

	(void)deadline;
	c->db = d;
	if (d == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "database");
	rc = sqlite3_open_v2(c->opt[OPT_PATH].u.s.p, &d->db,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
	    SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return fail(c, rc, "cannot open it", call);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0,
	    NULL);
	sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_busy_handler(d->db, on_busy, c);
	sqlite3_progress_handler(d->db, STEPS, on_progress, c);
	return CULVER_OK;
}

static culver_status
prepare(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct culver_call *call)
{
	struct db *d = c->db;
	int rc = SQLITE_OK;

	if (d->stmt[which] == NULL)
		rc = sqlite3_prepare_v3(d->db, c->query[which].text, -1,
		    SQLITE_PREPARE_PERSISTENT, &d->stmt[which], NULL);
	if (rc != SQLITE_OK || d->stmt[which] == NULL)
		return fail(c, rc, "the query cannot be used", call);
	if (sqlite3_bind_parameter_count(d->stmt[which]) != (int)values->n ||
	    !sqlite3_stmt_readonly(d->stmt[which]))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: the query "
		    "does more than read", c->opt[OPT_PATH].u.s.p);
	for (unsigned i = 0; i < values->n; i++)
		if (sqlite3_bind_text(d->stmt[which], (int)i + 1,
		    values->v[i].p, (int)values->v[i].n, SQLITE_STATIC) !=
		    SQLITE_OK)
			return fail(c, SQLITE_NOMEM, "cannot bind", call);
	return CULVER_OK;
}

static culver_status
take(struct sql_conn *c, sqlite3_stmt *st, struct auth_row *row,
    struct culver_call *call)
{
	culver_status status = CULVER_OK;
	int n = sqlite3_column_count(st);

	for (int i = 0; i < n && status == CULVER_OK; i++) {
		const unsigned char *v = sqlite3_column_text(st, i);

		if (v == NULL &&
		    sqlite3_column_type(st, i) != SQLITE_NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "row");
		status = auth_row_add(c->host, row, sqlite3_column_name(st, i),
		    v, (size_t)sqlite3_column_bytes(st, i), call);
	}
	return status;
}

static culver_status
db_run(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	struct db *d = c->db;
	culver_status st;
	int moved = 0, rc = SQLITE_ROW;

	if (sqlite3_file_control(d->db, "main", SQLITE_FCNTL_HAS_MOVED,
	    &moved) == SQLITE_OK && moved) {
		c->lost = true;
		return culver_fail(call, CULVER_E_TEMP, 0, "%s is not where "
		    "it was", c->opt[OPT_PATH].u.s.p);
	}
	st = prepare(c, which, values, call);
	while (st == CULVER_OK && row->rows < 2 &&
	    (rc = sqlite3_step(d->stmt[which])) == SQLITE_ROW)
		if (row->rows++ == 0)
			st = take(c, d->stmt[which], row, call);
	if (st == CULVER_OK && rc != SQLITE_ROW && rc != SQLITE_DONE) {
		st = fail(c, rc, "the query failed", call);
		c->lost = (rc & 0xff) != SQLITE_BUSY &&
		    (rc & 0xff) != SQLITE_INTERRUPT;
	}
	if (d->stmt[which] != NULL) {
		sqlite3_reset(d->stmt[which]);
		sqlite3_clear_bindings(d->stmt[which]);
	}
	return st;
}

static void
warm(void)
{
	sqlite3_initialize();
}

const struct sql_driver sql_driver_sqlite = {
	.warm = warm, .open = db_open, .run = db_run, .close = db_close,
};
