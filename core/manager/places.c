/*
 * places.c - which roles a generation needs, and how they are connected.
 *
 * Runs unprivileged in manager.  A place says how many processes of a role
 * (and auth section) must run; one that lost a process is filled again after
 * a delay that grows.  Pools and gates wait for the coordinator.
 */
#include "config.h"

#include <unistd.h>

#include "core/base/clock.h"
#include "core/manager/manager.h"

#define DELAY_FIRST (100 * NS_PER_MS)
#define DELAY_MAX (30 * NS_PER_S)
#define LIVED_WELL (60 * NS_PER_S)

/* What a child of P gets of its generation's. */
static void
place_fds(const struct generation *gen, const struct place *p, int fd[SLOTS])
{
	fd[FD_SNAPSHOT] = p->role == R_LOG ? gen->log_snap :
	    p->role == R_AUTH ? gen->auth_snap :
	    p->role == R_POOL ? -1 :	/* master's to give */
	    p->role == R_LMTP ? gen->lmtp_snap :
	    p->role == R_METRICS ? gen->metrics_snap : gen->gate_snap;
	if (p->role == R_LOG || p->role == R_AUTH)
		fd[FD_STATS] = manager.stats_memory;
	if (p->role == R_GATE) {
		fd[FD_ROOT] = manager.root_fd;
		fd[FD_MEMORY] = manager.gate_memory;
	} else if (p->role == R_AUTH) {
		fd[FD_MEMORY] = manager.auth_memory;
	} else if (p->role == R_LMTP) {
		fd[FD_SPOOL] = gen->spool;
	}
}

/* Start one more child of P; pools, gates and lmtp are paired with AUTH. */
static _Bool
place_spawn(struct generation *gen, struct place *p, struct child *auth)
{
	struct ipc_auth_pool pool = {.section = p->section};
	struct ipc_auth_gate gate = {.lmtp = p->role == R_LMTP};
	int pair[2] = {-1, -1}, fd[SLOTS] = {0};
	_Bool paired = (p->role & (R_POOL | R_ACCEPTS)) != 0;
	struct child *c = NULL;

	if (!paired || ipc_pair(pair)) {
		fd[FD_AUTH] = pair[1];
		place_fds(gen, p, fd);
		c = child_new(p->role, p->section, gen, fd);
	}
	if (c != NULL) {
		c->place = p;
		p->have++;
		pool.instance = gate.gate = c->instance;
		if (p->role == R_POOL)
			child_tell(auth, IPC_AUTH_POOL, &pool, pair, 1);
		else if ((p->role & R_ACCEPTS) != 0)
			child_tell(auth, IPC_AUTH_GATE, &gate, pair, 1);
		else if (p->role == R_LOG)
			log_connect(c);
	}
	fds_close(pair, 2);
	return c != NULL;
}

static void
place_wait(struct place *p)
{
	p->delay = p->delay == 0 ? DELAY_FIRST :
	    p->delay * 2 > DELAY_MAX ? DELAY_MAX : p->delay * 2;
	p->due = clock_now() + p->delay;
}

static struct child *
auth_of(const struct generation *gen)
{
	struct child *c;

	TAILQ_FOREACH (c, &manager.children, link)
		if (c->role == R_AUTH && c->gen == gen && c->place != NULL)
			return c;
	return NULL;
}

/* Start what is missing and due; come again when the next one is. */
void
gen_fill(struct generation *gen)
{
	struct child *auth = auth_of(gen);
	_Bool ready = auth != NULL && auth->phase == P_RUN &&
	    auth->io.fd >= 0;
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < gen->n_place && !gen->retired; i++) {
		struct place *p = &gen->place[i];

		if (!ready && (p->role & (R_POOL | R_ACCEPTS)) != 0)
			continue;
		while (p->have < p->want && p->due <= clock_now())
			if (!place_spawn(gen, p, auth))
				place_wait(p);
		if (p->have < p->want && p->due < next)
			next = p->due;
	}
	if (next != UINT64_MAX)
		loop_timer_set(manager.loop, &gen->fill, next);
}

static void
fill_due(struct loop_timer *t)
{
	gen_fill(CONTAINER(t, struct generation, fill));
}

/* C leaves its place, which is filled again: later if C died. */
void
place_leave(struct child *c, _Bool died)
{
	struct place *p = c->place;

	if (p == NULL)
		return;
	c->place = NULL;
	p->have--;
	if (clock_now() - c->started > LIVED_WELL)
		p->delay = 0;
	p->restarts += died;
	if (died && c->phase != P_DRAIN && !c->gen->retired &&
	    !manager.stopping)
		stats_label(manager.stats, STATS_RESTARTS,
		    ipc_role_name(c->role), 1);
	if (died)
		place_wait(p);
}

/* A dead coordinator takes its gates and pools along: they have no other. */
void
auth_gone(struct generation *gen)
{
	struct child *c;

	TAILQ_FOREACH (c, &manager.children, link) {
		if (c->gen != gen || (c->role & (R_POOL | R_ACCEPTS)) == 0)
			continue;
		place_leave(c, 0);
		if ((c->role & R_ACCEPTS) != 0)
			gate_drain(c);
		else
			child_close(c);
	}
}

static void
place_add(struct generation *gen, enum ipc_role role, uint32_t section,
    uint32_t want)
{
	gen->place[gen->n_place++] = (struct place){.role = role,
	    .section = section, .want = want};
}

static uint32_t
gen_has(const struct generation *gen, enum conf_protocol protocol)
{
	for (uint32_t i = 0; i < gen->conf.n_listen; i++)
		if (gen->conf.listen[i].protocol == protocol)
			return 1;
	return 0;
}

/* GEN is complete: its roles may run. */
void
gen_start(struct generation *gen)
{
	long gates = gen->conf.gates != 0 ? gen->conf.gates : manager.cores;

	gen->fill.due = fill_due;
	place_add(gen, R_LOG, 0, 1);
	place_add(gen, R_AUTH, 0, 1);
	for (uint32_t i = 0; i < gen->conf.n_auth; i++)
		place_add(gen, R_POOL, i, gen->conf.auth[i].processes);
	place_add(gen, R_GATE, 0, gates < 1 ? 1 : (uint32_t)gates);
	place_add(gen, R_LMTP, 0, gen->spool >= 0);
	place_add(gen, R_METRICS, 0, gen_has(gen, CONF_SPEAKS_METRICS));
	gen_fill(gen);
}
