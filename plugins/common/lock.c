/*
 * lock.c - one session a mailbox, by a lock that ends with the process.
 *
 * Runs in a worker, as the owner of the mailbox.  The lock file is empty and
 * means nothing without the lock.
 */
#include "config.h"

#include "plugins/common/plug.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Does NAME still lead to what FD is? */
static bool
is_lock_file(const struct plug_index *ix, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	    fstatat(ix->fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Open the lock file, and make it if it is not there. */
static int
open_lock(const struct plug_index *ix, const char *name, bool *made)
{
	const int how = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(ix->fd, name, how);

	*made = fd < 0 && errno == ENOENT;
	return *made ? openat(ix->fd, name, how | O_CREAT, 0600) : fd;
}

culver_status
plug_lock(const struct plug_index *ix, const char *name, int *fd, bool *made,
    struct culver_call *call)
{
	const char *slash = ix->fd == AT_FDCWD ? "" : "/";
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int i;

	/* again if somebody removed the file between open and lock */
	for (i = 0; i < 10; i++) {
		*fd = open_lock(ix, name, made);
		if (*fd < 0)
			return plug_fail(call, errno, "cannot open %s%s%s",
			    ix->path, slash, name);
		if (fcntl(*fd, F_OFD_SETLK, &fl) != 0)
			break;
		if (is_lock_file(ix, name, *fd))
			return CULVER_OK;
		close(*fd);
		errno = EBUSY;
	}
	if (i < 10)
		close(*fd);
	*fd = -1;
	if (errno == EAGAIN || errno == EACCES)
		return plug_fail_as(call, CULVER_E_IN_USE,
		    "%s%s%s is held by another session", ix->path, slash,
		    name);
	return plug_fail(call, errno, "cannot lock %s%s%s", ix->path, slash,
	    name);
}
