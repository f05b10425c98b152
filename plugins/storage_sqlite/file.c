/*
 * file.c - which directory the plugin will touch, error texts, the lock file.
 *
 * Runs in the worker as the mailbox's owner; sq_paths() before it is confined,
 * the rest after it.  With `create = yes' the directory of the database is
 * made, but only inside one that is the user's own: a bare mount point is
 * root's, and a mailbox that is made there would look empty.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

/* What a result code of SQLite means to the core. */
static culver_status
status_of(int rc, int err)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
	case SQLITE_ERROR:	/* the schema was checked, so it is the file */
		return CULVER_E_CORRUPT;
	case SQLITE_FULL:
		return CULVER_E_NOSPACE;
	case SQLITE_NOMEM:
		return CULVER_E_NOMEM;
	case SQLITE_INTERRUPT:
		return CULVER_E_TIMEOUT;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return CULVER_E_PERM;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (rc == SQLITE_IOERR_CORRUPTFS)
			return CULVER_E_CORRUPT;
		if (rc == SQLITE_IOERR_NOMEM)
			return CULVER_E_NOMEM;
		if (rc == SQLITE_CANTOPEN_SYMLINK)
			return CULVER_E_PERM;
		return err == ENOSPC || err == EDQUOT ? CULVER_E_NOSPACE :
		    CULVER_E_TEMP;
	case SQLITE_READONLY:
		return rc == SQLITE_READONLY_DBMOVED ? CULVER_E_STALE :
		    CULVER_E_TEMP;
	default:
		return CULVER_E_TEMP;
	}
}

culver_status
sq_fail(struct culver_store *store, struct culver_call *call, int rc,
    const char *what)
{
	struct sq_db *db = &store->db;
	int err = db->db != NULL ? sqlite3_system_errno(db->db) : 0;
	const char *text = sqlite3_errstr(rc);

	/* a code that we made up has no text of its own in the connection */
	if (db->db != NULL && sqlite3_extended_errcode(db->db) == rc)
		text = sqlite3_errmsg(db->db);
	if ((rc & 0xff) == SQLITE_BUSY)
		text = "another program holds its lock";
	if ((rc & 0xff) == SQLITE_IOERR)
		db->bad = true;
	plug_fail_as(call, CULVER_OK, "%s: %s: %s (SQLite %d)", store->path,
	    what, text, rc);
	if ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN)
		call->err->sys_errno = err;
	if (sq_wait_over(db) && ((rc & 0xff) == SQLITE_BUSY ||
	    (rc & 0xff) == SQLITE_PROTOCOL))
		return CULVER_E_TIMEOUT;	/* it did not wait longer */
	return status_of(rc, err);
}

/* --- the directory ------------------------------------------------------ */

culver_status
sq_paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	culver_status status = CULVER_OK;

	if (store->create)
		status = plug_make_dir(store->dir, store->uid, call);
	if (status != CULVER_OK)
		return status;
	*n = 1;		/* names beside the database come and go */
	if (cap == 0)
		return CULVER_OK;
	out[0] = (struct culver_path){
	    .path = culver_strndup(store->host, call, store->dir,
		strlen(store->dir)),
	    .access = CULVER_PATH_READ | CULVER_PATH_WRITE |
		CULVER_PATH_CREATE | CULVER_PATH_DIR };
	if (out[0].path == NULL)
		return plug_fail(call, ENOMEM, "%s", store->dir);
	return CULVER_OK;
}

/* --- the lock of a session ---------------------------------------------- */

culver_status
sq_lock(const struct culver_store *store, int *fd, struct culver_call *call)
{
	const struct plug_index nowhere = PLUG_NOWHERE;
	char path[PATH_MAX];
	bool made;

	snprintf(path, sizeof(path), "%s.lock", store->path);
	return plug_lock(&nowhere, path, fd, &made, call);
}
