/*
 * scene.c - the scenes, and what may be left of them; see scene.h.
 *
 * Runs in a check: scene_play() in a child that may be killed anywhere.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/tools/kit/interpose.h"
#include "core/tools/kit/left.h"
#include "core/tools/kit/meddle.h"
#include "core/tools/kit/scene.h"
#include "core/tools/kit/trace.h"

#define WAIT (NS_PER_S / 5)	/* for a lock that a fault left behind */

enum { SETTLED_S = 10, FIRST = 2 * 23 };	/* the first one is large */

struct told *scene_told;

/* What scene_prepare() made, and the kit that it made it with. */
static struct model before;
static struct kit *scene_kit;

/* --- in the child ----------------------------------------------------------- */

static void
put(struct box *b)
{
	struct told_put *t = &scene_told->put[scene_told->puts];
	char uid[BOX_UID];
	size_t n;
	char *text = text_make(before.next + scene_told->puts, &n);

	scene_told->puts++;
	t->tried = true;
	t->st = box_deliver(b, text, n, uid);
	memcpy(t->uid, uid, sizeof(uid));
	t->answered = true;
	free(text);
}

/* Open; what a client could see is told. */
static bool
see(struct box *b, uint32_t flags)
{
	struct told *t = scene_told;
	uint32_t i;

	if (box_open(b, flags) != CULVER_OK)
		return false;
	for (i = 0; i < b->n && i < SCENE_UIDS; i++)
		memcpy(t->uid[i], b->msg[i].uid, strlen(b->msg[i].uid) + 1);
	t->n = b->n;
	t->listed = true;
	return true;
}

/* Where in the model is the message with this UIDL? */
static uint32_t
place(const char *uid)
{
	uint32_t i;

	for (i = 0; i < before.n; i++)
		if (strcmp(before.m[i].uid, uid) == 0)
			return i;
	kit_fail("list: an unchanged mailbox has a message %s that was not "
	    "there before", uid);
}

/* Remove every STEP-th message. */
static void
expunge(struct box *b, uint32_t step)
{
	struct told *t = scene_told;
	uint32_t index[SCENE_UIDS], i, n = 0;

	for (i = 0; i < b->n; i += step) {
		t->expunge.at[n] = place(b->msg[i].uid);
		index[n++] = i;
	}
	t->expunge.n = n;
	t->expunge.tried = true;
	t->expunge.st = box_expunge(b, index, n, &t->expunge.removed);
	t->expunge.answered = true;
}

static void
play_deliver(struct kit *k, struct box *b)
{
	(void)k;
	put(b);
	put(b);
}

static void
play_open(struct kit *k, struct box *b)
{
	(void)k;
	see(b, CULVER_OPEN_EXCLUSIVE);
}

static void
play_open_readonly(struct kit *k, struct box *b)
{
	(void)k;
	see(b, CULVER_OPEN_READONLY);
}

static void
play_read(struct kit *k, struct box *b)
{
	uint32_t i;
	char *wire;
	size_t n;

	(void)k;
	if (!see(b, CULVER_OPEN_EXCLUSIVE))
		return;
	for (i = 0; i < b->n; i++)
		if (box_read(b, i, &wire, &n) == CULVER_OK)
			free(wire);
}

static void
play_expunge(struct kit *k, struct box *b)
{
	(void)k;
	if (see(b, CULVER_OPEN_EXCLUSIVE))
		expunge(b, 2);
}

static void
play_expunge_all(struct kit *k, struct box *b)
{
	(void)k;
	if (see(b, CULVER_OPEN_EXCLUSIVE))
		expunge(b, 1);
}

/* Mail arrives during the session, before and after its UPDATE. */
static void
play_both(struct kit *k, struct box *b)
{
	(void)k;
	if (!see(b, CULVER_OPEN_EXCLUSIVE))
		return;
	put(b);
	expunge(b, 2);
	put(b);
}

#define DELIVER CULVER_ST_DELIVER

const struct scene scenes[] = {
	{ "deliver", 3, true, false, play_deliver, DELIVER },
	{ "deliver into a new mailbox", 0, false, false, play_deliver,
	    DELIVER },
	{ "expunge", SCENE_OLD, true, false, play_expunge, 0 },
	{ "expunge all", 3, true, true, play_expunge_all, 0 },
	{ "deliver and expunge", 4, true, false, play_both, DELIVER },
	{ "first session", SCENE_OLD, false, false, play_open, 0 },
	{ "first session, read-only", 3, false, true, play_open_readonly, 0 },
	{ "unchanged mailbox", SCENE_OLD, true, true, play_open, 0 },
	{ "read", SCENE_OLD, true, true, play_read, 0 },
	{ .name = NULL },
};

bool
scene_fits(const struct kit *k, const struct scene *s)
{
	uint64_t caps = k->plugin.desc.caps;
	bool removes = s->play == play_expunge || s->play == play_both ||
	    s->play == play_expunge_all;

	return (s->caps & ~caps) == 0 && model_can_put(k) &&
	    !(removes && (caps & CULVER_ST_READONLY) != 0);
}

int
scene_play(void *scene)
{
	const struct scene *s = scene;
	struct box b;

	meddle_start(WAIT);
	interpose.ahead = s->settled ? SETTLED_S : 0;
	if (box_create(&b, scene_kit, scene_kit->seed) == CULVER_OK)
		s->play(scene_kit, &b);
	box_stop(&b);
	trace_end();
	left_end();
	return KIT_DONE;
}

/* --- before and after ------------------------------------------------------- */

void
scene_prepare(struct kit *k, const struct scene *s)
{
	struct box b;
	uint32_t i;
	size_t n;

	if (scene_told == NULL)
		scene_told = kit_shared_memory(sizeof(*scene_told));
	memset(scene_told, 0, sizeof(*scene_told));
	scene_kit = k;
	kit_fresh_home(k);
	model_init(&before, k, FIRST);
	if (s->old > 0) {
		box_start(&b, k, k->seed);
		model_put(&before, &b, s->old);
		if (s->known)
			model_check(&before, &b);
		box_stop(&b);
	}
	interpose.ahead = s->settled ? SETTLED_S : 0;
	/* for the children, which compare with them */
	for (i = 0; i < SCENE_UIDS; i++)
		text_wire(FIRST + i, &n);
}

static char context[256];

void
scene_context(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
}

/* What may be there, and what must, after what was told. */
static void
expect(const struct told *t, enum scene_end end, struct model *m)
{
	bool atomic = (scene_kit->plugin.desc.caps &
	    CULVER_ST_ATOMIC_EXPUNGE) != 0;
	uint32_t i;

	*m = before;
	for (i = 0; i < t->puts; i++) {
		struct model_message *e = &m->m[m->n++];

		*e = (struct model_message){ .nr = m->next++ };
		e->there = t->put[i].answered && t->put[i].st == CULVER_OK;
		/* a failure that a cut made of it may not have got through */
		e->maybe = t->put[i].tried && (t->put[i].answered ?
		    t->put[i].st != CULVER_OK && end == SCENE_CUT :
		    end != SCENE_DONE);
		if (e->there)
			memcpy(e->uid, t->put[i].uid, sizeof(e->uid));
	}
	for (i = 0; t->expunge.tried && i < t->expunge.n; i++) {
		struct model_message *e = &m->m[t->expunge.at[i]];

		if (t->expunge.answered && t->expunge.st != CULVER_OK &&
		    atomic && end != SCENE_CUT)
			continue;
		e->there = false;
		e->maybe = !t->expunge.answered ||
		    t->expunge.st != CULVER_OK;
	}
}

/* How many of the set that was to be removed are gone? */
static void
check_removed(const struct told *t, enum scene_end end, const struct model *m)
{
	uint32_t gone = 0, i;

	for (i = 0; i < t->expunge.n; i++)
		gone += !m->m[t->expunge.at[i]].seen;
	if ((scene_kit->plugin.desc.caps & CULVER_ST_ATOMIC_EXPUNGE) != 0 &&
	    gone != 0 && gone != t->expunge.n) {
		kit_shared->losses++;
		kit_fail("CULVER_ST_ATOMIC_EXPUNGE, and %u of %u are gone",
		    gone, t->expunge.n);
	}
	if (t->expunge.answered && end == SCENE_FAULT &&
	    gone != t->expunge.removed)
		kit_fail("expunge: returned %d and said that %u are gone; %u "
		    "of %u are", (int)t->expunge.st, t->expunge.removed, gone,
		    t->expunge.n);
}

/* Was a client shown a UIDL that nothing has any more? */
static void
check_shown(const struct told *t, const struct model *m, const struct box *b)
{
	uint32_t i, k, missing = 0, fewer = 0;

	for (i = 0; t->listed && i < t->n; i++) {
		for (k = 0; k < b->n; k++)
			if (strcmp(t->uid[i], b->msg[k].uid) == 0)
				break;
		missing += k == b->n;
	}
	for (i = 0; i < before.n; i++)
		fewer += !m->m[i].seen;
	if (missing > fewer)
		kit_fail("%u UIDLs that a session showed are gone, and %u "
		    "messages are", missing, fewer);
}

static void
check_once(struct kit *k, const struct told *t, enum scene_end end,
    uint64_t seed)
{
	static struct model m;
	struct box b;

	expect(t, end, &m);
	box_start(&b, k, seed);
	box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
	model_compare(&m, &b, NULL);
	if (t->expunge.tried)
		check_removed(t, end, &m);
	check_shown(t, &m, &b);
	box_close(&b);
	/* what was there stays there, by whatever the session kept; and the
	 * mailbox takes mail */
	for (uint32_t i = 0; i < m.n; i++) {
		m.m[i].there = m.m[i].seen;
		m.m[i].maybe = false;
	}
	m.next += 1000;
	if ((b.caps & CULVER_ST_DELIVER) != 0)
		model_put(&m, &b, 1);
	model_check(&m, &b);
	box_stop(&b);
}

void
scene_check(struct kit *k, const struct told *told, enum scene_end end)
{
	int status;
	pid_t pid = kit_fork();

	if (pid == 0) {
		check_once(k, told, end, k->seed + 1);
		kit_done();
	}
	while (waitpid(pid, &status, 0) != pid && errno == EINTR)
		continue;
	if (status == KIT_DONE << 8)
		return;
	/* say what came before, in front of what is wrong */
	if (WIFSIGNALED(status))
		kit_fail("%s: then a session died of signal %d (%s)", context,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	{
		char text[sizeof(k->shared->fail)];

		memcpy(text, k->shared->fail, sizeof(text));
		k->shared->fail[0] = '\0';
		kit_fail("%s: then %s", context, text);
	}
}
