/*
 * control.c - the socket that culverctl talks to.
 *
 * Runs as root.  Requests are messages of messages.def; no text is made or
 * read here.  Who may connect is the socket file's mode; who may change
 * something is root (or the user that master runs as).
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/master/master.h"

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

/*
 * Answer with what master knows: a copy of it, dropped to the log role's
 * user, writes the records, so that none of that runs as root.
 */
static void
report(struct client *c, _Bool who)
{
	pid_t pid = fork();

	if (pid < 0)
		answer(c, (uint32_t)errno, 0, -1);
	if (pid != 0)
		return;
	if (!priv_drop(&master.env.ids[spawn_index(R_LOG)], 0))
		_exit(71);
	report_send(c->io.fd, who);
	_exit(0);
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
	if (master.reload_again)
		return;			/* they get the next one's answer */
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
