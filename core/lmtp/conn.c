/*
 * conn.c - one client: its input, its replies, and its time.
 *
 * Runs in lmtp.  Everything goes on in conn_go_on(), after whatever changed:
 * input is used as far as the state allows, replies are collected and leave
 * in one write, and while a client does not take them nothing is read.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/lmtp/lmtp.h"

static void
unlink_conn(struct conn *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		server.all = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	server.n_conn--;
	server.n_own -= c->own_only;
}

void
conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	deliver_forget(c);
	loop_timer_clear(server.loop, &c->timer);
	loop_unwatch(server.loop, &c->io);
	close(c->io.fd);
	c->io.fd = -1;
	spool_close(&c->spool);
	lmtp_session_free(&c->s);
	free(c->out);
	c->out = NULL;
	unlink_conn(c);
	c->state = CONN_CLOSED;
	c->next = server.dead;
	server.dead = c;
	server_conn_gone();
}

void
conn_enter(struct conn *c, enum conn_state state, uint64_t time)
{
	c->state = state;
	if (server.phase == P_DRAIN && state == CONN_LINE &&
	    c->s.state != LMTP_HAS_SENDER && time > FIRST_TIME)
		time = FIRST_TIME;
	loop_timer_set(server.loop, &c->timer, clock_now() + time);
}

static void
say_n(struct conn *c, const char *p, size_t n)
{
	if (n > c->out_cap - c->out_n) {
		size_t cap = c->out_cap + n + 2048;
		uint8_t *more = realloc(c->out, cap);

		if (more == NULL) {
			c->closing = 1;
			return;
		}
		c->out = more;
		c->out_cap = cap;
	}
	memcpy(c->out + c->out_n, p, n);
	c->out_n += n;
}

void
conn_say(struct conn *c, const struct lmtp_reply *r)
{
	say_n(c, r->text, r->n);
}

static void
say(struct conn *c, const char *text)
{
	say_n(c, text, strlen(text));
}

/* --- input -------------------------------------------------------------------- */

static void
drop(struct conn *c, size_t n)
{
	c->in_n -= n;
	memmove(c->in, c->in + n, c->in_n);
}

static void
begin_message(struct conn *c, _Bool dots)
{
	c->begun = 1;
	spool_open(&c->spool);
	lmtp_body_start(&c->body, dots);
}

/* A chunk's octets are all there. */
static void
chunk_over(struct conn *c)
{
	struct lmtp_reply r;
	uint8_t end[4];

	if (c->state == CONN_SKIP) {
		conn_say(c, &c->skipped);
		conn_enter(c, CONN_LINE, server.conf.idle_time);
		return;
	}
	if (c->s.last)
		spool_add(&c->spool, end, lmtp_body_end(&c->body, end));
	if (lmtp_chunk(&c->s, c->spool.status, &r)) {
		conn_say(c, &r);
		if (c->s.failed)
			spool_close(&c->spool);
		conn_enter(c, CONN_LINE, server.conf.idle_time);
	} else {
		deliver_all(c);
	}
}

static void
on_line(struct conn *c, const uint8_t *line, size_t n)
{
	struct lmtp_reply r;
	enum lmtp_act act;

	conn_enter(c, CONN_LINE, server.conf.idle_time);
	act = c->long_line ? lmtp_long(&c->s, &r) :
	    lmtp_line(&c->s, line, n, &r);
	c->long_line = 0;
	if (c->s.chunks == 0)
		spool_close(&c->spool);
	switch (act) {
	case LMTP_ASK:
		recipient_ask(c);
		return;
	case LMTP_TEXT:
		begin_message(c, 1);
		conn_enter(c, CONN_TEXT, server.conf.idle_time);
		break;
	case LMTP_CHUNK:
		if (c->s.chunks == 1)
			begin_message(c, 0);
		c->left = c->s.chunk;
		c->state = CONN_CHUNK;
		return;
	case LMTP_SKIP:
		c->skipped = r;
		c->left = c->s.chunk;
		c->state = CONN_SKIP;
		return;
	case LMTP_CLOSE:
		c->closing = 1;
		break;
	case LMTP_GO_ON:
		break;
	}
	conn_say(c, &r);
}

/* Commands, as far as they are whole; true if one was used. */
static _Bool
use_line(struct conn *c)
{
	uint8_t line[LMTP_LINE_MAX];
	size_t len, used = lmtp_line_end(c->in, c->in_n, &len);

	if (used == 0) {
		if (c->in_n < LMTP_LINE_MAX)
			return 0;
		c->long_line = 1;	/* what it was is of no interest */
		c->in_n = 0;
		return 0;
	}
	c->long_line |= used > LMTP_LINE_MAX;
	if (!c->long_line)
		memcpy(line, c->in, len);
	drop(c, used);
	on_line(c, line, c->long_line ? 0 : len);
	return 1;
}

/* Text up to its dot, or as much of a chunk as is there. */
static _Bool
use_text(struct conn *c)
{
	static uint8_t out[LMTP_BODY_ROOM(CONN_IN)];
	size_t n = c->in_n, out_n = 0;

	if (c->state != CONN_TEXT && n > c->left)
		n = (size_t)c->left;
	if (n == 0 && (c->state == CONN_TEXT || c->left > 0))
		return 0;
	if (c->state != CONN_SKIP)
		n = lmtp_body_add(&c->body, c->in, n, out, &out_n);
	spool_add(&c->spool, out, out_n);
	drop(c, n);
	loop_timer_set(server.loop, &c->timer, clock_now() +
	    server.conf.idle_time);
	if (c->state == CONN_TEXT) {
		if (c->body.ended)
			deliver_all(c);
		return 1;
	}
	c->left -= n;
	if (c->left == 0)
		chunk_over(c);
	return 1;
}

static _Bool
use_input(struct conn *c)
{
	if (c->closing || c->out_n >= CONN_OUT_STOP)
		return 0;
	switch (c->state) {
	case CONN_LINE:
		return use_line(c);
	case CONN_TEXT:
	case CONN_CHUNK:
	case CONN_SKIP:
		return use_text(c);
	default:
		return 0;		/* we wait for others */
	}
}

/* Is it the client whom we wait for? */
static _Bool
is_waited_for(const struct conn *c)
{
	return c->state == CONN_LINE || c->state == CONN_TEXT ||
	    c->state == CONN_CHUNK || c->state == CONN_SKIP;
}

static _Bool
wants_input(const struct conn *c)
{
	return !c->closing && !c->eof && c->out_n < CONN_OUT_STOP &&
	    is_waited_for(c);
}

/* False: the client is gone. */
static _Bool
read_more(struct conn *c)
{
	ssize_t n;

	if (!wants_input(c) || c->in_n == sizeof(c->in))
		return 1;
	n = recv(c->io.fd, c->in + c->in_n, sizeof(c->in) - c->in_n,
	    MSG_DONTWAIT);
	if (n > 0)
		c->in_n += (size_t)n;
	else if (n == 0)
		c->eof = 1;
	else if (errno != EAGAIN && errno != EINTR)
		return 0;
	return 1;
}

static _Bool
flush(struct conn *c)
{
	size_t done = 0;
	ssize_t n;

	while (done < c->out_n) {
		n = send(c->io.fd, c->out + done, c->out_n - done,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return 0;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	c->out_n -= done;
	memmove(c->out, c->out + done, c->out_n);
	return 1;
}

/*
 * Has the client nothing to finish here?  Who was greeted and had no message
 * yet may send one: an answer of 421 to the first command looks like a server
 * that does not work.
 */
static _Bool
is_over(const struct conn *c)
{
	return server.phase == P_DRAIN && !c->closing && c->in_n == 0 &&
	    c->state == CONN_LINE && c->s.state != LMTP_HAS_SENDER &&
	    (c->begun || server.auth.fd < 0);
}

void
conn_go_on(struct conn *c)
{
	unsigned events = LOOP_HANGUP;

	if (c->state == CONN_CLOSED)
		return;
	while (use_input(c))
		;
	if (!flush(c)) {
		conn_close(c);
		return;
	}
	if (is_over(c))
		conn_shutdown(c);
	if (c->state == CONN_CLOSED)
		return;
	if (c->out_n == 0 && (c->closing || (c->eof && is_waited_for(c)))) {
		conn_close(c);
		return;
	}
	if (wants_input(c))
		events |= LOOP_READ;
	if (c->out_n > 0)
		events |= LOOP_WRITE;
	if (!loop_watch(server.loop, &c->io, events))
		conn_close(c);
}

void
conn_shutdown(struct conn *c)
{
	if (!is_waited_for(c)) {
		c->closing = 1;		/* when the delivery is over */
		return;
	}
	if (c->out_n == 0 && !c->closing) {
		say(c, "421 4.3.2 ");
		say(c, server.conf.hostname);
		say(c, " Shutting down\r\n");
		flush(c);
	}
	conn_close(c);
}

/* --- events ------------------------------------------------------------------- */

static void
on_conn(struct loop_io *io, unsigned events)
{
	struct conn *c = (struct conn *)(void *)((char *)io -
	    offsetof(struct conn, io));

	if ((events & LOOP_HANGUP) || !read_more(c))
		conn_close(c);
	else
		conn_go_on(c);
}

static void
on_timer(struct loop_timer *t)
{
	struct conn *c = (struct conn *)(void *)((char *)t -
	    offsetof(struct conn, timer));

	if (!is_waited_for(c)) {
		deliver_late(c);
		return;
	}
	if (server.phase == P_DRAIN && c->s.state != LMTP_HAS_SENDER) {
		conn_shutdown(c);
		return;
	}
	say(c, "421 4.4.2 ");
	say(c, server.conf.hostname);
	say(c, " Waited too long\r\n");
	flush(c);
	conn_close(c);
}

/* A last word to who may not, or cannot, be served. */
static void
turn_away(int fd, const char *code, const char *why)
{
	char text[320];
	int n = snprintf(text, sizeof(text), "%s %s %s\r\n", code,
	    server.conf.hostname, why);

	if (n > 0)
		(void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static unsigned
places(void)
{
	return server.conf.connections < CONNECTIONS_MAX ?
	    server.conf.connections : CONNECTIONS_MAX;
}

_Bool
conn_place(void)
{
	return server.n_conn < places();
}

static void
full_house(int fd, struct conn *c)
{
	log_warnx("limit what=lmtp-connections");
	turn_away(fd, "421 4.3.2", "Too many connections");
	free(c);
}

void
conn_open(int fd, uint32_t listen)
{
	struct conn *c = conn_place() ? calloc(1, sizeof(*c)) : NULL;
	struct lmtp_reply r;

	if (c == NULL) {
		full_house(fd, NULL);
		return;
	}
	if (!peer_look(c, fd, listen)) {
		log_warnx("lmtp-refused remote=%s reason=not-allowed",
		    c->remote);
		if (server.conf.listen[listen].admit.silent)
			close(fd);
		else
			turn_away(fd, "554 5.7.1", "Not for you");
		free(c);
		return;
	}
	/* any user of this host may come here: mail from elsewhere has to */
	if (c->own_only && server.n_own >= (places() + 3) / 4) {
		full_house(fd, c);
		return;
	}
	c->io = (struct loop_io){.fd = fd, .ready = on_conn};
	c->worker.fd = -1;
	c->timer.due = on_timer;
	c->spool.write_fd = c->spool.read_fd = -1;
	lmtp_session_start(&c->s, server.conf.hostname,
	    server.conf.message_size);
	c->next = server.all;
	if (c->next != NULL)
		c->next->prev = c;
	server.all = c;
	server.n_conn++;
	server.accepted++;
	server.n_own += c->own_only;
	lmtp_greet(&c->s, &r);
	conn_say(c, &r);
	conn_enter(c, CONN_LINE, server.conf.idle_time);
	conn_go_on(c);
}
