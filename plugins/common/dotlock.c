/*
 * dotlock.c - see dotlock.h.
 *
 * Runs in a storage plugin or in the locker, never as root.  A dotlock ends
 * with the process that made it only if that process removes it, so one that
 * is old is taken away.
 */
#include "config.h"

#include "plugins/common/dotlock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DOT_STALE	300	/* seconds until a dotlock is nobody's */
#define DOT_MARK	"culver\n"

struct beside {			/* another name in the same directory */
	char name[PATH_MAX + DOTLOCK_ROOM];
};

static bool
beside(const struct dotlock *d, struct beside *out)
{
	uint64_t bits;
	int n;

	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		return false;
	n = snprintf(out->name, sizeof(out->name), "%s.%016" PRIx64, d->name,
	    bits);
	errno = ENAMETOOLONG;
	return (size_t)n < sizeof(out->name);
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
open_dead(const struct dotlock *d)
{
	int fd = openat(d->dir, d->name, DOTLOCK_LOOK);
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

/* Give a dotlock its name again, unless there is another by now.  It may be
 * somebody else's, of whom the kernel may let us rename files but not link
 * them (fs.protected_hardlinks). */
static bool
put_back(const struct dotlock *d, const struct beside *aside)
{
	if (renameat2(d->dir, aside->name, d->dir, d->name,
	    RENAME_NOREPLACE) == 0)
		return true;
	return (errno == EINVAL || errno == ENOSYS) &&
	    linkat(d->dir, aside->name, d->dir, d->name, 0) == 0;
}

/*
 * Take the dotlock OLD away.  Two may want to: so it is first renamed, and
 * put back if it was not that one any more.
 */
static bool
remove_it(struct dotlock *d, const struct stat *old)
{
	struct beside aside;
	struct stat st;

	if (!beside(d, &aside))
		return false;
	if (renameat(d->dir, d->name, d->dir, aside.name) != 0)
		return errno == ENOENT;
	d->note = DOTLOCK_REMOVED;
	if (fstatat(d->dir, aside.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_ino != old->st_ino ||
	    st.st_mtim.tv_sec != old->st_mtim.tv_sec))
		d->note = put_back(d, &aside) ? DOTLOCK_NOTHING :
		    DOTLOCK_LOST;
	unlinkat(d->dir, aside.name, 0);
	return true;
}

/* Take a dotlock away whose maker is dead, or that nobody touched for a
 * while; false with errno if that may not be. */
static bool
remove_stale(struct dotlock *d)
{
	int dead = open_dead(d), r;
	struct timespec now;
	struct stat old;
	bool ok = true;

	clock_gettime(CLOCK_REALTIME, &now);
	r = dead >= 0 ? fstat(dead, &old) :
	    fstatat(d->dir, d->name, &old, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && S_ISDIR(old.st_mode)) {
		errno = EISDIR;		/* no program's lock */
		r = -1;
	}
	if (r != 0)
		ok = errno == ENOENT;
	else if (dead >= 0 || old.st_mtim.tv_sec <= now.tv_sec - DOT_STALE)
		ok = remove_it(d, &old);
	if (dead >= 0)
		close(dead);
	return ok;
}

/* Make the file that becomes the dotlock, locked and marked. */
static int
make_file(const struct dotlock *d, struct beside *file)
{
	int fd = -1, n, err;
	char text[64];

	if (beside(d, file))
		fd = openat(d->dir, file->name, DOTLOCK_MAKE, DOTLOCK_MODE);
	if (fd < 0)
		return -1;
	/*
	 * For other programs, and for us, also after a power cut, which must
	 * not leave the name without the mark.  A full disk is no reason not
	 * to lock, one that fails is.
	 */
	n = snprintf(text, sizeof(text), "%ld\n" DOT_MARK, (long)getpid());
	if (!lock_whole(fd) || write(fd, text, (size_t)n) != n ||
	    fsync(fd) == 0 || errno == ENOSPC || errno == EDQUOT)
		return fd;
	err = errno;
	close(fd);
	unlinkat(d->dir, file->name, 0);
	errno = err;
	return -1;
}

int
dotlock_take(struct dotlock *d)
{
	struct beside file;
	struct stat st;
	int err, r;

	d->note = DOTLOCK_NOTHING;
	if (fstatat(d->dir, d->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return remove_stale(d) ? 0 : -1;
	d->fd = make_file(d, &file);
	if (d->fd >= 0) {
		r = linkat(d->dir, file.name, d->dir, d->name, 0);
		err = errno;
		unlinkat(d->dir, file.name, 0);
		if (r == 0)
			return 1;
		close(d->fd);
		d->fd = -1;
		errno = err;
	}
	return errno == EEXIST || errno == EINTR ? 0 : -1;
}

void
dotlock_drop(struct dotlock *d)
{
	struct stat a, b;

	if (d->fd < 0)
		return;
	/* a dotlock that another took for stale is that one's */
	if (fstat(d->fd, &a) != 0 ||
	    fstatat(d->dir, d->name, &b, AT_SYMLINK_NOFOLLOW) != 0 ||
	    (a.st_dev == b.st_dev && a.st_ino == b.st_ino))
		unlinkat(d->dir, d->name, 0);
	close(d->fd);
	d->fd = -1;
}

const char *
dotlock_note_text(enum dotlock_note note)
{
	switch (note) {
	case DOTLOCK_REMOVED:
		return "was left by a process that is dead or slow: removed";
	case DOTLOCK_LOST:
		return "was taken away, and cannot be put back";
	case DOTLOCK_NOTHING:
		break;
	}
	return NULL;
}
