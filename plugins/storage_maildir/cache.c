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
#include "plugins/common/state.h"

#include <endian.h>
#include <string.h>

struct cache_head {
	struct plug_cache_head file;
	int64_t start, start_ns;	/* of the listing */
	struct plug_stamp dir[MD_DIRS], uidl;
	uint64_t self_dev, self_ino;	/* of this file: a copy differs */
};

_Static_assert(sizeof(struct md_rec) == 48, "layout of culver-cache");
_Static_assert(sizeof(struct cache_head) == MD_HEAD, "layout of culver-cache");

/* Between host order and little-endian: the same in both directions. */
static void
swap_head(struct cache_head *h)
{
	h->start = (int64_t)htole64((uint64_t)h->start);
	h->start_ns = (int64_t)htole64((uint64_t)h->start_ns);
	plug_stamp_swap(&h->dir[MD_NEW]);
	plug_stamp_swap(&h->dir[MD_CUR]);
	plug_stamp_swap(&h->uidl);
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
	r->rank = htole32(r->rank);
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
	    n + info_n >= NAME_MAX || r->dir >= MD_DIRS ||
	    (r->flags & ~(unsigned)MD_KEPT) != 0)
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

static const char *
parse(struct plug_cache *c, void *arg)
{
	struct cache_head *h = c->head;
	struct md_rec *rec = c->rec;
	struct md_cache *out = arg;
	size_t i;

	swap_head(h);
	for (i = 0; i < c->n; i++) {
		swap_rec(&rec[i]);
		if (!rec_ok(&rec[i], c->blob, c->blob_len))
			return "a record";
	}
	out->list = (struct md_list){ .rec = rec, .n = c->n,
	    .blob = { .p = c->blob, .n = c->blob_len }, .block = h };
	out->snap = (struct md_snap){ .start = h->start,
	    .start_ns = h->start_ns, .dir = { h->dir[0], h->dir[1] } };
	out->uidl = h->uidl;
	out->mem = (struct md_memory){ .valid =
	    h->self_dev == c->st.st_dev && h->self_ino == c->st.st_ino,
	    .dev = { h->dir[0].dev, h->dir[1].dev },
	    .ino = { h->dir[0].ino, h->dir[1].ino } };
	return NULL;
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

/* Records and bytes of strings that L has. */
static size_t
measure(const struct md_list *l, size_t *len)
{
	size_t i, n = 0;

	*len = 1;
	for (i = 0; i < l->n; i++) {
		const struct md_rec *r = &l->rec[i];

		if ((r->flags & MD_GONE) != 0)
			continue;
		n++;
		*len += (size_t)r->base_len + r->info_len + 2;
		if (r->uid != 0)
			*len += strlen(md_uid(l, r)) + 1;
	}
	return n;
}

/* Copy L to C: N records, LEN bytes of strings. */
static bool
put_list(struct plug_cache *c, const struct md_list *l, size_t n, size_t len)
{
	struct md_rec *rec;
	size_t i;

	if (!plug_cache_make(c, n, len))
		return false;
	for (i = 0, len = 1, rec = c->rec; i < l->n; i++) {
		if ((l->rec[i].flags & MD_GONE) != 0)
			continue;
		*rec = l->rec[i];
		rec->flags &= MD_KEPT;
		put_names(l, &l->rec[i], rec, c->blob, &len);
		swap_rec(rec++);
	}
	return true;
}

/* L as it stands becomes C, and is no list any more. */
static void
give_block(struct plug_cache *c, struct md_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		l->rec[i].flags &= MD_KEPT;
		swap_rec(&l->rec[i]);
	}
	plug_cache_begin(c, l->block, l->n, l->blob.n);
	*l = (struct md_list){ 0 };
}

static bool
build(struct plug_cache *c, void *arg)
{
	struct culver_mailbox *mb = arg;
	struct md_list *l = &mb->list;
	size_t len, n = measure(l, &len);
	struct cache_head *h;

	/* strings that nobody needs may stay, but not too many */
	if (l->block != NULL && !l->apart && n == l->n &&
	    l->blob.n - len <= l->blob.n / 8)
		give_block(c, l);
	else if (!put_list(c, l, n, len))
		return false;
	h = c->head;
	*h = (struct cache_head){ .file = h->file,
	    .dir = { mb->snap.dir[0], mb->snap.dir[1] },
	    .uidl = mb->uidl, .self_dev = c->st.st_dev,
	    .self_ino = c->st.st_ino };
	/* a listing that began at 0 holds for no directory */
	h->start = mb->changed ? 0 : mb->snap.start;
	h->start_ns = mb->changed ? 0 : mb->snap.start_ns;
	swap_head(h);
	return true;
}

static const struct plug_cache_format cache_format = {
	.name = MD_CACHE,
	.magic = "CULVMDIR",
	.version = 1,
	.head_size = sizeof(struct cache_head),
	.rec_size = sizeof(struct md_rec),
	.unended = "the end of its names",
	.parse = parse,
	.build = build,
};

void
md_cache_load(const struct culver_store *store, const struct plug_index *ix,
    struct md_cache *out, struct culver_call *call)
{
	memset(out, 0, sizeof(*out));
	plug_cache_load(store->host, ix, &cache_format, out, call);
}

void
md_cache_save(struct culver_mailbox *mb)
{
	plug_cache_save(mb->store->host, &mb->index, &cache_format, mb);
}
