/*
 * listen.c - accept connections from the sockets that all gates share.
 *
 * Runs in gate.  The listening sockets were bound by master; their
 * descriptions are shared with the other gates.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gate/gate.h"

enum {
	ACCEPTS = 16,		/* of one listener in one round */
	QUEUED = 4096,		/* taken before it is closed */
	PAUSE_MS = 1000,	/* after running out of descriptors */
	FULL_MS = 200		/* as long as there is no room for more */
};

static bool accept_one(struct listener *l);

static void
stop_watching(struct gate *g)
{
	for (uint32_t i = 0; i < CONF_MAX_LISTEN; i++)
		if (g->listen[i].open)
			loop_unwatch(g->loop, &g->listen[i].io);
}

static void resume(struct loop_timer *timer);

static void
pause_accepting(struct gate *g, uint64_t ms)
{
	stop_watching(g);
	g->resume.due = resume;
	loop_timer_set(g->loop, &g->resume, clock_now() + ms * NS_PER_MS);
}

/* A key of counts that is no client's: those have a family.  Each gate that has
 * room is one. */
static const uint64_t room[2];

static void
tell_room(const struct gate *g, bool have)
{
	(void)counts_set(&g->counts, room, have);
}

/* The kernel wakes one of the gates that watch, so a gate may not watch once it
 * is full: nobody else would look at the connection that woke it. */
static bool
pause_if_full(struct gate *g)
{
	if (!arrive_full(g))
		return false;
	tell_room(g, false);
	pause_accepting(g, FULL_MS);
	return true;
}

/* No descriptor or memory: the backlog has to wait for a moment. */
static void
out_of_descriptors(struct gate *g)
{
	uint32_t hidden;

	if (limit_log(g, LIMIT_OTHER, &hidden))
		log_warn("gate: cannot accept connections");
	tell_room(g, false);
	pause_accepting(g, PAUSE_MS);
}

static void
turn_all_away(struct gate *g)
{
	for (uint32_t i = 0; i < CONF_MAX_LISTEN; i++)
		for (int n = 0; n < QUEUED && g->listen[i].open; n++)
			if (!accept_one(&g->listen[i]))
				break;
}

static void
resume(struct loop_timer *timer)
{
	struct gate *g = (struct gate *)(void *)((char *)timer -
	    offsetof(struct gate, resume));

	if (arrive_full(g)) {
		if (counts_others(&g->counts, room) == 0)
			turn_all_away(g);
		if (g->resume.where == NULL)
			pause_accepting(g, FULL_MS);
		return;
	}
	for (uint32_t i = 0; i < CONF_MAX_LISTEN; i++)
		if (g->listen[i].open &&
		    !loop_watch_shared(g->loop, &g->listen[i].io)) {
			out_of_descriptors(g);
			return;
		}
	tell_room(g, true);
}

void
listen_again(struct gate *g)
{
	if (g->resume.where != NULL)
		loop_timer_set(g->loop, &g->resume, clock_now());
}

static bool
accept_one(struct listener *l)
{
	struct gate *g = l->gate;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct peer peer;
	/* no SOCK_NONBLOCK: a worker may come to own this description */
	int fd = accept4(l->io.fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			out_of_descriptors(g);
		return errno == ECONNABORTED || errno == EINTR;
	}
	peer_set(&peer, (struct sockaddr *)&ss, len);
	arrive(g, fd, l->index, &peer);
	return true;
}

static void
ready(struct loop_io *io, unsigned events)
{
	struct listener *l = (struct listener *)(void *)((char *)io -
	    offsetof(struct listener, io));

	(void)events;
	for (int i = 0; i < ACCEPTS && l->open && io->events != 0; i++)
		if (!accept_one(l) || pause_if_full(l->gate))
			break;
}

/* What each accepted socket inherits, set once.  Keepalive finds clients that
 * vanished.  There is no TCP_USER_TIMEOUT: Linux then waits for that one
 * instead of counting probes, and it may not be shorter than idle_time, for it
 * also ends clients that stop reading for a while. */
static void
inherit(int fd)
{
	int on = 1, idle_s = 60, every_s = 15, probes = 4;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

_Bool
listen_add(struct gate *g, uint32_t index, int fd)
{
	struct listener *l;
	int flags = fcntl(fd, F_GETFL);

	if (index >= g->conf.n_listen || g->listen[index].open || flags < 0 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		close(fd);
		return 0;
	}
	if (!g->conf.listen[index].is_unix)
		inherit(fd);
	l = &g->listen[index];
	*l = (struct listener){.gate = g, .index = index, .open = 1,
	    .io = {.fd = fd, .ready = ready}};
	if (g->resume.where != NULL)
		return 1;
	if (!loop_watch_shared(g->loop, &l->io)) {
		l->open = 0;
		close(fd);
		return 0;
	}
	tell_room(g, true);
	return 1;
}

/* A connection in the queue woke one gate at most: if it was this one, nobody
 * else looks there before the next connection comes. */
static void
take_queued(struct listener *l)
{
	for (int i = 0; i < QUEUED && l->open && l->io.events != 0; i++)
		if (arrive_full(l->gate) || !accept_one(l))
			break;
}

void
listen_finish(struct gate *g)
{
	for (uint32_t i = 0; i < CONF_MAX_LISTEN; i++)
		take_queued(&g->listen[i]);
	listen_close(g);
}

void
listen_close(struct gate *g)
{
	stop_watching(g);
	tell_room(g, false);
	loop_timer_clear(g->loop, &g->resume);
	for (uint32_t i = 0; i < CONF_MAX_LISTEN; i++) {
		if (g->listen[i].open)
			close(g->listen[i].io.fd);
		g->listen[i].open = 0;
	}
}
