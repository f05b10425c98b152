/*
 * sqlite.c - the storage plugin for SQLite: its descriptor, its options and
 * the operations that need no file of their own.
 *
 * Runs in a worker, one process a login, as the mailbox's owner; needs libc
 * and libsqlite3.  It trusts nothing that it finds in the database.  Read this
 * file first, then sqlite.h; culver-sqlite(5) says what users see.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#define HEAP_MAX (64 << 20)	/* bytes of SQLite's own memory */

enum { OPT_PATH, OPT_CREATE, OPT_SECURE, OPT_VACUUM, OPT_BUSY, OPT_COUNT };

static const char *const vacuum_choices[] = {
	[SQ_VACUUM_NO] = "no", [SQ_VACUUM_INCREMENTAL] = "incremental",
	[SQ_VACUUM_FULL] = "full", NULL
};

static const struct culver_option sqlite_options[OPT_COUNT] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/mail/mail.db",
	    .help = "database of a user whose entry names no other" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no",
	    .help = "make a missing database in a directory of the user's" },
	[OPT_SECURE] = { .name = "secure_delete", .type = CULVER_OPT_BOOL,
	    .def = "no",
	    .help = "overwrite deleted messages with zeros" },
	[OPT_VACUUM] = { .name = "vacuum", .type = CULVER_OPT_ENUM,
	    .choices = vacuum_choices, .def = "incremental",
	    .help = "give free space back after deletions" },
	[OPT_BUSY] = { .name = "busy_timeout", .type = CULVER_OPT_TIME,
	    .min = 0, .max = INT64_C(300000000000), .def = "10s",
	    .help = "how long to wait for another program's lock" },
};

/* As plug_make_path(), but NULL if it names no file, or one too long. */
static char *
make_path(const char *path, const char *home)
{
	size_t n = strlen(path);
	char *made;

	if (n == 0 || path[n - 1] == '/')
		return NULL;
	made = plug_make_path(path, home);
	/* room for what is appended to names; SQLite takes 512 bytes */
	if (made != NULL && strlen(made) > 480) {
		free(made);
		made = NULL;
	}
	return made;
}

static void
sqlite_destroy(struct culver_store *store)
{
	if (store->db.db != NULL && !store->db.bad)
		sq_vacuum(store);
	sq_db_close(store);
	free(store->dir);
	free(store->path);
	free(store);
}

/*
 * The library, once a process: one thread, bounded memory, no file mapped.
 */
static culver_status
library_start(struct culver_call *call)
{
	static bool started;

	if (started)
		return CULVER_OK;
	sq_memory_start();
	/* refused if somebody else uses it already: as it is, then */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_URI, 0);
	sqlite3_config(SQLITE_CONFIG_MMAP_SIZE, (sqlite3_int64)0,
	    (sqlite3_int64)0);
	/* a session is short and keeps few pages: memory as it is needed */
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 128, 64);
	if (sqlite3_initialize() != SQLITE_OK ||
	    sq_wait_start() != SQLITE_OK)
		return plug_fail_as(call, CULVER_E_NOMEM,
		    "SQLite does not start");
	sqlite3_hard_heap_limit64(HEAP_MAX);
	started = true;
	return CULVER_OK;
}

static culver_status
sqlite_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	const char *path = plug_location(user, vals, OPT_PATH);
	struct culver_store *store;
	culver_status status = library_start(call);

	if (status != CULVER_OK)
		return status;
	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return plug_fail(call, ENOMEM, "no memory");
	*store = (struct culver_store){ .host = host, .uid = user->uid,
	    .quota_octets = user->quota_octets,
	    .quota_messages = user->quota_messages,
	    .path = make_path(path, user->home),
	    .create = vals->v[OPT_CREATE].u.i != 0,
	    .secure_delete = vals->v[OPT_SECURE].u.i != 0,
	    .vacuum = (int)vals->v[OPT_VACUUM].u.i,
	    .busy = (uint64_t)vals->v[OPT_BUSY].u.i };
	store->db.store = store;
	if (store->path == NULL) {
		sqlite_destroy(store);
		return plug_fail_as(call, CULVER_E_PERM, "%s is no absolute "
		    "path of a file; has the user a home?", path);
	}
	store->dir = plug_parent(store->path);
	if (store->dir == NULL) {
		sqlite_destroy(store);
		return plug_fail(call, ENOMEM, "no memory");
	}
	*out = store;
	return CULVER_OK;
}

culver_status
sq_total(struct culver_store *store, uint64_t *messages, uint64_t *octets,
    struct culver_call *call)
{
	culver_status status = sq_db_open(store, call);
	sqlite3_stmt *st;
	int rc;

	if (status != CULVER_OK)
		return status;
	st = sq_stmt(&store->db, SQ_TOTAL);
	rc = st == NULL ? SQLITE_ERROR : sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*messages = (uint64_t)sqlite3_column_int64(st, 0);
		*octets = (uint64_t)sqlite3_column_int64(st, 1);
	} else
		status = sq_fail(store, call, rc, "totals");
	sqlite3_reset(st);
	return status;
}

static const struct culver_storage_ops sqlite_ops = {
	.size = sizeof(sqlite_ops),
	.create = sqlite_create,
	.destroy = sqlite_destroy,
	.paths = sq_paths,
	.open = sq_open,
	.close = sq_close,
	.list = sq_list,
	.read = sq_read,
	.next = sq_next,
	.done = sq_done,
	.expunge = sq_expunge,
	.keepalive = sq_keepalive,
	.deliver_begin = sq_deliver_begin,
	.deliver_write = sq_deliver_write,
	.deliver_commit = sq_deliver_commit,
	.deliver_abort = sq_deliver_abort,
	.check = sq_check,
};

CULVER_PLUGIN(storage_sqlite) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.need_minor = 0,
	.kind = CULVER_KIND_STORAGE,
	.caps = CULVER_ST_ATOMIC_EXPUNGE | CULVER_ST_EXACT_OCTETS |
	    CULVER_ST_KEEPALIVE | CULVER_ST_DELIVER | CULVER_ST_KEEP_UID |
	    CULVER_ST_CHECK,
	.name = "sqlite",
	.version = "1.0",
	.summary = "one database per user",
	.options = sqlite_options,
	.n_options = OPT_COUNT,
	.option_size = sizeof(struct culver_option),
	.ops = { .storage = &sqlite_ops },
};
