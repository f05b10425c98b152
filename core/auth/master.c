/*
 * master.c - masters, who log in as somebody else.
 *
 * Runs in the auth coordinator.  A master shows who it is in the sections that
 * are marked for masters, and only there; whose mailbox it wants comes from
 * the client, too, and is looked up like any user.  A master gets no mailbox
 * of its own here, none of another master, and none of nobody.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

const char *
master_take(struct job *j)
{
	const struct conf_auth *conf = j->coord->conf;
	const char *target = j->sasl.authzid, *name = j->sasl.user;
	_Bool lower = conf->user_case == 1;
	char left[USER_MAX + 1], right[USER_MAX + 1];

	if ((j->cap == CULVER_AU_VERIFY || j->cap == CULVER_AU_CREDS) &&
	    master_split(name, (char)conf->master_separator, left, right)) {
		if (target[0] != 0)
			return "other-authzid";
		if (left[0] == 0)
			return "bad-name";
		target = left;
		name = right;
	}
	if (target[0] == 0)
		return NULL;
	if (section_with(j->coord, 0, j->cap, 1) < 0)
		return section_with(j->coord, 0, CULVER_AU_VERIFY, 1) < 0 ?
		    "other-authzid" : "no-credentials";
	if (strchr(target, (char)conf->master_separator) != NULL &&
	    conf->master_separator != 0)
		return "bad-name";
	if (!user_check(target, lower, j->target) ||
	    !user_check(name, lower, j->user))
		return "bad-name";
	return NULL;
}

_Bool
job_is_master(const struct job *j)
{
	return j->target[0] != 0 || j->master[0] != 0;
}

void
master_check(struct job *j, unsigned from)
{
	int next = section_with(j->coord, from, CULVER_AU_CREDS, 1);

	if (next >= 0) {
		j->phase = PHASE_TARGET;
		job_next(j, (unsigned)next);
		return;
	}
	j->asked = 0;
	lookup_begin(j, 0);
}

void
master_verified(struct job *j)
{
	memcpy(j->master, j->user, sizeof(j->master));
	memcpy(j->user, j->target, sizeof(j->user));
	j->target[0] = 0;
	j->expire_days = 0;
	j->login_delay = 0;
	master_check(j, 0);
}

void
master_target(struct job *j, const struct ipc_pool_creds *m)
{
	culver_status st = (culver_status)m->status;

	if (st == CULVER_E_NOUSER || st == CULVER_E_DECLINE)
		master_check(j, j->section + 1);
	else if (chain_is_failure(st) && st != CULVER_E_UNSUPPORTED)
		job_broken(j, st, m->error);
	else
		job_closed(j, "other-master");
}
