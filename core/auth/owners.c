/*
 * owners.c - whose a uid is, where one uid must have one user.
 *
 * Runs in the auth coordinator, only where the kernel cannot keep workers of
 * one uid apart and the configuration does not accept that (shared_uid).
 * The first user that is granted a uid has it until the coordinator is
 * replaced; remembering sessions alone would not do, because mail lies there
 * also when nobody is logged in.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/auth/coord-private.h"

struct owner {
	uint32_t uid;			/* never 0 */
	char *user;			/* NULL: this slot is free */
};

/* The slot of UID, or the free one where it belongs. */
static struct owner *
slot_of(const struct owners *o, uint32_t uid)
{
	size_t i = (uid * UINT32_C(2654435761)) & (o->cap - 1);

	while (o->slot[i].user != NULL && o->slot[i].uid != uid)
		i = (i + 1) & (o->cap - 1);
	return &o->slot[i];
}

/* Room for one more, with a quarter of the slots free at least. */
static _Bool
grow(struct owners *o)
{
	struct owners bigger = {.cap = o->cap > 0 ? 2 * o->cap : 64,
	    .n = o->n};

	if (4 * (o->n + 1) <= 3 * o->cap)
		return 1;
	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		return 0;
	for (size_t i = 0; i < o->cap; i++)
		if (o->slot[i].user != NULL)
			*slot_of(&bigger, o->slot[i].uid) = o->slot[i];
	free(o->slot);
	*o = bigger;
	return 1;
}

const char *
owners_take(struct owners *o, uint32_t uid, const char *user)
{
	struct owner *s;

	if (!grow(o))
		return "";
	s = slot_of(o, uid);
	if (s->user != NULL)
		return strcmp(s->user, user) == 0 ? NULL : s->user;
	*s = (struct owner){.uid = uid, .user = strdup(user)};
	if (s->user == NULL)
		return "";
	o->n++;
	return NULL;
}

void
owners_free(struct owners *o)
{
	for (size_t i = 0; i < o->cap; i++)
		free(o->slot[i].user);
	free(o->slot);
	*o = (struct owners){.n = 0};
}
