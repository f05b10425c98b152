/*
 * stream.c - octets from and to a client, in plain or through TLS.
 *
 * Runs in gate on octets of the network.  Input is peeked at and consumed
 * exactly through the lines that were handled, so that what follows the line
 * that logs in is still in the socket, or in OpenSSL, for the worker.  A line
 * that has not ended belongs to the gate: it is taken and kept, or else the
 * socket would stay readable.  Passwords pass through here: every buffer is
 * wiped after its run.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/gate/gate.h"
#include "core/pop3/reply.h"
#include "core/tls/tls.h"

enum { OUT_MAX = 65536 };	/* octets that a client may leave untaken */

void
buf_free(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	free(b->p);
	*b = (struct buf){.p = NULL};
}

_Bool
buf_set(struct buf *b, const void *p, size_t n)
{
	struct buf old = *b;

	*b = (struct buf){.p = NULL};
	if (n > 0 && !buf_add(b, p, n)) {
		buf_free(&old);
		return 0;
	}
	buf_free(&old);
	return 1;
}

_Bool
buf_add(struct buf *b, const void *p, size_t n)
{
	size_t need = b->n + n;
	uint8_t *fresh;

	if (need > UINT32_MAX / 2)
		return 0;
	if (need > b->cap) {
		/* realloc would leave a copy behind */
		size_t cap = (need + 63) & ~(size_t)63;

		if ((fresh = malloc(cap)) == NULL)
			return 0;
		if (b->n > 0)
			memcpy(fresh, b->p, b->n);
		if (b->p != NULL)
			explicit_bzero(b->p, b->cap);
		free(b->p);
		b->p = fresh;
		b->cap = (uint32_t)cap;
	}
	memcpy(b->p + b->n, p, n);
	b->n = (uint32_t)need;
	return 1;
}

/* What an SSL call that returned RET means: AGAIN, LOST or 0 for the end. */
static ssize_t
tls_result(struct conn *c, int ret)
{
	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_WRITE:
		c->tls_wants_write = 1;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_READ:
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return STREAM_LOST;
	}
}

ssize_t
stream_read_tls(struct conn *c, uint8_t *p, size_t n)
{
	int got;

	ERR_clear_error();
	got = SSL_read(c->ssl, p, (int)n);
	return got > 0 ? got : tls_result(c, got);
}

ssize_t
stream_write_tls(struct conn *c, const uint8_t *p, size_t n)
{
	size_t at = 0;
	int sent;

	while (at < n) {
		ERR_clear_error();
		sent = SSL_write(c->ssl, p + at, (int)(n - at));
		if (sent <= 0)
			return tls_result(c, sent) == STREAM_AGAIN ?
			    (ssize_t)at : -1;
		at += (size_t)sent;
	}
	return (ssize_t)at;
}

static ssize_t
peek(struct conn *c, uint8_t *p, size_t n)
{
	ssize_t got;

	if (c->ssl != NULL) {
		ERR_clear_error();
		got = SSL_peek(c->ssl, p, (int)n);
		return got > 0 ? got : tls_result(c, (int)got);
	}
	got = recv(c->io.fd, p, n, MSG_PEEK | MSG_DONTWAIT);
	if (got >= 0)
		return got;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_LOST;
}

/* Take N octets that were peeked at. */
static void
consume(struct conn *c, size_t n)
{
	uint8_t *scratch = c->gate->scratch;
	ssize_t got;

	while (n > 0) {
		got = c->ssl != NULL ? stream_read_tls(c, scratch, n) :
		    recv(c->io.fd, scratch, n, MSG_DONTWAIT);
		if (got <= 0) {
			conn_close(c, "lost");
			return;
		}
		explicit_bzero(scratch, (size_t)got);
		n -= (size_t)got;
	}
}

/* RFC 2595 4: nothing that came in plain after STLS counts. */
static void
discard_plain(struct conn *c)
{
	enum { MOST = 1 << 20 };
	uint8_t *scratch = c->gate->scratch;
	size_t total = 0;
	ssize_t got;

	buf_free(&c->in);
	while ((got = recv(c->io.fd, scratch, GATE_IN, MSG_DONTWAIT)) > 0) {
		explicit_bzero(scratch, (size_t)got);
		if ((total += (size_t)got) > MOST) {
			conn_close(c, "flood");
			return;
		}
	}
}

/* Handle lines of the N octets at P until there is none, the connection has
 * something else to do, or much was said; returns the octets handled. */
static size_t
handle_lines(struct conn *c, const uint8_t *p, size_t n)
{
	struct pop3_line line;
	size_t at = 0;

	while (conn_listens(c) && c->gate->out_n < GATE_OUT_STOP) {
		enum pop3_split split;

		c->split.sasl = c->state == CONN_SASL;
		split = pop3_split(&c->split, p + at, n - at, &line);
		at += line.used;
		if (split == POP3_MORE)
			break;
		if (split == POP3_GOT) {
			authz_line(c, line.p, line.n);
		} else if (split == POP3_LONG) {
			login_cancel(c);
			authz_bad(c, POP3_TOO_LONG);
		} else {
			conn_say(c, POP3_TOO_LONG);
			conn_finish(c, "flood");
		}
	}
	return at;
}

_Bool
stream_run(struct conn *c)
{
	struct gate *g = c->gate;
	size_t had = c->in.n, total, used;
	ssize_t got;

	if (had > 0)
		memcpy(g->in, c->in.p, had);
	got = peek(c, g->in + had, sizeof(g->in) - had);
	if (got <= 0) {
		explicit_bzero(g->in, had);
		if (got != STREAM_AGAIN)
			conn_close(c, got == 0 ? "client" : "lost");
		return 0;
	}
	total = had + (size_t)got;
	used = handle_lines(c, g->in, total);
	if (c->state == CONN_HANDSHAKE) {
		discard_plain(c);
	} else if (conn_listens(c) && g->out_n < GATE_OUT_STOP) {
		if (buf_set(&c->in, g->in + used, total - used))
			consume(c, (size_t)got);
		else
			conn_close(c, "memory");
	} else if (c->state != CONN_CLOSED) {
		buf_free(&c->in);
		consume(c, used - had);
	}
	explicit_bzero(g->in, total);
	return c->state != CONN_CLOSED && c->ssl != NULL &&
	    SSL_pending(c->ssl) > 0;
}

/* Octets of P that the client took; -1: it is gone. */
static ssize_t
put(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t sent;

	if (c->ssl != NULL)
		return stream_write_tls(c, p, n);
	sent = send(c->io.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return sent;
}

void
stream_flush(struct conn *c)
{
	struct gate *g = c->gate;
	const uint8_t *p = g->out;
	size_t n = g->out_n;
	ssize_t sent;
	bool ok = true;

	g->out_n = 0;
	if (c->state == CONN_CLOSED)
		return;
	if (c->out.n > 0) {
		ok = c->out.n + n <= OUT_MAX &&
		    (n == 0 || buf_add(&c->out, p, n));
		p = c->out.p;
		n = c->out.n;
	}
	if (n == 0)
		return;
	sent = ok ? put(c, p, n) : -1;
	if (sent < 0)
		conn_close(c, ok ? "lost" : "output");
	else if (!buf_set(&c->out, p + sent, n - (size_t)sent))
		conn_close(c, "memory");
}

_Bool
stream_handshake(struct conn *c)
{
	struct gate *g = c->gate;
	int ret;

	if (c->ssl == NULL && (c->ssl = tls_accept(g->tls, c->io.fd)) == NULL) {
		conn_close(c, "tls-not-available");
		return 0;
	}
	ERR_clear_error();
	ret = SSL_do_handshake(c->ssl);
	if (ret == 1)
		return 1;
	if (tls_result(c, ret) == STREAM_AGAIN)
		return 0;
	limit_say(g, LIMIT_TLS, "tls-failed", &c->peer, "error",
	    tls_error_text());
	conn_close(c, "tls-failed");
	return 0;
}
