/*
 * journal.c - replace the tail of the mbox so that a crash at any moment
 * loses nothing.
 *
 * Runs in the worker as the mailbox's owner, with the file locked.  The
 * whole new tail is written to culver-journal and synced before the first
 * byte of the mbox changes; from then on the change is certain, and who finds
 * the journal finishes it.  The file itself stays, with its inode, owner and
 * links, as other programs expect.
 */
#include "config.h"

#include "plugins/storage_mbox/journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

static const unsigned char no_key[16];

void
journal_swap(struct journal_head *h)
{
	h->dev = htole64(h->dev);
	h->ino = htole64(h->ino);
	h->size = htole64(h->size);
	h->start = htole64(h->start);
	h->length = htole64(h->length);
	h->rest = htole64(h->rest);
	h->tail = htole64(h->tail);
	h->before = htole64(h->before);
}

uint64_t
journal_sum(const struct journal_head *h)
{
	struct journal_head copy = *h;

	copy.sum = 0;
	return htole64(plug_hash(0, &copy, sizeof(copy)));
}

culver_status
journal_hash(struct culver_store *store, struct mb_file *f, int fd,
    uint64_t offset, uint64_t end, uint64_t *out, struct culver_call *call)
{
	culver_status status = CULVER_OK;
	unsigned char *buf;
	struct sip s;
	uint64_t sum[2];

	buf = malloc(MB_CHUNK);
	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	sip_init(&s, no_key);
	while (offset < end && status == CULVER_OK) {
		size_t n = end - offset < MB_CHUNK ? (size_t)(end - offset) :
		    MB_CHUNK;

		status = mb_pread(store, fd, buf, n, offset, call);
		if (status == CULVER_OK)
			status = mb_file_tick(store, f, call);
		sip_add(&s, buf, n);
		offset += n;
	}
	sip_end(&s, sum);
	*out = sum[0];
	free(buf);
	return status;
}

/* Append the piece P to FD and to the hash S. */
static culver_status
copy_piece(struct culver_store *store, struct mb_file *f,
    const struct mb_piece *p, int fd, unsigned char *buf, struct sip *s,
    struct culver_call *call)
{
	culver_status status;
	uint64_t done;
	size_t n;

	for (done = 0; done < p->length; done += n) {
		n = p->length - done < MB_CHUNK ? (size_t)(p->length - done) :
		    MB_CHUNK;
		if (p->fd < 0)
			memcpy(buf, (const char *)p->mem + done, n);
		else if ((status = mb_pread(store, p->fd, buf, n,
		    p->offset + done, call)) != CULVER_OK)
			return status;
		sip_add(s, buf, n);
		if (!plug_write_all(fd, buf, n))
			return plug_fail(call, errno, "cannot write %s/%s",
			    store->index, MB_JOURNAL);
		status = mb_file_tick(store, f, call);
		if (status != CULVER_OK)
			return status;
	}
	return CULVER_OK;
}

/* Write what the journal says behind its head; h->tail is its hash. */
static culver_status
write_tail(struct culver_store *store, struct mb_file *f,
    const struct mb_piece *piece, size_t n, int fd, struct journal_head *h,
    struct culver_call *call)
{
	struct journal_head none = { .magic = "" };
	culver_status status = CULVER_OK;
	uint64_t sum[2];
	unsigned char *buf;
	struct sip s;
	size_t i;

	buf = malloc(MB_CHUNK);
	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	if (!plug_write_all(fd, &none, sizeof(none)))
		status = plug_fail(call, errno, "cannot write %s/%s",
		    store->index, MB_JOURNAL);
	sip_init(&s, no_key);
	for (i = 0; i < n && status == CULVER_OK; i++)
		status = copy_piece(store, f, &piece[i], fd, buf, &s, call);
	sip_end(&s, sum);
	h->tail = sum[0];
	free(buf);
	return status;
}

/* Give the written journal its head and its name. */
static culver_status
commit(struct culver_store *store, const struct plug_index *ix, int fd,
    struct journal_head *h, struct culver_call *call)
{
	culver_status status;

	memcpy(h->magic, JOURNAL_MAGIC, sizeof(h->magic));
	journal_swap(h);
	h->sum = journal_sum(h);
	if (!plug_pwrite_all(fd, h, sizeof(*h), 0) || fsync(fd) != 0)
		status = plug_fail(call, errno, "cannot write %s/%s",
		    store->index, MB_JOURNAL);
	else if (renameat(ix->fd, MB_JOURNAL ".new", ix->fd, MB_JOURNAL) != 0)
		status = plug_fail(call, errno, "cannot rename %s/%s",
		    store->index, MB_JOURNAL);
	else if (fsync(ix->fd) != 0) {
		status = plug_fail(call, errno, "cannot sync %s",
		    store->index);
		unlinkat(ix->fd, MB_JOURNAL, 0);
	} else
		status = CULVER_OK;
	journal_swap(h);
	return status;
}

culver_status
journal_write(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, uint64_t start, const struct mb_piece *piece, size_t n,
    int *out, struct journal_head *h, struct culver_call *call)
{
	culver_status status;
	struct stat st;
	size_t i;
	int fd;

	memset(h, 0, sizeof(*h));
	h->dev = f->st.st_dev;
	h->ino = f->st.st_ino;
	h->size = (uint64_t)f->st.st_size;
	h->start = start;
	for (i = 0; i < n; i++)
		h->length += piece[i].length;
	if (h->start + h->length > h->size)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s: a change would make it longer", store->path);
	status = journal_hash(store, f, f->fd, h->start + h->length, h->size,
	    &h->rest, call);
	if (status == CULVER_OK)
		status = journal_hash(store, f, f->fd, journal_near(h),
		    h->start, &h->before, call);
	if (status != CULVER_OK)
		return status;
	/* read back later, so not by plug_file_create() */
	unlinkat(ix->fd, MB_JOURNAL ".new", 0);
	fd = openat(ix->fd, MB_JOURNAL ".new", O_RDWR | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) != 0) {
		status = plug_fail(call, errno, "cannot create %s/%s",
		    store->index, MB_JOURNAL);
		goto out;
	}
	status = write_tail(store, f, piece, n, fd, h, call);
	if (status == CULVER_OK)
		status = commit(store, ix, fd, h, call);
	if (status == CULVER_OK) {
		*out = fd;
		return CULVER_OK;
	}
out:
	unlinkat(ix->fd, MB_JOURNAL ".new", 0);
	if (fd >= 0)
		close(fd);
	return status;
}

/* Copy the tail from the journal FD to the mbox. */
static culver_status
write_back(struct culver_store *store, struct mb_file *f, int fd,
    const struct journal_head *h, struct culver_call *call)
{
	unsigned char *buf = malloc(MB_CHUNK);
	culver_status status = CULVER_OK;
	struct culver_call own = *call;
	uint64_t done;
	size_t n;

	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	own.deadline = UINT64_MAX;	/* half of it helps nobody */
	for (done = 0; done < h->length && status == CULVER_OK; done += n) {
		n = h->length - done < MB_CHUNK ? (size_t)(h->length - done) :
		    MB_CHUNK;
		status = mb_pread(store, fd, buf, n, sizeof(*h) + done, call);
		if (status == CULVER_OK && !plug_pwrite_all(f->fd, buf, n,
		    h->start + done))
			status = plug_fail(call, errno, "cannot write %s",
			    store->path);
		if (status == CULVER_OK)
			status = mb_file_tick(store, f, &own);
	}
	free(buf);
	return status;
}

culver_status
journal_apply(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, int fd, const struct journal_head *h,
    struct culver_call *call)
{
	culver_status status = write_back(store, f, fd, h, call);

	if (status != CULVER_OK)
		return status;
	if (fsync(f->fd) != 0)
		return plug_fail(call, errno, "cannot sync %s", store->path);
	if (ftruncate(f->fd, (off_t)(h->start + h->length)) != 0)
		return plug_fail(call, errno, "cannot shorten %s",
		    store->path);
	if (fsync(f->fd) != 0 || fstat(f->fd, &f->st) != 0)
		return plug_fail(call, errno, "cannot sync %s", store->path);
	if (unlinkat(ix->fd, MB_JOURNAL, 0) != 0 || fsync(ix->fd) != 0)
		return plug_fail(call, errno, "cannot remove %s/%s",
		    store->index, MB_JOURNAL);
	return CULVER_OK;
}

/* Nothing stays behind START, so cutting the file there is all of it. */
static culver_status
cut_only(struct culver_store *store, struct mb_file *f, uint64_t start,
    struct culver_call *call)
{
	if (ftruncate(f->fd, (off_t)start) != 0 || fsync(f->fd) != 0)
		return plug_fail(call, errno, "cannot shorten %s",
		    store->path);
	return CULVER_OK;
}

culver_status
mb_journal(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, uint64_t start, const struct mb_piece *piece, size_t n,
    bool *later, struct culver_call *call)
{
	struct culver_call own = *call;
	struct journal_head h;
	culver_status status;
	int fd = -1;

	*later = false;
	status = journal_write(store, ix, f, start, piece, n, &fd, &h, call);
	/* who deletes because the disk is full must be able to */
	if (status == CULVER_E_NOSPACE && h.length == 0)
		return cut_only(store, f, start, call);
	if (status != CULVER_OK)
		return status;
	own.deadline = UINT64_MAX;
	status = journal_apply(store, ix, f, fd, &h, &own);
	close(fd);
	if (status == CULVER_OK)
		return CULVER_OK;
	*later = true;
	plug_warn(store->host, own.err, "it is finished when the mailbox is "
	    "next opened");
	return CULVER_OK;
}
