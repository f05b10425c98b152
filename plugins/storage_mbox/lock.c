/*
 * lock.c - open the mbox under the locks that mail programs agree on.
 *
 * Runs in the worker as the mailbox's owner.  Locks are held while bytes
 * move and no longer: everybody else who delivers or reads waits for them.
 * A dotlock ends with the process that made it only if that process removes
 * it, so one that is old is taken away.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#define NS_PER_S	1000000000u
#define LOCK_WAIT	(30 * (uint64_t)NS_PER_S)
#define LOCK_PAUSE	20000000	/* ns between two tries */
#define DOT_STALE	300	/* seconds until a dotlock is nobody's */
#define DOT_MARK	"culver\n"
#define DOT_TOUCH	30	/* ... until ours is touched */

static culver_status
wait_a_bit(struct culver_store *store, uint64_t until,
    struct culver_call *call)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE };

	if (store->host->now(store->host) >= until)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s is locked by another program", store->path);
	nanosleep(&pause, NULL);
	return plug_in_time(store->host, store->path, call);
}

/* Is the lock WHICH ours now?  -1 with errno set if it never will be. */
static int
try_kernel(const struct mb_file *f, unsigned which, bool write)
{
	struct flock fl = { .l_whence = SEEK_SET,
	    .l_type = write && f->writable ? F_WRLCK : F_RDLCK };
	int r;

	if (which == MB_LOCK_FLOCK)
		r = flock(f->fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB);
	else
		r = fcntl(f->fd, F_OFD_SETLK, &fl);
	if (r == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK ||
	    errno == EINTR ? 0 : -1;
}

/* Lock the dotlock itself, to show that its maker lives. */
static bool
lock_whole(int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &fl) == 0;
}

/*
 * The dotlock, open, if Culver made it and that process is dead; else -1.
 * The mark is written after the lock is taken.
 */
static int
open_dead(const struct mb_file *f)
{
	int fd = open(f->dot_path, O_RDWR | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	char buf[64];
	ssize_t n;

	if (fd < 0)
		return -1;
	n = pread(fd, buf, sizeof(buf), 0);
	if (n > 0 && memmem(buf, (size_t)n, DOT_MARK, sizeof(DOT_MARK) - 1) !=
	    NULL && lock_whole(fd))
		return fd;
	close(fd);
	return -1;
}

/*
 * Take a dotlock away whose maker is dead, or that nobody touched for a
 * while.  Two may want to: so it is first renamed, and put back if it was
 * not that one any more.
 */
static bool
remove_stale(struct culver_store *store, const struct mb_file *f)
{
	char aside[PATH_MAX + 32];
	int dead = open_dead(f), r;
	struct timespec now;
	struct stat old, st;
	uint64_t bits;
	bool ok = true;

	clock_gettime(CLOCK_REALTIME, &now);
	r = dead >= 0 ? fstat(dead, &old) : lstat(f->dot_path, &old);
	if (r != 0) {
		ok = errno == ENOENT;
		goto out;
	}
	if (dead < 0 && old.st_mtim.tv_sec > now.tv_sec - DOT_STALE)
		goto out;
	store->host->random(store->host, &bits, sizeof(bits));
	snprintf(aside, sizeof(aside), "%s.%016" PRIx64, f->dot_path, bits);
	if (rename(f->dot_path, aside) != 0) {
		ok = errno == ENOENT;
		goto out;
	}
	if (lstat(aside, &st) == 0 && (st.st_ino != old.st_ino ||
	    st.st_mtim.tv_sec != old.st_mtim.tv_sec)) {
		if (link(aside, f->dot_path) != 0)
			culver_logf(store->host, CULVER_LOG_WARN,
			    "cannot put %s back: %s", f->dot_path,
			    strerror(errno));
	} else
		culver_logf(store->host, CULVER_LOG_WARN, "%s was left by a "
		    "process that is dead or slow: removed", f->dot_path);
	unlink(aside);
out:
	if (dead >= 0)
		close(dead);
	return ok;
}

static bool
may_not(int err)
{
	return err == EACCES || err == EPERM || err == EROFS;
}

/* Make the file that becomes the dotlock, locked and marked. */
static int
make_dot(struct culver_store *store, const struct mb_file *f,
    char name[PATH_MAX + 32])
{
	char text[64];
	uint64_t bits;
	int fd, n;

	store->host->random(store->host, &bits, sizeof(bits));
	snprintf(name, PATH_MAX + 32, "%s.%016" PRIx64, f->dot_path, bits);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0)
		return -1;
	/*
	 * For other programs, and for us, also after a power cut, which must
	 * not leave the name without the mark.  A full disk is no reason not
	 * to lock.
	 */
	n = snprintf(text, sizeof(text), "%ld\n" DOT_MARK, (long)getpid());
	if (lock_whole(fd) && plug_write_all(fd, text, (size_t)n))
		(void)fsync(fd);
	return fd;
}

/* As try_kernel(). */
static int
try_dot(struct culver_store *store, struct mb_file *f)
{
	char name[PATH_MAX + 32];
	int err, r = -1;

	if (access(f->dot_path, F_OK) == 0)
		return remove_stale(store, f) ? 0 : -1;
	f->dot = make_dot(store, f, name);
	if (f->dot >= 0) {
		r = link(name, f->dot_path);
		err = errno;
		unlink(name);
		if (r == 0)
			return 1;
		close(f->dot);
		f->dot = -1;
		errno = err;
	}
	if (errno == EEXIST || errno == EINTR)
		return 0;
	if (store->dotlock != MB_DOT_TRY || !may_not(errno))
		return -1;
	if (!store->no_dot)
		culver_logf(store->host, CULVER_LOG_WARN, "cannot create %s "
		    "(%s): done without, programs that use dotlocks only are "
		    "not kept out", f->dot_path, strerror(errno));
	store->no_dot = true;
	return 1;
}

/* Take every lock that is due, in order; as try_kernel(), and of which. */
static int
try_all(struct culver_store *store, struct mb_file *f, bool write,
    unsigned *which)
{
	bool kernel = false;
	int r = 1;
	size_t i;

	for (i = 0; i < MB_LOCKS; i++)
		kernel |= store->locks[i] == MB_LOCK_FCNTL ||
		    store->locks[i] == MB_LOCK_FLOCK;
	for (i = 0; i < MB_LOCKS && r > 0; i++) {
		*which = store->locks[i];
		if (*which == 0 || (*which == MB_LOCK_DOT &&
		    (store->no_dot || (!write && kernel))))
			continue;
		r = *which == MB_LOCK_DOT ? try_dot(store, f) :
		    try_kernel(f, *which, write);
		if (!write && *which != MB_LOCK_DOT)
			break;
	}
	return r;
}

static culver_status
open_once(struct culver_store *store, struct mb_file *f, bool write,
    struct culver_call *call)
{
	const int how = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	f->fd = open(store->path, how | (write ? O_RDWR : O_RDONLY));
	f->writable = write;
	if (f->fd < 0 && write && (errno == EACCES || errno == EROFS)) {
		f->fd = open(store->path, how | O_RDONLY);
		f->writable = false;
	}
	if (f->fd < 0)
		return plug_fail(call, errno, "cannot open %s", store->path);
	if (fstat(f->fd, &f->st) != 0)
		return plug_fail(call, errno, "cannot stat %s", store->path);
	if (!S_ISREG(f->st.st_mode))
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s is no regular file", store->path);
	return CULVER_OK;
}

/*
 * Who waits for a lock holds no other: programs that take them in another
 * order (Postfix: dotlock, fcntl) would wait for us as we for them.
 */
static culver_status
open_locked(struct culver_store *store, struct mb_file *f, bool write,
    uint64_t until, struct culver_call *call)
{
	culver_status status;
	unsigned which = 0;
	int r;

	for (;;) {
		status = open_once(store, f, write, call);
		if (status != CULVER_OK)
			return status;
		r = try_all(store, f, write, &which);
		if (r > 0)
			return CULVER_OK;
		if (r < 0)
			return plug_fail(call, errno, "cannot lock %s",
			    which == MB_LOCK_DOT ? f->dot_path : store->path);
		mb_file_close(f);
		status = wait_a_bit(store, until, call);
		if (status != CULVER_OK)
			return status;
	}
}

culver_status
mb_file_open(struct culver_store *store, struct mb_file *f, bool write,
    struct culver_call *call)
{
	uint64_t until = store->host->now(store->host) + LOCK_WAIT;
	culver_status status;
	struct stat st;
	int i;

	*f = (struct mb_file)MB_FILE_NONE;
	snprintf(f->dot_path, sizeof(f->dot_path), "%s.lock", store->path);
	/* again if somebody put another file there meanwhile */
	for (i = 0; i < 10; i++) {
		status = open_locked(store, f, write, until, call);
		if (status == CULVER_OK && (fstat(f->fd, &f->st) != 0 ||
		    lstat(store->path, &st) != 0))
			status = plug_fail(call, errno, "cannot stat %s",
			    store->path);
		if (status != CULVER_OK)
			break;
		if (f->st.st_dev == st.st_dev && f->st.st_ino == st.st_ino) {
			clock_gettime(CLOCK_REALTIME, &f->at);
			return CULVER_OK;
		}
		mb_file_close(f);
	}
	mb_file_close(f);
	if (status == CULVER_OK)
		status = plug_fail_as(call, CULVER_E_TEMP,
		    "%s is replaced all the time", store->path);
	return status;
}

void
mb_file_close(struct mb_file *f)
{
	struct stat a, b;

	/* a dotlock that another took for stale is that one's */
	if (f->dot >= 0) {
		if (fstat(f->dot, &a) != 0 || lstat(f->dot_path, &b) != 0 ||
		    (a.st_dev == b.st_dev && a.st_ino == b.st_ino))
			unlink(f->dot_path);
		close(f->dot);
	}
	if (f->fd >= 0)
		close(f->fd);	/* and the locks with it */
	f->fd = f->dot = -1;
}

culver_status
mb_file_tick(struct culver_store *store, struct mb_file *f,
    struct culver_call *call)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (f->dot >= 0 && now.tv_sec - f->at.tv_sec > DOT_TOUCH) {
		f->at = now;
		futimens(f->dot, NULL);
	}
	return plug_in_time(store->host, store->path, call);
}

culver_status
mb_pread(const struct culver_store *store, int fd, void *buf, size_t n,
    uint64_t offset, struct culver_call *call)
{
	char *p = buf;

	while (n > 0) {
		ssize_t r = pread(fd, p, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return plug_fail(call, errno, "cannot read %s",
			    store->path);
		if (r == 0)
			return plug_fail_as(call, CULVER_E_TEMP,
			    "%s became shorter", store->path);
		p += r;
		offset += (uint64_t)r;
		n -= (size_t)r;
	}
	return CULVER_OK;
}
