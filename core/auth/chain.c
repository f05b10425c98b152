/*
 * chain.c - ask the sections in order who the client is.
 *
 * Runs in the auth coordinator.  Answers come from plugins.  "Unknown" and
 * "not mine" ask the next section; a failure of the system never does.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

int
section_with(const struct coord *c, unsigned from, uint64_t cap)
{
	for (unsigned i = from; i < c->conf->n_section; i++)
		if (c->conf->section[i].caps & cap)
			return (int)i;
	return -1;
}

/* --- to and from the pools ----------------------------------------------- */

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

static culver_status
job_send(struct job *j, struct pool *p)
{
	uint64_t caps = j->coord->conf->section[j->section].caps;
	struct ipc_pool_login m = {.id = j->id, .deadline = j->deadline,
	    .flags = j->flags & (IPC_TLS | IPC_LOOPBACK), .user = j->user,
	    .service = j->service, .remote = j->remote, .local = j->local};
	uint8_t salt[SASL_SALT];
	char session[24];

	p->expects = IPC_POOL_ANSWER;
	if (j->phase == PHASE_CREDS) {
		creds_want(j, &m, salt);
		p->expects = IPC_POOL_CREDS;
	} else if (j->phase == PHASE_VERIFY) {
		m.want = IPC_WANT_VERIFY;
		m.flags |= j->cap == CULVER_AU_TOKEN ? IPC_TOKEN :
		    j->cap == CULVER_AU_EXTERNAL ? IPC_CERT : 0u;
		m.password = (struct ipc_bytes){.p = j->secret->token != NULL ?
		    j->secret->token : j->secret->password,
		    .n = (uint32_t)j->secret->n};
	}
	if (j->phase != PHASE_CREDS && (caps & CULVER_AU_USER) != 0)
		m.want |= IPC_WANT_USER;
	snprintf(session, sizeof(session), "%llx", (unsigned long long)j->id);
	m.session = session;
	return ipc_send(p->io.fd, IPC_POOL_LOGIN, &m, NULL, 0);
}

/* J is first in the queue of S, and P has time for it. */
static void
job_run(struct job *j, struct section *s, struct pool *p, uint64_t now)
{
	struct coord *c = j->coord;

	if (!j->begun && j->phase == PHASE_VERIFY) {
		j->start_at = throttle_ask(c->throttle, &j->key, now,
		    &j->lane);
		if (j->start_at > now) {	/* others failed meanwhile */
			job_unlink(j);
			job_ask(j, now);
			return;
		}
	}
	if (job_send(j, p) != CULVER_OK) {	/* it never saw the job */
		pool_end(p, "does not take a login");
		return;
	}
	if (!j->begun && j->phase == PHASE_VERIFY) {
		j->slot = throttle_begin(c->throttle, &j->key, now);
		j->begun = 1;
	}
	TAILQ_REMOVE(&s->queue[j->first], j, queue);
	s->n_queued--;
	j->state = J_RUNNING;
	p->busy = 1;
	p->id = j->id;
	p->job = j;
}

void
section_pump(struct coord *c, unsigned section)
{
	struct section *s = &c->section[section];
	uint64_t now = c->setup.now();
	struct pool *p;
	struct job *j;

	while ((p = pool_idle(s)) != NULL &&
	    ((j = TAILQ_FIRST(&s->queue[1])) != NULL ||
	    (j = TAILQ_FIRST(&s->queue[0])) != NULL))
		job_run(j, s, p, now);
	coord_schedule(c);
}

void
job_next(struct job *j, unsigned section)
{
	struct coord *c = j->coord;

	j->section = section;
	if (job_enqueue(j, c->setup.now()))
		section_pump(c, section);
}

/* The password is right: who is the user?  Sections behind the one that said
 * so are asked first, then those before it. */
static void
lookup_next(struct job *j)
{
	const struct conf_auth *conf = j->coord->conf;

	j->phase = PHASE_USER;
	for (unsigned i = 1; i <= conf->n_section; i++) {
		unsigned s = (j->section + i) % conf->n_section;

		if ((conf->section[s].caps & CULVER_AU_USER) == 0 ||
		    (j->asked & 1u << s) != 0)
			continue;
		j->asked |= 1u << s;
		job_next(j, s);
		return;
	}
	if (j->delivery && j->asked != 0)
		job_no(j, CULVER_E_NOUSER, 0);
	else
		job_broken(j, CULVER_E_TEMP, "no section knows the user's "
		    "uid, gid and home");
}

void
lookup_begin(struct job *j, unsigned first)
{
	unsigned n = j->coord->conf->n_section;

	j->section = n > 0 ? (first + n - 1) % n : 0;
	lookup_next(j);
}

/* The answer to lmtp: who it is and, if it wants that, a grant. */
static void
job_found(struct job *j, const struct ipc_pool_answer *m)
{
	struct reply r = {.type = IPC_AUTH_FOUND, .serial = j->serial,
	    .uid = m->uid};
	struct gate *g = j->gate;
	const char *why;
	culver_status st = grant_send(j, m, j->want_grant ? &r.number : NULL,
	    &why);

	if (st != CULVER_OK) {
		job_broken(j, st, why);
		return;
	}
	snprintf(r.user, sizeof(r.user), "%s", j->user);
	job_free(j);
	gate_reply(g, &r);
}

static void
job_granted(struct job *j, const struct ipc_pool_answer *m)
{
	struct reply r = {.type = IPC_AUTH_YES, .serial = j->serial};
	struct gate *g = j->gate;
	const char *why;
	culver_status st = grant_send(j, m, &r.number, &why);

	if (st != CULVER_OK) {
		job_broken(j, st, why);
		return;
	}
	job_free(j);
	gate_reply(g, &r);
}

static void
lookup_answer(struct job *j, const struct ipc_pool_answer *m)
{
	culver_status st = (culver_status)m->lookup;

	if (m->user[0] != 0 && !user_check(m->user, 0, j->user))
		job_broken(j, CULVER_E_TEMP, "its canonical name is not one");
	else if (st == CULVER_OK && j->delivery)
		job_found(j, m);
	else if (st == CULVER_OK)
		job_granted(j, m);
	else if (st == CULVER_E_DISABLED && j->delivery)
		job_no(j, st, 0);
	else if (st == CULVER_E_NOUSER || st == CULVER_E_DECLINE)
		lookup_next(j);
	else
		job_broken(j, st, m->error);
}

void
slots_freed(struct coord *c)
{
	struct job *h;

	TAILQ_FOREACH(h, &c->held, list)
		h->start_at = 0;
	c->held_next = 0;
}

/* The password was right. */
static void
job_verified(struct job *j, const struct ipc_pool_answer *m)
{
	struct coord *c = j->coord;
	_Bool looked = c->conf->section[j->section].caps & CULVER_AU_USER;

	secret_drop(c, &j->secret);
	if (throttle_passed(c->throttle, &j->key, &j->slot, c->setup.now()))
		slots_freed(c);
	if (j->gate == NULL) {
		job_free(j);
		return;
	}
	j->expire_days = m->expire_days;
	j->login_delay = m->login_delay;
	if (j->user[0] == 0 && m->user[0] == 0) {
		job_broken(j, CULVER_E_TEMP, "it does not say whose the token "
		    "is");
		return;
	}
	if (!looked) {
		if (m->user[0] != 0 && !user_check(m->user, 0, j->user))
			job_broken(j, CULVER_E_TEMP,
			    "its canonical name is not one");
		else
			lookup_next(j);
		return;
	}
	j->asked |= 1u << j->section;
	lookup_answer(j, m);
}

/* The section could not tell, so the client learned nothing and has not
 * failed. */
static void
job_undecided(struct job *j, const struct ipc_pool_answer *m)
{
	struct coord *c = j->coord;

	if (throttle_spared(c->throttle, &j->key, &j->slot))
		slots_freed(c);
	job_broken(j, (culver_status)m->verify, m->error);
}

const char *
failure_text(culver_status st)
{
	return st == CULVER_E_AUTH ? "bad-password" :
	    st == CULVER_E_DELAY ? "login-delay" :
	    st == CULVER_E_DISABLED ? "disabled" :
	    st == CULVER_E_EXPIRED ? "expired" : "unknown-user";
}

static void
verify_answer(struct job *j, const struct ipc_pool_answer *m)
{
	culver_status st = (culver_status)m->verify;
	int next;

	switch (st) {
	case CULVER_OK:
		job_verified(j, m);
		break;
	case CULVER_E_NOUSER:
	case CULVER_E_DECLINE:
		next = section_with(j->coord, j->section + 1, j->cap);
		if (next >= 0 && j->gate != NULL)
			job_next(j, (unsigned)next);
		else
			exchange_denied(j, failure_text(st));
		break;
	case CULVER_E_AUTH:
	case CULVER_E_DISABLED:
	case CULVER_E_EXPIRED:
		exchange_denied(j, failure_text(st));
		break;
	case CULVER_E_DELAY:
		job_log(j, LOG_INFO_, "auth-failed", "reason", "login-delay");
		job_no(j, CULVER_E_DELAY, 0);
		break;
	default:
		job_undecided(j, m);
	}
}

void
job_answer(struct job *j, const struct ipc_pool_answer *m)
{
	if (j->phase == PHASE_VERIFY)
		verify_answer(j, m);
	else if (j->gate == NULL)
		job_free(j);
	else
		lookup_answer(j, m);
}
