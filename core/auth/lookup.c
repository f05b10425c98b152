/*
 * lookup.c - who a user is, and where the mail: ask the sections that know.
 *
 * Runs in the auth coordinator, about users that have shown who they are, and
 * for lmtp.  Answers come from plugins.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/auth/settings.h"
#include "core/base/log.h"

/* Where J's section sends those whom it lets in; CONF_NO_SECTION: anywhere. */
static uint32_t
user_data_of(const struct job *j)
{
	const struct conf_auth *conf = j->coord->conf;
	uint32_t s = conf->section[j->section].user_data;

	return s < conf->n_section ? s : CONF_NO_SECTION;
}

_Bool
lookup_at_once(const struct job *j)
{
	uint32_t s = user_data_of(j);

	return (j->coord->conf->section[j->section].caps & CULVER_AU_USER) &&
	    !job_is_master(j) &&
	    (s == CONF_NO_SECTION || s == j->section);
}

/* Nobody who could tell knows the user. */
static void
lookup_end(struct job *j)
{
	if (j->kind != KIND_LOGIN && j->asked != 0 && !j->unsure)
		job_no(j, CULVER_E_NOUSER, 0);
	else if (job_is_master(j) && j->asked != 0 && !j->unsure)
		job_closed(j, "unknown-user");
	else
		job_broken(j, CULVER_E_TEMP, j->unsure ? "nor does another "
		    "one say who the user is" : "no section knows the user's "
		    "uid, gid and home");
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
	lookup_end(j);
}

void
lookup_begin(struct job *j, unsigned first)
{
	unsigned n = j->coord->conf->n_section;

	if (j->kind == KIND_LOGIN && !job_is_master(j) &&
	    user_data_of(j) != CONF_NO_SECTION) {
		first = user_data_of(j);
		j->asked = ~(1u << first);
	}
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
	culver_status st = grant_send(j, m, j->kind == KIND_DELIVERY ?
	    &r.number : NULL, &why);

	if (st != CULVER_OK) {
		job_broken(j, st, why);
		return;
	}
	snprintf(r.user, sizeof(r.user), "%s", j->user);
	job_free(j);
	gate_reply(g, &r);
}

/* Does the user's data let J in?  Else J is gone.  A master is not the user,
 * and what the user may not do does not hold. */
static _Bool
settings_take(struct job *j, const struct ipc_pool_answer *m)
{
	struct settings s;
	const char *wrong = settings_read(&m->fields, &s);
	char why[160];

	if (wrong != NULL) {
		snprintf(why, sizeof(why), "the user's field %.64s cannot be "
		    "understood", wrong);
		job_broken(j, CULVER_E_TEMP, why);
		return 0;
	}
	if (s.expire_days != 0)
		j->expire_days = s.expire_days;
	if (s.has_delay)
		j->login_delay = s.login_delay;
	if (job_is_master(j)) {
		j->login_delay = 0;
		return 1;
	}
	if (!s.closed && settings_allow(&s, j->remote))
		return 1;
	job_closed(j, s.closed ? "disabled" : "address");
	return 0;
}

static void
job_delayed(struct job *j)
{
	job_log(j, LOG_INFO_, "auth-failed", "reason", "login-delay");
	job_no(j, CULVER_E_DELAY, 0);
}

static void
job_granted(struct job *j, const struct ipc_pool_answer *m)
{
	struct reply r = {.type = IPC_AUTH_YES, .serial = j->serial};
	struct gate *g = j->gate;
	const char *why;
	culver_status st = grant_send(j, m, NULL, &why);	/* can it be? */

	if (st != CULVER_OK) {
		job_broken(j, st, why);
		return;
	}
	if (!settings_take(j, m))
		return;
	if (!delay_passed(j, m->user[0] != 0 ? m->user : j->user,
	    j->coord->setup.now())) {
		job_delayed(j);
		return;
	}
	st = grant_send(j, m, &r.number, &why);
	if (st != CULVER_OK) {
		job_broken(j, st, why);
		return;
	}
	job_free(j);
	gate_reply(g, &r);
}

/* A section does not say who the user is, but ST. */
static void
lookup_without(struct job *j, culver_status st, const char *why)
{
	const struct conf_auth_part *part =
	    &j->coord->conf->section[j->section];

	if (j->phase == PHASE_USER && chain_is_failure(st) &&
	    remember_away(j, st, why))
		return;
	switch (chain_then(part, st)) {
	case CONF_THEN_NEXT:
		if (chain_is_failure(st)) {
			job_complain(j, st, why);
			j->unsure = 1;
		}
		lookup_next(j);
		break;
	case CONF_THEN_STOP:
		if (st == CULVER_E_NOUSER)
			lookup_end(j);
		else if (j->kind != KIND_LOGIN)
			job_no(j, st, 0);
		else
			job_broken(j, st, failure_text(st));
		break;
	case CONF_THEN_TEMP:
		chain_broken(j, st, why);
	}
}

/* The section has another name for the user whom J's master wants. */
static void
lookup_renamed(struct job *j, const char *name)
{
	_Bool again = j->renamed;

	j->renamed = 1;
	if (again || !user_check(name, 0, j->user))
		job_broken(j, CULVER_E_TEMP, "its canonical name is not one");
	else
		master_check(j, 0);
}

void
lookup_answer(struct job *j, const struct ipc_pool_answer *m)
{
	culver_status st = (culver_status)m->lookup;

	if (j->phase == PHASE_VERIFY)
		j->asked |= user_data_of(j) != CONF_NO_SECTION ? ~0u :
		    1u << j->section;
	if (job_is_master(j) && m->user[0] != 0 &&
	    strcmp(m->user, j->user) != 0)
		lookup_renamed(j, m->user);
	else if (m->user[0] != 0 && !user_check(m->user, 0, j->user))
		job_broken(j, CULVER_E_TEMP, "its canonical name is not one");
	else if (st != CULVER_OK)
		lookup_without(j, st, m->error);
	else if (j->kind != KIND_LOGIN)
		job_found(j, m);
	else
		job_granted(j, m);
}
