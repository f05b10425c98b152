/*
 * wait.c - how long SQLite may wait: for another program's lock, and in its
 * own loops, never past the deadline of the call that runs.
 *
 * Runs in the worker as the mailbox's owner.  The library sleeps between its
 * tries to read the write-ahead log, for up to ten seconds in all and without
 * asking; so it gets a VFS whose sleep ends at the deadline.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <time.h>

#define STEPS	4000	/* of SQLite's machine between looks at the clock */
#define VFS	"culver"

/* The connection whose call runs; one at a time in a process. */
static const struct sq_db *active;

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

int
sq_wait_start(void)
{
	static sqlite3_vfs vfs;
	const sqlite3_vfs *base = sqlite3_vfs_find(NULL);

	if (base == NULL)
		return SQLITE_ERROR;
	vfs = *base;
	vfs.pNext = NULL;
	vfs.zName = VFS;
	vfs.xSleep = vfs_sleep;
	return sqlite3_vfs_register(&vfs, 0);
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
