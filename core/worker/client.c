/*
 * client.c - see client.h.  Runs in worker on octets of the network.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/pop3/reply.h"
#include "core/worker/client.h"
#include "core/worker/rest.h"
#include "core/worker/worker.h"

#define TICK (30 * NS_PER_S)
#define SILENCE (500 * NS_PER_MS)	/* of the client: the first tick */
#define LOOK (50 * NS_PER_MS)	/* how often a busy worker looks at master */
#define STUCK_PART 100	/* of idle_time: for a client that takes nothing,
				 * when master wants us to end */
#define TURN_MS 25		/* between looks whether a mailbox is free */
#define LINGER NS_PER_S		/* for a client that pipelined too much */

void
client_start(struct client *c, int fd, int channel, uint64_t idle_time)
{
	c->fd = fd;
	c->channel = channel;
	c->idle_time = idle_time;
	c->end = CLIENT_OPEN;
	c->told = c->kicked = false;
	c->takeover = 0;
	c->tell = NULL;
	c->splitter = (struct pop3_splitter)POP3_SPLITTER_INIT;
	c->looked = c->active = clock_now();
	c->tick_at = c->looked + TICK;
	c->ticked = false;
	c->tick = NULL;
	c->ctx = NULL;
	c->in_at = c->in_n = c->out_n = 0;
}

/* When to tick next: soon for the first time, if the client is silent. */
static uint64_t
tick_due(const struct client *c, bool idle)
{
	uint64_t silent = c->active + SILENCE;

	return idle && !c->ticked && silent < c->tick_at ? silent : c->tick_at;
}

static void
tick(struct client *c, bool idle, uint64_t now)
{
	if (now < tick_due(c, idle))
		return;
	c->tick_at = now + TICK;
	c->ticked |= idle;
	if (c->tick != NULL)
		c->tick(c->ctx, idle);
}

/* A login wants this mailbox: give way, or say why not. */
static void
give_way(struct client *c)
{
	if (c->takeover != 0 && clock_now() - c->active >= c->takeover)
		c->end = CLIENT_TAKEN;
	else if (c->tell != NULL)
		c->tell(c->channel, true);
}

enum heard { HEARD_NOTHING, HEARD_END, HEARD_WANTED, HEARD_STAYS };

/* What master says next. */
static enum heard
hear(struct client *c)
{
	uint8_t octet;
	ssize_t n = recv(c->channel, &octet, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return HEARD_NOTHING;
	if (n == 1 && octet == WORKER_WANTED)
		return HEARD_WANTED;
	if (n == 1 && octet == WORKER_STAYS)
		return HEARD_STAYS;
	c->kicked |= n == 1;
	return HEARD_END;
}

/* Listen to master: true if it wants us to end.  What wants the mailbox is
 * answered. */
static bool
obey(struct client *c)
{
	enum heard h;

	while ((h = hear(c)) != HEARD_NOTHING && h != HEARD_END)
		if (h == HEARD_WANTED)
			give_way(c);
	return h == HEARD_END;
}

/* How long a reply that the client does not take may wait. */
static uint64_t
patience(const struct client *c)
{
	return c->told ? c->idle_time / STUCK_PART : c->idle_time;
}

/*
 * Wait until the client is ready for EVENTS, at most until DEADLINE.  A
 * waiting reader also ends when master says so; a reply goes on, unless the
 * client has stopped taking it.
 */
static bool
wait_for(struct client *c, short events, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = events },
	    { .fd = c->told && events != POLLIN ? -1 : c->channel,
	    .events = POLLIN | POLLRDHUP } };
	const bool idle = events == POLLIN;
	uint64_t now, until;
	int n;

	while (c->end == CLIENT_OPEN) {
		now = clock_now();
		tick(c, idle, now);
		if (now >= deadline) {
			c->end = CLIENT_IDLE;
			break;
		}
		until = tick_due(c, idle);
		until = (until < deadline ? until : deadline) - now;
		n = poll(p, 2, (int)(until / NS_PER_MS) + 1);
		if (n < 0 && errno != EINTR)
			c->end = CLIENT_GONE;
		if (n <= 0)
			continue;
		c->looked = clock_now();
		if (p[1].revents != 0 && obey(c)) {
			if (idle) {
				c->end = CLIENT_SHUTDOWN;
				break;
			}
			c->told = true;
			p[1] = (struct pollfd){ .fd = -1 };
			deadline = clock_now() + patience(c);
		}
		if (p[0].revents != 0)
			return true;
	}
	return false;
}

/* Has master asked us to end?  Looks at most every LOOK. */
static bool
told_to_end(struct client *c)
{
	struct pollfd p = { .fd = c->channel, .events = POLLIN | POLLRDHUP };
	uint64_t now = clock_now();

	if (c->told)
		return true;
	if (now - c->looked < LOOK)
		return false;
	c->looked = now;
	return poll(&p, 1, 0) > 0 && obey(c);
}

static void
fill(struct client *c, uint64_t deadline)
{
	ssize_t got;

	if (c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, c->in_n - c->in_at);
		c->in_n -= c->in_at;
		c->in_at = 0;
	}
	if (!wait_for(c, POLLIN, deadline))
		return;
	got = recv(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n,
	    MSG_DONTWAIT);
	if (got > 0)
		c->in_n += (size_t)got;
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		c->end = CLIENT_GONE;
}

_Bool
client_ask(struct client *c)
{
	return c->takeover != 0 && c->tell != NULL &&
	    c->tell(c->channel, false);
}

_Bool
client_turn(struct client *c, uint64_t until)
{
	struct pollfd p = { .fd = c->channel, .events = POLLIN | POLLRDHUP };
	enum heard h;

	if (clock_now() >= until)
		return false;
	poll(&p, 1, TURN_MS);
	do {
		h = hear(c);
		if (h == HEARD_END)
			c->told = true;
	} while (h == HEARD_WANTED);	/* others who wait as we do */
	return h == HEARD_NOTHING;
}

enum pop3_split
client_line(struct client *c, struct pop3_line *line)
{
	uint64_t deadline = 0;
	enum pop3_split got;

	while (c->end == CLIENT_OPEN) {
		got = pop3_split(&c->splitter, c->in + c->in_at,
		    c->in_n - c->in_at, line);
		c->in_at += line->used;
		if (got == POP3_GOT || got == POP3_LONG) {
			c->active = clock_now();
			if (!told_to_end(c))
				return got;
			c->end = CLIENT_SHUTDOWN;
			break;
		}
		if (got == POP3_FLOOD) {
			c->end = CLIENT_FLOOD;
			break;
		}
		if (deadline == 0) {
			client_flush(c);
			/* from here: octets are no commands */
			deadline = clock_now() + c->idle_time;
		}
		if (c->end == CLIENT_OPEN)
			fill(c, deadline);
	}
	return POP3_MORE;
}

void
client_rest(struct client *c)
{
	if (c->in_at == c->in_n && c->out_n == 0)
		rest_pages(c->in, sizeof(*c) - offsetof(struct client, in));
}

void
client_flush_first(struct client *c, size_t n)
{
	size_t at = 0;
	ssize_t sent;

	while (at < n && c->end == CLIENT_OPEN) {
		sent = send(c->fd, c->out + at, n - at,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			at += (size_t)sent;
			c->active = clock_now();
		} else if (sent < 0 && errno == EAGAIN) {
			wait_for(c, POLLOUT, clock_now() + patience(c));
		} else if (sent == 0 || errno != EINTR) {
			c->end = CLIENT_GONE;
		}
	}
	memmove(c->out, c->out + n, c->out_n - n);
	c->out_n -= n;
}

void
client_flush(struct client *c)
{
	client_flush_first(c, c->out_n);
}

void
client_forget(struct client *c, size_t n)
{
	if (n < c->out_n)
		c->out_n = n;
}

void
client_put(struct client *c, const void *p, size_t n)
{
	const uint8_t *from = p;

	while (n > 0) {
		size_t room = sizeof(c->out) - c->out_n;

		if (room > n)
			room = n;
		memcpy(c->out + c->out_n, from, room);
		c->out_n += room;
		from += room;
		n -= room;
		if (c->out_n == sizeof(c->out))
			client_flush(c);
	}
}

void
client_text(struct client *c, const char *text)
{
	client_put(c, text, strlen(text));
}

void
client_number(struct client *c, uint64_t v)
{
	c->out_n += pop3_number(v, client_room(c, POP3_NUMBER_MAX));
}

uint8_t *
client_room(struct client *c, size_t n)
{
	if (sizeof(c->out) - c->out_n < n)
		client_flush(c);
	return c->out + c->out_n;
}

void
client_abort(struct client *c)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	c->out_n = 0;
	if (c->end == CLIENT_OPEN || c->end == CLIENT_SHUTDOWN)
		c->end = CLIENT_BROKEN;
	/* a socket pair cannot reset; its client misses the final dot */
	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/*
 * A close with unread input is a reset, which can overtake our last reply:
 * read away what is there, for a moment.
 */
static void
drain(struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	uint64_t until = clock_now() + LINGER, now;
	size_t left = 1 << 20;
	ssize_t got;

	if (c->in_at == c->in_n &&
	    recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT) <= 0)
		return;
	shutdown(c->fd, SHUT_WR);
	while (left > 0 && (now = clock_now()) < until &&
	    poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1) > 0) {
		got = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);
		if (got <= 0)
			break;
		left -= (size_t)got < left ? (size_t)got : left;
	}
}

void
client_close(struct client *c)
{
	if (c->end == CLIENT_OPEN || c->end == CLIENT_SHUTDOWN ||
	    c->end == CLIENT_FLOOD) {
		enum client_end end = c->end;

		c->end = CLIENT_OPEN;	/* so that the rest is sent */
		client_flush(c);
		if (c->end == CLIENT_OPEN)
			drain(c);
		c->end = end;
	}
	close(c->fd);
	c->fd = -1;
}
