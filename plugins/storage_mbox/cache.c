/*
 * cache.c - culver-cache: the last listing of the mbox.
 *
 * Runs in the worker as the mailbox's owner.  The file may vanish or be
 * damaged at any time; it is read whole and checked to the last offset before
 * it is used, and losing it costs only speed.  All numbers are little-endian.
 *
 *	header, n records, UIDLs (a multiple of 8 bytes)
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#define CACHE_VERSION	1

static const char cache_magic[8] = "CULVMBOX";

struct cache_head {
	char magic[8];
	uint32_t version, rec_size;
	uint64_t n, blob_len;
	uint64_t sum;		/* of the whole file with this member 0 */
	uint64_t first;
	uint32_t validity, last_uid, pseudo, crlf;
	struct mb_snap snap;
};

_Static_assert(sizeof(struct mb_snap) == 128, "layout of culver-cache");
_Static_assert(sizeof(struct mb_rec) == 80, "layout of culver-cache");
_Static_assert(sizeof(struct cache_head) == 192, "layout of culver-cache");

/* Between host order and little-endian: the same in both directions. */
static void
swap_stamp(struct plug_stamp *s)
{
	s->dev = htole64(s->dev);
	s->ino = htole64(s->ino);
	s->mtime = (int64_t)htole64((uint64_t)s->mtime);
	s->ctime = (int64_t)htole64((uint64_t)s->ctime);
	s->mtime_ns = htole32(s->mtime_ns);
	s->ctime_ns = htole32(s->ctime_ns);
}

static void
swap_head(struct cache_head *h)
{
	h->version = htole32(h->version);
	h->rec_size = htole32(h->rec_size);
	h->n = htole64(h->n);
	h->blob_len = htole64(h->blob_len);
	h->sum = htole64(h->sum);
	h->first = htole64(h->first);
	h->validity = htole32(h->validity);
	h->last_uid = htole32(h->last_uid);
	h->pseudo = htole32(h->pseudo);
	h->crlf = htole32(h->crlf);
	swap_stamp(&h->snap.file);
	swap_stamp(&h->snap.uidl);
	h->snap.size = htole64(h->snap.size);
	h->snap.start = (int64_t)htole64((uint64_t)h->snap.start);
	h->snap.start_ns = (int64_t)htole64((uint64_t)h->snap.start_ns);
	h->snap.style = htole32(h->snap.style);
	h->snap.quoting = htole32(h->snap.quoting);
}

static void
swap_rec(struct mb_rec *r)
{
	r->start = htole64(r->start);
	r->head = htole64(r->head);
	r->end = htole64(r->end);
	r->next = htole64(r->next);
	r->octets = htole64(r->octets);
	r->id[0] = htole64(r->id[0]);
	r->id[1] = htole64(r->id[1]);
	r->received = (int64_t)htole64((uint64_t)r->received);
	r->uid = htole32(r->uid);
	r->hint = htole32(r->hint);
	r->x_uid = htole32(r->x_uid);
	r->flags = htole32(r->flags);
}

/* Is R behind BEFORE, inside the file, and its UIDL legal? */
static bool
rec_ok(const struct mb_rec *r, uint64_t before, const struct cache_head *h,
    const char *blob)
{
	if (r->start < before || r->head <= r->start || r->end < r->head ||
	    r->next < r->end || r->next - r->end > 2 ||
	    r->next > h->snap.size || r->octets > 2 * (r->end - r->head) + 2)
		return false;
	return r->uid != 0 && r->uid < h->blob_len && r->hint == 0 &&
	    r->x_uid == 0 && r->flags == 0 && plug_uid_legal(blob + r->uid,
	    strnlen(blob + r->uid, PLUG_UID_MAX + 1));
}

/* What is wrong with the file, or NULL; BUF gets into host order. */
static const char *
check(char *buf, size_t size, struct mb_list *l)
{
	struct cache_head *h = (struct cache_head *)(void *)buf;
	uint64_t sum, before;
	size_t i;

	if (size < sizeof(*h) || size % 8 != 0)
		return "its length";
	if (memcmp(h->magic, cache_magic, sizeof(h->magic)) != 0)
		return "its first bytes";
	swap_head(h);
	if (h->version != CACHE_VERSION || h->rec_size != sizeof(struct mb_rec))
		return "its version";
	size -= sizeof(*h);
	if (h->n > size / sizeof(struct mb_rec) ||
	    h->blob_len != size - h->n * sizeof(struct mb_rec))
		return "its length";
	sum = h->sum;
	swap_head(h);
	h->sum = 0;
	if (plug_hash(0, buf, sizeof(*h) + size) != sum)
		return "its checksum";
	swap_head(h);
	l->rec = (struct mb_rec *)(void *)(buf + sizeof(*h));
	l->n = h->n;
	l->blob = (char *)(l->rec + l->n);
	l->blob_len = h->blob_len;
	if (l->n > 0 && (l->blob_len == 0 || l->blob[l->blob_len - 1] != '\0'))
		return "the end of its UIDLs";
	for (i = 0, before = h->first; i < l->n; i++) {
		swap_rec(&l->rec[i]);
		if (!rec_ok(&l->rec[i], before, h, l->blob))
			return "a record";
		before = l->rec[i].next;
	}
	l->first = h->first;
	l->validity = h->validity;
	l->last_uid = h->last_uid;
	l->pseudo = h->pseudo;
	l->lines_crlf = h->crlf != 0;
	l->block = buf;
	return NULL;
}

void
mb_cache_load(const struct culver_store *store, const struct plug_index *ix,
    struct mb_cache *out, struct culver_call *call)
{
	const struct cache_head *h;
	const char *wrong;
	struct stat st;
	char *buf;
	size_t n;

	memset(out, 0, sizeof(*out));
	if (plug_file_read(ix, MB_CACHE, &buf, &n, &st, call) != CULVER_OK) {
		plug_warn(store->host, call->err, "done without");
		return;
	}
	if (buf == NULL)
		return;
	wrong = check(buf, n, &out->list);
	if (wrong != NULL) {
		culver_logf(store->host, CULVER_LOG_WARN,
		    "%s/%s is damaged or of another version (%s is wrong): "
		    "made again", ix->path, MB_CACHE, wrong);
		free(buf);
		memset(out, 0, sizeof(*out));
		return;
	}
	h = (const struct cache_head *)(const void *)buf;
	out->snap = h->snap;
}

/* Lay out the file; *BUF is the caller's to free. */
static bool
build(const struct mb_list *l, const struct mb_snap *snap, char **buf,
    size_t *size)
{
	struct cache_head *h;
	struct mb_rec *rec;
	size_t i, len = 1;
	char *blob;

	for (i = 0; i < l->n; i++)
		len += strlen(mb_uid(l, &l->rec[i])) + 1;
	len = (len + 7) / 8 * 8;
	*size = sizeof(*h) + l->n * sizeof(*rec) + len;
	if (len > UINT32_MAX || (*buf = calloc(1, *size)) == NULL)
		return false;
	h = (struct cache_head *)(void *)*buf;
	rec = (struct mb_rec *)(void *)(*buf + sizeof(*h));
	blob = (char *)(rec + l->n);
	*h = (struct cache_head){ .version = CACHE_VERSION,
	    .rec_size = sizeof(*rec), .n = l->n, .blob_len = len,
	    .first = l->first, .validity = l->validity,
	    .last_uid = l->last_uid, .pseudo = l->pseudo,
	    .crlf = l->lines_crlf, .snap = *snap };
	memcpy(h->magic, cache_magic, sizeof(h->magic));
	swap_head(h);
	for (i = 0, len = 1; i < l->n; i++) {
		const char *uid = mb_uid(l, &l->rec[i]);

		rec[i] = l->rec[i];
		rec[i].hint = rec[i].x_uid = rec[i].flags = 0;
		rec[i].uid = (uint32_t)len;
		memcpy(blob + len, uid, strlen(uid) + 1);
		len += strlen(uid) + 1;
		swap_rec(&rec[i]);
	}
	h->sum = htole64(plug_hash(0, *buf, *size));
	return true;
}

void
mb_cache_save(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_list *l, const struct mb_snap *snap)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call call = { .size = sizeof(call), .err = &err,
	    .deadline = UINT64_MAX };
	char *buf = NULL;
	struct stat st;
	size_t n = 0;
	int fd;

	if (plug_file_create(ix, MB_CACHE, &fd, &st, &call) != CULVER_OK)
		goto fail;
	if (!build(l, snap, &buf, &n)) {
		close(fd);
		unlinkat(ix->fd, MB_CACHE ".new", 0);
		plug_fail(&call, ENOMEM, "%s/%s", ix->path, MB_CACHE);
		goto fail;
	}
	if (plug_file_commit(ix, MB_CACHE, fd,
	    (struct culver_str){ .p = buf, .n = n }, false, &call) == CULVER_OK)
		goto out;
fail:
	plug_warn(store->host, &err, "the next login is slower");
out:
	free(buf);
}
