/*
 * exchange.c - what a login says, step by step: the mechanism's events, and
 * what sections have for it.
 *
 * Runs in the auth coordinator.  Responses come from clients, credentials
 * from plugins.  A user that does not exist, or has nothing that fits, goes
 * through the same steps as any other.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

static void event(struct job *j, enum sasl_event e);

static struct sasl_octets
octets(const struct ipc_bytes *b)
{
	return (struct sasl_octets){b->p, b->n};
}

/* Was the client shown that it could bind to its channel, with this hash? */
static _Bool
binding_offered(const struct job *j, enum sasl_id id)
{
	uint32_t plus = sasl_mechs[id].has & SASL_HAS_SHA_256 ?
	    SASL_BIT(SASL_SCRAM_SHA_256_PLUS) :
	    SASL_BIT(SASL_SCRAM_SHA_1_PLUS);

	return (j->flags & IPC_TLS) != 0 &&
	    (j->coord->conf->announced & plus) != 0;
}

_Bool
exchange_start(struct job *j, enum sasl_id id, const struct ipc_auth_begin *m)
{
	struct sasl_facts facts = {.hostname = j->coord->conf->hostname,
	    .cert_user = (m->flags & IPC_TLS) != 0 ? m->cert_user : "",
	    .exporter = octets(&m->exporter), .unique = octets(&m->unique),
	    .endpoint = octets(&m->endpoint)};
	unsigned flags = sasl_mechs[id].flags;

	j->cap = flags & SASL_F_SECRET ? CULVER_AU_CREDS :
	    flags & SASL_F_TOKEN ? CULVER_AU_TOKEN :
	    flags & SASL_F_CERT ? CULVER_AU_EXTERNAL : CULVER_AU_VERIFY;
	if (j->cap == CULVER_AU_VERIFY || j->cap == CULVER_AU_TOKEN)
		return sasl_start(&j->sasl, id, NULL);
	facts.binding_offered = binding_offered(j, id);
	if ((flags & SASL_F_SECRET) != 0 && getrandom(facts.nonce,
	    sizeof(facts.nonce), 0) != sizeof(facts.nonce)) {
		sasl_start(&j->sasl, SASL_USER, NULL);	/* for the log */
		return 0;
	}
	return sasl_start(&j->sasl, id, &facts);
}

/* Say what the mechanism has to say, and wait. */
static void
challenge(struct job *j)
{
	struct reply r = {.type = IPC_AUTH_CHALLENGE, .serial = j->serial,
	    .challenge = j->sasl.challenge};

	j->deadline = j->coord->setup.now() + SASL_TIME;
	j->state = J_SASL;
	TAILQ_INSERT_TAIL(&j->coord->sasl, j, list);
	gate_reply(j->gate, &r);
}

/* Whose failures J's would be.  Guesses at a master's password slow nobody
 * down who has the same name. */
static void
key_take(struct job *j)
{
	char master[USER_MAX + 2];
	const char *user = j->user;

	if (job_is_master(j)) {
		snprintf(master, sizeof(master), "\001%s", j->user);
		user = master;
	} else if (user[0] == 0) {
		user = j->remote;	/* of a token that says whose it is:
					 * one name would slow down all */
	}
	j->key = throttle_key(j->coord->throttle, j->remote, user);
	j->guess = GUESS_NAMED;
}

/* Check the name, as far as it can be checked here. */
static _Bool
user_take(struct job *j)
{
	struct coord *c = j->coord;
	const char *wrong = master_take(j);

	if (wrong == NULL && !job_is_master(j) &&
	    (j->sasl.user[0] != 0 || j->cap != CULVER_AU_TOKEN) &&
	    !user_check(j->sasl.user, c->conf->user_case == 1, j->user))
		wrong = "bad-name";
	if (wrong != NULL)
		job_failed(j, wrong);
	else
		key_take(j);
	return wrong == NULL;
}

/* Ask the first section that can tell, when J's slot has come. */
static void
chain_begin(struct job *j, enum job_phase phase)
{
	struct coord *c = j->coord;
	int section = section_with(c, 0, j->cap, job_is_master(j));

	j->phase = phase;
	if (section < 0) {
		job_broken(j, CULVER_E_PERM, "none can serve this mechanism");
		return;
	}
	j->section = (unsigned)section;
	job_ask(j, c->setup.now());
	section_pump(c, (unsigned)section);
}

/* A password, a token or a certificate: a section verifies it. */
static void
credentials(struct job *j)
{
	if (!user_take(j))
		return;
	j->secret = secret_keep(j->coord, j->sasl.password,
	    j->sasl.password_n);
	j->sasl.password = NULL;
	if (j->secret == NULL)
		job_refuse(j, "too-many-waiting");
	else
		chain_begin(j, PHASE_VERIFY);
}

/* The client has shown who it is: what else is there to know? */
static void
proven(struct job *j)
{
	j->deadline = j->coord->setup.now() + JOB_TIME;
	j->state = J_RUNNING;
	TAILQ_INSERT_TAIL(&j->coord->active, j, list);
	if (job_is_master(j))
		master_verified(j);
	else
		lookup_begin(j, j->section);
}

/* J is in no list. */
static void
event(struct job *j, enum sasl_event e)
{
	switch (e) {
	case SASL_CHALLENGE:
		challenge(j);
		break;
	case SASL_CREDENTIALS:
		credentials(j);
		break;
	case SASL_LOOKUP:
		if (user_take(j))
			chain_begin(j, PHASE_CREDS);
		break;
	case SASL_VERDICT:
		j->phase = PHASE_VERDICT;
		job_ask(j, j->coord->setup.now());
		break;
	case SASL_DONE:
		proven(j);
		break;
	case SASL_FAILED:
		job_failed(j, j->fake != NULL &&
		    j->sasl.failure == SASL_MISMATCH ? j->fake :
		    sasl_failure_text(j->sasl.failure));
		break;
	}
}

void
exchange_step(struct job *j, const uint8_t *in, size_t n)
{
	job_unlink(j);
	event(j, sasl_step(&j->sasl, in, n));
}

void
exchange_verdict(struct job *j, uint64_t now)
{
	struct throttle *t = j->coord->throttle;

	guess_begin(j, now);
	if (sasl_is_proven(&j->sasl)) {
		j->guess = GUESS_JUDGED;
		if (throttle_passed(t, &j->key, &j->slot, now))
			slots_freed(j->coord);
	}
	j->wrong |= j->guess == GUESS_BEGUN && j->fake == NULL;
	event(j, sasl_verdict(&j->sasl));
}

void
exchange_denied(struct job *j, const char *reason)
{
	struct coord *c = j->coord;

	if (j->cap != CULVER_AU_TOKEN || j->gate == NULL) {
		job_failed(j, reason);
		return;
	}
	job_log(j, LOG_INFO_, "auth-failed", "reason", reason);
	j->not_before = job_count(j, c->setup.now());
	secret_drop(c, &j->secret);
	job_unlink(j);
	event(j, sasl_denied(&j->sasl));
}

/* --- what sections have --------------------------------------------------- */

/* Of what a section says that it has, what is wrong; NULL: nothing. */
static const char *
creds_check(const struct job *j, const struct ipc_pool_creds *m)
{
	uint32_t n = j->sasl.mech->has & SASL_HAS_SHA_256 ? 32 : 20;

	if ((j->sasl.mech->flags & SASL_F_SCRAM) == 0)
		return m->password.n > 0 ? NULL : "its password is empty";
	return m->stored_key.n == n && m->server_key.n == n &&
	    m->salt.n > 0 && m->salt.n <= SASL_MAX_SALT &&
	    m->iterations > 0 && m->iterations <= SASL_MAX_ITERATIONS ? NULL :
	    "its keys for SCRAM are none";
}

/* Go on as if there were a user. */
static void
creds_fake(struct job *j, const char *why)
{
	uint8_t salt[SASL_SALT];
	const struct sasl_creds c = {.salt = {salt, sizeof(salt)},
	    .iterations = SASL_ITERATIONS,
	    .password = {(const uint8_t *)"nobody's", 8}};

	sasl_salt(j->coord->salt_secret, sizeof(j->coord->salt_secret),
	    j->sasl.id, j->user, salt);
	j->fake = why;
	job_unlink(j);
	event(j, sasl_creds(&j->sasl, &c, 1));
}

static void
creds_take(struct job *j, const struct ipc_pool_creds *m)
{
	const struct sasl_creds c = {.password = octets(&m->password),
	    .salt = octets(&m->salt), .stored_key = octets(&m->stored_key),
	    .server_key = octets(&m->server_key),
	    .iterations = m->iterations};
	const char *wrong = creds_check(j, m);

	if (wrong == NULL && m->user[0] != 0 &&
	    !user_check(m->user, 0, j->user))
		wrong = "its canonical name is not one";
	if (wrong != NULL) {
		job_broken(j, CULVER_E_TEMP, wrong);
		return;
	}
	j->expire_days = m->expire_days;
	j->login_delay = m->login_delay;
	job_unlink(j);
	event(j, sasl_creds(&j->sasl, &c, 0));
}

void
exchange_creds(struct job *j, const struct ipc_pool_creds *m)
{
	const struct conf_auth_part *part =
	    &j->coord->conf->section[j->section];
	culver_status st = (culver_status)m->status;
	int next;

	if (j->phase == PHASE_TARGET && j->gate != NULL) {
		master_target(j, m);
		return;
	}
	if (j->gate == NULL) {	/* it was asked for nothing */
		if (j->phase == PHASE_CREDS)
			job_slow(j, j->coord->setup.now());
		job_free(j);
		return;
	}
	if (st == CULVER_OK) {
		creds_take(j, m);
		return;
	}
	if (st == CULVER_E_UNSUPPORTED) {
		creds_fake(j, "no-credentials");
		return;
	}
	switch (chain_then(part, st)) {
	case CONF_THEN_NEXT:
		next = chain_pass(j, st, m->error);
		if (next >= 0)
			job_next(j, (unsigned)next);
		else
			creds_fake(j, chain_reason(j, st));
		break;
	case CONF_THEN_STOP:
		creds_fake(j, failure_text(st));
		break;
	case CONF_THEN_TEMP:
		chain_broken(j, st, m->error);
	}
}
