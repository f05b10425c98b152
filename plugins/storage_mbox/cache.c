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

#include "plugins/common/state.h"
#include "plugins/storage_mbox/mbox.h"

#include <endian.h>
#include <string.h>

struct cache_head {
	struct plug_cache_head file;
	uint64_t first;
	uint32_t validity, last_uid, pseudo, crlf;
	struct mb_snap snap;
};

_Static_assert(sizeof(struct mb_snap) == 128, "layout of culver-cache");
_Static_assert(sizeof(struct mb_rec) == 80, "layout of culver-cache");
_Static_assert(sizeof(struct cache_head) == 192, "layout of culver-cache");

/* Between host order and little-endian: the same in both directions. */
static void
swap_head(struct cache_head *h)
{
	h->first = htole64(h->first);
	h->validity = htole32(h->validity);
	h->last_uid = htole32(h->last_uid);
	h->pseudo = htole32(h->pseudo);
	h->crlf = htole32(h->crlf);
	plug_stamp_swap(&h->snap.file);
	plug_stamp_swap(&h->snap.uidl);
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
rec_ok(const struct mb_rec *r, uint64_t before, uint64_t size,
    const struct plug_cache *c)
{
	if (r->start < before || r->head <= r->start || r->end < r->head ||
	    r->next < r->end || r->next - r->end > 2 ||
	    r->next > size || r->octets > 2 * (r->end - r->head) + 2)
		return false;
	return r->uid != 0 && r->uid < c->blob_len && r->hint == 0 &&
	    r->x_uid == 0 && r->flags == 0 && plug_uid_legal(c->blob + r->uid,
	    strnlen(c->blob + r->uid, PLUG_UID_MAX + 1));
}

static const char *
parse(struct plug_cache *c, void *arg)
{
	struct cache_head *h = c->head;
	struct mb_rec *rec = c->rec;
	struct mb_cache *out = arg;
	uint64_t before;
	size_t i;

	swap_head(h);
	for (i = 0, before = h->first; i < c->n; i++) {
		swap_rec(&rec[i]);
		if (!rec_ok(&rec[i], before, h->snap.size, c))
			return "a record";
		before = rec[i].next;
	}
	out->list = (struct mb_list){ .rec = rec, .n = c->n,
	    .blob = { .p = c->blob, .n = c->blob_len }, .block = h,
	    .first = h->first, .validity = h->validity,
	    .last_uid = h->last_uid, .pseudo = h->pseudo,
	    .lines_crlf = h->crlf != 0 };
	out->snap = h->snap;
	return NULL;
}

static bool
build(struct plug_cache *c, void *arg)
{
	const struct mb_cache *from = arg;
	const struct mb_list *l = &from->list;
	struct cache_head *h;
	struct mb_rec *rec;
	size_t i, len = 1;

	for (i = 0; i < l->n; i++)
		len += strlen(mb_uid(l, &l->rec[i])) + 1;
	if (!plug_cache_make(c, l->n, len))
		return false;
	h = c->head;
	*h = (struct cache_head){ .file = h->file, .first = l->first,
	    .validity = l->validity, .last_uid = l->last_uid,
	    .pseudo = l->pseudo, .crlf = l->lines_crlf,
	    .snap = from->snap };
	swap_head(h);
	for (i = 0, len = 1, rec = c->rec; i < l->n; i++) {
		const char *uid = mb_uid(l, &l->rec[i]);

		rec[i] = l->rec[i];
		rec[i].hint = rec[i].x_uid = rec[i].flags = 0;
		rec[i].uid = (uint32_t)len;
		memcpy(c->blob + len, uid, strlen(uid) + 1);
		len += strlen(uid) + 1;
		swap_rec(&rec[i]);
	}
	return true;
}

static const struct plug_cache_format cache_format = {
	.name = MB_CACHE,
	.magic = "CULVMBOX",
	.version = 1,
	.head_size = sizeof(struct cache_head),
	.rec_size = sizeof(struct mb_rec),
	.unended = "the end of its UIDLs",
	.parse = parse,
	.build = build,
};

void
mb_cache_load(const struct culver_store *store, const struct plug_index *ix,
    struct mb_cache *out, struct culver_call *call)
{
	memset(out, 0, sizeof(*out));
	plug_cache_load(store->host, ix, &cache_format, out, call);
}

void
mb_cache_save(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_list *l, const struct mb_snap *snap)
{
	struct mb_cache from = { .list = *l, .snap = *snap };

	plug_cache_save(store->host, ix, &cache_format, &from);
}
