/*
 * server.c - lmtp as a whole: its channels, its listening sockets, its end.
 *
 * Runs in lmtp.  manager and master are trusted to be right, yet what they
 * send is decoded as strictly as anything.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/lmtp/lmtp.h"

enum { ACCEPTS = 16 };		/* of one listener in one round */

struct server server;

static void
end(int status)
{
	server.stop = 1;
	server.status = status;
}

void
server_conn_gone(void)
{
	if (server.phase == P_DRAIN && server.n_conn == 0)
		end(0);
}

_Bool
server_ask(enum ipc_type type, const void *msg)
{
	return server.auth.fd >= 0 && ipc_send(server.auth.fd, type, msg,
	    NULL, 0) == CULVER_OK;
}

_Bool
server_tell_master(enum ipc_type type, const void *msg, int fd)
{
	return ipc_send(server.master.fd, type, msg, &fd, fd >= 0) ==
	    CULVER_OK;
}

/* --- listening sockets ------------------------------------------------------ */

static void
listeners_close(void)
{
	loop_timer_clear(server.loop, &server.resume);
	for (unsigned i = 0; i < CONF_MAX_LISTEN; i++) {
		if (!server.listen[i].open)
			continue;
		loop_unwatch(server.loop, &server.listen[i].io);
		close(server.listen[i].io.fd);
		server.listen[i].open = 0;
	}
}

static void
resume(struct loop_timer *t)
{
	(void)t;
	for (unsigned i = 0; i < CONF_MAX_LISTEN; i++)
		if (server.listen[i].open)
			loop_watch(server.loop, &server.listen[i].io,
			    LOOP_READ);
}

/* No descriptor or memory: the backlog has to wait for a moment. */
static void
pause_accepting(void)
{
	log_warn("cannot accept connections");
	for (unsigned i = 0; i < CONF_MAX_LISTEN; i++)
		if (server.listen[i].open)
			loop_unwatch(server.loop, &server.listen[i].io);
	server.resume.due = resume;
	loop_timer_set(server.loop, &server.resume, clock_now() + NS_PER_S);
}

static void
on_listener(struct loop_io *io, unsigned events)
{
	struct listener *l = (struct listener *)(void *)((char *)io -
	    offsetof(struct listener, io));
	int fd;

	(void)events;
	for (int i = 0; i < ACCEPTS && l->open; i++) {
		fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			conn_open(fd, l->index);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_accepting();
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void
listener_add(uint32_t index, int fd)
{
	struct listener *l = index < server.conf.n_listen ?
	    &server.listen[index] : NULL;
	int flags = fcntl(fd, F_GETFL), on = 1;

	if (l == NULL || l->open || !server.conf.listen[index].on ||
	    flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		log_errorx("listener %u is not usable", index);
		close(fd);
		return;
	}
	if (!server.conf.listen[index].is_unix) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	*l = (struct listener){.index = index, .open = 1,
	    .io = {.fd = fd, .ready = on_listener}};
	if (!loop_watch(server.loop, &l->io, LOOP_READ))
		log_error("cannot watch listener %u", index);
}

/* --- the end ------------------------------------------------------------------ */

/*
 * The listening socket may be closed for ever: then who waits in its queue is
 * lost.  If the next lmtp has it, too, who does not find room here waits for
 * that, and without a coordinator all do.
 */
static void
take_queued(struct listener *l)
{
	int fd;

	while (l->open && server.auth.fd >= 0 && conn_place() &&
	    ((fd = accept4(l->io.fd, NULL, NULL, SOCK_CLOEXEC |
	    SOCK_NONBLOCK)) >= 0 || errno == ECONNABORTED || errno == EINTR))
		if (fd >= 0)
			conn_open(fd, l->index);
}

/*
 * Accept no more; finish what is begun, and let who came last send a message;
 * or with NOW finish only what is stored.
 */
static void
drain(_Bool now)
{
	struct conn *c, *next;

	for (unsigned i = 0; i < CONF_MAX_LISTEN; i++)
		take_queued(&server.listen[i]);
	server.phase = P_DRAIN;
	listeners_close();
	for (c = server.all; c != NULL; c = next) {
		next = c->next;
		if (now) {
			conn_shutdown(c);
			continue;
		}
		if (c->state == CONN_LINE)
			conn_enter(c, CONN_LINE, server.conf.idle_time);
		conn_go_on(c);
	}
	server_conn_gone();
}

/* --- channels ----------------------------------------------------------------- */

static void
auth_gone(void)
{
	struct conn *c, *next;

	log_warnx("the auth coordinator is gone");
	loop_unwatch(server.loop, &server.auth);
	close(server.auth.fd);
	server.auth.fd = -1;
	for (c = server.all; c != NULL; c = next) {
		next = c->next;
		if (c->state == CONN_ASKED || c->state == CONN_GRANT)
			deliver_late(c);
	}
	drain(0);
}

static void
pong(void)
{
	const uint64_t numbers[] = {[PONG_CONNECTIONS] = server.n_conn,
	    [PONG_ACCEPTED] = server.accepted};

	ipc_pong(FD_CHANNEL, numbers, 2);
}

static void
on_message(struct ipc_in *in)
{
	switch (in->type) {
	case IPC_PING:
		pong();
		break;
	case IPC_GATE_LISTEN:
		if (server.phase == P_DRAIN)
			break;
		listener_add(in->m.gate_listen.index, in->fd[0]);
		in->fd[0] = -1;
		break;
	case IPC_GATE_DRAIN:
		drain(in->m.gate_drain.now != 0);
		break;
	case IPC_STARTED:
		break;
	case IPC_REFUSED:
		deliver_refused(in->m.refused.serial,
		    (culver_status)in->m.refused.status);
		break;
	case IPC_AUTH_FOUND:
		/* its texts are in the buffer that others use meanwhile */
		deliver_found(&in->m.auth_found);
		break;
	default:
		end(EX_PROTOCOL);
	}
}

static void
channel_read(struct loop_io *io, enum ipc_role from)
{
	static struct ipc_in in;

	for (int i = 0; i < IPC_ROUND && !server.stop; i++) {
		switch (ipc_recv(io->fd, &in, from, R_LMTP, server.phase)) {
		case IPC_GOT:
			on_message(&in);
			ipc_done(&in);
			break;
		case IPC_AGAIN:
			return;
		case IPC_BREACH:
			log_errorx("malformed message of %s",
			    ipc_role_name(from));
			end(EX_PROTOCOL);
			return;
		case IPC_EOF:
			if (from == R_AUTH)
				auth_gone();
			else
				end(0);
			return;
		}
	}
}

static void
manager_ready(struct loop_io *io, unsigned events)
{
	(void)events;
	channel_read(io, R_MANAGER);
}

static void
master_ready(struct loop_io *io, unsigned events)
{
	(void)events;
	channel_read(io, R_MASTER);
}

static void
auth_ready(struct loop_io *io, unsigned events)
{
	(void)events;
	channel_read(io, R_AUTH);
}

_Bool
server_init(void)
{
	server.phase = P_RUN;
	server.manager = (struct loop_io){.fd = FD_CHANNEL,
	    .ready = manager_ready};
	server.master = (struct loop_io){.fd = FD_MASTER,
	    .ready = master_ready};
	server.auth = (struct loop_io){.fd = FD_AUTH, .ready = auth_ready};
	server.loop = loop_new();
	return server.loop != NULL &&
	    loop_watch(server.loop, &server.manager, LOOP_READ) &&
	    loop_watch(server.loop, &server.master, LOOP_READ) &&
	    loop_watch(server.loop, &server.auth, LOOP_READ);
}

static void
reap(void)
{
	struct conn *c;

	while ((c = server.dead) != NULL) {
		server.dead = c->next;
		free(c);
	}
}

int
server_run(void)
{
	while (!server.stop) {
		if (!loop_once(server.loop)) {
			log_error("epoll_wait");
			end(EX_OSERR);
		}
		reap();
	}
	pong();			/* what came since manager asked last */
	while (server.all != NULL)
		conn_close(server.all);
	reap();
	return server.status;
}
