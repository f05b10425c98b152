/*
 * crash.c - groups crash and faults: each scene again and again, killed at
 * its n-th system call or with that call failing, for every n until it gets
 * through; and with the n-th allocation failing.
 *
 * Runs in a check, which traces the child that plays the scene.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/kit/interpose.h"
#include "core/tools/kit/left.h"
#include "core/tools/kit/meddle.h"
#include "core/tools/kit/scene.h"
#include "core/tools/kit/trace.h"

/* One run of S; false when its N-th call did not come any more.  *NR is what
 * that was. */
static bool
one_run(struct kit *k, const struct scene *s, const struct trace_plan *plan,
    const char *fault, long *nr)
{
	bool killing = plan->err == 0 && !plan->shorten;
	struct trace_result res;
	char what[200];

	scene_prepare(k, s);
	if (!trace_run(scene_play, (void *)(uintptr_t)s, plan, &res))
		kit_skip("processes cannot be traced here");
	*nr = res.nr;
	if (res.hit && !res.fit)
		return true;
	snprintf(what, sizeof(what), "%s, call %u (%s) %s", s->name,
	    plan->nth, res.hit ? trace_name(res.nr) : "none",
	    killing ? "killed" : fault);
	meddle_ended(res.status, res.hit && killing, what);
	if (res.hit && killing)
		k->shared->kills++;
	else if (res.hit)
		k->shared->faults++;
	scene_context("%s", what);
	scene_check(k, scene_told, res.hit && killing ? SCENE_KILLED :
	    SCENE_FAULT);
	if (!killing)
		left_weigh(res.hit ? what : NULL);
	return res.hit;
}

static void
kills(struct kit *k)
{
	struct trace_plan plan = { .marked = true };
	const struct scene *s;
	long nr;

	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		for (plan.nth = 1; plan.nth < MEDDLE_RUNS; plan.nth++)
			if (!one_run(k, s, &plan, NULL, &nr))
				break;
		kit_note("%s: %u calls", s->name, plan.nth - 1);
	}
}

/* Each scene with every call failing once; all faults one after the other, or
 * each of them at every call. */
static void
failing_calls(struct kit *k)
{
	struct trace_plan plan = { .marked = true };
	const struct scene *s;
	const struct meddle_fault *f;
	bool more;
	long nr = -1;

	if (!trace_can_fail())
		kit_skip("calls cannot be made to fail on this machine");
	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		more = true;
		for (plan.nth = 1; more && plan.nth < MEDDLE_RUNS; plan.nth++) {
			more = false;
			for (f = meddle_faults; f->name != NULL; f++) {
				plan.err = f->err;
				plan.shorten = f->shorten;
				/* it is the same call as with the last */
				if (!f->shorten || trace_transfers(nr))
					more |= one_run(k, s, &plan, f->name,
					    &nr);
			}
		}
	}
}

static bool
one_allocation(struct kit *k, const struct scene *s, unsigned nth)
{
	char what[200];
	bool hit;

	snprintf(what, sizeof(what), "%s, allocation %u fails", s->name, nth);
	scene_prepare(k, s);
	hit = meddle_allocation(scene_play, (void *)(uintptr_t)s, nth, what);
	scene_context("%s", what);
	scene_check(k, scene_told, SCENE_FAULT);
	left_weigh(hit ? what : NULL);
	return hit;
}

static void
failing_memory(struct kit *k)
{
	const struct scene *s;
	unsigned nth;

	if (!interpose_works())
		kit_note("only the call's arena: this build cannot see "
		    "malloc()");
	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		for (nth = 1; nth < MEDDLE_RUNS; nth++)
			if (!one_allocation(k, s, nth))
				break;
		kit_note("%s: %u allocations", s->name, nth - 1);
	}
}

const struct kit_check kit_crash[] = {
	{ "crash", "killed at every system call", kills, 3600, 0 },
	{ .group = NULL },
};

const struct kit_check kit_faults[] = {
	{ "faults", "every system call fails", failing_calls, 3600, 0 },
	{ "faults", "every allocation fails", failing_memory, 3600, 0 },
	{ "faults", "every sync fails, and the power then", power_failed_syncs,
	    3600, 0 },
	{ .group = NULL },
};
