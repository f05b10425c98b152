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
#include "core/tools/kit/scene.h"
#include "core/tools/kit/trace.h"

enum { RUNS_MAX = 100000 };

static const struct fault {
	const char *name;
	int err;
	bool shorten;
} faults[] = {
	{ "EIO", EIO, false }, { "ENOSPC", ENOSPC, false },
	{ "EINTR", EINTR, false }, { "half done", 0, true },
};

enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

/* The child must have ended well, unless it was killed as planned. */
static void
check_status(int status, bool killed, const char *what)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_DONE)
		return;
	if (killed && WIFSIGNALED(status))
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_FAILED) {
		char text[sizeof(kit_shared->fail)];

		memcpy(text, kit_shared->fail, sizeof(text));
		kit_shared->fail[0] = '\0';
		kit_fail("%s: %s", what, text);
	}
	if (WIFSIGNALED(status))
		kit_fail("%s: the plugin died of signal %d (%s)", what,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	kit_fail("%s: the plugin ended the process with status %d", what,
	    WEXITSTATUS(status));
}

/* One run of S; false when its N-th call did not come any more. */
static bool
one_run(struct kit *k, const struct scene *s, const struct trace_plan *plan,
    const char *fault)
{
	bool killing = plan->err == 0 && !plan->shorten;
	struct trace_result res;
	char what[200];

	scene_prepare(k, s);
	if (!trace_run(scene_play, (void *)(uintptr_t)s, plan, &res))
		kit_skip("processes cannot be traced here");
	if (res.hit && !res.fit)
		return true;
	snprintf(what, sizeof(what), "%s, call %u (%s) %s", s->name,
	    plan->nth, res.hit ? trace_name(res.nr) : "none",
	    killing ? "killed" : fault);
	check_status(res.status, res.hit && killing, what);
	if (res.hit && killing)
		k->shared->kills++;
	else if (res.hit)
		k->shared->faults++;
	scene_context("%s", what);
	scene_check(k, scene_told, res.hit && killing ? SCENE_KILLED :
	    SCENE_FAULT);
	return res.hit;
}

static void
kills(struct kit *k)
{
	struct trace_plan plan = { .marked = true };
	const struct scene *s;

	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		for (plan.nth = 1; plan.nth < RUNS_MAX; plan.nth++)
			if (!one_run(k, s, &plan, NULL))
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
	unsigned i;
	bool more;

	if (!trace_can_fail())
		kit_skip("calls cannot be made to fail on this machine");
	for (s = scenes; s->name != NULL; s++) {
		if (!scene_fits(k, s))
			continue;
		more = true;
		for (plan.nth = 1; more && plan.nth < RUNS_MAX; plan.nth++) {
			more = false;
			for (i = 0; i < FAULTS; i++) {
				plan.err = faults[i].err;
				plan.shorten = faults[i].shorten;
				more |= one_run(k, s, &plan, faults[i].name);
			}
		}
	}
}

static bool
one_allocation(struct kit *k, const struct scene *s, unsigned nth)
{
	unsigned *calls = kit_shared_memory(sizeof(*calls));
	char what[200];
	int status;
	pid_t pid;
	bool hit;

	snprintf(what, sizeof(what), "%s, allocation %u fails", s->name, nth);
	scene_prepare(k, s);
	pid = kit_fork();
	if (pid == 0) {
		interpose.fail_at = nth;
		status = scene_play((void *)(uintptr_t)s);
		*calls = interpose.calls;
		_exit(status);
	}
	waitpid(pid, &status, 0);
	check_status(status, false, what);
	hit = *calls >= nth;
	kit_unshare_memory(calls, sizeof(*calls));
	k->shared->faults += hit;
	scene_context("%s", what);
	scene_check(k, scene_told, SCENE_FAULT);
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
		for (nth = 1; nth < RUNS_MAX; nth++)
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
	{ .group = NULL },
};
