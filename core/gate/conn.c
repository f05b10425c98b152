/*
 * conn.c - the life of a connection until a worker has it, or it ends.
 *
 * Runs in gate.  Everything that happens to a connection ends in
 * conn_settle(), which sends, goes on as far as it can without waiting, and
 * watches for what its state needs next.  A closed one is freed only after
 * the round, so callers look at its state instead of at return values.
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
#include "core/pop3/reply.h"
#include "core/tls/tls.h"

enum {
	LINGER_S = 2,		/* for the client to close first */
	LINGER_MAX = 65536	/* octets that it may still send */
};

/* for a proxy to say whom it brings; it does so at once */
#define PROXY_TIME (10 * NS_PER_S)

_Bool
conn_listens(const struct conn *c)
{
	return !c->closing &&
	    (c->state == CONN_AUTHORIZATION || c->state == CONN_SASL);
}

/* Ends that are a client's own business, and not worth a line. */
static bool
is_ordinary(const char *reason)
{
	return strcmp(reason, "client") == 0 || strcmp(reason, "quit") == 0 ||
	    strcmp(reason, "logged-in") == 0 ||
	    strcmp(reason, "tls-failed") == 0;	/* it has a line */
}

static void
unlink_from(struct gate *g, struct conn *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		g->all = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->prev = NULL;
	c->next = g->dead;
	g->dead = c;
	g->n_conn--;
	listen_again(g);
	if (g->n_conn == 0 && g->phase == P_DRAIN)
		g->stop = 1;
}

void
conn_close(struct conn *c, const char *reason)
{
	struct gate *g = c->gate;

	if (c->state == CONN_CLOSED)
		return;
	if (c->reason != NULL)
		reason = c->reason;	/* the first one is the cause */
	login_cancel(c);
	loop_timer_clear(g->loop, &c->timer);
	loop_unwatch(g->loop, &c->io);
	relay_free(c);
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->io.fd);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c->user);
	c->user = NULL;
	limit_leave(g, &c->ip);
	g->out_n = 0;
	c->state = CONN_CLOSED;
	unlink_from(g, c);
	if (!is_ordinary(reason))
		limit_say(g, LIMIT_CLOSED, "connection-closed", &c->peer,
		    "reason", reason);
}

void
conn_close_waiting(struct gate *g)
{
	struct conn *next;

	for (struct conn *c = g->all; c != NULL; c = next) {
		next = c->next;
		if (c->state < CONN_HANDOVER)
			conn_close(c, "shutdown");
		else if (c->state == CONN_RELAY)
			relay_due(c);
	}
}

void
conn_finish(struct conn *c, const char *reason)
{
	if (c->state == CONN_CLOSED || c->closing)
		return;
	c->closing = 1;
	c->reason = reason;
}

void
conn_say_n(struct conn *c, const void *p, size_t n)
{
	struct gate *g = c->gate;

	if (c->state == CONN_CLOSED)
		return;
	if (n > sizeof(g->out) - g->out_n) {
		conn_close(c, "output");
		return;
	}
	memcpy(g->out + g->out_n, p, n);
	g->out_n += n;
}

void
conn_say(struct conn *c, const char *text)
{
	conn_say_n(c, text, strlen(text));
}

static void
timer_set(struct conn *c)
{
	uint64_t at = c->deadline;

	if (c->state == CONN_DELAY && c->not_before < at)
		at = c->not_before;
	if (c->timer.where == NULL || c->timer.at != at)
		loop_timer_set(c->gate->loop, &c->timer, at);
}

void
conn_enter(struct conn *c, enum conn_state state, uint64_t deadline)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = (uint8_t)state;
	if (deadline != 0)
		c->deadline = deadline;
	timer_set(c);
}

/* A close right after the last words could destroy them on their way, if the
 * client had sent something that nobody reads: let it close first. */
static void
linger(struct conn *c)
{
	conn_enter(c, CONN_LINGER, clock_now() + LINGER_S * NS_PER_S);
	if (c->state == CONN_CLOSED)
		return;
	if (c->ssl != NULL)
		SSL_shutdown(c->ssl);
	shutdown(c->io.fd, SHUT_WR);
}

static void
linger_read(struct conn *c)
{
	ssize_t got = recv(c->io.fd, c->gate->scratch, GATE_IN, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		explicit_bzero(c->gate->scratch, (size_t)got);
		c->lingered += (uint32_t)got;
	}
	if (got <= 0 || c->lingered > LINGER_MAX)
		conn_close(c, "client");
}

static unsigned
wanted(const struct conn *c)
{
	unsigned write = c->out.n > 0 || c->tls_wants_write ? LOOP_WRITE : 0;

	switch ((enum conn_state)c->state) {
	case CONN_PROXY:
		return LOOP_READ;
	case CONN_HANDSHAKE:
	case CONN_AUTHORIZATION:
	case CONN_SASL:
		return write != 0 ? write : LOOP_READ;
	case CONN_AUTH:
	case CONN_DELAY:
	case CONN_HANDOVER:
		/* its input is not ours to read now */
		return c->gone ? 0 :
		    write | (c->eof ? LOOP_HANGUP : LOOP_EOF);
	case CONN_LINGER:
		return LOOP_READ;
	case CONN_RELAY:	/* relay.c watches */
	case CONN_CLOSED:
		break;
	}
	return 0;
}

static void
greet(struct conn *c)
{
	/* RFC 2595 4: no second greeting after STLS */
	if (c->gate->conf.listen[c->listen].tls == CONF_TLS_IMPLICIT)
		authz_greet(c);
	conn_enter(c, CONN_AUTHORIZATION, 0);
}

/* Do what can be done without waiting; true: there may be more of it. */
static bool
advance(struct conn *c)
{
	if (c->unproven && !arrive_prove(c))
		return false;
	switch ((enum conn_state)c->state) {
	case CONN_PROXY:
		return arrive_header(c);
	case CONN_HANDSHAKE:
		if (!stream_handshake(c))
			return false;
		greet(c);
		return true;
	case CONN_AUTHORIZATION:
	case CONN_SASL:
		return stream_run(c) || c->state == CONN_HANDSHAKE;
	case CONN_AUTH:
		if (c->grant == 0)
			return false;
		login_resume(c);
		return c->state == CONN_AUTHORIZATION;
	default:
		return false;
	}
}

/* While output waits nothing else happens, so what a client makes us say is
 * bounded.  Plain input that is left is told of again, after others. */
void
conn_settle(struct conn *c)
{
	bool more;

	if (c->state == CONN_RELAY)
		return;
	c->tls_wants_write = 0;
	stream_flush(c);
	do {
		more = c->out.n == 0 && !c->closing && advance(c);
		stream_flush(c);
	} while (more);
	if (c->state == CONN_CLOSED || c->state == CONN_RELAY)
		return;
	if (c->closing && c->out.n == 0 && c->state != CONN_LINGER)
		linger(c);
	if (c->state != CONN_CLOSED &&
	    !loop_watch(c->gate->loop, &c->io, wanted(c)))
		conn_close(c, "memory");
}

/* The client ended its side while we wait for somebody else.  If something of
 * it is still unread (it sent all its commands and then the end), it waits for
 * the answers; otherwise it went away. */
static void
peer_ended(struct conn *c)
{
	char octet;

	c->eof = 1;
	if (c->state != CONN_HANDOVER &&
	    recv(c->io.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		conn_close(c, "client");
}

static void
ready(struct loop_io *io, unsigned events)
{
	struct conn *c = (struct conn *)(void *)((char *)io -
	    offsetof(struct conn, io));
	bool waits = c->state == CONN_AUTH || c->state == CONN_DELAY ||
	    c->state == CONN_HANDOVER;

	if (c->state == CONN_RELAY) {
		relay_ready(c, events);
		return;
	}
	if (c->state == CONN_LINGER) {
		linger_read(c);
		return;
	}
	if (events & LOOP_HANGUP) {
		/* master may have it already, and has to answer */
		if (c->state != CONN_HANDOVER)
			conn_close(c, "client");
		c->gone = 1;
	} else if (waits && (events & LOOP_EOF)) {
		peer_ended(c);
	}
	conn_settle(c);
}

static void
due(struct loop_timer *timer)
{
	struct conn *c = (struct conn *)(void *)((char *)timer -
	    offsetof(struct conn, timer));

	switch ((enum conn_state)c->state) {
	case CONN_RELAY:
		relay_due(c);
		return;
	case CONN_DELAY:
		if (clock_now() < c->not_before)
			break;
		login_deny(c);
		conn_settle(c);
		return;
	case CONN_HANDOVER:
		conn_close(c, "no-worker");
		return;
	case CONN_PROXY:
		conn_close(c, "proxy-header-time");
		return;
	default:
		break;
	}
	conn_close(c, "login-time");
}

void
conn_open(struct gate *g, int fd, uint32_t listen, const struct peer *peer,
    struct limit_ip *ip)
{
	struct conn *c = calloc(1, sizeof(*c));
	uint64_t now;

	if (c == NULL) {
		limit_leave(g, &ip);
		close(fd);
		return;
	}
	*c = (struct conn){.gate = g, .io = {.fd = fd, .ready = ready},
	    .timer = {.due = due}, .next = g->all, .ip = ip, .peer = *peer,
	    .listen = (uint8_t)listen, .split = POP3_SPLITTER_INIT};
	if (g->all != NULL)
		g->all->prev = c;
	g->all = c;
	g->n_conn++;
	g->accepted++;
	now = clock_now();
	c->login_by = now + g->conf.login_time;
	c->far = !peer_is_local(peer);
	if (arrive_proxied(g, listen, peer)) {
		conn_enter(c, CONN_PROXY, g->conf.login_time < PROXY_TIME ?
		    c->login_by : now + PROXY_TIME);
	} else {
		c->unproven = g->conf.listen[listen].proxy.n > 0;
		arrive_begin(c);
	}
	/* nothing can have come yet that is worth a look */
	if (c->state != CONN_CLOSED &&
	    !loop_watch(g->loop, &c->io, wanted(c)))
		conn_close(c, "memory");
}
