/*
 * walk.c - random walks over a mailbox, mirrored on the model.
 *
 * Runs in a check.  A walk is sessions, deliveries before, between and amid
 * them, and sometimes a new store in place of the old one, as after a reload.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/kit/model.h"
#include "core/tools/kit/walk.h"

enum { SESSIONS = 12, STEPS = 14 };

/* Remove a random set of what is listed. */
static void
expunge_some(struct model *m, struct box *b, const uint32_t *at)
{
	uint32_t *index = calloc(b->n + 1, sizeof(*index)), n = 0, removed, i;
	uint32_t one_in = 1 + kit_below(&b->rng, 4);
	culver_status st;

	if (index == NULL)
		kit_fail("no memory");
	for (i = 0; i < b->n; i++)
		if (kit_below(&b->rng, one_in) == 0)
			index[n++] = i;
	st = n == 0 ? CULVER_OK : box_expunge(b, index, n, &removed);
	if ((b->caps & CULVER_ST_READONLY) != 0) {
		if (n > 0 && st != CULVER_E_PERM)
			kit_fail("expunge: CULVER_ST_READONLY, and it returned "
			    "%d", (int)st);
	} else if (st != CULVER_OK) {
		kit_fail("expunge of %u: returned %d: %s", n, (int)st,
		    b->err.text);
	} else {
		for (i = 0; i < n; i++)
			m->m[at[index[i]]].there = false;
	}
	free(index);
}

/* Something that changes nothing of the open snapshot. */
static void
step(struct model *m, struct box *b)
{
	uint32_t i = kit_below(&b->rng, b->n);
	char *text;
	size_t n;

	switch (kit_below(&b->rng, 7)) {
	case 0:
		box_relist(b);
		break;
	case 1:
	case 2:
		if (b->n > 0)
			box_peek(b, i, 1 + kit_below(&b->rng, 3000));
		break;
	case 3:
		box_side_calls(b);
		break;
	case 4:
		if ((b->caps & CULVER_ST_DELIVER) != 0)
			model_put(m, b, 1);
		break;
	case 5:
		if ((b->caps & CULVER_ST_DELIVER) == 0)
			break;
		text = text_make(1000000, &n);
		box_deliver_abort(b, text, n);
		free(text);
		break;
	default:
		if (b->n > 0 && box_read(b, i, &text, &n) != CULVER_OK)
			kit_fail("read again: %s", b->err.text);
		if (b->n > 0)
			free(text);
	}
}

static void
session(struct model *m, struct box *b)
{
	bool readonly = kit_below(&b->rng, 4) == 0;
	uint32_t *at, steps = kit_below(&b->rng, STEPS), before;

	box_must_open(b, readonly ? CULVER_OPEN_READONLY :
	    CULVER_OPEN_EXCLUSIVE);
	at = calloc(b->n + 1, sizeof(*at));
	if (at == NULL)
		kit_fail("no memory");
	model_compare(m, b, at);
	for (before = b->n; steps > 0; steps--)
		step(m, b);
	box_relist(b);
	if (b->n != before)
		kit_fail("list: the snapshot grew");
	if (!readonly && kit_below(&b->rng, 2) == 0)
		expunge_some(m, b, at);
	free(at);
	box_close(b);
}

void
walk_one(struct kit *k, uint64_t seed, unsigned sessions)
{
	static struct model m;
	struct box b;
	unsigned i;

	model_init(&m, k, kit_below(&seed, 2) == 0 ? 0 : TEXT_KINDS);
	box_start(&b, k, seed);
	for (i = 0; i < sessions; i++) {
		if (kit_below(&b.rng, 3) != 0)
			model_put(&m, &b, kit_below(&b.rng, 6));
		session(&m, &b);
		if (kit_below(&b.rng, 3) == 0) {
			uint64_t next = kit_random(&b.rng);

			box_stop(&b);
			box_start(&b, k, next);
		}
	}
	model_check(&m, &b);
	box_stop(&b);
}

/* Each walk in a process of its own: what it leaves in memory is not seen by
 * the next. */
static void
walks(struct kit *k)
{
	uint32_t i;

	if (!model_can_put(k))
		kit_skip("no CULVER_ST_DELIVER and no --fixture");
	for (i = 0; i < k->soak; i++) {
		pid_t pid;
		int status;

		kit_fresh_home(k);
		pid = kit_fork();
		if (pid == 0) {
			walk_one(k, k->seed + i, SESSIONS);
			kit_done();
		}
		status = kit_join(pid);
		if (status != 0)
			kit_fail("walk %u ended with status 0x%x: %s", i,
			    (unsigned)status, status > 0 ?
			    strsignal(WTERMSIG(status)) : "exit()");
	}
	kit_note("%u walks of %d sessions", k->soak, SESSIONS);
}

/* Sessions in processes of their own see the same UIDLs. */
static void
stable(struct kit *k)
{
	static struct model m;
	struct box b;
	char *uids;
	uint32_t i, round;
	size_t room = 64 * BOX_UID;

	model_init(&m, k, TEXT_KINDS);
	box_start(&b, k, k->seed);
	model_put(&m, &b, 64);
	model_check(&m, &b);
	box_stop(&b);
	uids = kit_shared_memory(room);
	for (round = 0; round < 3; round++) {
		pid_t pid = kit_fork();

		if (pid != 0) {
			if (kit_join(pid) != 0)
				kit_fail("a session died");
			continue;
		}
		box_start(&b, k, round);
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
		for (i = 0; i < 64 && b.n == 64; i++) {
			char *u = uids + i * BOX_UID;

			if (round == 0)
				memcpy(u, b.msg[i].uid,
				    strlen(b.msg[i].uid) + 1);
			else if (strcmp(u, b.msg[i].uid) != 0)
				kit_fail("message %u of an unchanged mailbox "
				    "was %s, is %s", i, u, b.msg[i].uid);
		}
		model_compare(&m, &b, NULL);
		box_stop(&b);
		kit_done();
	}
}

/* With 0, 1 and 2 messages, and without any again. */
static void
few(struct kit *k)
{
	static struct model m;
	uint32_t index[2] = { 0, 1 }, removed, n;
	struct box b;

	model_init(&m, k, TEXT_KINDS);
	box_start(&b, k, k->seed);
	model_check(&m, &b);
	for (n = 1; n <= 2; n++) {
		model_put(&m, &b, n);
		model_check(&m, &b);
		if ((b.caps & CULVER_ST_READONLY) != 0)
			break;
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
		if (box_expunge(&b, index, n, &removed) != CULVER_OK)
			kit_fail("expunge: %s", b.err.text);
		box_close(&b);
		m.m[m.n - 1].there = m.m[m.n - n].there = false;
		model_check(&m, &b);
	}
	box_stop(&b);
}

/* Two stores of one user, of which the second sees what the first did. */
static void
two_stores(struct kit *k)
{
	static struct model m;
	struct box a, b;

	model_init(&m, k, TEXT_KINDS);
	box_start(&a, k, k->seed);
	box_start(&b, k, k->seed + 1);
	model_put(&m, &a, 3);
	model_check(&m, &b);
	box_must_open(&a, CULVER_OPEN_EXCLUSIVE);
	model_put(&m, &b, 2);
	box_relist(&a);
	if (a.n != 3)
		kit_fail("3 messages were there, %u are listed", a.n);
	box_close(&a);
	model_check(&m, &a);
	box_stop(&a);
	model_check(&m, &b);
	box_stop(&b);
}

const struct kit_check kit_storage[] = {
	{ "storage", "0, 1 and 2 messages", few, 60, 0 },
	{ "storage", "line ends and odd messages", lines_check, 60, 0 },
	{ "storage", "an unchanged mailbox is listed the same", stable, 60,
	    0 },
	{ "storage", "two stores of one user", two_stores, 60,
	    CULVER_ST_DELIVER },
	{ "storage", "one session a mailbox", lock_check, 60, 0 },
	{ "storage", "a session that was killed leaves no lock", lock_killed,
	    60, 0 },
	{ "storage", "an absent mailbox is no empty one", absent_check, 60,
	    0 },
	{ "storage", "quotas", rules_quota, 60, CULVER_ST_DELIVER },
	{ "storage", "uid and time of a message that was moved", rules_moved,
	    60, CULVER_ST_DELIVER },
	{ "storage", "a user's own location", rules_location, 60,
	    CULVER_ST_DELIVER },
	{ "storage", "check() of what is not damaged", rules_check, 60,
	    CULVER_ST_DELIVER | CULVER_ST_CHECK },
	{ "storage", "random walks", walks, 3600, 0 },
	{ .group = NULL },
};
