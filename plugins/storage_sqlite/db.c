/*
 * db.c - the connection to the database, its limits, its statements and its
 * transactions.
 *
 * Runs in the worker as the mailbox's owner, confined to the directory of the
 * database.  A hostile database can make statements fail and calls slow, up
 * to their deadline; its triggers, views and functions are not run.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const sql_text[SQ_SQL_MAX] = {
	[SQ_BEGIN] = "BEGIN IMMEDIATE",
	[SQ_COMMIT] = "COMMIT",
	[SQ_ROLLBACK] = "ROLLBACK",
	[SQ_FIND] = "SELECT 1 FROM message WHERE id=?1",
	[SQ_TOTAL] = "SELECT count(*), ifnull(sum(octets), 0) FROM message",
	[SQ_ADD_CHUNK] = "INSERT INTO chunk(data) VALUES(?1)",
	[SQ_ADD_MESSAGE] = ("INSERT INTO message(id,uidl,octets,received,"
	    "chunks,flags) VALUES(?1,?2,?3,?4,?5,?6)"),
	[SQ_DROP_MESSAGE] = "DELETE FROM message WHERE id=?1",
	[SQ_DROP_CHUNKS] = "DELETE FROM chunk WHERE id BETWEEN ?1 AND ?2",
};

/* What the library does for the owner of a database, it does not for us. */
static void
restrain(sqlite3 *db)
{
	static const struct { int what, value; } config[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
		{ SQLITE_DBCONFIG_DQS_DDL, 0 }, { SQLITE_DBCONFIG_DQS_DML, 0 },
	}, limit[] = {
		{ SQLITE_LIMIT_ATTACHED, 0 }, { SQLITE_LIMIT_COLUMN, 32 },
		{ SQLITE_LIMIT_SQL_LENGTH, 32768 },
		{ SQLITE_LIMIT_EXPR_DEPTH, 40 },
		{ SQLITE_LIMIT_COMPOUND_SELECT, 2 },
		{ SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
		{ SQLITE_LIMIT_WORKER_THREADS, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(config) / sizeof(config[0]); i++)
		sqlite3_db_config(db, config[i].what, config[i].value, NULL);
	for (i = 0; i < sizeof(limit) / sizeof(limit[0]); i++)
		sqlite3_limit(db, limit[i].what, limit[i].value);
}

int
sq_exec(struct sq_db *db, const char *sql)
{
	return sqlite3_exec(db->db, sql, NULL, NULL, NULL);
}

int
sq_number(struct sq_db *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc;
}

/*
 * Several machines cannot share the memory of a write-ahead log.  A database
 * that was moved there has one still: exclusively, it needs none.
 */
static int
leave_wal(struct sq_db *db)
{
	int rc = sq_exec(db, "PRAGMA locking_mode=EXCLUSIVE;"
	    "PRAGMA journal_mode=DELETE;PRAGMA locking_mode=NORMAL");
	sqlite3_stmt *st = NULL;

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db->db, "PRAGMA journal_mode", -1, &st,
		    NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		rc = strcmp((const char *)sqlite3_column_text(st, 0),
		    "wal") == 0 ? SQLITE_BUSY : SQLITE_OK;
	sqlite3_finalize(st);
	return rc;
}

/* Open the file NAME, or URI with how == SQLITE_OPEN_URI.  A result code. */
static int
connect_db(struct sq_db *db, const char *name, int how)
{
	int rc = sqlite3_open_v2(name, &db->db, how | SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
	    SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE, sq_wait_vfs());

	if (rc != SQLITE_OK)
		return rc;
	restrain(db->db);
	sq_wait_watch(db);
	return sq_exec(db, "PRAGMA cell_size_check=ON");
}

culver_status
sq_db_open_raw(struct culver_store *store, struct culver_call *call)
{
	struct sq_db *db = &store->db;
	culver_status status;
	int rc;

	if (db->bad)
		sq_db_close(store);
	sq_db_use(store, call);
	if (db->db != NULL)
		return plug_in_time(store->host, store->path, call);
	rc = connect_db(db, store->path, 0);
	if (rc == SQLITE_OK && sq_on_network(store))
		rc = leave_wal(db);
	if (rc == SQLITE_OK)
		return CULVER_OK;
	status = sq_fail(store, call, rc, "cannot open it");
	sq_db_close(store);
	return status;
}

/* The URI of PATH, for which OUT has room thrice, as a file that
 * nobody changes. */
static void
make_uri(const char *path, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "file:");

	for (; *path != '\0'; path++)
		n += (size_t)snprintf(out + n, size - n,
		    strchr("?#%", *path) != NULL ? "%%%02X" : "%c",
		    (unsigned char)*path);
	snprintf(out + n, size - n, "?immutable=1");
}

bool
sq_db_open_alone(struct culver_store *store, struct culver_call *call)
{
	char uri[PATH_MAX];

	if (store->db.db != NULL || sq_on_network(store))
		return false;
	make_uri(store->path, uri, sizeof(uri));
	sq_db_use(store, call);
	store->db.alone = true;
	if (connect_db(&store->db, uri, SQLITE_OPEN_URI) == SQLITE_OK &&
	    sq_schema_check(store, &sq_schema, call) == CULVER_OK)
		return true;
	sq_db_close(store);
	return false;
}

/* Which file has the database's name?  Its number alone may have been that of
 * one that was removed; without a time of birth that is all there is. */
static bool
identify(const struct culver_store *store, struct sq_identity *out)
{
	struct statx st;

	if (statx(AT_FDCWD, store->path, AT_SYMLINK_NOFOLLOW,
	    STATX_INO | STATX_BTIME, &st) != 0)
		return false;
	*out = (struct sq_identity){ .dev_major = st.stx_dev_major,
	    .dev_minor = st.stx_dev_minor, .ino = st.stx_ino,
	    .born = st.stx_btime.tv_sec, .born_ns = st.stx_btime.tv_nsec };
	return true;
}

/* Is the open file the one that sq_db_rest() closed? */
static bool
is_the_same(struct culver_store *store)
{
	const struct sq_identity *was = &store->rested;
	struct sq_identity now;

	return identify(store, &now) && now.dev_major == was->dev_major &&
	    now.dev_minor == was->dev_minor && now.ino == was->ino &&
	    now.born == was->born && now.born_ns == was->born_ns &&
	    sq_db_is_named(store);
}

culver_status
sq_db_open(struct culver_store *store, struct culver_call *call)
{
	culver_status status = CULVER_OK;

	if (store->db.db != NULL && !store->db.bad)
		return sq_db_open_raw(store, call);
	status = sq_file_ready(store, call);
	if (status == CULVER_OK)
		status = sq_db_open_raw(store, call);
	if (status == CULVER_OK && store->resting && !is_the_same(store))
		status = plug_fail_as(call, CULVER_E_STALE,
		    "%s is another file than it was", store->path);
	if (status == CULVER_OK)
		status = sq_schema_check(store, &sq_schema, call);
	if (status != CULVER_OK)
		sq_db_close(store);
	return status;
}

void
sq_db_close(struct culver_store *store)
{
	struct sq_db *db = &store->db;
	int i;

	for (i = 0; i < SQ_SQL_MAX; i++)
		sqlite3_finalize(db->stmt[i]);
	sq_db_use(store, NULL);
	sqlite3_close(db->db);
	*db = (struct sq_db){ .store = store };
}

void
sq_db_rest(struct culver_store *store)
{
	struct sq_identity now;

	/* a file that has another name now would not be found again */
	if (store->db.db == NULL || store->db.bad || !identify(store, &now) ||
	    !sq_db_is_named(store))
		return;
	store->rested = now;
	store->resting = true;
	sq_db_close(store);
}

void
sq_db_forget(struct culver_store *store)
{
	store->resting = false;
}

bool
sq_db_is_named(struct culver_store *store)
{
	int moved = 0;

	return sqlite3_file_control(store->db.db, "main",
	    SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || !moved;
}

sqlite3_stmt *
sq_stmt(struct sq_db *db, enum sq_sql which)
{
	sqlite3_stmt **st = &db->stmt[which];

	if (*st == NULL && sqlite3_prepare_v3(db->db, sql_text[which], -1,
	    SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
	return *st;
}

int
sq_run(struct sq_db *db, enum sq_sql which)
{
	sqlite3_stmt *st = db->stmt[which];
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Prepare and run a statement without values. */
static int
run_plain(struct sq_db *db, enum sq_sql which)
{
	return sq_stmt(db, which) == NULL ?
	    sqlite3_extended_errcode(db->db) : sq_run(db, which);
}

/* What only a connection that writes needs. */
static int
prepare_writing(struct culver_store *store)
{
	struct sq_db *db = &store->db;
	int rc;

	if (db->may_write)
		return SQLITE_OK;
	/* EXTRA: the end of a rollback journal must last, too */
	rc = sq_exec(db, store->secure_delete ?
	    "PRAGMA temp_store=MEMORY;PRAGMA synchronous=EXTRA;"
	    "PRAGMA secure_delete=ON" :
	    "PRAGMA temp_store=MEMORY;PRAGMA synchronous=EXTRA;"
	    "PRAGMA secure_delete=OFF");
	if (rc == SQLITE_OK && !sq_on_network(store))
		rc = sq_exec(db, "PRAGMA journal_mode=WAL");
	db->may_write = rc == SQLITE_OK;
	return rc;
}

static void
roll_back(struct culver_store *store)
{
	sq_db_use(store, NULL);
	if (sqlite3_get_autocommit(store->db.db) == 0)
		run_plain(&store->db, SQ_ROLLBACK);
	/* what could not even be rolled back ends with the connection */
	if (sqlite3_get_autocommit(store->db.db) == 0)
		store->db.bad = true;
}

culver_status
sq_write_begin(struct culver_store *store, struct culver_call *call)
{
	culver_status status = sq_db_open(store, call);
	int rc;

	if (status != CULVER_OK)
		return status;
	rc = prepare_writing(store);
	if (rc == SQLITE_OK)
		rc = run_plain(&store->db, SQ_BEGIN);
	if (rc != SQLITE_OK)
		return sq_fail(store, call, rc, "cannot write");
	if (sq_db_is_named(store))
		return CULVER_OK;
	roll_back(store);
	return plug_fail_as(call, CULVER_E_STALE,
	    "%s is another file than it was: nothing is written", store->path);
}

culver_status
sq_write_end(struct culver_store *store, culver_status st,
    struct culver_call *call)
{
	int rc;

	if (st == CULVER_OK) {
		rc = run_plain(&store->db, SQ_COMMIT);
		if (rc != SQLITE_OK)
			st = sq_fail(store, call, rc, "cannot commit");
	}
	if (st != CULVER_OK)
		roll_back(store);
	return st;
}
