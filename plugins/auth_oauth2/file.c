/*
 * file.c - keys and certificates in files.
 *
 * Runs in a pool process.  The files are an administrator's, who may be
 * writing them right now.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

static bool
read_whole(int fd, char *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, buf + done, n - done, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EAGAIN;		/* it became shorter */
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

culver_status
oauth_file_read(const char *path, size_t most, char **buf, size_t *n,
    struct plug_stamp *stamp, struct culver_call *call)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	culver_status st = CULVER_OK;
	struct stat sb;

	*buf = NULL;
	*n = 0;
	if (fd < 0 || fstat(fd, &sb) != 0) {
		st = culver_fail(call, CULVER_E_TEMP, errno, "cannot open %s "
		    "as uid %u", path, (unsigned)geteuid());
		goto out;
	}
	if (!S_ISREG(sb.st_mode) || sb.st_size <= 0 ||
	    (uint64_t)sb.st_size > most) {
		st = culver_fail(call, CULVER_E_TEMP, 0, "%s is not a file of "
		    "1 to %zu octets", path, most);
		goto out;
	}
	plug_stamp_set(stamp, &sb);
	*n = (size_t)sb.st_size;
	*buf = malloc(*n + 1);
	if (*buf == NULL || !read_whole(fd, *buf, *n)) {
		st = culver_fail(call, CULVER_E_TEMP, errno, "cannot read %s",
		    path);
		free(*buf);
		*buf = NULL;
		goto out;
	}
	(*buf)[*n] = 0;
out:
	if (fd >= 0)
		close(fd);
	return st;
}
