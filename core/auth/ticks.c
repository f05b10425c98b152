/*
 * ticks.c - what time does to logins: slots come, patience ends.
 *
 * Runs in the auth coordinator, from its one timer.
 */
#include "config.h"

#include "core/auth/coord-private.h"

/* J's section has not answered in time; no other process is asked. */
static void
job_late(struct job *j, uint64_t now, const char *why)
{
	/* what it still may have to ask gets time of its own */
	TAILQ_REMOVE(&j->coord->active, j, list);
	TAILQ_INSERT_TAIL(&j->coord->active, j, list);
	j->deadline = now + JOB_TIME;
	remember_failed(j, why);
}

/* End what took too long. */
static void
active_tick(struct coord *c, uint64_t now)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&c->active)) != NULL && j->deadline <= now)
		job_late(j, now, j->state == J_RUNNING ?
		    "no answer in time" : "no process had time");
	for (unsigned i = 0; i < c->conf->n_section; i++) {
		struct section *s = &c->section[i];

		for (unsigned q = 0; q < QUEUES && s->n_pools == 0; q++)
			while ((j = TAILQ_FIRST(&s->queue[q])) != NULL &&
			    j->queued_at + NO_POOL_TIME <= now)
				remember_failed(j, "no process runs");
	}
}

/* Forget whose client did not go on. */
static void
sasl_tick(struct coord *c, uint64_t now)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&c->sasl)) != NULL && j->deadline <= now) {
		job_abandoned(j, now);
		job_free(j);
	}
}

/* Let those go whose slot has come, one by one in the order of arrival: each
 * takes its slot before the next asks. */
static void
held_tick(struct coord *c, uint64_t now)
{
	struct job *j, *next;
	unsigned section;

	if (c->held_next > now)
		return;
	c->held_next = UINT64_MAX;
	for (j = TAILQ_FIRST(&c->held); j != NULL; j = next) {
		next = TAILQ_NEXT(j, list);
		if (j->start_at <= now)
			j->start_at = throttle_ask(c->throttle, &j->key, now,
			    &j->lane);
		if (j->start_at > now) {
			if (j->start_at < c->held_next)
				c->held_next = j->start_at;
			continue;
		}
		section = j->section;
		job_unlink(j);
		job_go(j, now);
		section_pump(c, section);
	}
}

void
jobs_tick(struct coord *c, uint64_t now)
{
	sasl_tick(c, now);
	active_tick(c, now);
	held_tick(c, now);
}

uint64_t
jobs_next(const struct coord *c)
{
	const struct job *j = TAILQ_FIRST(&c->active);
	uint64_t at = c->held_next;

	if (TAILQ_EMPTY(&c->held))
		at = UINT64_MAX;
	if (!TAILQ_EMPTY(&c->sasl) && TAILQ_FIRST(&c->sasl)->deadline < at)
		at = TAILQ_FIRST(&c->sasl)->deadline;
	if (j != NULL && j->deadline < at)
		at = j->deadline;
	for (unsigned i = 0; i < c->conf->n_section; i++) {
		const struct section *s = &c->section[i];

		for (unsigned q = 0; q < QUEUES && s->n_pools == 0; q++) {
			j = TAILQ_FIRST(&s->queue[q]);
			if (j != NULL && j->queued_at + NO_POOL_TIME < at)
				at = j->queued_at + NO_POOL_TIME;
		}
	}
	return at;
}
