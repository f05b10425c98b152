/*
 * pools.c - the channels of pool processes: which login each gets, and what
 * becomes of its answer.
 *
 * Runs in the auth coordinator.  Every message is checked by ipc_recv()
 * before it is looked at; a pool that breaks a rule is closed.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

static struct ipc_in in;	/* one message at a time; wiped by ipc_done() */

#define OWNER(io_) \
	((struct pool *)(void *)((char *)(io_) - offsetof(struct pool, io)))

/* --- questions ------------------------------------------------------------- */

/* An idle process, if possible one that has shown that it works. */
static struct pool *
pool_idle(struct section *s)
{
	struct pool *p, *idle = NULL;

	LIST_FOREACH(p, &s->pools, link) {
		if (p->busy)
			continue;
		if (p->proven)
			return p;
		idle = p;
	}
	return idle;
}

/* What J wants to know of its user. */
static void
creds_want(const struct job *j, struct ipc_pool_login *m, uint8_t *salt)
{
	unsigned has = j->sasl.mech->has;

	m->want = IPC_WANT_CREDS;
	m->form = CULVER_CRED_PLAIN;
	if (j->phase == PHASE_TARGET)
		return;
	m->form = has & SASL_HAS_SHA_256 ? CULVER_CRED_SCRAM_SHA256 :
	    has & SASL_HAS_SHA_1 ? CULVER_CRED_SCRAM_SHA1 :
	    CULVER_CRED_PLAIN;
	if (m->form == CULVER_CRED_PLAIN)
		return;
	sasl_salt(j->coord->salt_secret, sizeof(j->coord->salt_secret),
	    j->sasl.id, j->user, salt);
	m->salt = (struct ipc_bytes){.p = salt, .n = SASL_SALT};
	m->iterations = SASL_ITERATIONS;
}

/* May it take long to answer J, so that it must not keep the last process that
 * others wait for? */
static _Bool
may_last(const struct job *j)
{
	return j->phase == PHASE_VERIFY && j->cap == CULVER_AU_VERIFY &&
	    (j->coord->conf->section[j->section].caps & CULVER_AU_QUICK) != 0;
}

/* Is there a process for such a question, and another one left? */
static _Bool
slow_room(const struct section *s)
{
	return s->n_slow < (s->n_pools > 1 ? s->n_pools - 1 : 1);
}

static culver_status
job_send(struct job *j, struct pool *p)
{
	struct ipc_pool_login m = {.id = j->id, .deadline = j->deadline,
	    .flags = j->flags & (IPC_TLS | IPC_LOOPBACK), .user = j->user,
	    .service = j->service, .remote = j->remote, .local = j->local};
	uint8_t salt[SASL_SALT];
	char session[24];

	p->expects = IPC_POOL_ANSWER;
	if (j->phase == PHASE_CREDS || j->phase == PHASE_TARGET) {
		creds_want(j, &m, salt);
		p->expects = IPC_POOL_CREDS;
	} else if (j->phase == PHASE_VERIFY) {
		m.want = IPC_WANT_VERIFY;
		m.flags |= p->quick ? IPC_QUICK : 0u;
		m.flags |= j->cap == CULVER_AU_TOKEN ? IPC_TOKEN :
		    j->cap == CULVER_AU_EXTERNAL ? IPC_CERT : 0u;
		m.password = (struct ipc_bytes){.p = j->secret->token != NULL ?
		    j->secret->token : j->secret->password,
		    .n = (uint32_t)j->secret->n};
	}
	if (j->phase == PHASE_USER || (j->phase == PHASE_VERIFY &&
	    lookup_at_once(j)))
		m.want |= IPC_WANT_USER;
	snprintf(session, sizeof(session), "%llx", (unsigned long long)j->id);
	m.session = session;
	return ipc_send(p->io.fd, IPC_POOL_LOGIN, &m, NULL, 0);
}

/* J is first in the queue of S, and P has time for it. */
static void
job_run(struct job *j, struct pool *p, uint64_t now)
{
	struct coord *c = j->coord;
	struct section *s = &c->section[j->section];
	_Bool guess = j->guess != GUESS_BEGUN && j->phase == PHASE_VERIFY;

	if (guess) {
		j->start_at = throttle_ask(c->throttle, &j->key, now,
		    &j->lane);
		if (j->start_at > now) {	/* others failed meanwhile */
			job_unlink(j);
			job_ask(j, now);
			return;
		}
	}
	if (remember_answer(j, now) || remember_follow(j, now))
		return;
	j->flushes = c->flushes;
	p->slow = may_last(j) && slow_room(s);
	p->quick = may_last(j) && !p->slow;
	p->began = guess;
	s->n_slow += p->slow;
	if (job_send(j, p) != CULVER_OK) {	/* it never saw the job */
		pool_end(p, "does not take a login");
		return;
	}
	if (guess)
		guess_begin(j, now);
	job_detach(j);
	p->busy = 1;
	p->id = j->id;
	p->job = j;
}

/* Who goes next; NULL: nobody who could. */
static struct job *
job_first(struct section *s)
{
	static const unsigned order[QUEUES] = {3, 1, 2, 0};
	_Bool room = slow_room(s);

	for (unsigned i = 0; i < QUEUES; i++)
		if ((order[i] < 2 || room) && !TAILQ_EMPTY(&s->queue[order[i]]))
			return TAILQ_FIRST(&s->queue[order[i]]);
	return NULL;
}

void
section_pump(struct coord *c, unsigned section)
{
	struct section *s = &c->section[section];
	uint64_t now = c->setup.now();
	struct pool *p;
	struct job *j;

	while ((p = pool_idle(s)) != NULL && (j = job_first(s)) != NULL)
		job_run(j, p, now);
	coord_schedule(c);
}

/* --- answers --------------------------------------------------------------- */

/* P's login J takes long: nothing was verified, and it waits for a process
 * that has time.  So do those who wanted to know the same. */
static void
job_slowed(struct job *j, const struct pool *p, uint64_t now)
{
	struct job *f;

	while ((f = TAILQ_FIRST(&j->followers)) != NULL) {
		TAILQ_REMOVE(&j->followers, f, queue);
		f->leader = NULL;
		job_slowed(f, NULL, now);
	}
	if (p != NULL && p->began && j->guess == GUESS_BEGUN)
		guess_void(j);
	j->slow = 1;
	if (j->gate == NULL) {
		job_settle(j, now);
		job_free(j);
	} else {
		job_enqueue(j, now);
	}
}

/* P, which is idle from now on, has answered J. */
static void
job_answered(struct pool *p, struct job *j)
{
	if (in.type == IPC_POOL_CREDS)
		exchange_creds(j, &in.m.pool_creds);
	else if (p->quick && (culver_status)in.m.pool_answer.verify ==
	    CULVER_E_UNSUPPORTED)
		job_slowed(j, p, p->coord->setup.now());
	else
		remember_said(j, &in.m.pool_answer);
}

/* --- channels -------------------------------------------------------------- */

void
pool_end(struct pool *p, const char *why)
{
	struct coord *c = p->coord;
	unsigned section = p->section;
	struct section *s = &c->section[section];
	struct job *j = p->job;

	if (why != NULL)
		log_warnx("pool %u of section %s %s: closed", p->instance,
		    c->conf->section[p->section].name, why);
	loop_unwatch(c->setup.loop, &p->io);
	close(p->io.fd);
	LIST_REMOVE(p, link);
	s->n_pools--;
	s->n_slow -= p->slow;
	free(p);
	/* Not given to another process: it may be what ended this one. */
	if (j != NULL)
		remember_failed(j, "its process ended");
	section_pump(c, section);	/* others may do now what it did */
}

static void
pool_event(struct loop_io *io, unsigned events)
{
	struct pool *p = OWNER(io);
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
		c->section[section].n_slow -= p->slow;
		p->slow = 0;
		if (j != NULL)
			job_answered(p, j);
	}
	ipc_done(&in);
	section_pump(c, section);
}

void
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
