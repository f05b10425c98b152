/*
 * coord.c - the coordinator's channels: manager, gates, pools.
 *
 * Runs in the auth coordinator.  Every message is checked by ipc_recv()
 * before it is looked at; a gate or pool that breaks a rule is closed.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/auth/cache.h"
#include "core/auth/coord-private.h"
#include "core/base/log.h"

enum { BATCH = 64 };		/* messages of one channel before the next */

static struct ipc_in in;	/* one message at a time; wiped by ipc_done() */

#define OWNER(io_, type) \
	((struct type *)(void *)((char *)(io_) - offsetof(struct type, io)))

/* --- gates ---------------------------------------------------------------- */

static culver_status
reply_send(struct gate *g, const struct reply *r)
{
	const char *text = r->challenge != NULL ? r->challenge : "";
	union ipc_any m;

	switch (r->type) {
	case IPC_AUTH_YES:
		m.auth_yes = (struct ipc_auth_yes){.serial = r->serial,
		    .grant = r->number};
		break;
	case IPC_AUTH_FOUND:
		m.auth_found = (struct ipc_auth_found){.serial = r->serial,
		    .grant = r->number, .status = (uint32_t)r->status,
		    .uid = r->uid, .user = r->user};
		break;
	case IPC_AUTH_NO:
		m.auth_no = (struct ipc_auth_no){.serial = r->serial,
		    .not_before = r->number, .status = (uint32_t)r->status};
		break;
	default:
		m.auth_challenge = (struct ipc_auth_challenge){
		    .serial = r->serial, .data = {
		    .p = (const uint8_t *)text,
		    .n = (uint32_t)strlen(text)}};
	}
	return ipc_send(g->io.fd, r->type, &m, NULL, 0);
}

static void
gate_doom(struct gate *g, const char *why)
{
	g->dead = why;
	g->coord->gates_dead = 1;
	coord_schedule(g->coord);
}

void
gate_reply(struct gate *g, const struct reply *r)
{
	size_t n = r->challenge != NULL ? strlen(r->challenge) + 1 : 0;
	culver_status st = CULVER_E_TEMP;
	struct reply *kept;

	if (g->dead != NULL)
		return;
	if (STAILQ_EMPTY(&g->replies))
		st = reply_send(g, r);
	if (st == CULVER_OK)
		return;
	kept = st == CULVER_E_TEMP && g->n_replies < MAX_REPLIES ?
	    malloc(sizeof(*kept) + n) : NULL;
	if (kept == NULL || !loop_watch(g->coord->setup.loop, &g->io,
	    LOOP_READ | LOOP_WRITE)) {
		free(kept);
		gate_doom(g, "does not take answers");
		return;
	}
	*kept = *r;
	if (n > 0)
		kept->challenge = memcpy(kept + 1, r->challenge, n);
	STAILQ_INSERT_TAIL(&g->replies, kept, link);
	g->n_replies++;
}

static void
gate_flush(struct gate *g)
{
	struct reply *r;
	culver_status st;

	while ((r = STAILQ_FIRST(&g->replies)) != NULL) {
		st = reply_send(g, r);
		if (st == CULVER_E_TEMP)
			return;
		if (st != CULVER_OK) {
			gate_doom(g, "does not take answers");
			return;
		}
		STAILQ_REMOVE_HEAD(&g->replies, link);
		g->n_replies--;
		free(r);
	}
	if (!loop_watch(g->coord->setup.loop, &g->io, LOOP_READ))
		gate_doom(g, "cannot be watched");
}

void
gate_end(struct gate *g, const char *why)
{
	struct reply *r;
	struct job *j;

	if (why != NULL)
		log_warnx("gate %u %s: closed", g->id, why);
	loop_unwatch(g->coord->setup.loop, &g->io);
	close(g->io.fd);
	for (unsigned i = 0; i < GATE_BUCKETS; i++)
		while ((j = LIST_FIRST(&g->jobs[i])) != NULL)
			job_orphan(j);
	while ((r = STAILQ_FIRST(&g->replies)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->replies, link);
		free(r);
	}
	LIST_REMOVE(g, link);
	g->coord->n_gates--;
	free(g);
}

static _Bool
gate_message(struct gate *g)
{
	switch (in.type) {
	case IPC_AUTH_BEGIN:
		return job_begin(g, &in.m.auth_begin);
	case IPC_AUTH_CONT:
		return job_continue(g, &in.m.auth_cont);
	case IPC_AUTH_CANCEL:
		return job_cancel(g, &in.m.auth_cancel);
	case IPC_AUTH_USER:
		return job_lookup(g, &in.m.auth_user);
	default:
		return 0;
	}
}

static void
gate_event(struct loop_io *io, unsigned events)
{
	struct gate *g = OWNER(io, gate);
	struct coord *c = g->coord;
	_Bool good = 1;

	if (events & LOOP_WRITE)
		gate_flush(g);
	for (int i = 0; i < BATCH && g->dead == NULL; i++) {
		switch (ipc_recv(io->fd, &in, g->role, R_AUTH, P_RUN)) {
		case IPC_GOT:
			good = gate_message(g);
			ipc_done(&in);
			break;
		case IPC_AGAIN:
			coord_schedule(c);
			return;
		case IPC_EOF:
			gate_end(g, NULL);
			coord_schedule(c);
			return;
		case IPC_BREACH:
			good = 0;
		}
		if (!good) {
			gate_end(g, "broke the protocol");
			coord_schedule(c);
			return;
		}
	}
	coord_schedule(c);
}

static void
gate_add(struct coord *c, uint32_t id, enum ipc_role role, int fd)
{
	struct gate *g = c->n_gates < MAX_GATES ? calloc(1, sizeof(*g)) : NULL;

	if (g == NULL) {
		log_errorx("gate %u: no room", id);
		close(fd);
		return;
	}
	g->coord = c;
	g->id = id;
	g->role = role;
	g->io.fd = fd;
	g->io.ready = gate_event;
	STAILQ_INIT(&g->replies);
	for (unsigned i = 0; i < GATE_BUCKETS; i++)
		LIST_INIT(&g->jobs[i]);
	LIST_INSERT_HEAD(&c->gates, g, link);
	c->n_gates++;
	if (!loop_watch(c->setup.loop, &g->io, LOOP_READ))
		gate_end(g, "cannot be watched");
}

/* --- pools ---------------------------------------------------------------- */

void
pool_end(struct pool *p, const char *why)
{
	struct coord *c = p->coord;
	struct section *s = &c->section[p->section];
	struct job *j = p->job;

	if (why != NULL)
		log_warnx("pool %u of section %s %s: closed", p->instance,
		    c->conf->section[p->section].name, why);
	loop_unwatch(c->setup.loop, &p->io);
	close(p->io.fd);
	LIST_REMOVE(p, link);
	s->n_pools--;
	free(p);
	/* Not given to another process: it may be what ended this one. */
	if (j != NULL)
		remember_failed(j, "its process ended");
	coord_schedule(c);
}

static void
pool_event(struct loop_io *io, unsigned events)
{
	struct pool *p = OWNER(io, pool);
	struct coord *c = p->coord;
	unsigned section = p->section;
	struct job *j;

	(void)events;
	switch (ipc_recv(io->fd, &in, R_POOL, R_AUTH, P_RUN)) {
	case IPC_AGAIN:
		return;
	case IPC_EOF:
		pool_end(p, NULL);
		return;
	case IPC_BREACH:
		pool_end(p, "broke the protocol");
		return;
	case IPC_GOT:
		break;
	}
	/* both begin with the number */
	if (!p->busy || in.type != p->expects ||
	    in.m.pool_answer.id != p->id) {
		pool_end(p, "answered what was not asked");
	} else {
		j = p->job;
		p->job = NULL;
		p->busy = 0;
		p->proven = 1;
		if (j != NULL && in.type == IPC_POOL_CREDS)
			exchange_creds(j, &in.m.pool_creds);
		else if (j != NULL)
			remember_said(j, &in.m.pool_answer);
	}
	ipc_done(&in);
	section_pump(c, section);
}

static void
pool_add(struct coord *c, uint32_t section, uint32_t instance, int fd)
{
	struct pool *p = section < c->conf->n_section ?
	    calloc(1, sizeof(*p)) : NULL;

	if (p == NULL) {
		log_errorx("pool %u of section %u: no room", instance,
		    section);
		close(fd);
		return;
	}
	p->coord = c;
	p->section = section;
	p->instance = instance;
	p->io.fd = fd;
	p->io.ready = pool_event;
	LIST_INSERT_HEAD(&c->section[section].pools, p, link);
	c->section[section].n_pools++;
	if (!loop_watch(c->setup.loop, &p->io, LOOP_READ))
		pool_end(p, "cannot be watched");
	else
		section_pump(c, section);
}

/* --- manager -------------------------------------------------------------- */

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
			ipc_pong(io->fd);
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
	struct gate *g, *next;

	jobs_tick(c, c->setup.now());
	while (c->gates_dead) {
		c->gates_dead = 0;
		for (g = LIST_FIRST(&c->gates); g != NULL; g = next) {
			next = LIST_NEXT(g, link);
			if (g->dead != NULL)
				gate_end(g, g->dead);
		}
	}
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
		TAILQ_INIT(&c->section[i].queue[0]);
		TAILQ_INIT(&c->section[i].queue[1]);
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
	    !remember_new(c) || !sasl_warm() ||
	    !loop_watch(setup->loop, &c->manager, LOOP_READ))
		coord_destroy(&c);
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
