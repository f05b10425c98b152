/*
 * gate.c - a gate as a whole: what manager tells it, and when it ends.
 *
 * Runs in gate.  Master is trusted to be right, yet what it sends is decoded
 * as strictly as anything; a message that is out of order ends the gate.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gate/gate.h"
#include "core/tls/tls.h"

enum { MESSAGES = 64 };		/* of one peer in one round */

#define LIFE (3600 * NS_PER_S)	/* then another process takes over */

static void
end(struct gate *g, int status)
{
	g->stop = 1;
	g->status = status;
}

void
gate_drain(struct gate *g)
{
	if (g->phase == P_DRAIN)
		return;
	if (g->auth_open)
		listen_finish(g);
	else
		listen_close(g);	/* they wait for the next gate */
	g->phase = P_DRAIN;
	if (g->n_conn == 0)
		end(g, 0);
}

static void
spend(struct gate *g)
{
	struct ipc_gate_spent msg = {.logins = g->logins};

	if (g->spent || g->phase != P_RUN)
		return;
	g->spent = ipc_send(g->manager.fd, IPC_GATE_SPENT, &msg, NULL, 0) ==
	    CULVER_OK;
}

static void
hour_over(struct loop_timer *timer)
{
	spend((struct gate *)(void *)((char *)timer -
	    offsetof(struct gate, hour)));
}

void
gate_count_login(struct gate *g)
{
	if (g->logins < UINT32_MAX)
		g->logins++;
	if (g->logins >= g->conf.gate_logins)
		spend(g);
}

static void
pong(const struct gate *g)
{
	const uint64_t numbers[] = {[PONG_CONNECTIONS] = g->n_conn,
	    [PONG_ACCEPTED] = g->accepted};

	ipc_pong(g->manager.fd, numbers, 2);
}

static void
on_message(struct gate *g, struct ipc_in *in)
{
	switch (in->type) {
	case IPC_PING:
		pong(g);
		break;
	case IPC_GATE_LISTEN:
		if (g->phase == P_DRAIN)
			break;
		if (!listen_add(g, in->m.gate_listen.index, in->fd[0]))
			log_errorx("gate: listener %u is not usable",
			    in->m.gate_listen.index);
		in->fd[0] = -1;
		break;
	case IPC_GATE_CERTS:
		tls_certs_take(g->tls, in->fd[0]);
		break;
	case IPC_GATE_TICKETS:
		if (!tls_tickets_take(g->tls, in->fd, in->nfds))
			log_errorx("gate: malformed ticket keys");
		break;
	case IPC_GATE_DRAIN:
		gate_drain(g);
		if (in->m.gate_drain.now) {
			g->hurry = 1;
			conn_close_waiting(g);
		}
		break;
	case IPC_STARTED:
		login_started(g, in->m.started.serial);
		break;
	case IPC_REFUSED:
		login_refused(g, in->m.refused.serial,
		    (culver_status)in->m.refused.status);
		break;
	default:
		end(g, EX_PROTOCOL);
	}
}

static void
channel_read(struct gate *g, struct loop_io *io, enum ipc_role from)
{
	for (int i = 0; i < MESSAGES && !g->stop; i++) {
		switch (ipc_recv(io->fd, &g->msg, from, R_GATE, g->phase)) {
		case IPC_GOT:
			on_message(g, &g->msg);
			ipc_done(&g->msg);
			break;
		case IPC_AGAIN:
			return;
		case IPC_EOF:
			end(g, 0);
			return;
		case IPC_BREACH:
			log_errorx("gate: malformed message of %s",
			    ipc_role_name(from));
			end(g, EX_PROTOCOL);
			return;
		}
	}
}

static void
manager_ready(struct loop_io *io, unsigned events)
{
	(void)events;
	channel_read((struct gate *)(void *)((char *)io -
	    offsetof(struct gate, manager)), io, R_MANAGER);
}

static void
master_ready(struct loop_io *io, unsigned events)
{
	(void)events;
	channel_read((struct gate *)(void *)((char *)io -
	    offsetof(struct gate, master)), io, R_MASTER);
}

_Bool
gate_init(struct gate *g, int manager_fd, int master_fd, int auth_fd)
{
	g->phase = P_RUN;
	g->counts.part = -1;
	TAILQ_INIT(&g->held);
	g->manager = (struct loop_io){.fd = manager_fd,
	    .ready = manager_ready};
	g->master = (struct loop_io){.fd = master_fd, .ready = master_ready};
	g->auth = (struct loop_io){.fd = auth_fd, .ready = login_auth_ready};
	g->auth_open = 1;
	g->hour.due = hour_over;
	g->tls = tls_new(g->host, g->conf.n_host, g->conf.n_cert);
	if (g->tls != NULL && g->conf.has_ca)
		tls_ask_clients(g->tls, g->conf.n_cert - 1,
		    (enum conf_client_name)g->conf.client_name);
	g->loop = loop_new();
	if (g->loop != NULL)
		loop_timer_set(g->loop, &g->hour, clock_now() + LIFE);
	return g->tls != NULL && g->loop != NULL &&
	    RAND_bytes((unsigned char *)g->ip_seed, sizeof(g->ip_seed)) == 1 &&
	    loop_watch(g->loop, &g->manager, LOOP_READ) &&
	    loop_watch(g->loop, &g->master, LOOP_READ) &&
	    loop_watch(g->loop, &g->auth, LOOP_READ);
}

static void
reap(struct gate *g)
{
	struct conn *c;

	while ((c = g->dead) != NULL) {
		g->dead = c->next;
		free(c);
	}
}

void
gate_free(struct gate *g)
{
	while (g->all != NULL)
		conn_close(g->all, "client");
	reap(g);
	if (g->loop != NULL)
		listen_close(g);
	tls_destroy(&g->tls);
	loop_destroy(&g->loop);
	counts_close(&g->counts);
	free(g->host);
	g->host = NULL;
}

void
gate_once(struct gate *g)
{
	if (!loop_once(g->loop)) {
		log_error("gate: epoll_wait");
		end(g, EX_OSERR);
	}
	reap(g);
}

int
gate_run(struct gate *g)
{
	while (!g->stop)
		gate_once(g);
	pong(g);		/* what came since manager asked last */
	return g->status;
}
