/*
 * verify.c - is this token good, and whose is it?
 *
 * Runs in a pool process.  Name and token come from a client.  Where a
 * section has both keys and an introspection URL, both must say yes.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"
#include "plugins/common/quote.h"

bool
oauth_is_local(const struct culver_value *opt)
{
	return opt[OPT_KEYS].u.s.n > 0 || opt[OPT_JWKS_URL].u.s.n > 0;
}

/* Did one of the section's keys sign T? */
static culver_status
signature_check(struct culver_auth *au, const struct oauth_jwt *t,
    struct culver_call *call)
{
	culver_status st = oauth_keys_refresh(au, call);
	enum oauth_signature s;

	if (st != CULVER_OK)
		return st;
	s = oauth_jwt_signature(au->cfg, t, &au->keys.set);
	if (s == OAUTH_NO_KEY) {
		st = oauth_keys_unknown(au, call);
		if (st == CULVER_E_TEMP)
			return st;
		if (st == CULVER_OK)
			s = oauth_jwt_signature(au->cfg, t, &au->keys.set);
	}
	if (s == OAUTH_GOOD)
		return CULVER_OK;
	return culver_fail(call, CULVER_E_AUTH, 0, s == OAUTH_BAD ?
	    "its signature is wrong" : "no key has its kid and algorithm");
}

static culver_status
local_check(struct culver_auth *au, const struct culver_str *token,
    int64_t now, char user[OAUTH_MAX_NAME + 1], struct culver_call *call)
{
	struct oauth_jwt t;
	culver_status st = oauth_jwt_parse(&au->opt[OPT_ALGORITHMS], token, &t,
	    call);

	/* Other sections may know other issuers. */
	if (t.claims != NULL && oauth_claims_issuer(au->opt, t.claims, call) !=
	    CULVER_OK)
		st = CULVER_E_DECLINE;
	if (st == CULVER_OK)
		st = signature_check(au, &t, call);
	if (st == CULVER_OK)
		st = oauth_claims_check(au->opt, t.claims, now, true, false,
		    call);
	if (st == CULVER_OK)
		st = oauth_claims_user(au->opt, t.claims, false, user,
		    call);
	oauth_jwt_free(&t);
	return st;
}

static culver_status
remote_check(struct culver_auth *au, const struct culver_str *token,
    int64_t now, char user[OAUTH_MAX_NAME + 1], struct culver_call *call)
{
	bool has_jwt = oauth_is_local(au->opt);
	char name[OAUTH_MAX_NAME + 1] = "";
	json_t *answer;
	culver_status st = oauth_introspect(au, token, &answer, call);

	if (st == CULVER_OK)
		st = oauth_claims_check(au->opt, answer, now, false, has_jwt,
		    call);
	if (st == CULVER_OK && (!has_jwt || json_object_get(answer,
	    au->opt[OPT_USER_CLAIM].u.s.p) != NULL)) {
		st = oauth_claims_user(au->opt, answer, has_jwt, name,
		    call);
		if (st == CULVER_OK && has_jwt && strcmp(name, user) != 0)
			st = culver_fail(call, CULVER_E_AUTH, 0, "it and the "
			    "server name different users");
		if (st == CULVER_OK)
			snprintf(user, OAUTH_MAX_NAME + 1, "%s", name);
	}
	json_decref(answer);
	return st;
}

/* Whose the token is, into USER. */
static culver_status
token_check(struct culver_auth *au, const struct culver_str *token,
    char user[OAUTH_MAX_NAME + 1], struct culver_call *call)
{
	int64_t now = (int64_t)time(NULL);
	culver_status st = CULVER_OK;

	user[0] = 0;
	if (oauth_is_local(au->opt))
		st = local_check(au, token, now, user, call);
	if (st == CULVER_OK && au->introspection.url != NULL)
		st = remote_check(au, token, now, user, call);
	return st;
}

culver_status
oauth_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *token, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	char user[OAUTH_MAX_NAME + 1];
	struct quoted q;
	culver_status st;

	if ((rq->flags & CULVER_RQ_TOKEN) == 0)
		return CULVER_E_DECLINE;
	st = token_check(au, token, user, call);
	if (st == CULVER_OK && rq->user[0] != 0 && strcmp(user, rq->user) != 0)
		st = culver_fail(call, CULVER_E_AUTH, 0, "it is %s's",
		    quote(&q, user));
	if (st == CULVER_OK && rq->user[0] == 0) {
		if (CULVER_HAS(struct culver_auth_ok, ok, user))
			ok->user = culver_strndup(au->host, call, user,
			    strlen(user));
		if (!CULVER_HAS(struct culver_auth_ok, ok, user) ||
		    ok->user == NULL)
			st = culver_fail(call, CULVER_E_NOMEM, 0, "user");
	}
	/* The core says of what is not a failure only that it is none. */
	if (st == CULVER_E_AUTH || st == CULVER_E_EXPIRED ||
	    st == CULVER_E_DECLINE)
		culver_logf(au->host, CULVER_LOG_INFO, "token for %s%s "
		    "refused: %s", rq->user[0] != 0 ? "user " : "whom it "
		    "names", rq->user[0] != 0 ? quote(&q, rq->user) : "",
		    call->err->text);
	return st;
}
