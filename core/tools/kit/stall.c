/*
 * stall.c - calls during which the disk stalls, or is slow; see stall.h.
 *
 * Runs in a check and in its children.  A call may get through all the same,
 * or end with CULVER_E_TIMEOUT; what it answered must be true.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/base/clock.h"
#include "core/tools/kit/interpose.h"
#include "core/tools/kit/meddle.h"
#include "core/tools/kit/scene.h"
#include "core/tools/kit/stall.h"
#include "core/tools/kit/trace.h"

#define STALL (10 * NS_PER_S)
#define SLOW (2 * NS_PER_MS)		/* a call on a slow disk */

enum { MANY = 300, ALLOWED = 100 };	/* calls when the time is over */

/* In memory that the child shares: how far the clock was moved on. */
static struct clock {
	uint64_t ahead;
	unsigned calls, nth;
	bool hit;
} *moved;

static bool seen;	/* in the child: the call that stalled */

static void
start(void)
{
	if (!interpose_works())
		kit_skip("this build cannot move the clock of plugins");
	if (moved == NULL)
		moved = kit_shared_memory(sizeof(*moved));
	*moved = (struct clock){ .ahead = 0 };
	interpose.moved = &moved->ahead;
}

static enum trace_verdict
stall(void *ctx, const struct trace_call *c, int *err)
{
	(void)ctx;
	(void)err;
	if (c->nr == SYS_mmap || ++moved->calls != moved->nth)
		return TRACE_GO;
	moved->ahead += STALL;
	moved->hit = true;
	return TRACE_GO;
}

bool
stall_once(int (*fn)(void *), void *arg, unsigned nth, int *status)
{
	const struct trace_hooks hooks = { .entry = stall, .marked = true };
	bool traced;

	start();
	moved->nth = nth;
	traced = trace_follow(fn, arg, &hooks, status);
	interpose.moved = NULL;
	if (!traced)
		kit_skip("processes cannot be traced here");
	kit_shared->faults += moved->hit;
	return moved->hit;
}

/* --- each call of a scene stalls once --------------------------------------- */

static void
judge(struct box *b, culver_status st)
{
	if (seen || !moved->hit)
		return;
	seen = true;
	if (st != CULVER_OK && st != CULVER_DONE && st != CULVER_E_TIMEOUT)
		kit_fail("%s: returned %d: %s: wanted CULVER_E_TIMEOUT, or a "
		    "result", b->doing, (int)st, b->err.text);
}

void
stall_scenes(struct kit *k)
{
	const struct scene *s;
	char what[200];
	unsigned nth;
	int status;
	bool more;

	meddle_after = judge;
	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		for (nth = 1, more = true; more; nth++) {
			scene_prepare(k, s);
			more = stall_once(scene_play, (void *)(uintptr_t)s,
			    nth, &status);
			snprintf(what, sizeof(what), "%s, call %u stalls",
			    s->name, nth);
			meddle_ended(status, false, what);
			scene_context("%s", what);
			scene_check(k, scene_told, SCENE_FAULT);
		}
		kit_note("%s: %u calls", s->name, nth - 2);
	}
	meddle_after = NULL;
}

/* --- every call takes a while ----------------------------------------------- */

enum what { OPEN, READ, EXPUNGE, DELIVER };

static struct slow {
	struct kit *k;
	enum what what;
	uint64_t time;		/* until the deadline */
	culver_status st;	/* of the deliveries */
} *slow;

static enum trace_verdict
crawl(void *ctx, const struct trace_call *c, int *err)
{
	(void)ctx;
	(void)err;
	if (c->nr == SYS_mmap)
		return TRACE_GO;
	moved->ahead += SLOW;
	moved->calls++;
	return TRACE_GO;
}

static unsigned calls_before;

static void
before(struct box *b)
{
	(void)b;
	calls_before = moved->calls;
	trace_on();
}

static void
after(struct box *b, culver_status st)
{
	unsigned calls = moved->calls - calls_before;

	trace_off();
	if (st != CULVER_OK && st != CULVER_DONE && st != CULVER_E_TIMEOUT)
		kit_fail("%s: returned %d: %s: wanted CULVER_E_TIMEOUT, or a "
		    "result", b->doing, (int)st, b->err.text);
	if (calls > b->time / SLOW + ALLOWED)
		kit_fail("%s: %u system calls of %llu ms each, with a "
		    "deadline in %llu ms: look at call->deadline in every "
		    "loop", b->doing, calls,
		    (unsigned long long)(SLOW / NS_PER_MS),
		    (unsigned long long)(b->time / NS_PER_MS));
}

static int
play_slow(void *arg)
{
	uint32_t index[MANY], removed, i;
	char uid[BOX_UID], *text;
	struct box b;
	size_t n;

	(void)arg;
	for (i = 0; i < MANY; i++)
		index[i] = i;
	box_start(&b, slow->k, 3);
	if (slow->what == READ || slow->what == EXPUNGE)
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
	box_hooks = (struct box_hooks){ .before = before, .after = after };
	b.time = slow->time;
	switch (slow->what) {
	case OPEN: box_open(&b, CULVER_OPEN_EXCLUSIVE); break;
	case EXPUNGE: box_expunge(&b, index, MANY, &removed); break;
	case READ:
		for (i = 0; i < 10; i++)
			if (box_read(&b, i, &text, &n) == CULVER_OK)
				free(text);
		break;
	case DELIVER:
		text = text_make(TEXT_KINDS + MANY, &n);
		slow->st = box_deliver(&b, text, n, uid);
	}
	box_hooks = (struct box_hooks){ .before = NULL };
	trace_end();
	box_stop(&b);
	return KIT_DONE;
}

static void
one_slow(struct kit *k, enum what what, uint64_t time, const char *name)
{
	const struct trace_hooks hooks = { .entry = crawl, .marked = true };
	static struct model m;
	struct box b;
	uint32_t i;
	int status;

	kit_fresh_home(k);
	model_init(&m, k, TEXT_KINDS);
	box_start(&b, k, 1);
	model_put(&m, &b, MANY);
	box_stop(&b);
	start();
	*slow = (struct slow){ .k = k, .what = what, .time = time };
	if (!trace_follow(play_slow, NULL, &hooks, &status))
		kit_skip("processes cannot be traced here");
	interpose.moved = NULL;
	meddle_ended(status, false, name);
	kit_note("%s, deadline in %llu ms: %u system calls", name,
	    (unsigned long long)(time / NS_PER_MS), moved->calls);
	for (i = 0; what == EXPUNGE && i < m.n; i++) {
		m.m[i].there = false;
		m.m[i].maybe = true;
	}
	if (what == DELIVER && slow->st == CULVER_OK)
		m.m[m.n++] = (struct model_message){ .nr = m.next,
		    .there = true };
	box_start(&b, k, 5);
	model_check(&m, &b);
	box_stop(&b);
}

void
stall_slow_disk(struct kit *k)
{
	static const struct {
		enum what what;
		const char *name;
		uint64_t lacks, needs;
	} list[] = {
		{ OPEN, "open", 0, 0 }, { READ, "read", 0, 0 },
		{ EXPUNGE, "expunge", CULVER_ST_READONLY, 0 },
		{ DELIVER, "deliver", 0, CULVER_ST_DELIVER },
	};
	static const uint64_t times[] = { NS_PER_MS, 10 * NS_PER_MS,
	    100 * NS_PER_MS };
	uint64_t caps = k->plugin.desc.caps;
	size_t i, t;

	slow = kit_shared_memory(sizeof(*slow));
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		for (t = 0; t < sizeof(times) / sizeof(times[0]); t++)
			if ((caps & list[i].lacks) == 0 &&
			    (list[i].needs & ~caps) == 0)
				one_slow(k, list[i].what, times[t],
				    list[i].name);
}
