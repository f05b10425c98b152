/*
 * rules.c - group storage: what a delivery and a user carry besides text, and
 * check().  Runs in a check.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/tools/kit/model.h"
#include "core/tools/kit/walk.h"

enum { RECEIVED = 1000000000, QUOTA = 3000, FINDINGS = 4 };

/* For hooks: what the user of the next store has. */
static struct culver_user wanted;

static void
with_user(struct box *b)
{
	b->user.u.location = wanted.location;
	b->user.u.quota_octets = wanted.quota_octets;
	b->user.u.quota_messages = wanted.quota_messages;
}

static void
start_with(struct box *b, struct kit *k, const struct culver_user *u)
{
	wanted = *u;
	box_hooks = (struct box_hooks){ .host = with_user };
	box_start(b, k, k->seed);
	box_hooks = (struct box_hooks){ .host = NULL };
}

/* --- quota ---------------------------------------------------------------- */

static void
must_be_over(struct box *b, const char *text, size_t n, const char *what)
{
	char uid[BOX_UID];
	culver_status st = box_deliver(b, text, n, uid);

	if (st != CULVER_E_QUOTA)
		kit_fail("a delivery over the quota of %s: %s returned %d, "
		    "wanted CULVER_E_QUOTA", what, b->doing, (int)st);
}

static void
quota_messages(struct kit *k)
{
	static struct model m;
	struct box b;
	uint32_t removed;
	char *text;
	size_t n;

	model_init(&m, k, TEXT_KINDS);
	start_with(&b, k, &(struct culver_user){ .quota_messages = 3 });
	model_put(&m, &b, 3);
	text = text_make(m.next, &n);
	must_be_over(&b, text, n, "3 messages");
	free(text);
	model_check(&m, &b);
	if ((b.caps & CULVER_ST_READONLY) == 0) {
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
		if (box_expunge(&b, (uint32_t[]){ 1 }, 1, &removed) !=
		    CULVER_OK)
			kit_fail("expunge: %s", b.err.text);
		box_close(&b);
		m.m[1].there = false;
		model_put(&m, &b, 1);
		model_check(&m, &b);
	}
	box_stop(&b);
}

/* Sizes far from the limit, which a plugin may count as it stores them. */
static void
quota_octets(struct kit *k)
{
	static const char head[] = "Subject: x\r\n\r\n";
	char text[2 * QUOTA + 1], uid[BOX_UID];
	struct box b;
	size_t i;

	for (i = 0; i < sizeof(text) - 1; i++)
		text[i] = i < sizeof(head) - 1 ? head[i] : i % 50 == 48 ?
		    '\r' : i % 50 == 49 ? '\n' : 'a';
	start_with(&b, k, &(struct culver_user){ .quota_octets = QUOTA });
	must_be_over(&b, text, 2 * QUOTA, "3000 octets");
	if (box_deliver(&b, text, QUOTA / 2, uid) != CULVER_OK)
		kit_fail("half of what the quota allows: %s", b.err.text);
	must_be_over(&b, text, QUOTA, "3000 octets");
	if (box_deliver(&b, text, QUOTA / 6, uid) != CULVER_OK)
		kit_fail("two thirds of what the quota allows: %s",
		    b.err.text);
	box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (b.n != 2)
		kit_fail("%u messages are there, 2 were delivered", b.n);
	box_stop(&b);
}

void
rules_quota(struct kit *k)
{
	quota_messages(k);
	kit_fresh_home(k);
	quota_octets(k);
}

/* --- what a message had in another mailbox -------------------------------- */

static const struct culver_message *
listed(const struct box *b, const char *uid)
{
	uint32_t i;

	for (i = 0; i < b->n; i++)
		if (strcmp(b->msg[i].uid, uid) == 0)
			return &b->msg[i];
	kit_fail("no message has the uid %s that deliver_commit gave", uid);
}

static const char text[] = "Subject: moved\r\n\r\nHello.\r\n";
static const char other[] = "Subject: another\r\n\r\nHello, too.\r\n";

static culver_status
deliver_moved(struct box *b, const char *uid, const char *what,
    char got[BOX_UID])
{
	culver_status st;

	b->env_uid = uid;
	b->env_received = RECEIVED;
	st = box_deliver(b, what, strlen(what), got);
	b->env_uid = NULL;
	b->env_received = 0;
	return st;
}

/* A second message with the same one is refused, or gets a new one: it is not
 * known before it is listed. */
static void
deliver_again(struct box *b, const char *uid)
{
	char got[BOX_UID], *wire;
	culver_status st = deliver_moved(b, uid, other, got);
	uint32_t i;
	size_t n;

	if (st != CULVER_OK && st != CULVER_E_PERM)
		kit_fail("a second message with the uid %s: returned %d, "
		    "wanted CULVER_E_PERM or a new uid", uid, (int)st);
	box_must_open(b, CULVER_OPEN_EXCLUSIVE);
	if (b->n != (st == CULVER_OK ? 2 : 1))
		kit_fail("%u messages are there", b->n);
	for (i = 0; i < b->n; i++) {
		if (box_read(b, i, &wire, &n) != CULVER_OK)
			kit_fail("read: %s", b->err.text);
		if ((strcmp(b->msg[i].uid, uid) == 0) !=
		    (n == sizeof(text) - 1 && memcmp(wire, text, n) == 0))
			kit_fail("the uid %s went to the message that came "
			    "later with it", uid);
		free(wire);
	}
	box_close(b);
}

void
rules_moved(struct kit *k)
{
	static const char kept[] = "Kept.uid:7_x";
	const struct culver_message *m;
	bool keeps = (k->plugin.desc.caps & CULVER_ST_KEEP_UID) != 0;
	char got[BOX_UID];
	struct box b;

	box_start(&b, k, k->seed);
	if (deliver_moved(&b, kept, text, got) != CULVER_OK)
		kit_fail("%s: %s", b.doing, b.err.text);
	if (keeps && strcmp(got, kept) != 0)
		kit_fail("CULVER_ST_KEEP_UID: a message with the uid %s got "
		    "%s", kept, got);
	box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (got[0] == '\0' && b.n == 1)
		memcpy(got, b.msg[0].uid, strlen(b.msg[0].uid) + 1);
	m = listed(&b, got);
	if (m->received != 0 && m->received != RECEIVED)
		kit_fail("the envelope says that it was received at %d, and "
		    "list says %lld", RECEIVED, (long long)m->received);
	box_close(&b);
	if (keeps)
		deliver_again(&b, kept);
	box_stop(&b);
}

/* --- location ------------------------------------------------------------- */

void
rules_location(struct kit *k)
{
	static struct model m;
	char path[PATH_MAX];
	culver_status st;
	struct box b;

	snprintf(path, sizeof(path), "%s/elsewhere", k->home);
	model_init(&m, k, TEXT_KINDS);
	start_with(&b, k, &(struct culver_user){ .location = path });
	model_put(&m, &b, 2);
	model_check(&m, &b);
	box_stop(&b);
	/* not where the option says */
	st = box_create(&b, k, k->seed);
	if (st == CULVER_OK)
		st = box_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (st == CULVER_OK && b.n > 0)
		kit_fail("the user's location is %s, and his mail is where "
		    "the options say", path);
	box_stop(&b);
	start_with(&b, k, &(struct culver_user){ .location = path });
	model_check(&m, &b);
	box_stop(&b);
}

/* --- check() -------------------------------------------------------------- */

static void
check_finds_nothing(struct box *b)
{
	struct culver_str found[FINDINGS + 1];
	uint32_t cap = 1 + kit_below(&b->rng, FINDINGS), n = UINT32_MAX;
	culver_status st;

	memset(found, 0xA5, sizeof(found));
	st = box_end(b, b->ops->check(b->store, found, cap, &n,
	    box_begin(b, "check")), false);
	if (st != CULVER_OK)
		kit_fail("check: returned %d: %s", (int)st, b->err.text);
	if (((unsigned char *)&found[cap])[0] != 0xA5 || n > cap)
		kit_fail("check: %u findings, CAP %u", n, cap);
	if (n > 0)
		kit_fail("check: nothing was damaged, and it says: %.200s",
		    found[0].p);
}

void
rules_check(struct kit *k)
{
	static struct model m;
	struct box b;
	int i;

	model_init(&m, k, 0);
	box_start(&b, k, k->seed);
	model_put(&m, &b, TEXT_KINDS);
	for (i = 0; i < 3; i++) {
		check_finds_nothing(&b);
		model_check(&m, &b);
		model_put(&m, &b, 2);
	}
	box_stop(&b);
}
