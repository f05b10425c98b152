/*
 * image.c - directories as a power cut could leave them; see journal.h.
 *
 * Runs in a check, on the home of the check.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/tools/kit/image.h"

enum { SECTOR = 512 };

const char *
image_name(enum image_mode mode)
{
	static const char *const names[] = {
		[IMAGE_ALL] = "all lasted",
		[IMAGE_SYNCED] = "only what was synced lasted",
		[IMAGE_EMPTY] = "names lasted, octets not synced did not",
		[IMAGE_ZEROS] = "sizes lasted, octets not synced are zero",
		[IMAGE_NAMELESS] = "octets lasted, names not synced did not",
		[IMAGE_HOLE] = "one write did not last, all others did",
		[IMAGE_RANDOM] = "some of what was not synced lasted",
	};

	return names[mode];
}

/* --- what lasted ------------------------------------------------------------ */

static bool
is_name(const struct op *o)
{
	return o->type == OP_LINK || o->type == OP_UNLINK ||
	    o->type == OP_RENAME;
}

/* Was operation I synced before the cut? */
static bool
is_synced(const struct build *b, uint32_t i)
{
	const struct op *o = &b->j->op[i], *s;
	uint32_t k;

	for (k = i + 1; k < b->p && !o->lost; k++) {
		s = &b->j->op[k];
		if (s->type == OP_SYNC_ALL)
			return true;
		if (s->type != OP_SYNC)
			continue;
		if (is_name(o) ? s->node == o->dir ||
		    (o->type == OP_RENAME && s->node == o->dir2) :
		    s->node == o->node)
			return true;
	}
	return false;
}

/* One that was not: did it last? */
static bool
lasted(struct build *b, uint32_t i, uint32_t names)
{
	const struct op *o = &b->j->op[i];

	switch (b->mode) {
	case IMAGE_ALL: return true;
	case IMAGE_EMPTY:
	case IMAGE_ZEROS: return is_name(o);
	case IMAGE_NAMELESS: return !is_name(o);
	case IMAGE_HOLE: return i != b->hole;
	case IMAGE_RANDOM:
		/* names last in the order they were made in */
		return is_name(o) ? i < names : kit_below(&b->rng, 2) == 0;
	default: return false;
	}
}

/* The N-th write from the last that was not synced, or none. */
static uint32_t
find_hole(const struct build *b, uint64_t n)
{
	uint32_t i;

	for (i = b->p; i-- > 0;)
		if (b->j->op[i].type == OP_DATA && !is_synced(b, i) &&
		    n-- == 0)
			return i;
	return UINT32_MAX;
}

static void
decide(struct build *b)
{
	uint32_t i, names = kit_below(&b->rng, b->p + 1);

	for (i = 0; i < b->p; i++) {
		const struct op *o = &b->j->op[i];

		b->torn[i] = (uint32_t)o->n;
		b->keep[i] = is_synced(b, i) || lasted(b, i, names);
		if (b->keep[i] && b->mode == IMAGE_RANDOM &&
		    o->type == OP_DATA && !is_synced(b, i) &&
		    kit_below(&b->rng, 4) == 0)
			b->torn[i] = kit_below(&b->rng, (uint32_t)(o->n /
			    SECTOR + 1)) * SECTOR;
	}
}

/* --- the state that this makes ------------------------------------------------ */

static void
resize(struct content *c, uint64_t n)
{
	if (n + 1 > c->cap) {
		c->cap = 2 * n + 64;
		c->data = realloc(c->data, c->cap);
		if (c->data == NULL)
			kit_fail("no memory");
	}
	if (n > c->n)
		memset(c->data + c->n, 0, n - c->n);
	c->n = n;
}

static void
entry_set(struct content *dir, const char *name, uint32_t node)
{
	uint32_t i;

	for (i = 0; i < dir->entries; i++)
		if (strcmp(dir->entry[i].name, name) == 0)
			break;
	if (i == dir->entries) {
		dir->entry = realloc(dir->entry, (i + 1) *
		    sizeof(*dir->entry));
		if (dir->entry == NULL)
			kit_fail("no memory");
		dir->entry[i].name = strdup(name);
		if (dir->entry[i].name == NULL)
			kit_fail("no memory");
		dir->entries++;
	}
	dir->entry[i].node = node;
}

static void
entry_drop(struct content *dir, const char *name)
{
	uint32_t i;

	for (i = 0; i < dir->entries; i++)
		if (strcmp(dir->entry[i].name, name) == 0) {
			free(dir->entry[i].name);
			dir->entry[i] = dir->entry[--dir->entries];
			return;
		}
}

static void
apply_data(struct build *b, const struct op *o, bool keep, uint32_t n)
{
	struct content *c = &b->node[o->node];

	if (!keep) {
		if (b->mode == IMAGE_ZEROS && o->at + o->n > c->n)
			resize(c, o->at + o->n);
		return;
	}
	if (n == 0)
		return;
	if (o->at + n > c->n)
		resize(c, o->at + n);
	memcpy(c->data + o->at, o->data, n);
}

static void
apply(struct build *b, uint32_t i)
{
	const struct op *o = &b->j->op[i];

	if (o->type == OP_DATA)
		apply_data(b, o, b->keep[i], b->torn[i]);
	if (!b->keep[i])
		return;
	switch (o->type) {
	case OP_SIZE: resize(&b->node[o->node], o->n); break;
	case OP_LINK:
		entry_set(&b->node[o->dir], o->name, o->node);
		break;
	case OP_UNLINK: entry_drop(&b->node[o->dir], o->name); break;
	case OP_RENAME:
		entry_drop(&b->node[o->dir], o->name);
		entry_set(&b->node[o->dir2], o->name2, o->node);
		break;
	default: break;
	}
}

static void
start(struct build *b)
{
	uint32_t i, k;

	for (i = 0; i < b->j->nodes; i++) {
		const struct node *n = &b->j->node[i];

		if (n->n > 0) {
			resize(&b->node[i], n->n);
			memcpy(b->node[i].data, n->data, n->n);
		}
		for (k = 0; k < n->entries; k++)
			entry_set(&b->node[i], n->entry[k].name,
			    n->entry[k].node);
	}
	for (i = 0; i < b->p; i++)
		apply(b, i);
}

/* --- is it a new one? --------------------------------------------------------- */

static void
mix(struct build *b, const void *p, size_t n)
{
	const unsigned char *c = p;

	for (; n > 0; n--, c++)
		b->hash = (b->hash ^ *c) * UINT64_C(0x100000001b3);
}

static void
hash_dir(struct build *b, uint32_t dir, unsigned depth)
{
	struct content *c = &b->node[dir];
	uint32_t i;

	if (c->entries > 0)
		qsort(c->entry, c->entries, sizeof(*c->entry), image_by_name);
	for (i = 0; i < c->entries; i++) {
		uint32_t n = c->entry[i].node;

		mix(b, c->entry[i].name, strlen(c->entry[i].name) + 1);
		mix(b, &n, sizeof(n));
		if (b->j->node[n].is_dir && depth > 0)
			hash_dir(b, n, depth - 1);
		else
			mix(b, b->node[n].data, b->node[n].n);
	}
}

static bool
seen_before(struct image_seen *seen, uint64_t hash)
{
	size_t i;

	for (i = 0; i < seen->n; i++)
		if (seen->hash[i] == hash)
			return true;
	if (seen->n == seen->cap) {
		seen->cap = seen->cap * 2 + 64;
		seen->hash = realloc(seen->hash, seen->cap *
		    sizeof(*seen->hash));
		if (seen->hash == NULL)
			kit_fail("no memory");
	}
	seen->hash[seen->n++] = hash;
	return false;
}

static void
build_free(struct build *b)
{
	uint32_t i, k;

	for (i = 0; i < b->j->nodes; i++) {
		for (k = 0; k < b->node[i].entries; k++)
			free(b->node[i].entry[k].name);
		free(b->node[i].entry);
		free(b->node[i].data);
		free(b->node[i].made);
	}
	free(b->node);
	free(b->keep);
	free(b->torn);
}

bool
image_make(const struct journal *j, uint32_t p, enum image_mode mode,
    uint64_t seed, const struct told *told, struct image_seen *seen)
{
	struct build b = { .j = j, .p = p, .mode = mode, .rng = seed,
	    .keep = calloc(p + 1, sizeof(bool)),
	    .torn = calloc(p + 1, sizeof(uint32_t)),
	    .node = calloc(j->nodes, sizeof(struct content)),
	    .hash = UINT64_C(0xcbf29ce484222325) };
	bool is_new;

	if (b.keep == NULL || b.torn == NULL || b.node == NULL)
		kit_fail("no memory");
	b.hole = mode == IMAGE_HOLE ? find_hole(&b, seed) : UINT32_MAX;
	decide(&b);
	start(&b);
	hash_dir(&b, 0, IMAGE_DEPTH);
	mix(&b, told, sizeof(*told));
	is_new = !seen_before(seen, b.hash);
	if (is_new) {
		image_write(&b);
	}
	build_free(&b);
	return is_new;
}
