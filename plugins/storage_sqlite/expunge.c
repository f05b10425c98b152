/*
 * expunge.c - remove the messages that a session deleted, and give back the
 * space of those that are gone.
 *
 * Runs in the worker as the mailbox's owner, in the UPDATE state.  All goes in
 * one transaction: after a failure none is gone.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <stdio.h>

#include <culver/util.h>

enum {
	VACUUM_MIN = 64,	/* free pages that are not worth it */
	VACUUM_PAGES = 4096	/* at most, a session */
};

static int
drop(struct sq_db *db, const struct sq_message *m)
{
	sqlite3_stmt *st = sq_stmt(db, SQ_DROP_MESSAGE);
	int rc;

	if (st == NULL)
		return sqlite3_extended_errcode(db->db);
	sqlite3_bind_int64(st, 1, m->id);
	rc = sq_run(db, SQ_DROP_MESSAGE);
	if (rc != SQLITE_OK)
		return rc;
	/* others removed it: its chunks are their business, too */
	if (sqlite3_changes(db->db) == 0)
		return SQLITE_OK;
	st = sq_stmt(db, SQ_DROP_CHUNKS);
	if (st == NULL)
		return sqlite3_extended_errcode(db->db);
	sqlite3_bind_int64(st, 1, m->id);
	sqlite3_bind_int64(st, 2, m->id + m->chunks - 1);
	return sq_run(db, SQ_DROP_CHUNKS);
}

culver_status
sq_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	struct culver_store *store = mb->store;
	culver_status status;
	uint32_t i;
	int rc;

	res->removed = 0;
	if ((mb->flags & CULVER_OPEN_READONLY) != 0)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s was opened for reading only", store->path);
	status = sq_write_begin(store, call);
	if (status != CULVER_OK)
		return status;
	for (i = 0; i < n && status == CULVER_OK; i++) {
		if (index[i] >= mb->n) {
			status = plug_fail_as(call, CULVER_E_TEMP,
			    "%s: there is no message %lu", store->path,
			    (unsigned long)index[i]);
			break;
		}
		rc = drop(&store->db, &mb->msg[index[i]]);
		if (rc != SQLITE_OK)
			status = sq_fail(store, call, rc, "cannot remove");
		else
			status = plug_in_time(store->host, store->path, call);
	}
	status = sq_write_end(store, status, call);
	if (status == CULVER_OK)
		res->removed = n;
	store->removed |= status == CULVER_OK && n > 0;
	return status;
}

void
sq_vacuum(struct culver_store *store)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call call = { .size = sizeof(call), .err = &err };
	int64_t pages = 0, spare = 0;
	char sql[64];
	int rc;

	if (!store->removed || store->vacuum == SQ_VACUUM_NO)
		return;
	store->removed = false;
	call.deadline = store->host->now(store->host) + UINT64_C(20000000000);
	sq_db_use(store, &call);
	rc = sq_number(&store->db, "PRAGMA page_count", &pages);
	if (rc == SQLITE_OK)
		rc = sq_number(&store->db, "PRAGMA freelist_count", &spare);
	if (store->vacuum == SQ_VACUUM_INCREMENTAL &&
	    (spare < VACUUM_MIN || spare < pages / 4))
		return;
	snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)",
	    store->vacuum == SQ_VACUUM_FULL ? 0 : VACUUM_PAGES);
	if (rc == SQLITE_OK && spare > 0)
		rc = sq_exec(&store->db, sql);
	if (rc == SQLITE_OK)
		return;
	/* the mailbox is as it should be, only larger */
	sq_fail(store, &call, rc, "cannot give back space");
	culver_logf(store->host, CULVER_LOG_WARN, "%s", err.text);
}
