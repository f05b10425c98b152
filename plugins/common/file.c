/*
 * file.c - error texts, files that are read or replaced whole, UIDLs, stamps.
 *
 * Runs in the worker as the mailbox's owner.  Everything is opened relative
 * to a directory that is open already, without following links.
 */
#include "config.h"

#include "plugins/common/plug.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* A file of ours that is larger was not written by us. */
#define FILE_MAX ((off_t)1 << 30)

static __attribute__((format(printf, 2, 0))) void
set_text(struct culver_call *call, const char *fmt, va_list ap)
{
	char *p = call->err->text;

	vsnprintf(p, sizeof(call->err->text), fmt, ap);
	for (; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

culver_status
plug_fail(struct culver_call *call, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(call, fmt, ap);
	va_end(ap);
	call->err->sys_errno = err;	/* the host says what it means */
	if (err == ENOSPC || err == EDQUOT)
		return CULVER_E_NOSPACE;
	return err == ENOMEM ? CULVER_E_NOMEM : CULVER_E_TEMP;
}

culver_status
plug_fail_as(struct culver_call *call, culver_status st, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(call, fmt, ap);
	va_end(ap);
	call->err->sys_errno = 0;
	return st;
}

culver_status
plug_in_time(const struct culver_host *host, const char *path,
    struct culver_call *call)
{
	if (call->deadline == UINT64_MAX || host->now(host) < call->deadline)
		return CULVER_OK;
	return plug_fail_as(call, CULVER_E_TIMEOUT,
	    "%s: not done before the deadline", path);
}

void
plug_warn(const struct culver_host *host, const struct culver_error *err,
    const char *so)
{
	culver_logf(host, CULVER_LOG_WARN, "%s%s%s (%s)", err->text,
	    err->sys_errno != 0 ? ": " : "",
	    err->sys_errno != 0 ? strerror(err->sys_errno) : "", so);
}

culver_status
plug_open_dir(int parent, const char *sub, const char *path, int *fd,
    struct culver_call *call)
{
	*fd = openat(parent, parent == AT_FDCWD ? path : sub,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd >= 0)
		return CULVER_OK;
	return plug_fail(call, errno, "cannot open the directory %s%s%s", path,
	    parent == AT_FDCWD ? "" : "/", parent == AT_FDCWD ? "" : sub);
}

/* Read N bytes, all that fstat() promised. */
static bool
read_all(int fd, char *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, buf + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			errno = EIO;
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

culver_status
plug_file_read(const struct plug_index *ix, const char *name, char **buf,
    size_t *n, struct stat *st, struct culver_call *call)
{
	culver_status status = CULVER_OK;
	int fd;

	*buf = NULL;
	*n = 0;
	fd = openat(ix->fd, name,
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return CULVER_OK;
	if (fd < 0 || fstat(fd, st) != 0) {
		status = plug_fail(call, errno, "cannot open %s/%s", ix->path,
		    name);
		goto out;
	}
	if (!S_ISREG(st->st_mode) || st->st_size > FILE_MAX) {
		status = plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s/%s is no file that Culver wrote", ix->path, name);
		goto out;
	}
	*n = (size_t)st->st_size;
	*buf = malloc(*n + 1);
	if (*buf == NULL || !read_all(fd, *buf, *n)) {
		status = plug_fail(call, *buf == NULL ? ENOMEM : errno,
		    "cannot read %s/%s", ix->path, name);
		free(*buf);
		*buf = NULL;
		goto out;
	}
	(*buf)[*n] = '\0';
out:
	if (fd >= 0)
		close(fd);
	return status;
}

/* At *OFFSET, or where FD stands if that is NULL. */
static bool
write_all(int fd, const char *p, size_t n, const uint64_t *offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t w = offset != NULL ? pwrite(fd, p + done, n - done,
		    (off_t)(*offset + done)) : write(fd, p + done, n - done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w == 0)
			errno = EIO;
		if (w <= 0)
			return false;
		done += (size_t)w;
	}
	return true;
}

bool
plug_write_all(int fd, const void *buf, size_t n)
{
	return write_all(fd, buf, n, NULL);
}

bool
plug_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset)
{
	return write_all(fd, buf, n, &offset);
}

culver_status
plug_file_create(const struct plug_index *ix, const char *name, int *fd,
    struct stat *st, struct culver_call *call)
{
	culver_status status;
	char tmp[64];

	snprintf(tmp, sizeof(tmp), "%s.new", name);
	*fd = openat(ix->fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
	    O_CLOEXEC | O_NONBLOCK, 0600);
	if (*fd >= 0 && fstat(*fd, st) == 0)
		return CULVER_OK;
	status = plug_fail(call, errno, "cannot create %s/%s", ix->path, tmp);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return status;
}

culver_status
plug_file_commit(const struct plug_index *ix, const char *name, int fd,
    struct culver_str content, bool sync, struct culver_call *call)
{
	culver_status status = CULVER_OK;
	char tmp[64];

	snprintf(tmp, sizeof(tmp), "%s.new", name);
	if (content.p == NULL)
		status = plug_fail(call, ENOMEM, "%s/%s", ix->path, name);
	else if (!plug_write_all(fd, content.p, content.n) ||
	    (sync && fsync(fd) != 0))
		status = plug_fail(call, errno, "cannot write %s/%s", ix->path,
		    tmp);
	close(fd);
	/*
	 * Where it need not last, not over the old one: file systems with
	 * delayed allocation write a replacement out at once, which costs
	 * more than the login.
	 */
	if (!sync && status == CULVER_OK)
		unlinkat(ix->fd, name, 0);
	if (status == CULVER_OK && renameat(ix->fd, tmp, ix->fd, name) != 0)
		status = plug_fail(call, errno, "cannot rename %s/%s", ix->path,
		    tmp);
	if (status != CULVER_OK) {
		unlinkat(ix->fd, tmp, 0);
		return status;
	}
	if (sync && fsync(ix->fd) != 0)
		return plug_fail(call, errno, "cannot sync %s", ix->path);
	return CULVER_OK;
}

/* A bijection of H and of W: no change of one of them can cancel out. */
static uint64_t
mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

uint64_t
plug_hash(uint64_t h, const void *buf, size_t n)
{
	const unsigned char *p = buf;
	uint64_t lane[4] = { h ^ n, 1, 2, 3 }, w[4];
	size_t i;

	/* four at a time, which the processor does side by side */
	for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		for (i = 0; i < 4; i++)
			lane[i] = mix(lane[i], le64toh(w[i]));
	}
	memset(w, 0, sizeof(w));
	memcpy(w, p, n);
	for (i = 0; i < 4; i++)
		lane[i] = mix(lane[i], le64toh(w[i]));
	return mix(mix(mix(lane[0], lane[1]), lane[2]), lane[3]);
}

bool
plug_uid_legal(const char *s, size_t n)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t bad = 0, w;
	size_t i;

	if (n < 1 || n > PLUG_UID_MAX)
		return false;
	/*
	 * Eight bytes at a time, for this looks at every name of a cache: a
	 * high bit is there, or comes by taking 0x21 or by adding 1.
	 */
	for (i = 0; i + sizeof(w) <= n; i += sizeof(w)) {
		memcpy(&w, s + i, sizeof(w));
		bad |= w | (w - 0x21 * ones) | (w + ones);
	}
	if ((bad & 0x80 * ones) != 0)
		return false;
	for (; i < n; i++)
		if ((unsigned char)s[i] < 0x21 || (unsigned char)s[i] > 0x7e)
			return false;
	return true;
}

void
plug_hex(const void *buf, size_t n, char *out)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

void
plug_uid_random(const struct culver_host *host, char out[PLUG_UID_MAX + 1])
{
	unsigned char bits[16];

	host->random(host, bits, sizeof(bits));
	plug_hex(bits, sizeof(bits), out);
}

void
plug_stamp_set(struct plug_stamp *out, const struct stat *st)
{
	*out = (struct plug_stamp){ .dev = st->st_dev, .ino = st->st_ino,
	    .mtime = st->st_mtim.tv_sec, .ctime = st->st_ctim.tv_sec,
	    .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
	    .ctime_ns = (uint32_t)st->st_ctim.tv_nsec };
}

bool
plug_stamp_equal(const struct plug_stamp *a, const struct plug_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	    a->mtime == b->mtime && a->mtime_ns == b->mtime_ns &&
	    a->ctime == b->ctime && a->ctime_ns == b->ctime_ns;
}

bool
plug_is_old(int64_t sec, uint32_t nsec, int64_t start, int64_t start_ns)
{
	const int64_t racy = PLUG_RACY_NS / 1000000000;

	/* no subtraction: the numbers may come from a damaged file */
	if (start < racy || sec > start - racy)
		return false;
	return sec < start - racy || (int64_t)nsec <= start_ns;
}
