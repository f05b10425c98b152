/*
 * login.c - may this client log in?  The PAM service says so.
 *
 * Runs in a pool process.  Names and passwords come from clients; what modules
 * say goes to the log only.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_pam/pam.h"
#include "plugins/common/quote.h"

culver_status
pam_outcome(uint32_t phase, int code)
{
	switch (code) {
	case PAM_SUCCESS:
		return CULVER_OK;
	case PAM_AUTH_ERR:
	case PAM_CRED_INSUFFICIENT:
		/* of the account check: "not now", as pam_listfile says it */
		return phase == PHASE_AUTH ? CULVER_E_AUTH :
		    phase == PHASE_ACCOUNT ? CULVER_E_DISABLED :
		    CULVER_E_TEMP;
	case PAM_USER_UNKNOWN:
		return CULVER_E_NOUSER;
	case PAM_PERM_DENIED:
	case PAM_MAXTRIES:
		return CULVER_E_DISABLED;
	case PAM_ACCT_EXPIRED:
	case PAM_CRED_EXPIRED:
	case PAM_AUTHTOK_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
		return CULVER_E_EXPIRED;
	default:		/* the machine's fault, not the client's */
		return CULVER_E_TEMP;
	}
}

/* What modules said, and why the account is closed. */
static void
result_log(const struct culver_auth *au, const char *user,
    const struct pam_result *res, culver_status st)
{
	struct quoted name, note;

	quote(&name, user);
	for (uint32_t i = 0; i < res->note.n; i++)
		culver_logf(au->host, CULVER_LOG_INFO,
		    "user %s: a module says: %s", name.text,
		    quote(&note, res->note.text[i]));
	if (st == CULVER_E_DISABLED || st == CULVER_E_EXPIRED)
		culver_logf(au->host, CULVER_LOG_INFO, "user %s: %s: %s",
		    name.text, res->phase == PHASE_ACCOUNT ? "account check" :
		    "authentication", res->error);
}

static culver_status
failed(const struct culver_auth *au, const struct pam_result *res,
    struct culver_call *call)
{
	return culver_fail(call, CULVER_E_TEMP, 0, "PAM service %.60s: "
	    "%.60s%s%.80s", au->service, res->error,
	    res->refused[0] != 0 ? ": a module " : "", res->refused);
}

/* The name that modules have given to the user. */
static culver_status
name_take(struct culver_auth *au, const char *asked, const char *got,
    struct culver_auth_ok *ok, struct culver_call *call)
{
	culver_status st;

	if (got[0] == 0 || strcmp(asked, got) == 0)
		return CULVER_OK;
	st = pam_user_check(au, got, call);
	if (st == CULVER_E_NOUSER)	/* it is this section's, by PAM */
		st = CULVER_E_DISABLED;
	if (st != CULVER_OK || !CULVER_HAS(struct culver_auth_ok, ok, user))
		return st;
	ok->user = culver_strndup(au->host, call, got, strlen(got));
	return ok->user != NULL ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

culver_status
pam_login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct pam_job job = {.service = au->service, .user = rq->user,
	    .remote = rq->remote != NULL ? rq->remote : "",
	    .password = password->p, .account = au->opt[OPT_ACCOUNT].u.i != 0};
	uint64_t deadline = au->host->now(au->host) +
	    (uint64_t)au->opt[OPT_TIMEOUT].u.i;
	struct pam_result res;
	culver_status st;

	/* modules take no more, and would stop at a NUL */
	if (password->n >= PAM_MAX_RESP_SIZE ||
	    memchr(password->p, 0, password->n) != NULL)
		return CULVER_E_AUTH;
	st = pam_user_check(au, rq->user, call);
	if (st != CULVER_OK)
		return st;
	if (deadline > call->deadline)
		deadline = call->deadline;
	st = pam_run(au, &job, deadline, &res, call);
	if (st != CULVER_OK)
		return st;
	st = pam_outcome(res.phase, res.code);
	result_log(au, rq->user, &res, st);
	if (st == CULVER_E_TEMP)
		return failed(au, &res, call);
	return st == CULVER_OK ? name_take(au, rq->user, res.user, ok, call) :
	    st;
}
