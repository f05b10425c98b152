/*
 * ending.c - the ways in which logins fail: what is logged, what counts, and
 * when the client hears of it.
 *
 * Runs in the auth coordinator.  Names come from clients, texts from plugins.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"
#include "core/base/stats.h"

/* Also of lines that are left out of the log because they are many. */
static void
job_count_event(const struct job *j, const char *event, const char *value)
{
	struct stats *stats = j->coord->setup.stats;

	if (strcmp(event, "auth-error") == 0)
		stats_add(stats, STATS_AUTH_ERRORS, 1);
	else if (j->kind == KIND_LOGIN)
		stats_label(stats, STATS_FAILURES, value, 1);
}

void
job_log(const struct job *j, int level, const char *event, const char *key,
    const char *value)
{
	const char *master = j->target[0] != 0 ? j->user : j->master;
	const char *user = j->target[0] != 0 ? j->target :
	    j->user[0] != 0 ? j->user : j->sasl.user;
	struct kv kv;

	kv_start(&kv, event);
	kv_text(&kv, "user", user);
	if (master[0] != 0)
		kv_text(&kv, "master", master);
	kv_text(&kv, "remote", j->remote);
	kv_text(&kv, "mech", j->kind == KIND_LOGIN ?
	    j->sasl.mech->name : "LMTP");
	kv_text(&kv, key, value);
	job_count_event(j, event, value);
	authlog_write(&j->coord->log, level, kv.buf,
	    j->coord->setup.now());
}

/* Such an attempt slows its address down, but not the user whom it names, and
 * never by more than one slot: it waits for none, so a flood of them could
 * take slots for hours ahead. */
uint64_t
job_slow(struct job *j, uint64_t now)
{
	struct throttle *t = j->coord->throttle;
	uint64_t at;

	j->key = throttle_key(t, j->remote, "");	/* nobody's name */
	at = throttle_ask(t, &j->key, now, &j->lane);
	if (at > now)
		return at;
	j->slot = throttle_begin(t, &j->key, now);
	return throttle_failed(t, &j->key, &j->slot, now);
}

/* Was a pool asked about this user for nothing? */
void
job_abandoned(struct job *j, uint64_t now)
{
	if (j->state == J_SASL && (j->guess == GUESS_NAMED ||
	    j->guess == GUESS_BEGUN))
		job_slow(j, now);
}

void
guess_begin(struct job *j, uint64_t now)
{
	j->slot = throttle_begin(j->coord->throttle, &j->key, now);
	j->guess = GUESS_BEGUN;
}

void
guess_void(struct job *j)
{
	if (throttle_spared(j->coord->throttle, &j->key, &j->slot))
		slots_freed(j->coord);
	j->guess = GUESS_NAMED;
}

uint64_t
job_count(struct job *j, uint64_t now)
{
	if (j->guess != GUESS_BEGUN)
		guess_begin(j, now);
	j->wrong |= !j->unsure;
	j->masked = 1;
	job_settle(j, now);
	return j->not_before;
}

/* A section that could not tell is no answer, and the client has learned
 * nothing of it; what others found wrong counts. */
void
job_settle(struct job *j, uint64_t now)
{
	struct coord *c = j->coord;

	if (j->guess != GUESS_BEGUN)
		return;
	j->guess = GUESS_JUDGED;
	if (j->wrong)
		j->not_before = throttle_failed(c->throttle, &j->key,
		    &j->slot, now);
	else if (throttle_spared(c->throttle, &j->key, &j->slot))
		slots_freed(c);
	if (j->masked && !j->wrong)
		j->not_before = j->slot.start + c->conf->failure_delay;
}

/* The client gave wrong credentials: say so when its slot is over. */
void
job_failed(struct job *j, const char *reason)
{
	culver_status no = j->unsure ? CULVER_E_TEMP : CULVER_E_AUTH;
	uint64_t now = j->coord->setup.now();

	if (j->guess == GUESS_JUDGED) {		/* it is in the log, too */
		job_no(j, no, j->not_before);
		return;
	}
	job_log(j, LOG_INFO_, "auth-failed", "reason", reason);
	job_no(j, no, j->guess == GUESS_NONE ? job_slow(j, now) :
	    job_count(j, now));
}

/* It must not be seen that the password was right. */
void
job_closed(struct job *j, const char *reason)
{
	job_log(j, LOG_INFO_, "auth-failed", "reason", reason);
	j->slot = (struct throttle_slot){.lane = j->slot.lane,
	    .start = j->slot.start};
	job_no(j, CULVER_E_AUTH, throttle_failed(j->coord->throttle, &j->key,
	    &j->slot, j->coord->setup.now()));
}

_Bool
job_complain(const struct job *j, culver_status status, const char *why)
{
	char text[320];
	_Bool perm = status == CULVER_E_PERM || status == CULVER_E_CORRUPT;

	snprintf(text, sizeof(text), "section %s: %s",
	    j->coord->conf->section[j->section].name, why);
	job_log(j, perm ? LOG_ERROR_ : LOG_WARN_, "auth-error", "error", text);
	return perm;
}

void
job_broken(struct job *j, culver_status status, const char *why)
{
	_Bool perm = job_complain(j, status, why);

	job_settle(j, j->coord->setup.now());
	/* no mail goes back for a mistake of ours */
	job_no(j, perm && j->kind == KIND_LOGIN ? CULVER_E_PERM : CULVER_E_TEMP,
	    j->not_before);
}

void
job_refuse(struct job *j, const char *why)
{
	job_log(j, LOG_WARN_, "auth-refused", "reason", why);
	job_settle(j, j->coord->setup.now());
	job_no(j, CULVER_E_TEMP, j->not_before);
}
