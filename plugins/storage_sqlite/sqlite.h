/*
 * sqlite.h - what the files of the SQLite plugin share.
 *
 * Runs in a worker, as the owner of the mailbox.  The database is the user's
 * file, so nothing in it is trusted: its schema must be exactly ours, triggers
 * and views are switched off, and what a row says is checked before it is
 * used.
 *
 * A message is one row of `message' and the rows of `chunk' that are numbered
 * from its id on; chunks hold it as it goes over the wire.  No transaction is
 * open between two calls of an operation, so nobody waits for a slow client.
 */
#ifndef STORAGE_SQLITE_H
#define STORAGE_SQLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include <culver/storage.h>

#include "plugins/common/plug.h"

#define SQ_APPLICATION	0x436c7672	/* bytes 'C' 'l' 'v' 'r' */
#define SQ_CHUNK	65536	/* octets of a row of `chunk' */
#define SQ_PAGE		8192		/* bytes of a page of a new database */
#define SQ_MESSAGES	(1 << 22)

enum {				/* message.flags; kept in files: never change */
	SQ_CRLF = 1u << 0,	/* each CR has its LF */
	SQ_NO_DOT = 1u << 1	/* no line begins with a dot */
};

enum { SQ_VACUUM_NO, SQ_VACUUM_INCREMENTAL, SQ_VACUUM_FULL };

/* --- connections (db.c) ------------------------------------------------- */

enum sq_sql {			/* statements that are prepared once */
	SQ_BEGIN, SQ_COMMIT, SQ_ROLLBACK, SQ_FIND, SQ_TOTAL, SQ_ADD_CHUNK,
	SQ_ADD_MESSAGE, SQ_DROP_MESSAGE, SQ_DROP_CHUNKS, SQ_SQL_MAX
};

struct sq_db {
	sqlite3 *db;		/* NULL: not open */
	sqlite3_stmt *stmt[SQ_SQL_MAX];
	const struct culver_store *store;
	const struct culver_call *call;	/* of the operation that runs */
	uint64_t give_up;	/* waiting for a lock: until then */
	bool may_write;		/* prepared for it */
	bool alone;		/* from sq_db_open_alone() */
	bool bad;		/* an I/O error: open it again */
};

/* What tells a file from all others, also from those before it. */
struct sq_identity {
	uint64_t ino;
	int64_t born;
	uint32_t dev_major, dev_minor, born_ns;
};

struct culver_store {
	const struct culver_host *host;
	char *dir, *path;	/* of the database: its directory, and whole */
	uint32_t uid;
	uint64_t quota_octets, quota_messages;
	uint64_t busy;		/* ns to wait for locks of other programs */
	bool create, secure_delete;
	bool removed;		/* messages: there may be space to give back */
	bool resting;		/* closed by sq_db_rest(); it was: */
	struct sq_identity rested;
	int vacuum;
	struct sq_db db;
};

/*
 * Open the store's database for CALL, if it is not open: check whose it is,
 * bring an older schema up to date, refuse any other.  Makes an absent one
 * where `create' allows it.  It stays open until sq_db_close().
 */
culver_status sq_db_open(struct culver_store *store,
    struct culver_call *call);

/* As sq_db_open(), but look at nothing in it and make nothing: for check(). */
culver_status sq_db_open_raw(struct culver_store *store,
    struct culver_call *call);

/*
 * Open it to read it once, at once, with nobody else at it: then the library
 * needs no files beside it.  False if it is open, or that cannot be, or what
 * is wrong is sq_db_open()'s to say.  Ends with sq_db_rest().
 */
bool sq_db_open_alone(struct culver_store *store, struct culver_call *call);

/* Close it; the last one to do so also empties the -wal file. */
void sq_db_close(struct culver_store *store);

/* Close it until it is needed again.  Then it must be the same file, or
 * sq_db_open() fails with CULVER_E_STALE, until sq_db_forget(). */
void sq_db_rest(struct culver_store *store);
void sq_db_forget(struct culver_store *store);

/* Is the file that is open still the one with the database's name? */
bool sq_db_is_named(struct culver_store *store);

/* The prepared statement WHICH, reset and without values; NULL: see errmsg. */
sqlite3_stmt *sq_stmt(struct sq_db *db, enum sq_sql which);

/* Step statement WHICH, which gives no row, and reset it.  A result code. */
int sq_run(struct sq_db *db, enum sq_sql which);

/* Begin a transaction that writes; failed, none is open. */
culver_status sq_write_begin(struct culver_store *store,
    struct culver_call *call);

/* Commit it durably, if ST is OK, or roll it back; returns what came of it. */
culver_status sq_write_end(struct culver_store *store, culver_status st,
    struct culver_call *call);

/* Run SQL, which gives no row that matters.  A result code. */
int sq_exec(struct sq_db *db, const char *sql);

/* The first value of the first row of SQL.  A result code. */
int sq_number(struct sq_db *db, const char *sql, int64_t *out);

/* --- waiting (wait.c) --------------------------------------------------- */

/* The deadline is that of CALL from here on; NULL: no call runs. */
void sq_db_use(struct culver_store *store, const struct culver_call *call);

/* Once a process, before sq_wait_vfs(): the VFS of every connection.  A
 * result code. */
int sq_wait_start(void);
const char *sq_wait_vfs(void);

/* Let DB, just opened, wait for locks and work until the deadline. */
void sq_wait_watch(struct sq_db *db);

/* Is the deadline of the call that runs over? */
bool sq_wait_over(const struct sq_db *db);

/* --- memory (memory.c) -------------------------------------------------- */

/* Once a process, before anything else of the library. */
void sq_memory_start(void);

/* Give back what no open database has. */
void sq_memory_rest(void);

/* --- errors (file.c) ---------------------------------------------------- */

/* Fail with the status that the result code RC of SQLite calls for. */
culver_status sq_fail(struct culver_store *store, struct culver_call *call,
    int rc, const char *what);

/* --- files (file.c, create.c) ------------------------------------------- */

culver_status sq_paths(struct culver_store *store, struct culver_path *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

/* Is the database on a file system that other machines may write to? */
bool sq_on_network(const struct culver_store *store);

/*
 * Is there a database that may be opened?  Makes it, atomically, if it is
 * absent and that is allowed; never where one was and is lost.
 */
culver_status sq_file_ready(struct culver_store *store,
    struct culver_call *call);

/* Take the lock of the mailbox at once or fail with CULVER_E_IN_USE. */
culver_status sq_lock(const struct culver_store *store, int *fd,
    struct culver_call *call);

/* Fill a new database at PATH (it may be ":memory:") through DB. */
int sq_schema_make(sqlite3 *db);

/* --- schema (schema.c) -------------------------------------------------- */

/* One version of the format, and how to come to it from the one before. */
struct sq_schema {
	int version;
	const char *const *create;	/* CREATE statements, NULL at the end */
	const char *const *const *step;	/* step[v]: statements from v to v+1 */
};

extern const struct sq_schema sq_schema;

/*
 * Is the open database ours, with the schema S?  An older one is migrated in
 * one transaction; a newer one is CULVER_E_PERM, anything else CORRUPT.
 */
culver_status sq_schema_check(struct culver_store *store,
    const struct sq_schema *s, struct culver_call *call);

/* --- an open mailbox (open.c, read.c, expunge.c) ------------------------ */

struct sq_message {
	int64_t id, received;
	uint64_t octets;
	uint32_t chunks;
	uint32_t uid;		/* offset in mb->uids */
	uint32_t flags;
	uint32_t reserved;
};

struct culver_content {
	struct culver_mailbox *mb;	/* NULL: nobody reads */
	uint32_t index, chunk;
	int64_t offset;		/* in that chunk */
	uint64_t left;
	unsigned char *buf;	/* SQ_CHUNK bytes, or NULL */
	size_t n;		/* octets in it that next() has not given */
	bool last_lf;		/* what was given ends in LF, or is nothing */
};

struct culver_mailbox {
	struct culver_store *store;
	uint32_t flags;
	int lock;
	struct sq_message *msg;	/* the frozen snapshot, by id */
	uint32_t n;
	char *uids;
	size_t uids_len;
	struct culver_content content;
};

culver_status sq_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call);
void sq_close(struct culver_mailbox *mb);
culver_status sq_keepalive(struct culver_mailbox *mb,
    struct culver_call *call);
culver_status sq_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call);

culver_status sq_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call);
culver_status sq_next(struct culver_content *c, struct culver_extent *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);
void sq_done(struct culver_content *c);

culver_status sq_expunge(struct culver_mailbox *mb, const uint32_t *index,
    uint32_t n, struct culver_expunge_result *res, struct culver_call *call);

/* Give back free pages as `vacuum' says; a failure is logged. */
void sq_vacuum(struct culver_store *store);

/* What the mailbox holds. */
culver_status sq_total(struct culver_store *store, uint64_t *messages,
    uint64_t *octets, struct culver_call *call);

/* --- delivery and checks (deliver.c, check.c) --------------------------- */

culver_status sq_deliver_begin(struct culver_store *store,
    const struct culver_envelope *env, struct culver_delivery **out,
    struct culver_call *call);
culver_status sq_deliver_write(struct culver_delivery *d, const void *buf,
    size_t n, struct culver_call *call);
culver_status sq_deliver_commit(struct culver_delivery *d,
    struct culver_str *uid, struct culver_call *call);
void sq_deliver_abort(struct culver_delivery *d);

culver_status sq_check(struct culver_store *store, struct culver_str *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

#endif /* STORAGE_SQLITE_H */
