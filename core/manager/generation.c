/*
 * generation.c - the life of a configuration: its gates and whoever else
 * listens, and its end.
 *
 * Runs unprivileged in manager.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/manager/manager.h"

/* --- gates ---------------------------------------------------------------- */

void
gate_drain(struct child *c)
{
	struct ipc_gate_drain m = {.now = manager.stopping &&
	    !manager.leaving};

	if (c->phase == P_DRAIN && !m.now)
		return;
	c->phase = P_DRAIN;
	loop_timer_set(manager.loop, &c->timer, clock_now() +
	    c->gen->conf.reload_grace);
	child_tell(c, IPC_GATE_DRAIN, &m, NULL, 0);
}

static void
gate_tickets(struct child *c)
{
	struct ipc_gate_tickets m = {0};
	unsigned n = 0;

	while (n < TICKETS && manager.ticket[n] >= 0)
		n++;
	if (n > 0)
		child_tell(c, IPC_GATE_TICKETS, &m, manager.ticket, n);
}

static void
gate_certs(struct child *c)
{
	const struct ipc_gate_certs m = {0};

	if (c->gen->certs_fd >= 0)
		child_tell(c, IPC_GATE_CERTS, &m, &c->gen->certs_fd, 1);
}

static uint32_t
speaks(enum ipc_role role)
{
	return role == R_LMTP ? CONF_SPEAKS_LMTP :
	    role == R_METRICS ? CONF_SPEAKS_METRICS : CONF_SPEAKS_POP3;
}

/* Give C the listening sockets of its protocol. */
static void
listeners_send(struct child *c)
{
	for (uint32_t i = 0; i < c->gen->conf.n_listen; i++) {
		struct ipc_gate_listen m = {.index = i};

		if (c->gen->conf.listen[i].protocol == speaks(c->role))
			child_tell(c, IPC_GATE_LISTEN, &m,
			    &c->gen->listen_fd[i], 1);
	}
}

void
lmtp_ready(struct child *c)
{
	if (c->gen->retired || c->place == NULL)
		gate_drain(c);
	else if (manager.serving)	/* else with the first gate */
		listeners_send(c);
}

static void
each_of(unsigned roles, const struct generation *gen,
    void (*f)(struct child *))
{
	struct child *c, *next;

	for (c = TAILQ_FIRST(&manager.children); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if ((c->role & roles) != 0 && c->phase != P_START &&
		    c->io.fd >= 0 && (gen == NULL || c->gen == gen))
			f(c);
	}
}

/* A gate of C's generation serves: C, whose place it took, need not. */
static void
gate_succeeded(struct child *c)
{
	if (c->place == NULL)
		gate_drain(c);
}

void
gate_ready(struct child *c)
{
	_Bool first = !manager.serving, news = first;

	if (c->gen->retired || c->place == NULL) {
		gate_drain(c);
		return;
	}
	if (!manager_serve())
		return;
	if (first)
		each_of(R_LMTP | R_METRICS, c->gen, listeners_send);
	gate_tickets(c);
	gate_certs(c);
	listeners_send(c);
	each_of(R_GATE, c->gen, gate_succeeded);
	if (manager.previous != NULL && c->gen == manager.gen) {
		gen_retire(manager.previous);
		manager.previous = NULL;
		news = 1;
	}
	if (news)
		manager_serving();
}

void
gen_tickets(void)
{
	each_of(R_GATE, NULL, gate_tickets);
}

void
gen_certs(struct generation *gen)
{
	if (gen->certs_new)
		each_of(R_GATE, gen, gate_certs);
	gen->certs_new = 0;
}

/* --- generations ---------------------------------------------------------- */

struct generation *
gen_new(void)
{
	struct generation *gen = calloc(1, sizeof(*gen));

	if (gen == NULL)
		return NULL;
	gen->number = ++manager.generations;
	gen->refs = 1;
	gen->master_snap = gen->gate_snap = gen->auth_snap = -1;
	gen->log_snap = gen->cert_snap = gen->lmtp_snap = gen->spool = -1;
	gen->metrics_snap = -1;
	gen->certs_fd = -1;
	memset(gen->listen_fd, 0xff, sizeof(gen->listen_fd));
	return gen;
}

void
gen_ref(struct generation *gen)
{
	gen->refs++;
}

void
gen_unref(struct generation *gen)
{
	const struct ipc_forget m = {.generation = gen->config};

	if (--gen->refs > 0)
		return;
	if (gen->config != 0)
		master_tell(IPC_FORGET, &m, NULL, 0);
	loop_timer_clear(manager.loop, &gen->fill);
	loop_timer_clear(manager.loop, &gen->end);
	fds_close(&gen->master_snap, 1);
	fds_close(&gen->gate_snap, 1);
	fds_close(&gen->auth_snap, 1);
	fds_close(&gen->log_snap, 1);
	fds_close(&gen->cert_snap, 1);
	fds_close(&gen->lmtp_snap, 1);
	fds_close(&gen->metrics_snap, 1);
	fds_close(&gen->spool, 1);
	fds_close(&gen->certs_fd, 1);
	fds_close(gen->listen_fd, CONF_MAX_LISTEN);
	free(gen);
}

/* The sessions of a retired generation had their time. */
static void
grace_over(struct loop_timer *t)
{
	const struct generation *gen = CONTAINER(t, struct generation, end);
	const struct ipc_kick m = {.generation = gen->config};

	/* of a culverd that has a successor it is the last one */
	if (manager.leaving && gen == manager.gen)
		manager_note(NOTE_OVER);
	else
		master_tell(IPC_KICK, &m, NULL, 0);
}

/* GEN starts nothing more; its gates and sessions finish. */
void
gen_retire(struct generation *gen)
{
	gen->retired = 1;
	fds_close(gen->listen_fd, CONF_MAX_LISTEN);
	each_of(R_ACCEPTS | R_METRICS, manager.stopping ? NULL : gen,
	    gate_drain);
	gen->end.due = grace_over;
	loop_timer_set(manager.loop, &gen->end, clock_now() +
	    gen->conf.reload_grace);
	gen_step(gen);
	gen_unref(gen);
}

/* After all there is a hurry. */
void
gen_hurry(void)
{
	each_of(R_ACCEPTS | R_METRICS, NULL, gate_drain);
	gen_step(manager.gen);
}

/*
 * One step in the end of a retired generation: first its gates (and, when
 * master stops, all sessions), then the coordinator and what hangs on it,
 * then the log role.
 */
void
gen_step(struct generation *gen)
{
	static _Bool drained;		/* master knows */
	unsigned busy = 0, others = 0;
	struct child *c;

	TAILQ_FOREACH (c, &manager.children, link) {
		busy += (c->role & (R_ACCEPTS | R_METRICS)) != 0 &&
		    (c->gen == gen || manager.stopping);
		others += c->role != R_LOG && (c->gen == gen ||
		    manager.stopping);
	}
	if (!gen->retired || busy > 0)
		return;
	if (manager.stopping && !manager.idle) {
		if (manager.leaving && !drained)
			manager_note(NOTE_DRAINED);
		drained = manager.leaving;
		return;
	}
	TAILQ_FOREACH (c, &manager.children, link)
		if ((c->gen == gen || manager.stopping) &&
		    (c->role != R_LOG || others == 0))
			child_close(c);
	if (manager.stopping && TAILQ_EMPTY(&manager.children) &&
	    !upgrade_waits())
		manager_end(0);
}

