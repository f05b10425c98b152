/*
 * wait.c - how long SQLite may wait: for another program's lock, and in its
 * own loops, never past the deadline of the call that runs; and what else it
 * has of the system through us.
 *
 * Runs in the worker as the mailbox's owner.  The library sleeps between its
 * tries to read the write-ahead log, for up to ten seconds in all and without
 * asking; so it gets a VFS whose sleep ends at the deadline.  It also would
 * look at each directory of a path, and opens /dev/urandom.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define STEPS	4000	/* of SQLite's machine between looks at the clock */
#define VFS	"culver"

/* The connection whose call runs; one at a time in a process. */
static const struct sq_db *active;

static const sqlite3_vfs *base;	/* the library's own */

void
sq_db_use(struct culver_store *store, const struct culver_call *call)
{
	store->db.call = call;
	active = call != NULL ? &store->db : NULL;
}

/* Nanoseconds until the deadline. */
static uint64_t
left(const struct sq_db *db)
{
	const struct culver_host *host = db->store->host;
	uint64_t now = host->now(host);

	if (db->call == NULL || db->call->deadline == UINT64_MAX)
		return UINT64_MAX;
	return now < db->call->deadline ? db->call->deadline - now : 0;
}

static int
on_progress(void *arg)
{
	return left(arg) == 0;
}

/* Somebody else has the lock, for the COUNT-th time: wait and try again? */
static int
on_busy(void *arg, int count)
{
	struct sq_db *db = arg;
	const struct culver_host *host = db->store->host;
	const struct timespec pause = {
	    .tv_nsec = count < 5 ? 1000000 : count < 20 ? 5000000 : 25000000 };
	uint64_t now = host->now(host);

	if (count == 0)
		db->give_up = now + db->store->busy;
	if (now >= db->give_up || left(db) == 0)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

/* Without a call, as when a connection is closed, there is no time at all. */
static int
vfs_sleep(sqlite3_vfs *vfs, int us)
{
	uint64_t ns = (uint64_t)us * 1000, max = active != NULL ?
	    left(active) : 0;
	struct timespec pause;

	(void)vfs;
	ns = ns < max ? ns : max;
	pause = (struct timespec){ .tv_sec = (time_t)(ns / 1000000000),
	    .tv_nsec = (long)(ns % 1000000000) };
	if (ns > 0)
		nanosleep(&pause, NULL);
	return us;
}

/* Keep all others out.  Is the file NAME all there is, with no log or journal
 * that somebody left who died? */
static bool
is_alone(sqlite3_file *file, const char *name)
{
	static const char *const left[] = { "wal", "journal" };
	char path[PATH_MAX];
	struct stat st;
	int i;

	if (file->pMethods->xLock(file, SQLITE_LOCK_SHARED) != SQLITE_OK ||
	    file->pMethods->xLock(file, SQLITE_LOCK_EXCLUSIVE) != SQLITE_OK)
		return false;
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s-%s", name, left[i]);
		if (lstat(path, &st) == 0 || errno != ENOENT)
			return false;
	}
	return true;
}

/* Before the library reads anything of it. */
static int
vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
    int *got)
{
	int rc = base->xOpen(vfs, name, file, flags, got);

	if (rc != SQLITE_OK || (flags & SQLITE_OPEN_MAIN_DB) == 0 ||
	    active == NULL || !active->alone || is_alone(file, name))
		return rc;
	file->pMethods->xClose(file);
	file->pMethods = NULL;
	return SQLITE_BUSY;
}

/* Ours are absolute, and links in them are followed, but for the last. */
static int
vfs_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	size_t n = strlen(name);

	(void)vfs;
	if (n >= (size_t)size)
		return SQLITE_CANTOPEN;
	memcpy(out, name, n + 1);
	return SQLITE_OK;
}

/* The library's own opens a file, which is out of reach. */
static int
vfs_random(sqlite3_vfs *vfs, int size, char *out)
{
	(void)vfs;
	return getrandom(out, (size_t)size, 0) == size ? size : 0;
}

int
sq_wait_start(void)
{
	static sqlite3_vfs vfs;

	base = sqlite3_vfs_find(NULL);
	if (base == NULL)
		return SQLITE_ERROR;
	vfs = *base;
	vfs.pNext = NULL;
	vfs.zName = VFS;
	vfs.xSleep = vfs_sleep;
	vfs.xOpen = vfs_open;
	vfs.xFullPathname = vfs_full_name;
	vfs.xRandomness = vfs_random;
	/* the default one: it is asked for all random numbers */
	return sqlite3_vfs_register(&vfs, 1);
}

const char *
sq_wait_vfs(void)
{
	return VFS;
}

void
sq_wait_watch(struct sq_db *db)
{
	sqlite3_busy_handler(db->db, on_busy, db);
	sqlite3_progress_handler(db->db, STEPS, on_progress, db);
}

bool
sq_wait_over(const struct sq_db *db)
{
	return left(db) == 0;
}
