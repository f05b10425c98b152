/*
 * list.c - file names, their order, and the sorted list of messages.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 * Names come from a directory that other programs write: any byte but NUL
 * and '/' may be in them, and any length up to NAME_MAX.
 */
#include "config.h"

#include "maildir.h"

#include <stdlib.h>
#include <string.h>

/* What is sorted instead of the records: no name is looked up twice. */
struct key {
	uint64_t time;
	const char *base, *rest;
	uint32_t index;
	uint32_t dir;
};

void
md_list_free(struct md_list *l)
{
	free(l->block != NULL ? l->block : l->rec);
	if (l->block == NULL || l->apart)
		free(l->blob.p);
	memset(l, 0, sizeof(*l));
}

bool
md_list_add(struct md_list *l, const char *name, unsigned dir, uint64_t ino)
{
	const char *colon = strchr(name, ':');
	size_t len = strlen(name);
	size_t base_len = colon != NULL ? (size_t)(colon - name) : len;
	size_t cap = l->cap == 0 ? 32 : l->cap * 2;
	struct md_rec *r;
	uint32_t at;

	if (len > NAME_MAX)
		return false;
	if (l->n == l->cap) {
		r = realloc(l->rec, cap * sizeof(*r));
		if (r == NULL)
			return false;
		l->rec = r;
		l->cap = cap;
	}
	at = plug_blob_add(&l->blob, name, base_len);
	if (at == 0)
		return false;
	if (plug_blob_add(&l->blob, colon != NULL ? colon + 1 : "",
	    colon != NULL ? len - base_len - 1 : 0) == 0)
		return false;
	r = &l->rec[l->n++];
	*r = (struct md_rec){ .ino = ino, .name = at,
	    .base_len = (uint8_t)base_len, .dir = (uint8_t)dir };
	if (colon != NULL) {
		r->info_len = (uint8_t)(len - base_len - 1);
		r->flags = MD_INFO;
	}
	return true;
}

/* Strings in a block cannot grow: move them out of it. */
static bool
leave_block(struct md_list *l)
{
	char *p = malloc(l->blob.n + 1);

	if (p == NULL)
		return false;
	memcpy(p, l->blob.p, l->blob.n);
	l->blob.p = p;
	l->blob.cap = l->blob.n + 1;
	l->apart = true;
	return true;
}

bool
md_list_set_uid(struct md_list *l, struct md_rec *rec, const char *uid)
{
	if (l->block != NULL && !l->apart &&
	    l->blob.cap < l->blob.n + strlen(uid) + 1 && !leave_block(l))
		return false;
	rec->uid = plug_blob_add(&l->blob, uid, strlen(uid));
	return rec->uid != 0;
}

/* The leading number, UINT64_MAX if it is larger, and what follows it. */
static uint64_t
leading_number(const char *s, const char **rest)
{
	uint64_t v = 0;

	for (; *s >= '0' && *s <= '9'; s++) {
		if (v > (UINT64_MAX - 9) / 10)
			v = UINT64_MAX;
		else
			v = v * 10 + (uint64_t)(*s - '0');
	}
	*rest = s;
	return v;
}

int
md_order(const char *a, const char *b)
{
	const char *ra, *rb;
	uint64_t ta = leading_number(a, &ra), tb = leading_number(b, &rb);
	int c;

	if (ta != tb)
		return ta < tb ? -1 : 1;
	c = strcmp(ra, rb);
	return c != 0 ? c : strcmp(a, b);
}

static int
key_order(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;
	int c;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	if ((c = strcmp(a->rest, b->rest)) != 0)
		return c;
	if ((c = strcmp(a->base, b->base)) != 0)
		return c;
	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	/* the info stands behind the base name in the blob */
	return strcmp(a->rest + strlen(a->rest) + 1,
	    b->rest + strlen(b->rest) + 1);
}

enum { DIGIT = 11, DIGITS = 1 << DIGIT };

/* FROM to TO in the order of a digit of the time, and else as it was. */
static void
sort_by_digit(const struct key *from, struct key *to, size_t n, uint64_t least,
    unsigned shift)
{
	size_t at[DIGITS] = { 0 }, i, sum = 0;

	for (i = 0; i < n; i++)
		at[(from[i].time - least) >> shift & (DIGITS - 1)]++;
	for (i = 0; i < DIGITS; i++) {
		size_t here = at[i];

		at[i] = sum;
		sum += here;
	}
	for (i = 0; i < n; i++)
		to[at[(from[i].time - least) >> shift & (DIGITS - 1)]++] =
		    from[i];
}

/*
 * Sort N keys; TMP has room for as many.  Nearly all differ in their times,
 * which lie close together: two or three digits order a mailbox.
 */
static void
sort_keys(struct key *keys, struct key *tmp, size_t n)
{
	uint64_t least = UINT64_MAX, most = 0;
	struct key *from = keys, *to = tmp, *other;
	unsigned shift;
	size_t i, run;

	for (i = 0; i < n; i++) {
		least = keys[i].time < least ? keys[i].time : least;
		most = keys[i].time > most ? keys[i].time : most;
	}
	for (shift = 0; shift < 64 && (most - least) >> shift != 0;
	    shift += DIGIT) {
		sort_by_digit(from, to, n, least, shift);
		other = from;
		from = to;
		to = other;
	}
	if (from != keys)
		memcpy(keys, from, n * sizeof(*keys));
	for (i = 0; i < n; i += run) {
		for (run = 1; i + run < n &&
		    keys[i + run].time == keys[i].time; run++)
			;
		if (run > 1)
			qsort(keys + i, run, sizeof(*keys), key_order);
	}
}

static bool
is_sorted(const struct md_list *l)
{
	size_t i;

	for (i = 1; i < l->n; i++)
		if (md_order(md_base(l, &l->rec[i - 1]),
		    md_base(l, &l->rec[i])) >= 0)
			return false;
	return true;
}

bool
md_list_sort(struct md_list *l)
{
	struct md_rec *rec;
	struct key *keys;
	size_t i, n = 0;

	if (is_sorted(l))
		return true;
	keys = calloc(2 * l->n, sizeof(*keys));
	rec = malloc(l->n * sizeof(*rec));
	if (keys == NULL || rec == NULL) {
		free(keys);
		free(rec);
		return false;
	}
	for (i = 0; i < l->n; i++) {
		keys[i].base = md_base(l, &l->rec[i]);
		keys[i].time = leading_number(keys[i].base, &keys[i].rest);
		keys[i].index = (uint32_t)i;
		keys[i].dir = l->rec[i].dir;
	}
	sort_keys(keys, keys + l->n, l->n);
	for (i = 0; i < l->n; i++) {
		bool dup = n > 0 &&
		    strcmp(keys[i].base, md_base(l, &rec[n - 1])) == 0;

		if (dup)
			n--;
		rec[n] = l->rec[keys[i].index];
		if (dup)
			rec[n].flags |= MD_DUP;
		n++;
	}
	free(keys);
	free(l->rec);
	l->rec = rec;
	l->cap = l->n;
	l->n = n;
	return true;
}

struct md_rec *
md_list_find(const struct md_list *l, const char *base)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = md_order(base, md_base(l, &l->rec[mid]));

		if (c == 0)
			return &l->rec[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/*
 * Ranks are those of a whole mailbox once, so there is a place for each: false
 * if few of it are left, if a rank is there twice, or without memory.
 */
static bool
number_by_place(const struct md_list *l, uint32_t *order)
{
	uint32_t *place, max = 0, rank;
	size_t i, n = 0;
	bool ok = true;

	for (i = 0; i < l->n; i++)
		if (l->rec[i].rank > max)
			max = l->rec[i].rank;
	if (max / 8 > l->n)
		return false;
	place = calloc((size_t)max + 1, sizeof(*place));
	if (place == NULL)
		return false;
	for (i = 0; i < l->n && ok; i++) {
		rank = l->rec[i].rank;
		if (rank == 0)
			continue;
		ok = place[rank] == 0;
		place[rank] = (uint32_t)i + 1;
	}
	for (rank = 1; ok && rank <= max && rank != 0; rank++)
		if (place[rank] != 0)
			order[n++] = place[rank] - 1;
	for (i = 0; ok && i < l->n; i++)
		if (l->rec[i].rank == 0)
			order[n++] = (uint32_t)i;
	free(place);
	return ok;
}

static int
number_order(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;

	return *a < *b ? -1 : *a > *b;
}

/* The same in any case, by sorting; false without memory. */
static bool
number_by_sorting(const struct md_list *l, uint32_t *order)
{
	uint64_t *key = malloc(l->n * sizeof(*key));
	size_t i;

	if (key == NULL)
		return false;
	/* 0 becomes the last one */
	for (i = 0; i < l->n; i++)
		key[i] = (uint64_t)(l->rec[i].rank - UINT32_C(1)) << 32 | i;
	qsort(key, l->n, sizeof(*key), number_order);
	for (i = 0; i < l->n; i++)
		order[i] = (uint32_t)key[i];
	free(key);
	return true;
}

bool
md_list_number(const struct md_list *l, uint32_t **order)
{
	uint32_t before = 0, rank;
	bool sorted = true;
	size_t i;

	*order = NULL;
	for (i = 0; i < l->n; i++) {
		rank = l->rec[i].rank - UINT32_C(1);
		sorted &= rank >= before;
		before = rank;
	}
	if (sorted)
		return true;
	*order = malloc(l->n * sizeof(**order));
	if (*order != NULL && (number_by_place(l, *order) ||
	    number_by_sorting(l, *order)))
		return true;
	free(*order);
	*order = NULL;
	return false;
}

const char *
md_base(const struct md_list *l, const struct md_rec *r)
{
	return l->blob.p + r->name;
}

const char *
md_uid(const struct md_list *l, const struct md_rec *r)
{
	return l->blob.p + (r->uid != 0 ? r->uid : r->name);
}

void
md_file_name(const struct md_list *l, const struct md_rec *r,
    char out[NAME_MAX + 1])
{
	const char *base = md_base(l, r);
	size_t n = r->base_len;

	memcpy(out, base, n);
	if ((r->flags & MD_INFO) != 0 && n + 1 + r->info_len <= NAME_MAX) {
		out[n++] = ':';
		memcpy(out + n, base + r->base_len + 1, r->info_len);
		n += r->info_len;
	}
	out[n] = '\0';
}

const char *
md_name_field(const char *base, const char *key)
{
	const size_t n = strlen(key);
	const char *p = base;

	while ((p = strchr(p, ',')) != NULL)
		if (strncmp(++p, key, n) == 0)
			return p + n;
	return NULL;
}

static bool
name_number(const char *base, const char *key, uint64_t *v)
{
	const char *p = md_name_field(base, key), *end;

	if (p == NULL)
		return false;
	*v = leading_number(p, &end);
	return end != p && (*end == '\0' || *end == ',');
}

bool
md_name_size(const char *base, uint64_t *size)
{
	/* a number that no file has is no reason to refuse the mailbox */
	return name_number(base, "S=", size) && *size < UINT64_C(1) << 39;
}

bool
md_name_octets(const char *base, uint64_t size, uint64_t *octets)
{
	uint64_t v;

	if (!name_number(base, "W=", &v))
		return false;
	/* at most one CR more a byte, and a CRLF at the end */
	if (v < size || v - size > size + 2)
		return false;
	*octets = v;
	return true;
}

void
md_rec_stat(const struct md_list *l, struct md_rec *rec, const struct stat *st)
{
	rec->ino = st->st_ino;
	rec->size = (uint64_t)st->st_size;
	rec->mtime = st->st_mtim.tv_sec;
	rec->flags |= MD_STAT;
	if ((rec->flags & MD_COUNTED) != 0)
		return;
	rec->flags &= (uint8_t)~MD_NAMED;
	if (md_name_octets(md_base(l, rec), rec->size, &rec->octets))
		rec->flags |= MD_NAMED;
}
