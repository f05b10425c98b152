/*
 * chain.c - ask the sections in order who the client is.
 *
 * Runs in the auth coordinator.  Answers come from plugins; then.c says what
 * they lead to.  A failure of the system is never taken for a no.
 */
#include "config.h"

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

int
section_with(const struct coord *c, unsigned from, uint64_t cap,
    _Bool masters)
{
	for (unsigned i = from; i < c->conf->n_section; i++)
		if ((c->conf->section[i].caps & cap) != 0 &&
		    (c->conf->section[i].masters != 0) == masters)
			return (int)i;
	return -1;
}

void
job_next(struct job *j, unsigned section)
{
	struct coord *c = j->coord;

	j->section = section;
	j->slow = 0;
	if (job_enqueue(j, c->setup.now()))
		section_pump(c, section);
}

/* --- is the password right? ----------------------------------------------- */

/* The password was right. */
static void
job_verified(struct job *j, const struct ipc_pool_answer *m)
{
	struct coord *c = j->coord;
	_Bool looked = lookup_at_once(j);

	secret_drop(c, &j->secret);
	j->guess = GUESS_JUDGED;
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
	if (!looked || job_is_master(j)) {
		if (m->user[0] != 0 && !user_check(m->user, 0, j->user))
			job_broken(j, CULVER_E_TEMP,
			    "its canonical name is not one");
		else if (job_is_master(j))
			master_verified(j);
		else
			lookup_begin(j, j->section + 1);
		return;
	}
	lookup_answer(j, m);
}

const char *
failure_text(culver_status st)
{
	return st == CULVER_E_AUTH ? "bad-password" :
	    st == CULVER_E_DELAY ? "login-delay" :
	    st == CULVER_E_DISABLED ? "disabled" :
	    st == CULVER_E_EXPIRED ? "expired" : "unknown-user";
}

int
chain_pass(struct job *j, culver_status st, const char *why)
{
	const struct conf_auth_part *part =
	    &j->coord->conf->section[j->section];

	if (chain_is_failure(st)) {
		job_complain(j, st, why);
		j->unsure = 1;
	}
	j->wrong |= st == CULVER_E_AUTH;
	j->masked |= part->on_wrong == CONF_THEN_NEXT;
	return section_with(j->coord, j->section + 1, j->cap,
	    job_is_master(j));
}

const char *
chain_reason(const struct job *j, culver_status st)
{
	return failure_text(j->wrong && st == CULVER_E_NOUSER ?
	    CULVER_E_AUTH : st);
}

void
chain_broken(struct job *j, culver_status st, const char *why)
{
	if (st == CULVER_E_NOUSER)
		job_broken(j, CULVER_E_TEMP, failure_text(st));
	else
		job_broken(j, st, why);
}

static void
verify_answer(struct job *j, const struct ipc_pool_answer *m)
{
	const struct conf_auth_part *part =
	    &j->coord->conf->section[j->section];
	culver_status st = (culver_status)m->verify;
	int next;

	if (st == CULVER_OK) {
		job_verified(j, m);
		return;
	}
	if (st == CULVER_E_DELAY) {
		job_log(j, LOG_INFO_, "auth-failed", "reason", "login-delay");
		job_settle(j, j->coord->setup.now());
		job_no(j, CULVER_E_DELAY, j->not_before);
		return;
	}
	if (chain_is_failure(st) && remember_away(j, st, m->error))
		return;
	switch (chain_then(part, st)) {
	case CONF_THEN_NEXT:
		next = chain_pass(j, st, m->error);
		if (next >= 0 && j->gate != NULL)
			job_next(j, (unsigned)next);
		else
			exchange_denied(j, chain_reason(j, st));
		break;
	case CONF_THEN_STOP:
		j->wrong |= st != CULVER_E_NOUSER;
		exchange_denied(j, chain_reason(j, st));
		break;
	case CONF_THEN_TEMP:
		chain_broken(j, st, m->error);
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
