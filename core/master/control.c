/*
 * control.c - the socket that culverctl talks to.
 *
 * Runs as root.  Requests are messages of messages.def; answers are fixed
 * records in a memfd, so no text is made or read here.  Who may connect is
 * the socket file's mode; who may change something is root (or the user that
 * master runs as).
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/master/master.h"
#include "core/master/records.h"

enum { MAX_CLIENTS = 16 };

struct client {
	struct loop_io io;		/* fd -1: free */
	_Bool may_change;
	_Bool waits;			/* for the end of a reload */
};

static struct client clients[MAX_CLIENTS];
static struct loop_io listener = {.fd = -1};

static void
client_close(struct client *c)
{
	loop_unwatch(master.loop, &c->io);
	close(c->io.fd);
	c->io.fd = -1;
	c->waits = 0;
}

static void
answer(struct client *c, uint32_t status, uint32_t count, int fd)
{
	struct ipc_ctl_answer m = {.status = status, .count = count};

	if (ipc_send(c->io.fd, IPC_CTL_ANSWER, &m, &fd, fd >= 0) != CULVER_OK)
		client_close(c);
}

/* A text of ours at the end of a zeroed field. */
static void
text_set(char *field, size_t size, const char *s)
{
	memcpy(field, s, strnlen(s, size - 1));
}

static void
write_who(const struct session *s, void *fd)
{
	struct rec_who r = {.session = s->id,
	    .age_ns = clock_now() - s->started, .pid = (uint32_t)s->pid,
	    .uid = s->uid, .flags = s->flags, .section = s->section};

	text_set(r.user, sizeof(r.user), s->user);
	text_set(r.remote, sizeof(r.remote), s->remote);
	text_set(r.mech, sizeof(r.mech), s->mech);
	if (write(*(int *)fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		log_warn("control: memfd");
}

static void
count_who(const struct session *s, void *n)
{
	(void)s;
	++*(uint32_t *)n;
}

static void
write_child(const struct child *c, int fd)
{
	struct rec_status r = {.role = c->role, .instance = c->instance,
	    .section = c->place != NULL ? c->place->section : 0,
	    .generation = c->gen->number, .pid = (uint32_t)c->pid,
	    .phase = c->phase == P_START ? REC_STARTING :
		c->phase == P_RUN ? REC_RUNNING : REC_DRAINING,
	    .restarts = c->place != NULL ? c->place->restarts : 0,
	    .missing = c->missing, .age_ns = clock_now() - c->started};

	if (write(fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		log_warn("control: memfd");
}

static void
report(struct client *c, _Bool who)
{
	struct rec_head h = {.magic = who ? REC_MAGIC_WHO : REC_MAGIC_STATUS,
	    .size = who ? sizeof(struct rec_who) : sizeof(struct rec_status),
	    .pid = (uint32_t)getpid(), .generation = master.gen->number,
	    .sessions = master.sessions,
	    .sessions_max = master.gen->conf.sessions_max,
	    .missing = master.missing,
	    .uptime_ns = clock_now() - master.started,
	    .logins = master.logins, .refused = master.refused,
	    .breaches = master.breaches, .version = PACKAGE_VERSION};
	int fd = memfd_create("answer", MFD_CLOEXEC);
	struct child *child;

	if (fd < 0) {
		answer(c, (uint32_t)errno, 0, -1);
		return;
	}
	if (who)
		session_each(count_who, &h.count);
	else
		TAILQ_FOREACH (child, &master.children, link)
			h.count++;
	if (write(fd, &h, sizeof(h)) != (ssize_t)sizeof(h))
		log_warn("control: memfd");
	if (who)
		session_each(write_who, &fd);
	else
		TAILQ_FOREACH (child, &master.children, link)
			write_child(child, fd);
	answer(c, 0, h.count, fd);
	close(fd);
}

static void
request(struct client *c, const struct ipc_in *in)
{
	const struct ipc_ctl_kick *kick = &in->m.ctl_kick;
	_Bool change = in->type == IPC_CTL_KICK || in->type == IPC_CTL_RELOAD;
	unsigned n;

	if (change && !c->may_change) {
		answer(c, EPERM, 0, -1);
	} else if (in->type == IPC_CTL_KICK) {
		n = kick->session == 0 && *kick->user == 0 ? 0 :
		    session_kick(kick->session, *kick->user ? kick->user :
			NULL, NULL);
		answer(c, n > 0 ? 0 : ESRCH, n, -1);
	} else if (in->type == IPC_CTL_RELOAD) {
		c->waits = 1;
		if (!master_reload())
			c->waits = 0, answer(c, EBUSY, 0, -1);
	} else {
		report(c, in->type == IPC_CTL_WHO);
	}
}

static void
on_client(struct loop_io *io, unsigned events)
{
	struct client *c = (struct client *)((char *)io -
	    offsetof(struct client, io));
	enum ipc_result r;

	(void)events;
	r = ipc_recv(io->fd, &master.in, R_CTL, R_MASTER, P_RUN);
	if (r == IPC_GOT) {
		request(c, &master.in);
		ipc_done(&master.in);
	} else if (r != IPC_AGAIN) {
		client_close(c);
	}
}

static void
on_connect(struct loop_io *io, unsigned events)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	struct client *c = clients;
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	while (c < clients + MAX_CLIENTS && c->io.fd >= 0)
		c++;
	if (c == clients + MAX_CLIENTS ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0) {
		close(fd);
		return;
	}
	*c = (struct client){.io = {.fd = fd, .ready = on_client},
	    .may_change = who.uid == 0 || who.uid == geteuid()};
	if (!loop_watch(master.loop, &c->io, LOOP_READ))
		client_close(c);
}

/* A reload ended: tell those who asked for it. */
void
control_reloaded(uint32_t status, int diag)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS; c++) {
		if (c->io.fd < 0 || !c->waits)
			continue;
		c->waits = 0;
		answer(c, status, 0, diag);
	}
}

_Bool
control_open(int fd)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS; c++)
		c->io.fd = -1;
	listener = (struct loop_io){.fd = fd, .ready = on_connect};
	return loop_watch(master.loop, &listener, LOOP_READ);
}
