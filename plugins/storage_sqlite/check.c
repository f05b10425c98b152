/*
 * check.c - look for damage that reading the messages would not show.
 *
 * Runs in the worker as the mailbox's owner, confined, also on a database that
 * open() refuses: first the file itself, then the schema, SQLite's own check
 * of every page, and whether messages and chunks belong together.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <stdio.h>
#include <string.h>

#include <culver/util.h>

struct findings {
	struct plug_findings to;
	struct culver_store *store;
	struct culver_call *call;
};

/* What SQLite finds; one row says "ok". */
static culver_status
check_pages(struct findings *f)
{
	struct sq_db *db = &f->store->db;
	culver_status status = CULVER_OK;
	sqlite3_stmt *st;
	const char *text;
	int rc;

	rc = sqlite3_prepare_v2(db->db, "PRAGMA integrity_check(50)", -1, &st,
	    NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		if (text != NULL && strcmp(text, "ok") != 0)
			plug_found(&f->to, "%s", text);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		status = plug_judge(&f->to, sq_fail(f->store, f->call, rc,
		    "integrity check"));
	sqlite3_finalize(st);
	return status;
}

/* Chunks up to the number END, from the row that ST is at; the sum of their
 * octets and how many there are. */
static int
take_chunks(struct findings *f, sqlite3_stmt *st, int rc, int64_t first,
    int64_t end, int64_t *octets, int64_t *n)
{
	for (; rc == SQLITE_ROW && sqlite3_column_int64(st, 0) <= end;
	    rc = sqlite3_step(st)) {
		if (sqlite3_column_int64(st, 0) < first) {
			plug_found(&f->to, "chunk %lld belongs to no message",
			    (long long)sqlite3_column_int64(st, 0));
			continue;
		}
		*octets += sqlite3_column_int64(st, 1);
		++*n;
	}
	return rc;
}

/* Walk messages and chunks side by side. */
static int
compare(struct findings *f, sqlite3_stmt *msg, sqlite3_stmt *chunk)
{
	int64_t id, chunks, octets, n;
	int rc = sqlite3_step(chunk), more;

	while ((more = sqlite3_step(msg)) == SQLITE_ROW) {
		id = sqlite3_column_int64(msg, 0);
		chunks = sqlite3_column_int64(msg, 1);
		if (id < 1 || chunks < 1 || chunks > INT32_MAX) {
			plug_found(&f->to, "message %lld: its row is wrong",
			    (long long)id);
			continue;
		}
		octets = n = 0;
		rc = take_chunks(f, chunk, rc, id, id + chunks - 1, &octets,
		    &n);
		if (n != chunks)
			plug_found(&f->to,
			    "message %lld (%s) has %lld chunks of %lld",
			    (long long)id, sqlite3_column_text(msg, 3),
			    (long long)n, (long long)chunks);
		else if (octets != sqlite3_column_int64(msg, 2))
			plug_found(&f->to,
			    "message %lld (%s) has %lld octets; its row "
			    "says %lld", (long long)id,
			    sqlite3_column_text(msg, 3), (long long)octets,
			    (long long)sqlite3_column_int64(msg, 2));
	}
	octets = n = 0;
	rc = take_chunks(f, chunk, rc, INT64_MAX, INT64_MAX, &octets, &n);
	return more != SQLITE_DONE ? more : rc;
}

static culver_status
check_rows(struct findings *f)
{
	sqlite3 *db = f->store->db.db;
	sqlite3_stmt *msg = NULL, *chunk = NULL;
	culver_status status = CULVER_OK;
	int rc;

	rc = sq_exec(&f->store->db, "BEGIN");
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "SELECT id,chunks,octets,uidl FROM "
		    "message ORDER BY id", -1, &msg, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "SELECT id,length(data) FROM chunk "
		    "ORDER BY id", -1, &chunk, NULL);
	if (rc == SQLITE_OK)
		rc = compare(f, msg, chunk);
	if (rc != SQLITE_DONE)
		status = plug_judge(&f->to, sq_fail(f->store, f->call, rc,
		    "cannot compare messages and chunks"));
	sqlite3_finalize(msg);
	sqlite3_finalize(chunk);
	sq_db_use(f->store, NULL);
	sq_exec(&f->store->db, "COMMIT");
	return status;
}

culver_status
sq_check(struct culver_store *store, struct culver_str *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	struct findings f = { .store = store, .call = call, .to = {
	    .host = store->host, .call = call, .out = out, .cap = cap } };
	culver_status status;

	status = plug_judge(&f.to, sq_file_ready(store, call));
	if (status == CULVER_OK && f.to.n == 0)
		status = plug_judge(&f.to, sq_db_open_raw(store, call));
	if (status == CULVER_OK && f.to.n == 0)
		status = plug_judge(&f.to, sq_schema_check(store, &sq_schema,
		    call));
	/* pages can be looked at whatever the tables are */
	if (status == CULVER_OK && store->db.db != NULL)
		status = check_pages(&f);
	if (status == CULVER_OK && f.to.n == 0)
		status = check_rows(&f);
	*n = f.to.n;
	/* what was open unchecked is not for others */
	sq_db_close(store);
	return status;
}
