/*
 * schema.c - the tables, and whether a database has them.
 *
 * Runs in the worker as the mailbox's owner.  The text of each table must be
 * the one below: a table, view, trigger or index that somebody added is not
 * run and not kept up to date, but refused.
 *
 * To change the format: raise `version', change `create', and append to `step'
 * the statements that make the new tables, text and all, of the old ones.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <stdio.h>
#include <string.h>

#define OBJECTS_MAX 8

static const char *const create[] = {
	"CREATE TABLE message(\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  uidl TEXT NOT NULL UNIQUE,\n"
	"  octets INTEGER NOT NULL,\n"
	"  received INTEGER NOT NULL,\n"
	"  chunks INTEGER NOT NULL,\n"
	"  flags INTEGER NOT NULL DEFAULT 0)",
	"CREATE TABLE chunk(\n"
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
	"  data BLOB NOT NULL)",
	NULL
};

static const char *const *const step[] = {
	NULL,			/* there was no version 0 */
};

const struct sq_schema sq_schema = { .version = 1, .create = create,
    .step = step };

int
sq_schema_make(sqlite3 *db)
{
	char sql[256];
	int rc, i;

	snprintf(sql, sizeof(sql), "PRAGMA page_size=%d;PRAGMA auto_vacuum=2;"
	    "PRAGMA application_id=%d;PRAGMA user_version=%d", SQ_PAGE,
	    SQ_APPLICATION, sq_schema.version);
	rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	for (i = 0; create[i] != NULL && rc == SQLITE_OK; i++)
		rc = sqlite3_exec(db, create[i], NULL, NULL, NULL);
	return rc;
}

/* Does the object of this row belong to S?  Mark it in *SEEN. */
static bool
is_ours(const struct sq_schema *s, sqlite3_stmt *row, unsigned *seen)
{
	const char *name = (const char *)sqlite3_column_text(row, 0);
	const char *sql = (const char *)sqlite3_column_text(row, 1);
	unsigned i;

	if (name == NULL)
		return false;
	if (strncmp(name, "sqlite_", 7) == 0)
		return true;	/* indices and tables of the library */
	for (i = 0; sql != NULL && s->create[i] != NULL; i++)
		if (strcmp(sql, s->create[i]) == 0) {
			*seen |= 1u << i;
			return true;
		}
	return false;
}

/* Are the tables of S there, and nothing else? */
static culver_status
compare(struct culver_store *store, const struct sq_schema *s,
    struct culver_call *call)
{
	culver_status status = CULVER_OK;
	unsigned seen = 0, n = 0;
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(store->db.db,
	    "SELECT name, sql FROM sqlite_schema", -1, &st, NULL);
	while (rc == SQLITE_OK && status == CULVER_OK &&
	    (rc = sqlite3_step(st)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		if (!is_ours(s, st, &seen))
			status = plug_fail_as(call, CULVER_E_CORRUPT,
			    "%s: the schema is not Culver's: see %s",
			    store->path, sqlite3_column_text(st, 0));
	}
	if (rc != SQLITE_DONE && status == CULVER_OK)
		status = sq_fail(store, call, rc, "cannot read the schema");
	sqlite3_finalize(st);
	while (n < OBJECTS_MAX && s->create[n] != NULL)
		n++;
	if (status == CULVER_OK && seen != (1u << n) - 1)
		status = plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s: a table of Culver's is missing", store->path);
	return status;
}

/* Whose database is it, and of which version? */
static culver_status
look(struct culver_store *store, const struct sq_schema *s, int64_t *version,
    struct culver_call *call)
{
	int64_t application = 0;
	int rc;

	rc = sq_number(&store->db, "PRAGMA application_id", &application);
	if (rc == SQLITE_OK)
		rc = sq_number(&store->db, "PRAGMA user_version", version);
	if (rc != SQLITE_OK)
		return sq_fail(store, call, rc, "cannot read it");
	if (application != SQ_APPLICATION)
		return plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s is a database, but no mailbox: its application_id is "
		    "%lld and not %d", store->path, (long long)application,
		    SQ_APPLICATION);
	if (*version > s->version)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s has format %lld, but this Culver knows none after %d: "
		    "a newer one made it", store->path, (long long)*version,
		    s->version);
	if (*version < 1)
		return plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s has the impossible format %lld", store->path,
		    (long long)*version);
	return CULVER_OK;
}

/* All steps in one transaction, and only if the result is right. */
static culver_status
migrate(struct culver_store *store, const struct sq_schema *s,
    struct culver_call *call)
{
	const char *const *sql;
	culver_status status;
	int64_t version = 0;
	char set[64];
	int rc = SQLITE_OK;

	status = sq_write_begin(store, call);
	if (status != CULVER_OK)
		return status;
	/* another process may have been first */
	status = look(store, s, &version, call);
	for (; status == CULVER_OK && version < s->version; version++) {
		for (sql = s->step[version]; *sql != NULL && rc == SQLITE_OK;
		    sql++)
			rc = sq_exec(&store->db, *sql);
		snprintf(set, sizeof(set), "PRAGMA user_version=%lld",
		    (long long)version + 1);
		if (rc == SQLITE_OK)
			rc = sq_exec(&store->db, set);
		if (rc != SQLITE_OK)
			status = sq_fail(store, call, rc,
			    "cannot bring it up to date");
	}
	if (status == CULVER_OK)
		status = compare(store, s, call);
	return sq_write_end(store, status, call);
}

culver_status
sq_schema_check(struct culver_store *store, const struct sq_schema *s,
    struct culver_call *call)
{
	culver_status status;
	int64_t version = 0;

	status = look(store, s, &version, call);
	if (status != CULVER_OK)
		return status;
	if (version < s->version)
		return migrate(store, s, call);
	return compare(store, s, call);
}
