/*
 * asks.c - the channel to master: what manager asks of it, and what it says.
 *
 * Runs unprivileged.  master never waits for anybody, so waiting for its
 * answer is short; what it says meanwhile is served later, in order.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/manager/manager.h"

/* A message without text and descriptors. */
struct heard {
	STAILQ_ENTRY(heard) link;
	enum ipc_type type;
	union ipc_any m;
};
static STAILQ_HEAD(, heard) heard = STAILQ_HEAD_INITIALIZER(heard);
static struct ipc_in in;		/* from master only */

static void
channel_wait(short events)
{
	struct pollfd pfd = {.fd = FD_CHANNEL, .events = events};

	while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
		;
}

void
master_tell(enum ipc_type type, const void *msg, const int *fds, unsigned n)
{
	culver_status st;

	while ((st = ipc_send(FD_CHANNEL, type, msg, fds, n)) ==
	    CULVER_E_TEMP)
		channel_wait(POLLOUT);
	if (st != CULVER_OK)
		manager_end(EX_UNAVAILABLE);
}

static void
serve(enum ipc_type type, const union ipc_any *m)
{
	struct child *c;

	switch (type) {
	case IPC_SPAWNED:
		if (m->spawned.instance == 0)
			upgrade_spawned(m->spawned.pid);
		if ((c = child_find(m->spawned.instance)) == NULL)
			break;
		c->pid = m->spawned.pid;
		if (c->pid == 0)
			child_exit(c->instance, EX_OSERR << 8);
		break;
	case IPC_EXITED:
		child_exit(m->exited.instance, (int)m->exited.status);
		break;
	case IPC_RELOAD:
		if (manager.leaving)
			break;		/* it is for who serves by now */
		if (m->reload.upgrade != 0)
			upgrade_start();
		else
			manager_reload();
		break;
	case IPC_STOP:
		manager_stop(m->stop.idle != 0);
		break;
	default:
		break;
	}
}

/* Take one message; AGAIN when there is none. */
static enum ipc_result
hear(void)
{
	enum ipc_result r = ipc_recv(FD_CHANNEL, &in, R_MASTER, R_MANAGER,
	    P_RUN);
	struct heard *h;

	if (r == IPC_EOF || r == IPC_BREACH)
		manager_end(EX_UNAVAILABLE);
	if (r != IPC_GOT || in.type == IPC_OPENED)
		return r;
	if (in.type == IPC_CONFIG_SNAP || in.type == IPC_CONFIG_DONE) {
		load_message(R_CONFIG, &in);
	} else if ((h = malloc(sizeof(*h))) != NULL) {
		*h = (struct heard){.type = in.type, .m = in.m};
		STAILQ_INSERT_TAIL(&heard, h, link);
	} else {
		log_errorx("out of memory");
		manager_end(EX_OSERR);
	}
	ipc_done(&in);
	return r;
}

/* Serve what was heard. */
void
asks_run(void)
{
	struct heard *h;

	while (!manager.done && (h = STAILQ_FIRST(&heard)) != NULL) {
		STAILQ_REMOVE_HEAD(&heard, link);
		serve(h->type, &h->m);
		free(h);
	}
}

int
master_open(enum ipc_open_kind kind, const struct generation *gen,
    uint32_t index, struct ipc_opened *answer)
{
	const struct ipc_open ask = {.kind = kind, .generation = gen->config,
	    .index = index};
	enum ipc_result r;
	int fd = -1;

	*answer = (struct ipc_opened){.error = EIO};
	master_tell(IPC_OPEN, &ask, NULL, 0);
	while (!manager.done && ((r = hear()) != IPC_GOT ||
	    in.type != IPC_OPENED))
		if (r == IPC_AGAIN)
			channel_wait(POLLIN);
	if (manager.done)
		return -1;
	*answer = in.m.opened;
	if (in.nfds > 0) {
		fd = in.fd[0];
		in.fd[0] = -1;
	}
	ipc_done(&in);
	errno = fd < 0 && answer->error == 0 ? EMFILE : (int)answer->error;
	return fd;
}

static void
on_master(struct loop_io *io, unsigned events)
{
	(void)io, (void)events;
	while (!manager.done && hear() == IPC_GOT)
		;
}

_Bool
asks_open(void)
{
	static struct loop_io io = {.fd = FD_CHANNEL, .ready = on_master};

	return loop_watch(manager.loop, &io, LOOP_READ);
}
