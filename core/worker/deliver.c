/*
 * deliver.c - add messages to the store (store.h).
 *
 * Runs in worker, as the mailbox's owner; the message is as hostile as any.
 */
#include "config.h"

#include <culver/storage.h>

#include "core/worker/store-private.h"
#include "core/worker/store.h"

culver_status
store_deliver_begin(struct store *s, const struct culver_envelope *env)
{
	struct culver_call call = store_begin(s, STORE_SHORT_CALL);
	culver_status st;

	s->delivery = NULL;
	if ((s->caps & CULVER_ST_DELIVER) == 0)
		return CULVER_E_UNSUPPORTED;
	st = store_end(s, "deliver", s->ops->deliver_begin(s->store, env,
	    &s->delivery, &call), 0);
	if (st != CULVER_OK)
		s->delivery = NULL;
	else if (s->delivery == NULL)
		st = store_broken("deliver_begin", "no delivery");
	return st;
}

culver_status
store_deliver_write(struct store *s, const void *p, size_t n)
{
	struct culver_call call = store_begin(s, STORE_SHORT_CALL);

	return store_end(s, "deliver", s->ops->deliver_write(s->delivery, p, n,
	    &call), 0);
}

culver_status
store_deliver_commit(struct store *s)
{
	struct culver_call call = store_begin(s, STORE_LONG_CALL);
	struct culver_str uid = {NULL, 0};
	struct culver_delivery *d = s->delivery;

	s->delivery = NULL;
	return store_end(s, "deliver", s->ops->deliver_commit(d, &uid, &call),
	    0);
}

void
store_deliver_abort(struct store *s)
{
	if (s->delivery != NULL)
		s->ops->deliver_abort(s->delivery);
	s->delivery = NULL;
}
