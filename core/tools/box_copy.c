/*
 * box_copy.c - the two ends of `culverctl mailbox copy`, in their mailboxes.
 *
 * Runs in a worker, as the mailbox's owner and confined.  One end says what
 * each message is (SUMS) and sends some (SEND), the other takes them (TAKE);
 * culverctl is between them and decides.  Messages travel in wire form, so
 * that the same message has the same sum in every storage.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tools/ctl_mailbox.h"
#include "core/worker/store.h"


struct end {
	struct store *store;
	const struct box_job *job;
	struct frame_done *done;
	uint8_t last;			/* octet in wire form */
	struct frame_sum sum;
	size_t n;
	uint8_t out[FRAME_MAX];
	uint8_t in[FRAME_MAX];
};

/* --- a message in wire form ------------------------------------------------ */

/* Not cryptographic, but nobody knows the seed: it finds what is not equal. */
static void
mix(struct box_sum *s, uint8_t c)
{
	static const uint64_t by[2] = {UINT64_C(0x9e3779b97f4a7c15),
	    UINT64_C(0xd6e8feb86659fd93)};

	for (int i = 0; i < 2; i++) {
		s->hash[i] = (s->hash[i] ^ c) * by[i];
		s->hash[i] ^= s->hash[i] >> 29;
	}
	s->octets++;
	s->last = c;
}

void
box_sum_begin(struct box_sum *s, const struct box_job *job)
{
	*s = (struct box_sum){.hash = {job->seed[0], job->seed[1]}};
}

void
box_sum_add(struct box_sum *s, const uint8_t *p, size_t n)
{
	for (; n > 0; p++, n--) {
		if (*p == '\n' && s->last != '\r' && !s->raw)
			mix(s, '\r');
		mix(s, *p);
	}
}

void
box_sum_end(struct box_sum *s)
{
	if (s->octets == 0 || s->last == '\n' || s->raw)
		return;
	mix(s, '\r');		/* also behind a CR, which is not of it */
	mix(s, '\n');
}

static culver_status
flush(struct end *e)
{
	size_t n = e->n;

	e->n = 0;
	return n == 0 || frame_put(e->job->fd, FRAME_DATA, e->out, n) ?
	    CULVER_OK : CULVER_E_TEMP;
}

static void
put(struct end *e, uint8_t c)
{
	e->out[e->n++] = e->last = c;
}

/* N octets as they are stored: each line end becomes CRLF. */
static culver_status
add(struct end *e, const uint8_t *p, size_t n)
{
	culver_status st = CULVER_OK;

	for (; n > 0 && st == CULVER_OK; p++, n--) {
		if (*p == '\n' && e->last != '\r')
			put(e, '\r');
		put(e, *p);
		if (e->n >= FRAME_MAX - 4)
			st = flush(e);
	}
	return st;
}

/* Message I whole: into SUM or, if that is NULL, to culverctl. */
static culver_status
message(struct end *e, uint32_t i, struct box_sum *sum)
{
	struct store_reader r;
	const uint8_t *p;
	culver_status st = store_read(e->store, i, &r);
	size_t n;

	e->last = 0;
	e->n = 0;
	while (st == CULVER_OK &&
	    (st = store_chunk(&r, &p, &n)) == CULVER_OK) {
		if (sum != NULL)
			box_sum_add(sum, p, n);
		else
			st = add(e, p, n);
	}
	store_done(&r);
	if (st != CULVER_DONE)
		return st;
	if (sum != NULL) {
		box_sum_end(sum);
		return CULVER_OK;
	}
	if (e->last != '\n' && e->last != 0) {
		put(e, '\r');
		put(e, '\n');
	}
	return flush(e);
}

/* --- the ends ---------------------------------------------------------------- */

/* What message I is, into e->sum. */
static culver_status
message_sum(struct end *e, uint32_t i)
{
	struct box_sum sum;
	culver_status st;

	box_sum_begin(&sum, e->job);
	st = message(e, i, &sum);
	e->sum = (struct frame_sum){.octets = sum.octets,
	    .received = e->store->received[i],
	    .hash = {sum.hash[0], sum.hash[1]}};
	snprintf(e->sum.uidl, sizeof(e->sum.uidl), "%s", e->store->msg[i].uid);
	return st;
}

static culver_status
sums(struct end *e)
{
	culver_status st = store_open(e->store, CULVER_OPEN_READONLY);

	for (uint32_t i = 0; st == CULVER_OK && i < e->store->n; i++) {
		st = message_sum(e, i);
		if (st == CULVER_E_GONE) {	/* others may remove mail */
			st = CULVER_OK;
			continue;
		}
		if (st == CULVER_OK && !frame_put(e->job->fd, FRAME_SUM,
		    &e->sum, sizeof(e->sum)))
			st = CULVER_E_TEMP;
		e->done->n++;
		e->done->octets += e->sum.octets;
	}
	return st;
}

/* The lock of a session keeps others from removing meanwhile. */
static culver_status
send_wanted(struct end *e)
{
	uint32_t n = box_wanted_sort(e->job);
	culver_status st = store_open(e->store, CULVER_OPEN_EXCLUSIVE);

	for (uint32_t i = 0; st == CULVER_OK && i < e->store->n; i++) {
		if (!box_is_wanted(e->job, n, e->store->msg[i].uid))
			continue;
		e->sum = (struct frame_sum){.received =
		    e->store->received[i]};
		snprintf(e->sum.uidl, sizeof(e->sum.uidl), "%s",
		    e->store->msg[i].uid);
		if (!frame_put(e->job->fd, FRAME_BEGIN, &e->sum,
		    sizeof(e->sum)))
			return CULVER_E_TEMP;
		st = message(e, i, NULL);
		if (st == CULVER_OK &&
		    !frame_put(e->job->fd, FRAME_FILE_END, "", 0))
			st = CULVER_E_TEMP;
		e->done->n += st == CULVER_OK;
	}
	return st;
}

/* One message, of which BEGIN was read; committed only at its end. */
static culver_status
take_one(struct end *e, size_t n)
{
	struct culver_envelope env = {.size = sizeof(env), .sender = "",
	    .recipient = "", .uid = e->sum.uidl};
	enum frame_type type = FRAME_BEGIN;
	culver_status st;

	if (n != sizeof(e->sum))
		return CULVER_E_TEMP;
	memcpy(&e->sum, e->in, n);
	e->sum.uidl[sizeof(e->sum.uidl) - 1] = 0;
	env.received = e->sum.received;
	if ((e->store->caps & CULVER_ST_KEEP_UID) == 0)
		env.uid = NULL;
	st = store_deliver_begin(e->store, &env);
	while (st == CULVER_OK && (type = frame_get(e->job->fd, e->in, &n)) ==
	    FRAME_DATA)
		st = store_deliver_write(e->store, e->in, n);
	if (st == CULVER_OK && type != FRAME_FILE_END)
		st = CULVER_E_TEMP;	/* cut: not a whole message */
	if (st == CULVER_OK)
		st = store_deliver_commit(e->store);
	store_deliver_abort(e->store);
	return st;
}

static culver_status
take(struct end *e)
{
	culver_status st = CULVER_OK;
	enum frame_type type = FRAME_BEGIN;
	size_t n;

	while (st == CULVER_OK && (type = frame_get(e->job->fd, e->in, &n)) ==
	    FRAME_BEGIN) {
		st = take_one(e, n);
		e->done->n += st == CULVER_OK;
	}
	return st == CULVER_OK && type != FRAME_END ? CULVER_E_TEMP : st;
}

culver_status
box_copy(struct store *store, const struct box_job *job,
    struct frame_done *done)
{
	static struct end e;		/* too large for a stack */

	e.store = store;
	e.job = job;
	e.done = done;
	done->keeps_uids = (store->caps & CULVER_ST_KEEP_UID) != 0;
	store->want_dates = 1;
	return job->what == BOX_SUMS ? sums(&e) :
	    job->what == BOX_SEND ? send_wanted(&e) : take(&e);
}

/* --- import that goes on ------------------------------------------------------- */

static int
sum_order(const void *a, const void *b)
{
	const struct box_sum *x = a, *y = b;

	return x->octets != y->octets ? (x->octets < y->octets ? -1 : 1) :
	    memcmp(x->hash, y->hash, sizeof(x->hash));
}

culver_status
box_known_read(struct box_known *k, struct store *store,
    const struct box_job *job)
{
	static struct end e;
	culver_status st;

	e.store = store;
	e.job = job;
	st = store_open(store, CULVER_OPEN_READONLY);
	k->n = store->n;
	k->v = calloc((size_t)k->n + 1, sizeof(*k->v));
	for (uint32_t i = 0; st == CULVER_OK && i < k->n; i++) {
		if (k->v == NULL)
			st = CULVER_E_NOMEM;
		else {
			box_sum_begin(&k->v[i], job);
			st = message(&e, i, &k->v[i]);
			if (st == CULVER_E_GONE)
				st = CULVER_OK;
		}
	}
	store_close(store);
	if (st == CULVER_OK && k->v != NULL && k->n > 1)
		qsort(k->v, k->n, sizeof(*k->v), sum_order);
	return st;
}

_Bool
box_known_take(struct box_known *k, const struct box_sum *sum)
{
	uint32_t lo = 0, hi = k->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (sum_order(&k->v[mid], sum) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < k->n && sum_order(&k->v[lo], sum) == 0; lo++)
		if (!k->v[lo].taken) {
			k->v[lo].taken = 1;
			return 1;
		}
	return 0;
}
