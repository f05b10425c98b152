/*
 * job.c - one login: SASL, slot, chain of sections, answer.
 *
 * Runs in the auth coordinator.  Names and passwords come from clients,
 * answers from plugins.  Every way out of a login goes through job_free(),
 * which wipes it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

/* --- find, end ----------------------------------------------------------- */

static struct job *
job_find(struct gate *g, uint64_t serial)
{
	struct job *j;

	LIST_FOREACH(j, &g->jobs[serial % GATE_BUCKETS], by_serial)
		if (j->serial == serial)
			return j;
	return NULL;
}

static void
job_leave_gate(struct job *j)
{
	if (j->gate == NULL)
		return;
	LIST_REMOVE(j, by_serial);
	j->gate->n_jobs--;
	j->gate = NULL;
}

void
job_detach(struct job *j)
{
	struct section *s = &j->coord->section[j->section];
	struct pool *p;

	if (j->state == J_QUEUED) {
		TAILQ_REMOVE(&s->queue[j->first + 2 * j->slow], j, queue);
		s->n_queued[j->slow]--;
		j->state = J_RUNNING;
	} else if (j->leader != NULL) {
		TAILQ_REMOVE(&j->leader->followers, j, queue);
		j->leader = NULL;
	} else if (j->state == J_RUNNING) {
		LIST_FOREACH(p, &s->pools, link)
			if (p->job == j)
				p->job = NULL;
	}
}

/* Take J out of the lists of its state; it is in none then. */
void
job_unlink(struct job *j)
{
	struct coord *c = j->coord;

	job_detach(j);
	if (j->state == J_SASL) {
		TAILQ_REMOVE(&c->sasl, j, list);
	} else if (j->state == J_HELD) {
		TAILQ_REMOVE(&c->held, j, list);
		c->n_held--;
	} else if (j->state == J_RUNNING) {
		TAILQ_REMOVE(&c->active, j, list);
	}
	j->state = J_LOOSE;
}

void
job_free(struct job *j)
{
	struct job *f;

	while ((f = TAILQ_FIRST(&j->followers)) != NULL) {
		TAILQ_REMOVE(&j->followers, f, queue);
		f->leader = NULL;	/* its own time is over, soon */
	}
	job_unlink(j);
	job_leave_gate(j);
	secret_drop(j->coord, &j->secret);
	sasl_wipe(&j->sasl);
	explicit_bzero(j, sizeof(*j));
	free(j);
}

void
job_no(struct job *j, culver_status status, uint64_t not_before)
{
	_Bool login = j->kind == KIND_LOGIN;
	struct reply r = {.type = login ? IPC_AUTH_NO : IPC_AUTH_FOUND,
	    .serial = j->serial, .status = status,
	    .number = login ? not_before : 0};
	struct gate *g = j->gate;

	job_free(j);
	if (g != NULL)
		gate_reply(g, &r);
}

/* --- slots --------------------------------------------------------------- */

/* Is there room for J among the logins that wait for a slot? */
static _Bool
held_room(const struct coord *c, const struct job *j)
{
	unsigned addr = 0, user = 0;
	const struct job *h;

	if (c->n_held >= MAX_HELD)
		return 0;
	TAILQ_FOREACH(h, &c->held, list) {
		addr += h->key.addr == j->key.addr;
		user += h->key.user == j->key.user && h->lane == LANE_CLEAN;
	}
	return addr < MAX_HELD_ADDR &&
	    (j->lane != LANE_CLEAN || user < MAX_HELD_USER);
}

/* Let J go on if its slot has come; else hold it. */
void
job_ask(struct job *j, uint64_t now)
{
	struct coord *c = j->coord;

	j->start_at = throttle_ask(c->throttle, &j->key, now, &j->lane);
	if (j->start_at <= now) {
		job_go(j, now);
	} else if (!held_room(c, j)) {
		job_refuse(j, "too-many-waiting");
	} else {
		j->state = J_HELD;
		TAILQ_INSERT_TAIL(&c->held, j, list);
		c->n_held++;
		if (j->start_at < c->held_next)
			c->held_next = j->start_at;
	}
}

/* Put J, which is active, into the queue of its section; false: it is full,
 * and J is gone. */
_Bool
job_enqueue(struct job *j, uint64_t now)
{
	struct section *s = &j->coord->section[j->section];

	if (remember_answer(j, now))
		return 0;
	/* Whoever floods us with guesses shall not keep users out. */
	j->first = j->lane == LANE_KNOWN;
	if (s->n_queued[j->slow] >= (j->first ? 2 * MAX_QUEUED : MAX_QUEUED)) {
		job_refuse(j, "too-many-waiting");
		return 0;
	}
	j->queued_at = now;
	j->state = J_QUEUED;
	TAILQ_INSERT_TAIL(&s->queue[j->first + 2 * j->slow], j, queue);
	s->n_queued[j->slow]++;
	return 1;
}

/* Its time runs from when nothing but our own work keeps it waiting. */
void
job_go(struct job *j, uint64_t now)
{
	if (j->phase == PHASE_VERDICT) {
		exchange_verdict(j, now);
		return;
	}
	j->deadline = now + JOB_TIME;
	j->state = J_RUNNING;
	TAILQ_INSERT_TAIL(&j->coord->active, j, list);
	job_enqueue(j, now);
}

/* --- from the gate ------------------------------------------------------- */

/* A new job of G; NULL: no room. */
static struct job *
job_new(struct gate *g, uint64_t serial, const char *service,
    const char *remote, const char *local)
{
	struct job *j = g->n_jobs < MAX_GATE_JOBS ? calloc(1, sizeof(*j)) :
	    NULL;

	if (j == NULL) {
		log_warnx("a login was refused: %s", g->n_jobs < MAX_GATE_JOBS ?
		    "no memory" : "too many logins begun");
		return NULL;
	}
	j->gate = g;
	j->coord = g->coord;
	j->serial = serial;
	j->id = ++g->coord->jobs;
	TAILQ_INIT(&j->followers);
	snprintf(j->service, sizeof(j->service), "%s", service);
	snprintf(j->remote, sizeof(j->remote), "%s", remote);
	snprintf(j->local, sizeof(j->local), "%s", local);
	LIST_INSERT_HEAD(&g->jobs[serial % GATE_BUCKETS], j, by_serial);
	g->n_jobs++;
	return j;
}

/* A number that this gate used before could answer the wrong connection. */
_Bool
job_begin(struct gate *g, const struct ipc_auth_begin *m)
{
	enum sasl_id id = sasl_find(m->mech, strlen(m->mech));
	_Bool has_data = (m->flags & IPC_HAS_IR) != 0 || (id < SASL_MECHS &&
	    (sasl_mechs[id].flags & SASL_F_COMMAND) != 0);
	struct reply no = {.type = IPC_AUTH_NO, .serial = m->serial,
	    .status = CULVER_E_TEMP};
	struct job *j;

	if (m->serial <= g->last_serial || id == SASL_MECHS ||
	    (g->coord->conf->mechs & SASL_BIT(id)) == 0 ||
	    !text_printable(m->service) || !text_printable(m->remote) ||
	    !text_printable(m->local) || (!has_data && m->data.n > 0))
		return 0;
	g->last_serial = m->serial;
	j = job_new(g, m->serial, m->service, m->remote, m->local);
	if (j == NULL) {
		gate_reply(g, &no);
		return 1;
	}
	j->flags = m->flags;
	if (!exchange_start(j, id, m)) {
		job_refuse(j, "no-memory");
		return 1;
	}
	exchange_step(j, has_data ? m->data.p : NULL, m->data.n);
	return 1;
}

/* Nobody has shown who he is, and nobody is let in: whom does mail belong to?
 * There is no throttle, for lmtp asks for whom it is told to. */
_Bool
job_lookup(struct gate *g, const struct ipc_auth_user *m)
{
	struct reply no = {.type = IPC_AUTH_FOUND, .serial = m->serial,
	    .status = CULVER_E_TEMP};
	struct job *j;

	if (m->serial <= g->last_serial || !text_printable(m->remote))
		return 0;
	g->last_serial = m->serial;
	j = job_new(g, m->serial, "lmtp", m->remote, "");
	if (j == NULL) {
		gate_reply(g, &no);
		return 1;
	}
	j->kind = m->want_grant ? KIND_DELIVERY : KIND_LOOKUP;
	if (!user_check(m->user, g->coord->conf->user_case == 1, j->user)) {
		job_no(j, CULVER_E_NOUSER, 0);
		return 1;
	}
	j->deadline = g->coord->setup.now() + JOB_TIME;
	j->state = J_RUNNING;
	TAILQ_INSERT_TAIL(&g->coord->active, j, list);
	lookup_begin(j, 0);
	return 1;
}

_Bool
job_continue(struct gate *g, const struct ipc_auth_cont *m)
{
	struct reply no = {.type = IPC_AUTH_NO, .serial = m->serial,
	    .status = CULVER_E_TEMP};
	struct job *j = job_find(g, m->serial);

	if (j == NULL && m->serial <= g->last_serial) {
		gate_reply(g, &no);	/* its time was over */
		return 1;
	}
	if (j == NULL || j->state != J_SASL)
		return 0;
	exchange_step(j, m->data.p, m->data.n);
	return 1;
}

_Bool
job_cancel(struct gate *g, const struct ipc_auth_cancel *m)
{
	struct job *j = job_find(g, m->serial);

	if (m->serial > g->last_serial)
		return 0;
	if (j == NULL)		/* our answer is on its way already */
		return 1;
	job_abandoned(j, g->coord->setup.now());
	job_orphan(j);
	return 1;
}

void
job_orphan(struct job *j)
{
	if (j->state == J_RUNNING) {
		job_leave_gate(j);
	} else {
		job_settle(j, j->coord->setup.now());
		job_free(j);
	}
}
