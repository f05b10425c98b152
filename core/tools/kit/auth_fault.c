/*
 * auth_fault.c - auth plugins in groups faults, deadline, options, hygiene
 * and versions.
 *
 * Runs in a check and in its children.  What the plugin answers when nothing
 * fails is learnt first; when something fails, the answer must be that one or
 * say so.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/config/mem.h"
#include "core/tools/kit/auth.h"
#include "core/tools/kit/door.h"
#include "core/tools/kit/left.h"
#include "core/tools/kit/meddle.h"
#include "core/tools/kit/scram.h"
#include "core/tools/kit/stall.h"
#include "core/tools/kit/trace.h"

#define TIME (5 * NS_PER_S)	/* for a call */

enum { ASKED = 5, AGAIN = 3 };

/* What each question was answered when nothing failed; shared memory. */
static struct usual {
	bool known;
	culver_status st[ASKED];
} *usual;

static bool can_fail;		/* ... in this run */

/* --- all calls ------------------------------------------------------------ */

static culver_status
ask(struct door *d, unsigned i)
{
	static struct phrase right, wrong;
	const char *user = d->b.k->user;
	uint64_t rng = d->b.k->seed;
	struct culver_cred c;
	struct culver_user u;
	char nobody[256];

	door_nobody(d->b.k, nobody);
	door_fixture(d->b.k, 0, &right);
	if (wrong.n == 0)
		phrase_random(&wrong, &rng, 16);
	switch (i) {
	case 0: return door_verify(d, user, &wrong);
	case 1: return door_verify(d, user, &right);
	case 2: return door_verify(d, nobody, &right);
	case 3: return door_user(d, user, &u);
	default: return door_creds(d, user, CULVER_CRED_SCRAM_SHA256, &c);
	}
}

static bool
can_ask(const struct door *d, unsigned i)
{
	return (d->caps & (i < 3 ? CULVER_AU_VERIFY : i == 3 ?
	    CULVER_AU_USER : CULVER_AU_CREDS)) != 0;
}

static const char *const question[ASKED] = { "a wrong password",
    "the right password", "an unknown user", "lookup_user",
    "lookup_creds" };

static void
judge(const struct door *d, unsigned i, culver_status st)
{
	if (st == usual->st[i] || (can_fail && door_is_failure(st)))
		return;
	/* "no" instead of "no such user" is the same to a client */
	if (door_refuses(usual->st[i]) && st == CULVER_E_AUTH)
		return;
	kit_fail("%s: returned %d %s, and %d when nothing fails: a failure of "
	    "the system must be said to be one", question[i], (int)st,
	    d->b.err.text, (int)usual->st[i]);
}

static void
round_of_calls(struct door *d)
{
	culver_status st;
	unsigned i;

	for (i = 0; i < ASKED; i++) {
		if (!can_ask(d, i))
			continue;
		st = ask(d, i);
		if (!usual->known)
			usual->st[i] = st;
		else
			judge(d, i, st);
	}
}

/* What failed works again; a connection that broke may need a second try, and
 * a server that seemed away may be left alone for a moment. */
static void
must_recover(struct door *d)
{
	const struct timespec moment = { .tv_nsec = 150000000 };
	unsigned i, n;
	culver_status st = CULVER_OK;

	for (i = 0; i < ASKED; i++) {
		for (n = 0; n < AGAIN && can_ask(d, i); n++) {
			if ((st = ask(d, i)) == usual->st[i])
				break;
			nanosleep(&moment, NULL);
		}
		if (n == AGAIN)
			kit_fail("%s: returned %d %s, also when nothing fails "
			    "any more", question[i], (int)st,
			    d->b.err.text);
	}
}

/*
 * In a process of its own, whose calls trace.h and interpose.h look at: all
 * calls, for the user of the command line and for nobody.
 */
static int
play(void *kit)
{
	struct kit *k = kit;
	struct door d;

	can_fail = usual->known;
	meddle_start(TIME);
	if (door_create(&d, k) == CULVER_OK) {
		round_of_calls(&d);
		meddle_stop();
		must_recover(&d);
	} else if (!can_fail) {
		kit_fail("%s: %s", d.b.doing, d.b.err.text);
	}
	meddle_stop();
	door_stop(&d);
	left_end();
	return KIT_DONE;
}

/* Fill *usual, in a process of its own. */
static void
learn(struct kit *k)
{
	struct phrase p;
	struct door d;
	pid_t pid;

	door_fixture(k, 0, &p);
	usual = kit_shared_memory(sizeof(*usual));
	pid = kit_fork();
	if (pid == 0) {
		door_start(&d, k);
		round_of_calls(&d);
		door_stop(&d);
		kit_done();
	}
	if (kit_join(pid) != 0)
		kit_fail("it died when nothing failed");
	usual->known = true;
	if ((k->plugin.desc.caps & CULVER_AU_VERIFY) != 0 &&
	    usual->st[1] != CULVER_OK)
		kit_fail("the right password: returned %d", (int)usual->st[1]);
}

/* --- faults --------------------------------------------------------------- */

static void
failing_calls(struct kit *k)
{
	struct trace_plan plan = { .marked = true };
	const struct meddle_fault *f;
	struct trace_result res;
	bool more = true;
	char what[200];

	if (!trace_can_fail())
		kit_skip("calls cannot be made to fail on this machine");
	learn(k);
	for (plan.nth = 1; more && plan.nth < MEDDLE_RUNS; plan.nth++) {
		more = false;
		for (f = meddle_faults; f->name != NULL; f++) {
			plan.err = f->err;
			plan.shorten = f->shorten;
			if (!trace_run(play, k, &plan, &res))
				kit_skip("processes cannot be traced here");
			snprintf(what, sizeof(what), "call %u (%s) %s",
			    plan.nth, res.hit ? trace_name(res.nr) : "none",
			    f->name);
			meddle_ended(res.status, false, what);
			more |= res.hit;
			k->shared->faults += res.hit && res.fit;
		}
	}
	kit_note("%u calls", plan.nth - 2);
}

static void
failing_memory(struct kit *k)
{
	char what[200];
	unsigned nth;

	learn(k);
	scram_start();
	for (nth = 1; nth < MEDDLE_RUNS; nth++) {
		snprintf(what, sizeof(what), "allocation %u fails", nth);
		if (!meddle_allocation(play, k, nth, what))
			break;
	}
	kit_note("%u allocations", nth - 1);
}

/* --- deadline ------------------------------------------------------------- */

static enum trace_verdict
count(void *ctx, const struct trace_call *c, int *err)
{
	unsigned *calls = ctx;

	(void)c;
	(void)err;
	++*calls;
	return TRACE_GO;
}

/* All calls are late from the start. */
static int
play_late(void *kit)
{
	struct door d;

	can_fail = true;
	door_start(&d, kit);
	meddle_start(TIME);
	d.b.over = true;
	round_of_calls(&d);
	d.b.over = false;
	meddle_stop();
	must_recover(&d);
	door_stop(&d);
	return KIT_DONE;
}

static void
late(struct kit *k)
{
	unsigned calls = 0;
	const struct trace_hooks hooks = { .ctx = &calls, .entry = count,
	    .marked = true };
	int status;

	learn(k);
	if (!trace_follow(play_late, k, &hooks, &status))
		kit_skip("processes cannot be traced here");
	meddle_ended(status, false, "the deadline was over");
	kit_note("%u system calls", calls);
}

static void
stalls(struct kit *k)
{
	bool more = true;
	char what[200];
	unsigned nth;
	int status;

	learn(k);
	for (nth = 1; more; nth++) {
		more = stall_once(play, k, nth, &status);
		snprintf(what, sizeof(what), "call %u stalls", nth);
		meddle_ended(status, false, what);
	}
	kit_note("%u calls", nth - 2);
}

const struct kit_check kit_auth_deadline[] = {
	{ "deadline", "calls whose time is over", late, 120, 0 },
	{ "deadline", "a disk or peer that stalls at every system call",
	    stalls, 3600, 0 },
	{ .group = NULL },
};

const struct kit_check kit_auth_faults[] = {
	{ "faults", "every system call fails", failing_calls, 3600, 0 },
	{ "faults", "every allocation fails", failing_memory, 3600, 0 },
	{ .group = NULL },
};

/* --- for other groups ----------------------------------------------------- */

bool
auth_create_only(struct kit *k)
{
	struct door d;
	culver_status st = door_create(&d, k);

	door_stop(&d);
	return st == CULVER_OK;
}

void
auth_rounds(struct kit *k)
{
	struct door d;
	int i;

	if (usual == NULL)
		learn(k);
	door_start(&d, k);
	for (i = 0; i < 3; i++)
		round_of_calls(&d);
	door_stop(&d);
}

void
auth_cycle(struct kit *k)
{
	auth_rounds(k);
	mem_end();
}
