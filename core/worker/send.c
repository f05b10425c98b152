/*
 * send.c - RETR and TOP.
 *
 * Runs in worker, as the mailbox's owner.  A client must never take half a
 * message for a whole one, nor read other octets than LIST said: what does not
 * come out right is an -ERR as long as nothing was sent, and a closed
 * connection without the final dot after that.
 */
#include "config.h"

#include <stdbool.h>

#include "core/base/log.h"
#include "core/pop3/reply.h"
#include "core/pop3/wire.h"
#include "core/worker/session.h"

struct sending {
	struct session *s;
	struct wire wire;
	uint64_t announced;	/* octets, for RETR */
	bool retr;
	bool committed;		/* some of the reply is on its way */
	size_t mark;		/* where the reply begins in the buffer */
};

/* The buffer is full: send what stands before this reply, so that as much of
 * it as possible can still be taken back, and then the reply itself. */
static void
make_room(struct sending *x)
{
	struct client *c = x->s->client;

	if (x->mark > 0) {
		client_flush_first(c, x->mark);
		x->mark = 0;
		return;
	}
	x->committed = true;
	client_flush(c);
}

/* False: the client is gone, or there are more octets than were announced. */
static bool
put_chunk(struct sending *x, const uint8_t *p, size_t n)
{
	struct client *c = x->s->client;
	size_t used;

	for (;;) {
		c->out_n += wire_put(&x->wire, p, n, &used, c->out + c->out_n,
		    sizeof(c->out) - c->out_n);
		p += used;
		n -= used;
		if (x->retr && x->wire.octets > x->announced)
			return false;
		if (n == 0 || x->wire.complete)
			return true;
		make_room(x);
		if (c->end != CLIENT_OPEN)
			return false;
	}
}

static bool
put_end(struct sending *x)
{
	struct client *c = x->s->client;
	uint8_t end[WIRE_END_MAX];
	size_t n = wire_end(&x->wire, end);

	if (x->retr && x->wire.octets != x->announced)
		return false;
	while (sizeof(c->out) - c->out_n < n) {
		make_room(x);
		if (c->end != CLIENT_OPEN)
			return false;
	}
	client_put(c, end, n);
	return true;
}

/* One attempt: OK, a failure of the store, or DONE when the octets were not
 * those that were announced (or the client is gone). */
static culver_status
send_once(struct sending *x, uint32_t index)
{
	struct client *c = x->s->client;
	struct store_reader r;
	const uint8_t *p;
	culver_status st;
	bool right = true;
	size_t n;

	st = store_read(x->s->store, index, &r);
	if (st != CULVER_OK)
		return st;
	client_text(c, x->retr ? "+OK " : "+OK\r\n");
	if (x->retr) {
		client_number(c, x->announced);
		client_text(c, " octets\r\n");
	}
	while (right && !x->wire.complete &&
	    (st = store_chunk(&r, &p, &n)) == CULVER_OK)
		right = put_chunk(x, p, n);
	store_done(&r);
	if (st < CULVER_OK)
		return st;
	return right && put_end(x) ? CULVER_OK : CULVER_DONE;
}

static void
prepare(struct sending *x, struct session *s, uint32_t index,
    const uint64_t *lines)
{
	/* the status line is never split: it may have to be taken back */
	if (sizeof(s->client->out) - s->client->out_n < POP3_REPLY_MAX)
		client_flush(s->client);
	*x = (struct sending){ .s = s, .retr = lines == NULL,
	    .announced = s->store->msg[index].octets,
	    .mark = s->client->out_n };
	if (lines == NULL)
		wire_start(&x->wire);
	else
		wire_start_top(&x->wire, *lines);
}

/* The stored size was wrong: learn the right one, for the next LIST or the
 * next session. */
static culver_status
recount(struct session *s, uint32_t index)
{
	uint64_t was = s->store->msg[index].octets;
	culver_status st = store_count(s->store, index);

	if (st == CULVER_OK)
		log_info("message %u (%s) has %llu octets, not %llu",
		    index + 1, s->store->msg[index].uid,
		    (unsigned long long)s->store->msg[index].octets,
		    (unsigned long long)was);
	return st;
}

static void
give_up(struct session *s, uint32_t index)
{
	log_warnx("message %u (%s) could not be sent whole: closing the "
	    "connection", index + 1, s->store->msg[index].uid);
	s->reason = "storage-error";
	client_abort(s->client);
}

void
session_send(struct session *s, uint32_t index, const uint64_t *lines)
{
	struct sending x;
	culver_status st = CULVER_OK;
	int attempt;

	if (lines == NULL && (s->store->msg[index].flags & STORE_EXACT) == 0)
		st = store_count(s->store, index);
	for (attempt = 0; st == CULVER_OK; attempt++) {
		prepare(&x, s, index, lines);
		st = send_once(&x, index);
		if (st == CULVER_OK) {
			s->report.retr += x.retr;
			s->report.top += !x.retr;
			if (x.retr)
				s->report.retr_octets += x.wire.octets;
			return;
		}
		if (s->client->end != CLIENT_OPEN)
			return;
		if (x.committed) {
			if (st == CULVER_DONE)
				recount(s, index);
			give_up(s, index);
			return;
		}
		client_forget(s->client, x.mark);
		if (st == CULVER_DONE)
			st = attempt > 0 ? CULVER_E_TEMP : recount(s, index);
	}
	session_fail(s, st);
}
