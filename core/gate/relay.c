/*
 * relay.c - TLS for a worker: octets between the client's SSL and the inner
 * end of a Unix socket pair, whose other end the worker has.
 *
 * Runs in gate.  Both sides are hostile to each other and to us, but octets
 * are only carried.  Nothing is buffered but what one side does not take;
 * while there is such, the other side is not read.
 *
 * How it ends: when the worker closes after a whole reply line, the client
 * gets close_notify.  When it closes in the middle of a line, or before any,
 * it died or gave up, and the client's connection is reset without
 * close_notify, so that a message that was cut short cannot look complete
 * (one cut at a line end still misses its final dot).
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "core/base/clock.h"
#include "core/gate/gate.h"

enum {
	ROUNDS = 4,		/* reads of one side before others' turn */
	INNER_SNDBUF = 1 << 18,
	GRACE_S = 60,		/* the worker's idle_time comes first */
	LAST_S = 8		/* to take a reply, when everything stops */
};

struct relay {
	struct loop_io io;	/* the inner end */
	struct conn *conn;
	struct buf down, up;	/* what client, worker does not take yet */
	uint64_t active;	/* when something moved */
	uint8_t tail[2];	/* the last octets that went down */
	_Bool worker_eof;
	_Bool client_eof;
	_Bool client_lost;	/* it was reset: what it sent still counts */
	_Bool worker_deaf;	/* it takes no more, but may still write */
	_Bool started;
};

static void inner_ready(struct loop_io *io, unsigned events);

_Bool
relay_prepare(struct conn *c, int *worker_end)
{
	struct relay *r = calloc(1, sizeof(*r));
	int pair[2], size = INNER_SNDBUF;

	if (r == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
		pair) != 0) {
		free(r);
		return 0;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*r = (struct relay){.conn = c,
	    .io = {.fd = pair[0], .ready = inner_ready}};
	c->relay = r;
	*worker_end = pair[1];
	return 1;
}

void
relay_free(struct conn *c)
{
	struct relay *r = c->relay;

	if (r == NULL)
		return;
	c->relay = NULL;
	loop_unwatch(c->gate->loop, &r->io);
	close(r->io.fd);
	buf_free(&r->down);
	buf_free(&r->up);
	free(r);
}

/* The client learns that this was not the end of what it should get. */
static void
abort_client(struct conn *c, const char *reason)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_close(c, reason);
}

static bool
ends_a_line(const struct relay *r)
{
	return r->tail[0] == '\r' && r->tail[1] == '\n';
}

static void
note_tail(struct relay *r, const uint8_t *p, size_t n)
{
	r->tail[0] = n >= 2 ? p[n - 2] : r->tail[1];
	r->tail[1] = p[n - 1];
}

/* Send what waits for the client; true if nothing waits any more. */
static bool
down_flush(struct conn *c)
{
	struct relay *r = c->relay;
	ssize_t sent;

	if (r->down.n == 0)
		return true;
	sent = stream_write_tls(c, r->down.p, r->down.n);
	if (sent < 0 || !buf_set(&r->down, r->down.p + sent,
		r->down.n - (size_t)sent)) {
		conn_close(c, "client");
		return false;
	}
	return r->down.n == 0;
}

static void
pump_down(struct conn *c)
{
	struct relay *r = c->relay;
	struct gate *g = c->gate;
	ssize_t got, sent;

	for (int i = 0; down_flush(c) && !r->worker_eof && i < ROUNDS; i++) {
		got = recv(r->io.fd, g->bulk, sizeof(g->bulk), MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			r->worker_eof = 1;
			return;
		}
		note_tail(r, g->bulk, (size_t)got);
		sent = stream_write_tls(c, g->bulk, (size_t)got);
		if (sent < 0 || (sent < got && !buf_set(&r->down,
			g->bulk + sent, (size_t)(got - sent)))) {
			conn_close(c, "client");
			return;
		}
	}
}

/* A worker that takes no more may be about to say its last words. */
static ssize_t
send_up(struct relay *r, const uint8_t *p, size_t n)
{
	ssize_t sent = send(r->io.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	r->worker_deaf = 1;
	return (ssize_t)n;
}

static bool
up_flush(struct conn *c)
{
	struct relay *r = c->relay;
	ssize_t sent;

	if (r->up.n == 0)
		return true;
	sent = send_up(r, r->up.p, r->up.n);
	if (!buf_set(&r->up, r->up.p + sent, r->up.n - (size_t)sent)) {
		abort_client(c, "memory");
		return false;
	}
	return r->up.n == 0;
}

static void
pump_up(struct conn *c)
{
	struct relay *r = c->relay;
	struct gate *g = c->gate;
	ssize_t got, sent;

	for (int i = 0; up_flush(c) && !r->client_eof && !r->worker_deaf &&
	     (i < ROUNDS || r->client_lost || SSL_pending(c->ssl) > 0); i++) {
		got = stream_read_tls(c, g->in, sizeof(g->in));
		if (got == STREAM_AGAIN)
			return;
		if (got <= 0) {
			/* its commands are still answered */
			r->client_eof = 1;
			shutdown(r->io.fd, SHUT_WR);
			return;
		}
		sent = send_up(r, g->in, (size_t)got);
		if (sent < got && !buf_set(&r->up, g->in + sent,
			(size_t)(got - sent)))
			abort_client(c, "memory");
		explicit_bzero(g->in, (size_t)got);
		if (c->state == CONN_CLOSED)
			return;
	}
}

/* When it is over, if nothing moves. */
static uint64_t
end_of(const struct conn *c)
{
	const struct relay *r = c->relay;

	/* whether the worker still lives cannot be seen while output waits */
	if (c->gate->hurry && (r->worker_eof || r->down.n > 0))
		return r->active + LAST_S * NS_PER_S;
	return r->active + c->gate->conf.idle_time + GRACE_S * NS_PER_S;
}

static void
watch(struct conn *c)
{
	struct relay *r = c->relay;
	unsigned outer = 0, inner = 0;

	if (!r->client_eof && !r->worker_deaf && r->up.n == 0)
		outer |= LOOP_READ;
	if (r->down.n > 0 || c->tls_wants_write)
		outer |= LOOP_WRITE;
	if (!r->worker_eof && r->down.n == 0)
		inner |= LOOP_READ;
	if (r->up.n > 0 && !r->worker_deaf)
		inner |= LOOP_WRITE;
	/* The outer end is watched for a reset, once; the inner one is not
	 * when nothing of it is wanted.  Else a worker that closed while the
	 * client is slow, or a client that was reset while the worker is,
	 * would be reported for ever. */
	if (r->client_lost)
		outer = 0;
	else if (outer == 0)
		outer = LOOP_HANGUP;
	if (!loop_watch(c->gate->loop, &c->io, outer) ||
	    !loop_watch(c->gate->loop, &r->io, inner))
		abort_client(c, "memory");
}

static void
pump(struct conn *c)
{
	struct relay *r = c->relay;

	r->active = clock_now();
	c->tls_wants_write = 0;
	pump_up(c);
	if (c->state == CONN_CLOSED)
		return;
	pump_down(c);
	if (c->state == CONN_CLOSED)
		return;
	if (!r->worker_eof || r->down.n > 0) {
		watch(c);
		if (c->gate->hurry && c->state == CONN_RELAY)
			conn_enter(c, CONN_RELAY, end_of(c));
	} else if (!ends_a_line(r)) {
		abort_client(c, "worker-died");
	} else {
		relay_free(c);
		conn_finish(c, "quit");
		c->state = CONN_AUTHORIZATION;	/* conn_settle() ends it */
		conn_settle(c);
	}
}

static void
inner_ready(struct loop_io *io, unsigned events)
{
	struct relay *r = (struct relay *)(void *)((char *)io -
	    offsetof(struct relay, io));

	(void)events;
	pump(r->conn);
}

void
relay_ready(struct conn *c, unsigned events)
{
	if (events & LOOP_HANGUP)
		c->relay->client_lost = 1;
	pump(c);
}

void
relay_start(struct conn *c)
{
	const struct gate *g = c->gate;

	buf_free(&c->in);
	conn_enter(c, CONN_RELAY, clock_now() + g->conf.idle_time +
	    GRACE_S * NS_PER_S);
	if (c->state != CONN_CLOSED)
		pump(c);
}

void
relay_due(struct conn *c)
{
	uint64_t end = end_of(c);

	if (end <= clock_now())
		abort_client(c, "timeout");
	else
		conn_enter(c, CONN_RELAY, end);
}
