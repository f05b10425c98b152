/*
 * coord.c - the coordinator as a whole: begin, timer, end, and manager, who
 * says which gates and pools there are.
 *
 * Runs in the auth coordinator.  Every message is checked by ipc_recv()
 * before it is looked at.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/auth/cache.h"
#include "core/auth/coord-private.h"
#include "core/base/log.h"

static_assert(CONF_MAX_AUTH <= PONG_NUMBERS - PONG_QUEUED, "room in PONG");

enum { BATCH = 64 };		/* messages of one channel before the next */

static struct ipc_in in;	/* one message at a time; wiped by ipc_done() */

/* --- manager -------------------------------------------------------------- */

/* How much there is to do. */
static void
pong(const struct coord *c)
{
	uint64_t n[PONG_NUMBERS] = {[PONG_HELD] = c->n_held};
	const struct gate *g;
	const struct pool *p;

	LIST_FOREACH(g, &c->gates, link)
		n[PONG_LOGINS] += g->n_jobs;
	for (uint32_t i = 0; i < c->conf->n_section; i++) {
		const struct section *s = &c->section[i];

		n[PONG_QUEUED + i] = s->n_queued[0] + s->n_queued[1];
		LIST_FOREACH(p, &s->pools, link)
			n[PONG_BUSY] += p->busy;
	}
	ipc_pong(c->manager.fd, n, PONG_NUMBERS);
}

static void
manager_event(struct loop_io *io, unsigned events)
{
	struct coord *c = (struct coord *)(void *)((char *)io -
	    offsetof(struct coord, manager));
	int fd;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		enum ipc_result r = ipc_recv(io->fd, &in, R_MANAGER, R_AUTH,
		    P_RUN);

		if (r == IPC_AGAIN)
			return;
		if (r == IPC_BREACH)
			log_errorx("manager broke the protocol");
		if (r != IPC_GOT) {
			loop_unwatch(c->setup.loop, io);
			c->setup.gone(c->setup.ctx);
			return;
		}
		fd = in.nfds > 0 ? in.fd[0] : -1;
		in.fd[0] = -1;
		if (in.type == IPC_PING)
			pong(c);
		else if (in.type == IPC_AUTH_FLUSH)
			remember_flush(c, in.m.auth_flush.user[0] != 0 ?
			    in.m.auth_flush.user : NULL);
		else if (in.type == IPC_AUTH_GATE)
			gate_add(c, in.m.auth_gate.gate,
			    in.m.auth_gate.lmtp ? R_LMTP : R_GATE, fd);
		else if (in.type == IPC_AUTH_POOL)
			pool_add(c, in.m.auth_pool.section,
			    in.m.auth_pool.instance, fd);
		ipc_done(&in);
	}
}

/* --- the whole ------------------------------------------------------------ */

void
coord_tick(struct coord *c)
{
	jobs_tick(c, c->setup.now());
	gates_bury(c);
	coord_schedule(c);
}

static void
on_timer(struct loop_timer *timer)
{
	coord_tick((struct coord *)(void *)((char *)timer -
	    offsetof(struct coord, timer)));
}

void
coord_schedule(struct coord *c)
{
	uint64_t at = c->gates_dead ? 0 : jobs_next(c);

	if (at == UINT64_MAX)
		loop_timer_clear(c->setup.loop, &c->timer);
	else if (c->timer.where == NULL || c->timer.at != at)
		loop_timer_set(c->setup.loop, &c->timer, at);
}

void
slots_freed(struct coord *c)
{
	struct job *h;

	TAILQ_FOREACH(h, &c->held, list)
		h->start_at = 0;
	c->held_next = 0;
}

struct coord *
coord_new(const struct coord_setup *setup)
{
	struct coord *c = calloc(1, sizeof(*c));
	uint8_t secret[THROTTLE_KEY];

	if (c == NULL)
		return NULL;
	c->setup = *setup;
	c->conf = setup->conf;
	c->held_next = UINT64_MAX;
	c->timer.due = on_timer;
	TAILQ_INIT(&c->sasl);
	TAILQ_INIT(&c->held);
	TAILQ_INIT(&c->active);
	LIST_INIT(&c->gates);
	for (unsigned i = 0; i < CONF_MAX_AUTH; i++) {
		LIST_INIT(&c->section[i].pools);
		for (unsigned q = 0; q < QUEUES; q++)
			TAILQ_INIT(&c->section[i].queue[q]);
	}
	c->manager.fd = setup->manager;
	c->manager.ready = manager_event;
	if (getrandom(secret, sizeof(secret), 0) == sizeof(secret))
		c->throttle = throttle_new(c->conf->failure_delay,
		    c->conf->failure_delay_max, THROTTLE_ENTRIES, secret,
		    setup->memory);
	explicit_bzero(secret, sizeof(secret));
	if (c->throttle != NULL)
		throttle_secret(c->throttle, c->salt_secret);
	c->logins = delay_new();
	if (c->throttle == NULL || c->logins == NULL || !secrets_new(c) ||
	    !sasl_warm() ||
	    !loop_watch(setup->loop, &c->manager, LOOP_READ)) {
		coord_destroy(&c);
		return NULL;
	}
	remember_new(c);	/* takes what those of logins leave to lock */
	return c;
}

void
coord_destroy(struct coord **cp)
{
	struct coord *c = *cp;
	struct gate *g;
	struct pool *p;
	struct job *j;

	if (c == NULL)
		return;
	while ((g = LIST_FIRST(&c->gates)) != NULL)
		gate_end(g, NULL);
	while ((j = TAILQ_FIRST(&c->active)) != NULL)
		job_free(j);
	for (unsigned i = 0; i < CONF_MAX_AUTH; i++)
		while ((p = LIST_FIRST(&c->section[i].pools)) != NULL)
			pool_end(p, NULL);
	owners_free(&c->owners);
	loop_timer_clear(c->setup.loop, &c->timer);
	loop_unwatch(c->setup.loop, &c->manager);
	throttle_destroy(&c->throttle);
	secrets_destroy(c);
	cache_destroy(&c->cache);
	free(c->logins);
	explicit_bzero(c->salt_secret, sizeof(c->salt_secret));
	free(c);
	*cp = NULL;
}
