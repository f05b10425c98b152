/*
 * create.c - is there a database, and making one that was never there.
 *
 * Runs in the worker as the mailbox's owner, confined.  A new database is
 * built in memory, written to a file of another name, synced and linked into
 * place, so that what has the database's name is always a whole one: an empty
 * file is damage.  Where a database was before, none is made.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* File systems that linux/magic.h does not have. */
#define MAGIC_CIFS	0xff534d42u
#define MAGIC_FUSE	0x65735546u
#define MAGIC_LUSTRE	0x0bd00bd0u
#define MAGIC_GFS2	0x01161970u
#define MAGIC_BEEGFS	0x19830326u
#define MAGIC_SMB2	0xfe534d42u
#define MAGIC_CEPH	0x00c36400u
#define MAGIC_V9FS	0x01021997u
#define MAGIC_OCFS2	0x7461636fu

bool
sq_on_network(const struct culver_store *store)
{
	static const uint32_t magics[] = { NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,
	    CODA_SUPER_MAGIC, AFS_SUPER_MAGIC, MAGIC_CIFS, MAGIC_FUSE,
	    MAGIC_LUSTRE, MAGIC_GFS2, MAGIC_BEEGFS, MAGIC_SMB2, MAGIC_CEPH,
	    MAGIC_V9FS, MAGIC_OCFS2 };
	struct statfs fs;
	size_t i;

	if (statfs(store->dir, &fs) != 0)
		return true;	/* what is right there is right anywhere */
	for (i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if ((uint32_t)fs.f_type == magics[i])
			return true;
	return false;
}

/* Was there a database before?  Then its absence is a fault. */
static culver_status
never_was(const struct culver_store *store, struct culver_call *call)
{
	static const char *const left[] = { "lock", "wal", "journal" };
	char path[PATH_MAX];
	struct stat st;
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%c%s", store->path,
		    i == 0 ? '.' : '-', left[i]);
		if (lstat(path, &st) == 0)
			return plug_fail_as(call, CULVER_E_TEMP, "%s is gone, "
			    "but there was one: put it back, or remove %s to "
			    "begin with an empty mailbox", store->path, path);
	}
	return CULVER_OK;
}

/* The image of an empty database; to be freed with sqlite3_free(). */
static unsigned char *
make_image(const struct culver_store *store, sqlite3_int64 *n)
{
	unsigned char *image = NULL;
	sqlite3 *db;

	if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	    sq_schema_make(db) == SQLITE_OK)
		image = sqlite3_serialize(db, "main", n, 0);
	sqlite3_close(db);
	/* file format 2 means a write-ahead log (SQLite's file format 1.3.3) */
	if (image != NULL && *n >= 100)
		image[18] = image[19] = sq_on_network(store) ? 1 : 2;
	return image;
}

/* Give the file TMP the database's name, unless something has it. */
static culver_status
publish(const struct culver_store *store, const char *tmp,
    struct culver_call *call)
{
	if (link(tmp, store->path) != 0 && errno != EEXIST)
		return plug_fail(call, errno, "cannot link %s",
		    store->path);
	/* with EEXIST somebody else made it just now: as good */
	unlink(tmp);
	return plug_sync_dir(store->dir, call);
}

static culver_status
make_file(struct culver_store *store, struct culver_call *call)
{
	sqlite3_int64 n = 0;
	unsigned char *image = make_image(store, &n);
	culver_status status;
	char tmp[PATH_MAX];
	uint64_t bits;
	int fd;

	if (image == NULL)
		return plug_fail_as(call, CULVER_E_NOMEM,
		    "%s: cannot make a database", store->path);
	store->host->random(store->host, &bits, sizeof(bits));
	snprintf(tmp, sizeof(tmp), "%s.new%08" PRIx32, store->path,
	    (uint32_t)bits);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0 || !plug_write_all(fd, image, (size_t)n) ||
	    fsync(fd) != 0)
		status = plug_fail(call, errno, "cannot write %s", tmp);
	else
		status = publish(store, tmp, call);
	if (fd >= 0) {
		close(fd);
		if (status != CULVER_OK)
			unlink(tmp);
	}
	sqlite3_free(image);
	return status;
}

/* Make the absent database, where that is allowed. */
static culver_status
make(struct culver_store *store, struct culver_call *call)
{
	culver_status status;
	struct stat st;

	if (!store->create)
		return plug_fail(call, ENOENT, "%s", store->path);
	if (stat(store->dir, &st) != 0)
		return plug_fail(call, errno, "%s", store->dir);
	if (st.st_uid != store->uid)
		return plug_fail_as(call, CULVER_E_TEMP, "%s is missing, and "
		    "not made because %s is not a directory of uid %lu",
		    store->path, store->dir, (unsigned long)store->uid);
	status = never_was(store, call);
	return status == CULVER_OK ? make_file(store, call) : status;
}

culver_status
sq_file_ready(struct culver_store *store, struct culver_call *call)
{
	culver_status status;
	struct stat st;

	if (lstat(store->path, &st) != 0) {
		if (errno != ENOENT)
			return plug_fail(call, errno, "cannot look at %s",
			    store->path);
		status = make(store, call);
		/* or another process made it meanwhile */
		if (lstat(store->path, &st) != 0)
			return status != CULVER_OK ? status :
			    plug_fail(call, errno, "cannot look at %s",
			    store->path);
	}
	if (!S_ISREG(st.st_mode))
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s is not a regular file", store->path);
	if (st.st_size == 0)
		return plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s is an empty file and no database", store->path);
	return CULVER_OK;
}
