/*
 * server.c - see server.h.
 *
 * Runs in the metrics role.  A connection is one request and one answer, within
 * TIME.  When all places are taken, one whose request is not whole gives way:
 * so connections that say nothing, or little at a time, keep nobody out.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/ipc/ipc.h"
#include "core/metrics/http.h"
#include "core/metrics/openmetrics.h"
#include "core/metrics/server.h"

#define TIME (5 * NS_PER_S)
#define ANSWER_TIME (3 * NS_PER_S)	/* then it will not come any more */

enum {
	MAX_CONNS = 32,
	MAX_LISTENERS = 64,
	ACCEPTS = 16,			/* in one round */
	DRAIN = 1 << 20			/* octets that are read for nothing */
};

enum state { FREE, READS, WAITS, ASKED, WRITES, LINGERS };

struct conn {
	struct loop_io io;
	struct loop_timer timer;
	enum state state;
	enum http_what what;
	uint64_t since;			/* it was accepted */
	size_t n;			/* octets of the request, or of what
					 * came behind it */
	char *out;			/* head and body */
	size_t out_n, out_at;
	char in[HTTP_REQUEST_MAX];
};

struct server server;

static struct conn conns[MAX_CONNS];
static struct loop_io listeners[MAX_LISTENERS];
static unsigned n_listeners, n_conns;
static _Bool draining;
static uint64_t asked;			/* when; 0: nothing is asked for */

static void
conn_close(struct conn *c)
{
	loop_timer_clear(server.loop, &c->timer);
	loop_unwatch(server.loop, &c->io);
	close(c->io.fd);
	free(c->out);
	c->out = NULL;
	c->state = FREE;
	n_conns--;
	if (draining && n_conns == 0)
		loop_stop(server.loop);
}

static void
due(struct loop_timer *t)
{
	conn_close((struct conn *)(void *)((char *)t -
	    offsetof(struct conn, timer)));
}

/* All is said.  What the client still sends is read, because a socket that is
 * closed with something unread takes the answer back. */
static void
conn_linger(struct conn *c)
{
	c->state = LINGERS;
	c->n = 0;
	shutdown(c->io.fd, SHUT_WR);
	if (!loop_watch(server.loop, &c->io, LOOP_READ))
		conn_close(c);
}

static void
conn_write(struct conn *c)
{
	ssize_t n;

	while (c->out_at < c->out_n) {
		n = send(c->io.fd, c->out + c->out_at, c->out_n - c->out_at,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!loop_watch(server.loop, &c->io, LOOP_WRITE))
				conn_close(c);
			return;
		}
		if (n <= 0) {
			conn_close(c);
			return;
		}
		c->out_at += (size_t)n;
	}
	conn_linger(c);
}

/* Answer WHAT with the N octets at BODY, if it is one with a body. */
static void
conn_answer(struct conn *c, enum http_what what, const char *body, size_t n)
{
	char head[HTTP_HEAD_MAX];
	size_t k = http_head(head, what, n, time(NULL));

	c->state = WRITES;
	c->out_n = k + (what == HTTP_GET ? n : 0);
	c->out = malloc(c->out_n);
	if (c->out == NULL) {
		conn_close(c);
		return;
	}
	memcpy(c->out, head, k);
	if (what == HTTP_GET && n > 0)
		memcpy(c->out + k, body, n);
	conn_write(c);
}

/* Those who wait share one question; who comes later has the next one. */
static void
ask(void)
{
	const struct ipc_metrics_ask m = {0};
	uint64_t now = clock_now();
	_Bool wanted = 0;

	if (asked != 0 && now - asked < ANSWER_TIME)
		return;
	for (struct conn *c = conns; c < conns + MAX_CONNS; c++)
		if (c->state == WAITS) {
			c->state = ASKED;
			wanted = 1;
		}
	if (!wanted)
		return;
	asked = now;
	if (ipc_send(FD_CHANNEL, IPC_METRICS_ASK, &m, NULL, 0) != CULVER_OK)
		server_answer(-1);
}

void
server_answer(int fd)
{
	size_t n = 0;
	char *text = fd >= 0 ? openmetrics_text(fd, &n) : NULL;

	if (fd >= 0 && text == NULL)
		log_warn("the numbers cannot be told");
	asked = 0;
	for (struct conn *c = conns; c < conns + MAX_CONNS; c++)
		if (c->state == ASKED)
			conn_answer(c, text != NULL ? c->what : HTTP_AWAY,
			    text, n);
	free(text);
	ask();
}

static void
conn_request(struct conn *c)
{
	c->what = http_read(c->in, c->n);
	if (c->what == HTTP_MORE)
		return;
	if (c->what != HTTP_GET && c->what != HTTP_HEAD) {
		conn_answer(c, c->what, NULL, 0);
		return;
	}
	c->state = WAITS;
	loop_watch(server.loop, &c->io, LOOP_HANGUP);
	ask();
}

static void
conn_read(struct conn *c)
{
	_Bool reads = c->state == READS;
	ssize_t n;

	n = reads ? recv(c->io.fd, c->in + c->n, sizeof(c->in) - c->n,
	    MSG_DONTWAIT) : recv(c->io.fd, c->in, sizeof(c->in), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (!reads && c->n + (size_t)n > DRAIN)) {
		conn_close(c);
		return;
	}
	c->n += (size_t)n;
	if (reads)
		conn_request(c);
}

static void
on_conn(struct loop_io *io, unsigned events)
{
	struct conn *c = (struct conn *)(void *)((char *)io -
	    offsetof(struct conn, io));

	if (c->state == READS || c->state == LINGERS)
		conn_read(c);
	else if (events & LOOP_HANGUP)
		conn_close(c);
	else if (c->state == WRITES)
		conn_write(c);
}

/* A free place, or that of the oldest one of those who matter least: who has
 * been told all, whose request is not whole, who takes no answer. */
static struct conn *
place_find(void)
{
	static const int matters[] = {[LINGERS] = 0, [READS] = 1,
	    [WRITES] = 2, [WAITS] = 3, [ASKED] = 3};
	struct conn *old = conns;

	for (struct conn *c = conns; c < conns + MAX_CONNS; c++) {
		if (c->state == FREE)
			return c;
		if (matters[c->state] < matters[old->state] ||
		    (matters[c->state] == matters[old->state] &&
		    c->since < old->since))
			old = c;
	}
	conn_close(old);
	return old;
}

static void
conn_open(int fd)
{
	struct conn *c = place_find();

	c->io = (struct loop_io){.fd = fd, .ready = on_conn};
	c->timer = (struct loop_timer){.due = due};
	c->state = READS;
	n_conns++;
	c->since = clock_now();
	c->n = c->out_n = c->out_at = 0;
	loop_timer_set(server.loop, &c->timer, c->since + TIME);
	if (!loop_watch(server.loop, &c->io, LOOP_READ))
		conn_close(c);
}

static void
on_listener(struct loop_io *io, unsigned events)
{
	int fd;

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		conn_open(fd);
	}
}

void
server_listen(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (!draining && n_listeners < MAX_LISTENERS && flags >= 0 &&
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) {
		listeners[n_listeners] = (struct loop_io){.fd = fd,
		    .ready = on_listener};
		if (loop_watch_shared(server.loop, &listeners[n_listeners])) {
			n_listeners++;
			return;
		}
	}
	log_error("cannot use a listener");
	close(fd);
}

void
server_drain(_Bool now)
{
	draining = 1;
	for (unsigned i = 0; i < n_listeners; i++) {
		loop_unwatch(server.loop, &listeners[i]);
		close(listeners[i].fd);
	}
	n_listeners = 0;
	if (n_conns == 0 || now)
		loop_stop(server.loop);
}
