/*
 * pam.h - the parts of the PAM plugin, for each other.
 *
 * Runs in a pool process as the auth user, mostly with the group of the shadow
 * file.  Modules are an administrator's: trusted to say who may log in, not to
 * be well-behaved.  So each call of PAM has a process of its own.
 */
#ifndef AUTH_PAM_H
#define AUTH_PAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <security/pam_appl.h>

#include <culver/auth.h>

#include "plugins/common/program.h"

/* From OPT_UID on those of plugins/common/auth.h. */
enum { OPT_SERVICE, OPT_ACCOUNT, OPT_TIMEOUT, OPT_PATHS, OPT_UID_MIN, OPT_UID,
	OPT_GID, OPT_HOME, N_OPTIONS };

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;		/* N_OPTIONS */
	const char *service;
	struct program child;	/* of the last login, if that did not end */
};

/* --- conv.c: what modules ask for, and what they say ---------------------- */

enum {
	TALK_PROMPTS = 8,	/* that are answered in one login */
	TALK_ROUNDS = 64,	/* calls of the conversation */
	TALK_NOTES = 4,		/* texts that are kept */
	TALK_TEXT = 200
};

struct talk {
	const char *password;
	unsigned prompts, rounds;
	unsigned n_notes;
	char note[TALK_NOTES][TALK_TEXT];	/* each once */
	char refused[TALK_TEXT];	/* a prompt that had no answer, or "" */
};

/*
 * The conversation function; ARG is a struct talk.  Each prompt without echo
 * gets a copy of the password, which is the module's to free; any other ends
 * the login.  Texts are kept, with control octets as '?'.
 */
int talk_conv(int n, const struct pam_message **msg,
    struct pam_response **resp, void *arg);

/* --- run.c: one call of PAM, in a process of its own ----------------------- */

enum pam_phase { PHASE_START, PHASE_AUTH, PHASE_ACCOUNT };

struct pam_job {
	const char *service, *user, *remote;
	const char *password;
	bool account;		/* check the account, too */
};

struct pam_result {		/* what the process wrote; checked */
	uint32_t phase;		/* enum pam_phase that CODE is of */
	int32_t code;		/* PAM_SUCCESS, ... */
	char user[256];		/* PAM_USER, in the end */
	char error[TALK_TEXT];	/* what libpam says of CODE */
	struct {
		uint32_t n;
		char text[TALK_NOTES][TALK_TEXT];
	} note;
	char refused[TALK_TEXT];
};

/*
 * Let PAM answer JOB until DEADLINE (host->now()).  OK: OUT says what it
 * answered.  E_TIMEOUT, E_TEMP: it did not.  The process and what it has
 * started are killed; AU remembers one that the kernel keeps all the same, and
 * until that is gone the answer is E_TEMP.
 */
culver_status pam_run(struct culver_auth *au, const struct pam_job *job,
    uint64_t deadline, struct pam_result *out, struct culver_call *call);

/* --- login.c --------------------------------------------------------------- */

/* What CODE of PHASE means for Culver. */
culver_status pam_outcome(uint32_t phase, int code);

culver_status pam_login_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);

/* --- user.c: the passwd database ------------------------------------------- */

/*
 * May USER be served?  OK, also for one that NSS does not know; E_NOUSER for
 * root and those below uid_min, with a line in the log; E_TEMP.
 */
culver_status pam_user_check(struct culver_auth *au, const char *user,
    struct culver_call *call);

culver_status pam_user_lookup(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_user *out,
    struct culver_call *call);

#endif /* AUTH_PAM_H */
