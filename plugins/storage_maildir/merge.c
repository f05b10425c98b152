/*
 * merge.c - what two sorted lists of messages know of each other.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.  One
 * list is what a file of ours or an earlier listing said, the other is what
 * directories say now.
 */
#include "config.h"

#include "maildir.h"

#include <stdlib.h>
#include <string.h>

/* One file in two listings: OLD is what was known about it. */
static bool
inherit_one(struct md_list *l, struct md_rec *r, const struct md_list *from,
    const struct md_rec *old)
{
	const unsigned keep = MD_STAT | MD_COUNTED | MD_NAMED;

	if ((r->flags & MD_STAT) == 0 && r->ino == old->ino &&
	    (old->flags & (MD_STAT | MD_COUNTED)) != 0) {
		r->size = old->size;
		r->mtime = old->mtime;
		r->octets = old->octets;
		r->flags |= old->flags & keep;
	}
	if (r->rank == 0)
		r->rank = old->rank;
	if (r->uid == 0 && old->uid != 0)
		return md_list_set_uid(l, r, md_uid(from, old));
	return true;
}

/* md_order() of two records, most of which are the same message. */
static int
order_of(const struct md_list *a, const struct md_rec *ra,
    const struct md_list *b, const struct md_rec *rb)
{
	if (ra->base_len == rb->base_len &&
	    memcmp(md_base(a, ra), md_base(b, rb), ra->base_len) == 0)
		return 0;
	return md_order(md_base(a, ra), md_base(b, rb));
}

long
md_list_inherit(struct md_list *l, const struct md_list *from,
    const bool holds[MD_DIRS])
{
	size_t i = 0, j = 0;
	long missing = 0;
	int c;

	while (j < from->n) {
		if (holds[from->rec[j].dir]) {
			j++;
			continue;
		}
		c = i == l->n ? 1 : order_of(l, &l->rec[i], from,
		    &from->rec[j]);
		if (c < 0)
			i++;
		else if (c > 0) {
			if ((from->rec[j].flags & MD_GONE) == 0)
				missing++;
			j++;
		} else if (!inherit_one(l, &l->rec[i++], from, &from->rec[j++]))
			return -1;
	}
	return missing;
}

/* The first record of L, from AT on, that does not precede BASE; those before
 * AT do. */
static size_t
seek(const struct md_list *l, size_t at, const char *base)
{
	size_t step, end, mid;

	/* where the lists alternate it is near */
	for (step = 1; at + step <= l->n && md_order(md_base(l,
	    &l->rec[at + step - 1]), base) < 0; step *= 2)
		at += step;
	end = at + step - 1 < l->n ? at + step - 1 : l->n;
	while (at < end) {
		mid = at + (end - at) / 2;
		if (md_order(md_base(l, &l->rec[mid]), base) < 0)
			at = mid + 1;
		else
			end = mid;
	}
	return at;
}

/* R and OLD, in the same blob, are one message in both directories: R becomes
 * that of cur/, for a reader moves files there. */
static void
join(struct md_rec *r, const struct md_rec *old)
{
	if (r->dir == MD_NEW)
		*r = *old;
	if (r->uid == 0)
		r->uid = old->uid;
	if (r->rank == 0)
		r->rank = old->rank;
	r->flags |= MD_DUP;
}

/* The records of md_list_merge() to OUT, where all strings are one blob: those
 * of FROM, then those of L.  Returns how many there are. */
static size_t
merge_records(const struct md_list *l, const struct md_list *from,
    const bool holds[MD_DIRS], struct md_rec *out)
{
	const uint32_t shift = (uint32_t)from->blob.n;
	size_t i, j = 0, n = 0, stop;
	struct md_rec *r;

	for (i = 0; i <= l->n; i++) {
		stop = i < l->n ? seek(from, j, md_base(l, &l->rec[i])) :
		    from->n;
		for (; j < stop; j++)
			if (holds[from->rec[j].dir])
				out[n++] = from->rec[j];
		if (i == l->n)
			break;
		r = &out[n++];
		*r = l->rec[i];
		r->name += shift;
		r->uid += r->uid != 0 ? shift : 0;
		if (j < from->n && holds[from->rec[j].dir] &&
		    strcmp(md_base(from, &from->rec[j]),
		    md_base(l, &l->rec[i])) == 0)
			join(r, &from->rec[j++]);
	}
	return n;
}

bool
md_list_merge(struct md_list *l, const struct md_list *from,
    const bool holds[MD_DIRS])
{
	/* room for UIDLs of those that are new */
	size_t room = from->blob.n + l->blob.n + (l->n + 1) *
	    (PLUG_UID_MAX + 1) + 8;
	struct md_list out = { .known = (uint32_t)from->blob.n };
	char *block;

	if (room > UINT32_MAX || (block = malloc(MD_HEAD +
	    (from->n + l->n) * sizeof(*out.rec) + room)) == NULL)
		return false;
	out.block = block;
	out.rec = (struct md_rec *)(void *)(block + MD_HEAD);
	out.n = merge_records(l, from, holds, out.rec);
	out.blob = (struct plug_blob){ .p = (char *)(out.rec + out.n),
	    .n = from->blob.n + l->blob.n, .cap = room - 8 };
	if (from->blob.n > 0)
		memcpy(out.blob.p, from->blob.p, from->blob.n);
	if (l->blob.n > 0)
		memcpy(out.blob.p + from->blob.n, l->blob.p, l->blob.n);
	md_list_free(l);
	*l = out;
	return true;
}
