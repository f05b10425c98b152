/*
 * cache.c - culver-cache: the last listing and the sizes that were counted.
 *
 * Runs in the worker as the mailbox's owner.  The file may vanish or be
 * damaged at any time; it is read whole and checked to the last offset before
 * it is used, and losing it costs only speed.  All numbers are little-endian.
 *
 *	header, n records, names (a multiple of 8 bytes)
 */
#include "config.h"

#include "maildir.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#define CACHE_VERSION	1

static const char cache_magic[8] = "CULVMDIR";

struct cache_head {
	char magic[8];
	uint32_t version, rec_size;
	uint64_t n, blob_len;
	uint64_t sum;		/* of the whole file with this member 0 */
	int64_t start, start_ns;	/* of the listing */
	struct plug_stamp dir[MD_DIRS], uidl;
	uint64_t self_dev, self_ino;	/* of this file: a copy differs */
};

_Static_assert(sizeof(struct plug_stamp) == 40, "layout of culver-cache");
_Static_assert(sizeof(struct md_rec) == 48, "layout of culver-cache");
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
	h->start = (int64_t)htole64((uint64_t)h->start);
	h->start_ns = (int64_t)htole64((uint64_t)h->start_ns);
	swap_stamp(&h->dir[MD_NEW]);
	swap_stamp(&h->dir[MD_CUR]);
	swap_stamp(&h->uidl);
	h->self_dev = htole64(h->self_dev);
	h->self_ino = htole64(h->self_ino);
}

static void
swap_rec(struct md_rec *r)
{
	r->ino = htole64(r->ino);
	r->size = htole64(r->size);
	r->octets = htole64(r->octets);
	r->mtime = (int64_t)htole64((uint64_t)r->mtime);
	r->name = htole32(r->name);
	r->uid = htole32(r->uid);
}

/*
 * Could readdir() have given this name, and is the UIDL legal?  BLOB ends in
 * a NUL, and LEN is its length.
 */
static bool
rec_ok(const struct md_rec *r, const char *blob, size_t len)
{
	const size_t n = r->base_len, info_n = r->info_len;
	const char *base, *info, *uid;

	if (r->name == 0 || r->name + n + 1 + info_n >= len ||
	    n + info_n >= NAME_MAX || r->reserved != 0 ||
	    r->dir >= MD_DIRS || (r->flags & ~(unsigned)MD_KEPT) != 0)
		return false;
	base = blob + r->name;
	info = base + n + 1;
	if (base[0] == '.' || base[n] != '\0' || info[info_n] != '\0' ||
	    memchr(base, '/', n + 1 + info_n) != NULL ||
	    memchr(info, '\0', info_n) != NULL)
		return false;
	if (r->uid == 0)
		return plug_uid_legal(base, n);
	if (r->uid >= len || memchr(base, '\0', n) != NULL)
		return false;
	uid = blob + r->uid;
	return plug_uid_legal(uid, strnlen(uid, PLUG_UID_MAX + 1));
}

/* What is wrong with the file, or NULL; BUF gets into host order. */
static const char *
check(char *buf, size_t size, struct md_list *l)
{
	struct cache_head *h = (struct cache_head *)(void *)buf;
	uint64_t sum;
	size_t i;

	if (size < sizeof(*h) || size % 8 != 0)
		return "its length";
	if (memcmp(h->magic, cache_magic, sizeof(h->magic)) != 0)
		return "its first bytes";
	swap_head(h);
	if (h->version != CACHE_VERSION || h->rec_size != sizeof(struct md_rec))
		return "its version";
	size -= sizeof(*h);
	if (h->n > size / sizeof(struct md_rec) ||
	    h->blob_len != size - h->n * sizeof(struct md_rec))
		return "its length";
	sum = h->sum;
	swap_head(h);
	h->sum = 0;
	if (plug_hash(0, buf, sizeof(*h) + size) != sum)
		return "its checksum";
	swap_head(h);
	l->rec = (struct md_rec *)(void *)(buf + sizeof(*h));
	l->n = h->n;
	l->blob = (char *)(l->rec + l->n);
	l->blob_len = h->blob_len;
	if (l->n > 0 && (l->blob_len == 0 || l->blob[l->blob_len - 1] != '\0'))
		return "the end of its names";
	for (i = 0; i < l->n; i++) {
		swap_rec(&l->rec[i]);
		if (!rec_ok(&l->rec[i], l->blob, l->blob_len))
			return "a record";
	}
	l->block = buf;
	return NULL;
}

void
md_cache_load(const struct culver_store *store, const struct plug_index *ix,
    struct md_cache *out, struct culver_call *call)
{
	const struct cache_head *h;
	const char *wrong;
	struct stat st;
	char *buf;
	size_t n;

	memset(out, 0, sizeof(*out));
	if (plug_file_read(ix, MD_CACHE, &buf, &n, &st, call) != CULVER_OK) {
		plug_warn(store->host, call->err, "done without");
		return;
	}
	if (buf == NULL)
		return;
	wrong = check(buf, n, &out->list);
	if (wrong != NULL) {
		culver_logf(store->host, CULVER_LOG_WARN,
		    "%s/%s is damaged or of another version (%s is wrong): "
		    "made again", ix->path, MD_CACHE, wrong);
		free(buf);
		memset(out, 0, sizeof(*out));
		return;
	}
	h = (const struct cache_head *)(const void *)buf;
	out->snap = (struct md_snap){ .start = h->start,
	    .start_ns = h->start_ns, .dir = { h->dir[0], h->dir[1] } };
	out->uidl = h->uidl;
	out->mem = (struct md_memory){
	    .valid = h->self_dev == st.st_dev && h->self_ino == st.st_ino,
	    .dev = { h->dir[0].dev, h->dir[1].dev },
	    .ino = { h->dir[0].ino, h->dir[1].ino } };
}

/* Copy the strings of R to BLOB at *AT and let OUT name them there. */
static void
put_names(const struct md_list *l, const struct md_rec *r, struct md_rec *out,
    char *blob, size_t *at)
{
	size_t n = (size_t)r->base_len + 1 + r->info_len + 1;
	const char *uid = md_uid(l, r);

	out->name = (uint32_t)*at;
	memcpy(blob + *at, md_base(l, r), n);
	*at += n;
	if (r->uid != 0) {
		n = strlen(uid) + 1;
		out->uid = (uint32_t)*at;
		memcpy(blob + *at, uid, n);
		*at += n;
	}
}

/* Lay out the file; *BUF is the caller's to free. */
static bool
build(const struct culver_mailbox *mb, const struct stat *self, char **buf,
    size_t *size)
{
	const struct md_list *l = &mb->list;
	struct cache_head *h;
	struct md_rec *rec;
	size_t i, n = 0, len = 1;
	char *blob;

	for (i = 0; i < l->n; i++) {
		const struct md_rec *r = &l->rec[i];

		if ((r->flags & MD_GONE) != 0)
			continue;
		n++;
		len += (size_t)r->base_len + r->info_len + 2;
		if (r->uid != 0)
			len += strlen(md_uid(l, r)) + 1;
	}
	len = (len + 7) / 8 * 8;
	*size = sizeof(*h) + n * sizeof(*rec) + len;
	if (len > UINT32_MAX || (*buf = calloc(1, *size)) == NULL)
		return false;
	h = (struct cache_head *)(void *)*buf;
	rec = (struct md_rec *)(void *)(*buf + sizeof(*h));
	blob = (char *)(rec + n);
	*h = (struct cache_head){ .version = CACHE_VERSION,
	    .rec_size = sizeof(*rec), .n = n, .blob_len = len,
	    .dir = { mb->snap.dir[0], mb->snap.dir[1] },
	    .uidl = mb->uidl, .self_dev = self->st_dev,
	    .self_ino = self->st_ino };
	memcpy(h->magic, cache_magic, sizeof(h->magic));
	/* a listing that began at 0 holds for no directory */
	h->start = mb->changed ? 0 : mb->snap.start;
	h->start_ns = mb->changed ? 0 : mb->snap.start_ns;
	swap_head(h);
	for (i = 0, len = 1; i < l->n; i++) {
		if ((l->rec[i].flags & MD_GONE) != 0)
			continue;
		*rec = l->rec[i];
		rec->flags &= MD_KEPT;
		put_names(l, &l->rec[i], rec, blob, &len);
		swap_rec(rec++);
	}
	h->sum = htole64(plug_hash(0, *buf, *size));
	return true;
}

void
md_cache_save(const struct culver_mailbox *mb)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call call = { .size = sizeof(call), .err = &err,
	    .deadline = UINT64_MAX };
	char *buf = NULL;
	struct stat st;
	size_t n = 0;
	int fd;

	if (plug_file_create(&mb->index, MD_CACHE, &fd, &st, &call) !=
	    CULVER_OK)
		goto fail;
	if (!build(mb, &st, &buf, &n)) {
		close(fd);
		unlinkat(mb->index.fd, MD_CACHE ".new", 0);
		plug_fail(&call, ENOMEM, "%s/%s", mb->index.path, MD_CACHE);
		goto fail;
	}
	if (plug_file_commit(&mb->index, MD_CACHE, fd,
	    (struct culver_str){ .p = buf, .n = n }, false, &call) == CULVER_OK)
		goto out;
fail:
	plug_warn(mb->store->host, &err, "the next login is slower");
out:
	free(buf);
}
