/*
 * arena.c - memory for the results of one call of a plugin.
 *
 * Runs wherever a plugin runs.  Blocks are kept between calls, so that a
 * busy process allocates nothing; a sanitizer build frees them each time, so
 * that the use of a result after its call is found.
 */
#include "config.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "core/plugin/host.h"

enum {
	FIRST = 2048,		/* a login needs little, on few pages */
	BLOCK = 16384
};

struct block {
	struct block *next;
	size_t size, used;
	alignas(max_align_t) unsigned char mem[];
};

struct culver_arena {
	struct block *first;	/* the one that is being filled */
	size_t max, total;	/* octets of blocks */
};

struct culver_arena *
arena_new(size_t max)
{
	struct culver_arena *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->max = max;
	return a;
}

/* Give back the blocks that an earlier call left. */
static void
unused_free(struct culver_arena *a)
{
	struct block **p = &a->first, *b;

	while ((b = *p) != NULL) {
		if (b->used > 0) {
			p = &b->next;
			continue;
		}
		*p = b->next;
		a->total -= b->size;
		free(b);
	}
}

static struct block *
block_add(struct culver_arena *a, size_t n)
{
	size_t least = a->total == 0 ? FIRST : BLOCK;
	size_t size = n > least ? n : least;
	struct block *b;

	if (size > a->max - a->total)
		unused_free(a);
	if (size > a->max - a->total)
		size = n;
	if (size > a->max - a->total)
		return NULL;
	b = malloc(sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->used = 0;
	b->next = a->first;
	a->first = b;
	a->total += size;
	return b;
}

void *
arena_alloc(struct culver_arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct block *b = a->first;
	void *p;

	if (n > a->max)
		return NULL;
	n = n == 0 ? align : (n + align - 1) / align * align;
	if (b == NULL || n > b->size - b->used) {
		for (b = a->first; b != NULL; b = b->next)
			if (n <= b->size - b->used)
				break;
		if (b == NULL)
			b = block_add(a, n);
		if (b == NULL)
			return NULL;
	}
	p = b->mem + b->used;
	b->used += n;
	return memset(p, 0, n);
}

static void
blocks_free(struct culver_arena *a)
{
	struct block *b, *next;

	for (b = a->first; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	a->first = NULL;
	a->total = 0;
}

void
arena_reset(struct culver_arena *a)
{
#ifdef WITH_SANITIZERS
	blocks_free(a);
#else
	for (struct block *b = a->first; b != NULL; b = b->next)
		b->used = 0;
#endif
}

void
arena_wipe(struct culver_arena *a)
{
	for (struct block *b = a->first; b != NULL; b = b->next)
		explicit_bzero(b->mem, b->used);
	arena_reset(a);
}

void
arena_free(struct culver_arena **ap)
{
	if (*ap == NULL)
		return;
	arena_wipe(*ap);
	blocks_free(*ap);
	free(*ap);
	*ap = NULL;
}
