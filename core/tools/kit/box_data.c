/*
 * box_data.c - listing one message, reading, removing and adding through the
 * table; see box.h.  Runs in a check.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/tools/kit/box.h"

enum { EXTENTS = 16 };

void
box_list_any(struct box *b)
{
	uint32_t i = kit_below(&b->rng, b->n + 2), n = UINT32_MAX;
	struct culver_message one;
	culver_status st = box_end(b, b->ops->list(b->mb, i, &one, 1, &n,
	    box_begin(b, "list")), true);

	if (st < CULVER_OK)
		kit_fail("list: returned %d: %s", (int)st, b->err.text);
	if (i >= b->n ? st != CULVER_DONE || n != 0 : n != 1 ||
	    strcmp(one.uid, b->msg[i].uid) != 0)
		kit_fail("list from message %u of %u: status %d, %u messages, "
		    "or another one than before", i, b->n, (int)st, n);
}

/* One next(); the extents are taken. */
static culver_status
next(struct box *b, struct culver_content *c, struct taken *t)
{
	uint32_t cap = 1 + kit_below(&b->rng, EXTENTS), n = UINT32_MAX, i;
	struct culver_extent e[EXTENTS + 1];
	culver_status st;

	memset(e, 0xA5, sizeof(e));
	st = box_end(b, b->ops->next(c, e, cap, &n, box_begin(b, "next")),
	    true);
	if (st < CULVER_OK)
		return st;
	if (st == CULVER_DONE ? n != 0 : n == 0 || n > cap)
		kit_fail("next: status %d with %u extents, CAP %u", (int)st, n,
		    cap);
	if (((unsigned char *)&e[cap])[0] != 0xA5)
		kit_fail("next: wrote behind the %u of CAP", cap);
	for (i = 0; st == CULVER_OK && i < n; i++)
		take_extent(t, &e[i], "next");
	return st;
}

/* Read until the end or MAX octets. */
static culver_status
fetch(struct box *b, uint32_t index, size_t max, struct taken *t)
{
	struct culver_content *c = NULL;
	struct culver_error err;
	culver_status st;

	*t = (struct taken){ .n = 0 };
	st = box_end(b, b->ops->read(b->mb, index, &c, box_begin(b, "read")),
	    false);
	if (st != CULVER_OK)
		return st;
	if (c == NULL)
		kit_fail("read: OK, and no content");
	do
		st = next(b, c, t);
	while (st == CULVER_OK && t->n < max);
	err = b->err;
	box_begin(b, "done");
	b->ops->done(c);
	if (box_hooks.after != NULL)
		box_hooks.after(b, CULVER_OK);
	if (st < CULVER_OK) {		/* that is what a report is about */
		b->err = err;
		b->doing = "next";
	}
	return st;
}

culver_status
box_read(struct box *b, uint32_t index, char **wire, size_t *n)
{
	struct taken t;
	culver_status st = fetch(b, index, SIZE_MAX, &t);

	*wire = NULL;
	if (st == CULVER_DONE) {
		*wire = take_wire(t.raw != NULL ? t.raw : "", t.n, n);
		st = CULVER_OK;
		if ((b->msg[index].flags & CULVER_MSG_OCTETS_EXACT) != 0 &&
		    b->msg[index].octets != *n)
			kit_fail("list: message %u (%s) is said to have "
			    "exactly %llu octets, and has %zu", index,
			    b->msg[index].uid,
			    (unsigned long long)b->msg[index].octets, *n);
		if ((b->msg[index].flags & CULVER_MSG_OCTETS_EXACT) == 0)
			box_put_octets(b, index, *n);
	}
	free(t.raw);
	return st;
}

void
box_peek(struct box *b, uint32_t index, size_t max)
{
	struct taken t;
	culver_status st = fetch(b, index, max, &t);

	if (st < CULVER_OK)
		kit_fail("read of message %u: returned %d: %s", index, (int)st,
		    b->err.text);
	free(t.raw);
}

culver_status
box_expunge(struct box *b, const uint32_t *index, uint32_t n,
    uint32_t *removed)
{
	struct {
		struct culver_expunge_result r;
		unsigned char later[BOX_TAIL];
	} res;
	culver_status st;

	memset(&res, 0xA5, sizeof(res));
	res.r = (struct culver_expunge_result){ .size = sizeof(res.r),
	    .removed = UINT32_MAX };
	st = box_end(b, b->ops->expunge(b->mb, index, n, &res.r,
	    box_begin(b, "expunge")), false);
	if (res.r.removed > n)
		kit_fail("expunge: says that %u of %u are gone (status %d)",
		    res.r.removed, n, (int)st);
	if (st == CULVER_OK && res.r.removed != n)
		kit_fail("expunge: OK, but only %u of %u are gone",
		    res.r.removed, n);
	if (st != CULVER_OK && res.r.removed > 0 &&
	    (b->caps & CULVER_ST_ATOMIC_EXPUNGE) != 0)
		kit_fail("expunge: CULVER_ST_ATOMIC_EXPUNGE, and %u of %u are "
		    "gone after %d", res.r.removed, n, (int)st);
	*removed = res.r.removed;
	return st;
}

static culver_status
deliver_begin(struct box *b, struct culver_delivery **d, size_t n)
{
	struct {
		struct culver_envelope e;
		unsigned char later[BOX_TAIL];
	} env;
	culver_status st;

	memset(&env, 0xA5, sizeof(env));
	env.e = (struct culver_envelope){ .size = sizeof(env.e),
	    .sender = kit_below(&b->rng, 3) == 0 ? "" : "a@example.org",
	    .recipient = b->user.u.name,
	    .octets_hint = kit_below(&b->rng, 2) == 0 ? n : 0,
	    .uid = b->env_uid, .received = b->env_received };
	*d = NULL;
	st = box_end(b, b->ops->deliver_begin(b->store, &env.e, d,
	    box_begin(b, "deliver_begin")), false);
	if (st == CULVER_OK && *d == NULL)
		kit_fail("deliver_begin: OK, and no delivery");
	return st;
}

/* Begin and write; *d is NULL when it failed, and the delivery is over. */
static culver_status
deliver_text(struct box *b, const char *text, size_t n,
    struct culver_delivery **d)
{
	culver_status st = deliver_begin(b, d, n);
	size_t at, k, max;

	if (st != CULVER_OK) {
		*d = NULL;
		return st;
	}
	max = kit_below(&b->rng, 3) == 0 ? 1 + n / 50 : 65536;
	for (at = 0; at < n && st == CULVER_OK; at += k) {
		k = 1 + kit_below(&b->rng, (uint32_t)max);
		k = k < n - at ? k : n - at;
		st = box_end(b, b->ops->deliver_write(*d, text + at, k,
		    box_begin(b, "deliver_write")), false);
	}
	if (st == CULVER_OK)
		return st;
	box_begin(b, "deliver_abort");
	b->ops->deliver_abort(*d);
	if (box_hooks.after != NULL)
		box_hooks.after(b, CULVER_OK);
	*d = NULL;
	return st;
}

culver_status
box_deliver(struct box *b, const char *text, size_t n, char *uid)
{
	struct culver_str id = { NULL, 0 };
	struct culver_delivery *d;
	culver_status st;

	uid[0] = '\0';
	st = deliver_text(b, text, n, &d);
	if (st != CULVER_OK)
		return st;
	st = b->ops->deliver_commit(d, &id, box_begin(b, "deliver_commit"));
	if (st == CULVER_E_QUOTA && (b->user.u.quota_octets != 0 ||
	    b->user.u.quota_messages != 0)) {
		box_end(b, CULVER_E_NOSPACE, false);	/* as that one */
		return st;
	}
	st = box_end(b, st, false);
	if (st != CULVER_OK || id.p == NULL)
		return st;
	if (id.n == 0 || id.n >= BOX_UID || id.p[id.n] != '\0' ||
	    strlen(id.p) != id.n)
		kit_fail("deliver_commit: the uid is no text of 1 to 70 "
		    "octets with a NUL behind it");
	memcpy(uid, id.p, id.n + 1);
	return st;
}

void
box_deliver_abort(struct box *b, const char *text, size_t n)
{
	struct culver_delivery *d;

	if (deliver_text(b, text, n, &d) != CULVER_OK)
		kit_fail("%s: %s", b->doing, b->err.text);
	box_begin(b, "deliver_abort");
	b->ops->deliver_abort(d);
	if (box_hooks.after != NULL)
		box_hooks.after(b, CULVER_OK);
}

void
box_put_octets(struct box *b, uint32_t index, uint64_t octets)
{
	if ((b->caps & CULVER_ST_SIZE_CACHE) == 0)
		return;
	box_end(b, b->ops->put_octets(b->mb, index, octets,
	    box_begin(b, "put_octets")), false);
}

void
box_side_calls(struct box *b)
{
	culver_status st = CULVER_OK;

	if ((b->caps & CULVER_ST_KEEPALIVE) != 0 && b->mb != NULL)
		st = box_end(b, b->ops->keepalive(b->mb,
		    box_begin(b, "keepalive")), false);
	if (st != CULVER_OK)
		kit_fail("%s: returned %d: %s", b->doing, (int)st,
		    b->err.text);
}
