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
	_Bool send;			/* else only add up */
	struct frame_sum sum;
	size_t n;
	uint8_t out[FRAME_MAX];
	uint8_t in[FRAME_MAX];
};

/* --- a message in wire form ------------------------------------------------ */

/* Not cryptographic, but nobody knows the seed: it finds what is not equal. */
static void
mix(uint64_t *h, uint8_t c, uint64_t k)
{
	*h = (*h ^ c) * k;
	*h ^= *h >> 29;
}

static culver_status
flush(struct end *e)
{
	for (size_t i = 0; i < e->n; i++) {
		mix(&e->sum.hash[0], e->out[i], UINT64_C(0x9e3779b97f4a7c15));
		mix(&e->sum.hash[1], e->out[i], UINT64_C(0xd6e8feb86659fd93));
	}
	e->sum.octets += e->n;
	if (e->send && e->n > 0 &&
	    !frame_put(e->job->fd, FRAME_DATA, e->out, e->n))
		return CULVER_E_TEMP;
	e->n = 0;
	return CULVER_OK;
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

/* Message I whole: into e->sum, and to culverctl. */
static culver_status
message(struct end *e, uint32_t i)
{
	struct store_reader r;
	const uint8_t *p;
	culver_status st = store_read(e->store, i, &r);
	size_t n;

	e->sum = (struct frame_sum){.received = e->store->received[i],
	    .hash = {e->job->seed[0], e->job->seed[1]}};
	snprintf(e->sum.uidl, sizeof(e->sum.uidl), "%s", e->store->msg[i].uid);
	e->last = 0;
	e->n = 0;
	if (st == CULVER_OK && e->send &&
	    !frame_put(e->job->fd, FRAME_BEGIN, &e->sum, sizeof(e->sum)))
		st = CULVER_E_TEMP;
	while (st == CULVER_OK &&
	    (st = store_chunk(&r, &p, &n)) == CULVER_OK)
		st = add(e, p, n);
	store_done(&r);
	if (st != CULVER_DONE)
		return st;
	if (e->last != '\n' && (e->n > 0 || e->sum.octets > 0)) {
		put(e, '\r');
		put(e, '\n');
	}
	return flush(e);
}

/* --- the ends ---------------------------------------------------------------- */

static culver_status
sums(struct end *e)
{
	culver_status st = store_open(e->store, CULVER_OPEN_READONLY);

	for (uint32_t i = 0; st == CULVER_OK && i < e->store->n; i++) {
		st = message(e, i);
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

	e->send = 1;
	for (uint32_t i = 0; st == CULVER_OK && i < e->store->n; i++) {
		if (!box_is_wanted(e->job, n, e->store->msg[i].uid))
			continue;
		st = message(e, i);
		if (st == CULVER_OK &&
		    !frame_put(e->job->fd, FRAME_FILE_END, "", 0))
			st = CULVER_E_TEMP;
		e->done->n += st == CULVER_OK;
		e->done->octets += e->sum.octets;
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
