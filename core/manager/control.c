/*
 * control.c - the socket that culverctl talks to.
 *
 * Runs unprivileged in manager.  Requests are messages of messages.def; what
 * only master knows it answers itself, on the client's own connection.  Who
 * may connect is the socket file's mode; who may change something is root (or
 * the user that master runs as).
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/manager/manager.h"

/* The last places are for root, whom the members of control_group cannot keep
 * out by holding all others. */
enum { MAX_CLIENTS = 16, ROOT_CLIENTS = 4 };

/* What a client waits for; a reload may be the one after that which runs. */
enum waiting { WAIT_NO, WAIT_RELOAD, WAIT_RELOADED, WAIT_NUMBERS,
	WAIT_UPGRADED };

struct client {
	struct loop_io io;		/* fd -1: free */
	_Bool may_change;
	_Bool astray;		/* it talks to a culverd that is not there */
	enum waiting waits;
};

static struct client clients[MAX_CLIENTS];
static struct loop_io listener = {.fd = -1};

static void
client_close(struct client *c)
{
	loop_unwatch(manager.loop, &c->io);
	close(c->io.fd);
	c->io.fd = -1;
	c->waits = WAIT_NO;
}

static void
answer(struct client *c, uint32_t status, uint32_t count, int fd)
{
	struct ipc_ctl_answer m = {.status = status, .count = count};

	if (ipc_send(c->io.fd, IPC_CTL_ANSWER, &m, &fd, fd >= 0) != CULVER_OK)
		client_close(c);
}

/* master answers: with its sessions (WHO), or by completing what is said of
 * the roles. */
void
control_report(int conn, _Bool who)
{
	struct ipc_report m = {.generation = manager.gen->number,
	    .sessions_max = manager.gen->conf.sessions_max,
	    .connections_max = manager.gen->conf.connections,
	    .missing = manager.missing, .breaches = manager.breaches};
	const struct ipc_ctl_answer no = {.status = ENOMEM};
	int fd[2] = {conn, who ? -1 : status_write(&m.count)};

	if (who || fd[1] >= 0)
		master_tell(IPC_REPORT, &m, fd, who ? 1 : 2);
	else
		(void)ipc_send(conn, IPC_CTL_ANSWER, &no, NULL, 0);
	fds_close(&fd[1], 1);
}

static void
kick(struct client *c, const struct ipc_ctl_kick *ask)
{
	const struct ipc_kick m = {.session = ask->session,
	    .user = ask->user};

	if (ask->session == 0 && *ask->user == 0)
		answer(c, ESRCH, 0, -1);
	else
		master_tell(IPC_KICK, &m, &c->io.fd, 1);
}

/* All coordinators forget, those of earlier configurations too; what comes to
 * them after our answer is asked anew. */
static void
flush(struct client *c, const char *user)
{
	const struct ipc_auth_flush m = {.user = user};
	uint32_t status = 0;
	struct child *child;

	TAILQ_FOREACH(child, &manager.children, link)
		if (child->role == R_AUTH && ipc_send(child->io.fd,
		    IPC_AUTH_FLUSH, &m, NULL, 0) != CULVER_OK)
			status = EAGAIN;
	answer(c, status, 0, -1);
}

/* The question for that one comes right behind, and must not be taken for one
 * to this one: it may be a kick. */
static void
older(struct client *c, uint32_t n)
{
	c->astray = 1;
	if (upgrade_pass(n, c->io.fd))
		client_close(c);
	else
		answer(c, ENXIO, 0, -1);
}

static void
request(struct client *c, const struct ipc_in *in)
{
	_Bool change = in->type == IPC_CTL_KICK || in->type == IPC_CTL_RELOAD ||
	    in->type == IPC_CTL_FLUSH || in->type == IPC_CTL_UPGRADE;

	if (change && !c->may_change) {
		answer(c, EPERM, 0, -1);
	} else if (in->type == IPC_CTL_FLUSH) {
		flush(c, in->m.ctl_flush.user);
	} else if (in->type == IPC_CTL_OLDER) {
		older(c, in->m.ctl_older.n);
	} else if (in->type == IPC_CTL_UPGRADE) {
		c->waits = WAIT_UPGRADED;
		upgrade_start();
	} else if (in->type == IPC_CTL_KICK) {
		kick(c, &in->m.ctl_kick);
	} else if (in->type == IPC_CTL_RELOAD && manager.stopping) {
		answer(c, EBUSY, 0, -1);
	} else if (in->type == IPC_CTL_RELOAD) {
		c->waits = WAIT_RELOAD;
		manager_reload();
	} else if (in->type == IPC_CTL_METRICS) {
		c->waits = WAIT_NUMBERS;
		metrics_ask(NULL);
	} else {
		control_report(c->io.fd, in->type == IPC_CTL_WHO);
	}
}

static void
on_client(struct loop_io *io, unsigned events)
{
	struct client *c = (struct client *)((char *)io -
	    offsetof(struct client, io));
	enum ipc_result r;

	(void)events;
	r = ipc_recv(io->fd, &manager.in, R_CTL, R_MANAGER, P_RUN);
	if (r == IPC_GOT) {
		if (!c->astray)
			request(c, &manager.in);
		ipc_done(&manager.in);
	} else if (r != IPC_AGAIN) {
		client_close(c);
	}
}

void
control_client(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	struct client *c = clients, *end = clients + MAX_CLIENTS;
	_Bool may_change;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0) {
		close(fd);
		return;
	}
	may_change = who.uid == 0 || who.uid == manager.owner;
	if (!may_change)
		end -= ROOT_CLIENTS;
	while (c < end && c->io.fd >= 0)
		c++;
	if (c == end) {
		close(fd);
		return;
	}
	*c = (struct client){.io = {.fd = fd, .ready = on_client},
	    .may_change = may_change};
	if (!loop_watch(manager.loop, &c->io, LOOP_READ))
		client_close(c);
}

static void
on_connect(struct loop_io *io, unsigned events)
{
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		control_client(fd);
}

/* A reload starts: who asks from now on waits for the next one. */
void
control_reloading(void)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS; c++)
		if (c->waits == WAIT_RELOAD)
			c->waits = WAIT_RELOADED;
}

static void
answer_all(enum waiting waits, uint32_t status, uint32_t count, int fd)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS; c++) {
		if (c->io.fd < 0 || c->waits != waits)
			continue;
		c->waits = WAIT_NO;
		answer(c, status, count, fd);
	}
}

/* A reload ended: tell those who asked for it. */
void
control_reloaded(uint32_t status, int diag)
{
	answer_all(WAIT_RELOADED, status, 0, diag);
}

/* The successor (PID) serves, or there is none. */
void
control_upgraded(uint32_t status, uint32_t pid, int diag)
{
	answer_all(WAIT_UPGRADED, status, pid, diag);
}

void
control_metrics(void)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS; c++) {
		if (c->io.fd < 0 || c->waits != WAIT_NUMBERS)
			continue;
		c->waits = WAIT_NO;
		control_report(c->io.fd, 0);
	}
}

void
control_close(void)
{
	loop_unwatch(manager.loop, &listener);
	fds_close(&listener.fd, 1);
}

_Bool
control_open(int fd)
{
	for (struct client *c = clients; c < clients + MAX_CLIENTS &&
	     listener.fd < 0; c++)
		c->io.fd = -1;
	control_close();
	listener = (struct loop_io){.fd = fd, .ready = on_connect};
	return loop_watch(manager.loop, &listener, LOOP_READ);
}
