/*
 * recover.c - finish what a crash interrupted: a journal is replayed, a
 * delivery that was cut short is taken back.
 *
 * Runs in the worker as the mailbox's owner, with the mbox locked for
 * writing.  Since the crash others may have appended mail, which stays, or
 * have rewritten the file, which is then left alone.
 */
#include "config.h"

#include "plugins/storage_mbox/journal.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#define SPOOL_AGE (36 * 3600L)	/* seconds */

bool
mb_recover_needed(const struct plug_index *ix)
{
	struct stat st;

	return fstatat(ix->fd, MB_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    fstatat(ix->fd, MB_APPEND, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static culver_status
open_ours(const struct plug_index *ix, const char *name, int *fd,
    struct stat *st, struct culver_call *call)
{
	*fd = openat(ix->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	if (*fd < 0 && errno == ENOENT)
		return CULVER_OK;
	if (*fd < 0 || fstat(*fd, st) != 0)
		return plug_fail(call, errno, "cannot open %s/%s", ix->path,
		    name);
	return CULVER_OK;
}

/* The journal has no use any more; what it holds is kept for people. */
static culver_status
set_aside(struct culver_store *store, const struct plug_index *ix,
    const char *name, const char *why, struct culver_call *call)
{
	char old[64];

	snprintf(old, sizeof(old), "%s.old", name);
	if (renameat(ix->fd, name, ix->fd, old) != 0 || fsync(ix->fd) != 0)
		return plug_fail(call, errno, "cannot rename %s/%s", ix->path,
		    name);
	culver_logf(store->host, CULVER_LOG_ERROR, "%s: %s: what was to be "
	    "done is not, and is kept in %s/%s", store->path, why, ix->path,
	    old);
	return CULVER_OK;
}

static culver_status
drop(const struct plug_index *ix, const char *name, struct culver_call *call)
{
	if (unlinkat(ix->fd, name, 0) != 0 || fsync(ix->fd) != 0)
		return plug_fail(call, errno, "cannot remove %s/%s", ix->path,
		    name);
	return CULVER_OK;
}

/* Does the journal's tail already stand where it should? */
static culver_status
is_done(struct culver_store *store, struct mb_file *f,
    const struct journal_head *h, bool *done, struct culver_call *call)
{
	culver_status status;
	uint64_t sum;

	*done = false;
	if ((uint64_t)f->st.st_size < h->start + h->length)
		return CULVER_OK;
	status = journal_hash(store, f, f->fd, h->start,
	    h->start + h->length, &sum, call);
	*done = sum == h->tail;
	return status;
}

/*
 * Is the mbox one that the journal was written for, and not cut yet?  Then
 * the old bytes behind the new end are still there.  In another file, which
 * may be a copy, so must be what stands before the change.
 */
static culver_status
is_before(struct culver_store *store, struct mb_file *f,
    const struct journal_head *h, bool *is, struct culver_call *call)
{
	culver_status status;
	uint64_t sum;

	*is = false;
	if ((uint64_t)f->st.st_size < h->size)
		return CULVER_OK;
	status = journal_hash(store, f, f->fd, h->start + h->length, h->size,
	    &sum, call);
	if (status != CULVER_OK || sum != h->rest)
		return status;
	*is = true;
	if (h->dev == f->st.st_dev && h->ino == f->st.st_ino)
		return CULVER_OK;
	status = journal_hash(store, f, f->fd, journal_near(h), h->start,
	    &sum, call);
	*is = sum == h->before;
	return status;
}

/* The mbox is as the crash left it, perhaps with mail appended: go on. */
static culver_status
replay(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, int fd, const struct journal_head *h,
    struct culver_call *call)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	const struct mb_piece piece[2] = {
		{ .fd = fd, .offset = sizeof(*h), .length = h->length },
		{ .fd = f->fd, .offset = h->size, .length = size - h->size },
	};
	struct journal_head more;
	culver_status status;
	int again = -1;

	culver_logf(store->host, CULVER_LOG_WARN,
	    "%s: finishing an interrupted change", store->path);
	if (size == h->size)
		return journal_apply(store, ix, f, fd, h, call);
	/* what was appended has to move: a journal of both */
	status = journal_write(store, ix, f, h->start, piece, 2, &again,
	    &more, call);
	if (status == CULVER_OK)
		status = journal_apply(store, ix, f, again, &more, call);
	if (again >= 0)
		close(again);
	return status;
}

/* The head of the journal FD, of which fstat() says ST: is it whole? */
static bool
journal_read(int fd, const struct stat *st, struct journal_head *h)
{
	if (!S_ISREG(st->st_mode) || (size_t)st->st_size < sizeof(*h) ||
	    pread(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) ||
	    memcmp(h->magic, JOURNAL_MAGIC, sizeof(h->magic)) != 0 ||
	    journal_sum(h) != h->sum)
		return false;
	journal_swap(h);
	return h->start <= h->size && h->length <= h->size - h->start &&
	    (uint64_t)st->st_size == sizeof(*h) + h->length;
}

static const char rewritten[] = "another program rewrote the mailbox after "
    "an interrupted change";
static const char damaged[] = "a damaged journal";

static culver_status
recover_journal(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, bool *found, struct culver_call *call)
{
	struct journal_head h;
	culver_status status;
	struct stat st;
	bool before = false, done = false;
	int fd;

	status = open_ours(ix, MB_JOURNAL, &fd, &st, call);
	*found = fd >= 0;
	if (status != CULVER_OK || fd < 0)
		goto out;
	if (!journal_read(fd, &st, &h)) {
		status = set_aside(store, ix, MB_JOURNAL, damaged, call);
		goto out;
	}
	status = is_before(store, f, &h, &before, call);
	if (status == CULVER_OK && before) {
		status = replay(store, ix, f, fd, &h, call);
		goto out;
	}
	if (status == CULVER_OK)
		status = is_done(store, f, &h, &done, call);
	if (status == CULVER_OK)
		status = done ? drop(ix, MB_JOURNAL, call) :
		    set_aside(store, ix, MB_JOURNAL, rewritten, call);
out:
	if (fd >= 0)
		close(fd);
	return status;
}

culver_status
mb_recover_look(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, const char **why, struct culver_call *call)
{
	struct journal_head h;
	culver_status status;
	struct stat st;
	bool ok = true;
	int fd;

	*why = NULL;
	status = open_ours(ix, MB_JOURNAL, &fd, &st, call);
	if (status != CULVER_OK || fd < 0)
		goto out;
	if (!journal_read(fd, &st, &h)) {
		*why = damaged;
		goto out;
	}
	status = is_before(store, f, &h, &ok, call);
	if (status == CULVER_OK && !ok)
		status = is_done(store, f, &h, &ok, call);
	if (!ok)
		*why = rewritten;
out:
	if (fd >= 0)
		close(fd);
	return status;
}

uint64_t
mb_append_sum(const struct mb_append *a)
{
	struct mb_append copy = *a;

	copy.sum = 0;
	memset(copy.room, 0, sizeof(copy.room));
	return htole64(plug_hash(0, &copy, sizeof(copy)));
}

/* How many bytes of the message, from FD, are at the end of the mbox? */
static culver_status
common(struct culver_store *store, struct mb_file *f, int fd,
    const struct mb_append *a, uint64_t *k, struct culver_call *call)
{
	const uint64_t max = (uint64_t)f->st.st_size - a->size;
	const uint64_t end = max < a->length ? max : a->length;
	unsigned char *buf = malloc(2 * MB_CHUNK), *two;
	culver_status status = CULVER_OK;
	size_t n, i;

	*k = 0;
	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	two = buf + MB_CHUNK;
	for (; *k < end; *k += n) {
		n = end - *k < MB_CHUNK ? (size_t)(end - *k) : MB_CHUNK;
		status = mb_pread(store, f->fd, buf, n, a->size + *k, call);
		if (status == CULVER_OK)
			status = mb_pread(store, fd, two, n, a->from + *k,
			    call);
		if (status != CULVER_OK)
			break;
		for (i = 0; i < n && buf[i] == two[i]; i++)
			continue;
		if (i < n) {
			*k += i;
			break;
		}
	}
	free(buf);
	return status;
}

/* Is all that follows OFFSET zero, as a power cut may leave it? */
static culver_status
only_zeros(struct culver_store *store, struct mb_file *f, uint64_t offset,
    bool *is, struct culver_call *call)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	culver_status status = CULVER_OK;
	unsigned char buf[4096];
	size_t n, i;

	*is = true;
	for (; *is && offset < size && status == CULVER_OK; offset += n) {
		n = size - offset < sizeof(buf) ? (size_t)(size - offset) :
		    sizeof(buf);
		status = mb_pread(store, f->fd, buf, n, offset, call);
		for (i = 0; i < n; i++)
			*is &= buf[i] == 0;
	}
	return status;
}

/* Take back the first K bytes of the message; others appended behind it. */
static culver_status
cut_out(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, uint64_t start, uint64_t k, struct culver_call *call)
{
	const struct mb_piece rest = { .fd = f->fd, .offset = start + k,
	    .length = (uint64_t)f->st.st_size - start - k };
	bool later;

	culver_logf(store->host, CULVER_LOG_WARN, "%s: removing the first "
	    "%llu bytes of an interrupted delivery", store->path,
	    (unsigned long long)k);
	if (rest.length > 0)
		return mb_journal(store, ix, f, start, &rest, 1, &later, call);
	if (ftruncate(f->fd, (off_t)start) != 0 || fsync(f->fd) != 0)
		return plug_fail(call, errno, "cannot shorten %s",
		    store->path);
	return CULVER_OK;
}

/* The message began at the mbox's old end: is it whole, or a torn piece? */
static culver_status
undo(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, int fd, const struct mb_append *a,
    struct culver_call *call)
{
	/* what others append begins with a From_ line, by any rule */
	static const struct mb_look look = { .style = MB_OWN };
	const uint64_t size = (uint64_t)f->st.st_size;
	culver_status status;
	uint64_t k, back;
	bool is = false;

	status = common(store, f, fd, a, &k, call);
	if (status != CULVER_OK || k == a->length)
		return status;
	if (size <= a->size + a->length) {
		status = only_zeros(store, f, a->size + k, &is, call);
		if (status != CULVER_OK)
			return status;
		if (is)
			return cut_out(store, ix, f, a->size, size - a->size,
			    call);
	}
	/* it may begin as our text would have gone on */
	for (back = 0; back <= k && back < 8 && !is; back++) {
		status = mb_is_boundary(store, f, &look, a->size + k - back,
		    &is, call);
		if (status != CULVER_OK)
			return status;
		/* but for line ends, of which nobody knows whose they are */
		if (is && k > back + (sizeof(*a) - a->from))
			return cut_out(store, ix, f, a->size, k - back, call);
	}
	return CULVER_OK;
}

static culver_status
recover_append(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, bool journal, struct culver_call *call)
{
	culver_status status;
	struct mb_append a;
	struct stat st;
	int fd;

	status = open_ours(ix, MB_APPEND, &fd, &st, call);
	if (status != CULVER_OK || fd < 0)
		goto out;
	/* beside a journal it is one that was taken back by it */
	if (!journal && S_ISREG(st.st_mode) &&
	    pread(fd, &a, sizeof(a), 0) == (ssize_t)sizeof(a) &&
	    memcmp(a.magic, MB_APPEND_MAGIC, sizeof(a.magic)) == 0 &&
	    mb_append_sum(&a) == a.sum) {
		a.size = le64toh(a.size);
		a.from = le64toh(a.from);
		a.length = le64toh(a.length);
		if (a.size < (uint64_t)f->st.st_size &&
		    a.from <= sizeof(a) && (size_t)st.st_size >= sizeof(a) &&
		    a.length <= (uint64_t)st.st_size - a.from)
			status = undo(store, ix, f, fd, &a, call);
	}
	if (status == CULVER_OK)
		status = drop(ix, MB_APPEND, call);
out:
	if (fd >= 0)
		close(fd);
	return status;
}

culver_status
mb_recover(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, struct culver_call *call)
{
	culver_status status;
	bool journal;

	if (!mb_recover_needed(ix))
		return CULVER_OK;
	if (!f->writable)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s has an interrupted change and may not be written",
		    store->path);
	status = recover_journal(store, ix, f, &journal, call);
	if (status == CULVER_OK)
		status = recover_append(store, ix, f, journal, call);
	if (status == CULVER_OK && fstat(f->fd, &f->st) != 0)
		status = plug_fail(call, errno, "cannot stat %s",
		    store->path);
	return status;
}

void
mb_clean_spool(const struct culver_store *store, const struct plug_index *ix,
    struct culver_call *call)
{
	struct timespec now;
	struct dirent *de;
	struct stat st;
	DIR *dir;
	int fd;

	fd = openat(ix->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	while ((de = readdir(dir)) != NULL && (call->deadline == UINT64_MAX ||
	    store->host->now(store->host) < call->deadline))
		if (strncmp(de->d_name, MB_SPOOL, sizeof(MB_SPOOL) - 1) == 0 &&
		    fstatat(ix->fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
		    0 && S_ISREG(st.st_mode) &&
		    st.st_mtim.tv_sec < now.tv_sec - SPOOL_AGE)
			unlinkat(ix->fd, de->d_name, 0);
	closedir(dir);
}
