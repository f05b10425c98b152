/*
 * power.c - group power: the scenes that write, with the power cut at every
 * one of their operations on files.
 *
 * Runs in a check.  A scene is played once, whole, under the journal; then
 * the home is made what a cut could leave, as often as that makes a
 * difference, and must hold what was answered before the cut.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/tools/kit/journal.h"
#include "core/tools/kit/meddle.h"

enum { RANDOM_IMAGES = 3, HOLES = 8 };

struct cuts {
	struct kit *k;
	const struct scene *s;
	struct journal j;
	struct image_seen seen;
	uint32_t failed;	/* the sync that failed; 0: none did */
	unsigned n;
};

static void
cut(struct cuts *c, uint32_t p, enum image_mode mode, uint64_t seed)
{
	const struct told *told = p < c->j.ops ? &c->j.op[p].told :
	    scene_told;

	if (!image_make(&c->j, p, mode, seed, told, &c->seen))
		return;
	if (c->failed != 0)
		scene_context("%s, sync %u failed, power cut at the end, %s "
		    "(%llu)", c->s->name, c->failed, image_name(mode),
		    (unsigned long long)seed);
	else
		scene_context("%s, power cut before operation %u of %u, %s "
		    "(%llu)", c->s->name, p + 1, c->j.ops, image_name(mode),
		    (unsigned long long)seed);
	c->n++;
	c->k->shared->cuts++;
	scene_check(c->k, told, SCENE_CUT);
}

/* Play the scene once; true if the sync that was to fail came. */
static bool
record(struct cuts *c, uint32_t fail_sync)
{
	const struct trace_hooks hooks = { .ctx = &c->j,
	    .entry = journal_entry, .exit = journal_exit, .marked = true };
	char what[200];
	int status;

	scene_prepare(c->k, c->s);
	journal_start(&c->j, c->k->home);
	c->j.fail_sync = fail_sync;
	if (!trace_follow(scene_play, (void *)(uintptr_t)c->s, &hooks,
	    &status))
		kit_skip("processes cannot be traced here");
	snprintf(what, sizeof(what), "%s, sync %u fails", c->s->name,
	    fail_sync);
	meddle_ended(status, false, fail_sync != 0 ? what : c->s->name);
	if (fail_sync != 0)
		return c->j.syncs >= fail_sync;
	if (c->j.trouble[0] != '\0')
		kit_note("%s: the plugin uses %s, which the kit's model of a "
		    "power cut does not know", c->s->name, c->j.trouble);
	if (c->j.mapped)
		kit_note("%s: a file is written through mmap(), which the "
		    "model does not see", c->s->name);
	return true;
}

static void
cuts_free(struct cuts *c)
{
	journal_free(&c->j);
	free(c->seen.hash);
}

/* Before a sync: what was written for it lasts in any order. */
static void
holes(struct cuts *c, uint32_t p)
{
	uint64_t i;

	if (p == c->j.ops || c->j.op[p].type == OP_SYNC ||
	    c->j.op[p].type == OP_SYNC_ALL)
		for (i = 0; i < HOLES; i++)
			cut(c, p, IMAGE_HOLE, i);
}

static void
power_cuts(struct kit *k)
{
	const struct scene *s;

	for (s = scenes; s->name != NULL; s++) {
		struct cuts c = { .k = k, .s = s };
		enum image_mode mode;
		uint32_t p;

		if (!scene_fits(k, s))
			continue;
		record(&c, 0);
		for (p = 0; p <= c.j.ops; p++) {
			for (mode = IMAGE_ALL; mode < IMAGE_HOLE; mode++)
				cut(&c, p, mode, 0);
			holes(&c, p);
			for (uint64_t i = 0; i < RANDOM_IMAGES; i++)
				cut(&c, p, IMAGE_RANDOM, k->seed + p * 100 +
				    i);
		}
		kit_note("%s: %u operations, %u cuts", s->name, c.j.ops, c.n);
		cuts_free(&c);
	}
}

/* The power is cut when all is done that comes after the failed sync. */
static bool
one_failed_sync(struct kit *k, const struct scene *s, uint32_t nth)
{
	struct cuts c = { .k = k, .s = s };
	bool came = record(&c, nth);
	enum image_mode mode;

	c.failed = nth;
	k->shared->faults += came;
	for (mode = IMAGE_ALL; came && mode < IMAGE_HOLE; mode++)
		cut(&c, c.j.ops, mode, 0);
	for (uint64_t i = 0; came && i < RANDOM_IMAGES; i++)
		cut(&c, c.j.ops, IMAGE_RANDOM, k->seed + i);
	cuts_free(&c);
	return came;
}

void
power_failed_syncs(struct kit *k)
{
	const struct scene *s;
	uint32_t nth;

	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		for (nth = 1; one_failed_sync(k, s, nth); nth++)
			continue;
		kit_note("%s: %u syncs", s->name, nth - 1);
	}
}

const struct kit_check kit_power[] = {
	{ "power", "cut at every operation on files", power_cuts, 3600, 0 },
	{ .group = NULL },
};
