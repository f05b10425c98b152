/*
 * claims.c - what a token says, in its own claims (RFC 7519 4) or in a
 * server's answer about it (RFC 7662 2.2).
 *
 * Runs in a pool process.  Whoever signed or sent the claims is trusted to
 * say whose a token is, not to be well-formed.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

#define NS_PER_S 1000000000

/* --- who it is from and for ---------------------------------------------- */

culver_status
oauth_claims_issuer(const struct culver_value *opt, const json_t *claims,
    struct culver_call *call)
{
	const char *iss = oauth_json_text(claims, "iss");

	if (opt[OPT_ISSUER].u.list.n == 0 || (iss != NULL &&
	    oauth_list_has(&opt[OPT_ISSUER], iss, strlen(iss))))
		return CULVER_OK;
	return culver_fail(call, CULVER_E_DECLINE, 0, "its iss is not one of "
	    "`issuer'");
}

/* Is one text of the claim, a text or a list of them, in LIST? */
static bool
any_of(const struct culver_value *list, const json_t *claim)
{
	const json_t *one;
	size_t i;

	if (json_is_string(claim))
		return oauth_list_has(list, json_string_value(claim),
		    json_string_length(claim));
	json_array_foreach(claim, i, one) {
		if (json_is_string(one) && oauth_list_has(list,
		    json_string_value(one), json_string_length(one)))
			return true;
	}
	return false;
}

/* Does the claim, a text with spaces or a list of texts, have WORD? */
static bool
has_word(const json_t *claim, const struct culver_str *word)
{
	const json_t *one;
	size_t i;

	if (json_is_string(claim)) {
		const char *p = json_string_value(claim);

		while (*p != 0) {
			size_t n = strcspn(p, " ");

			if (n == word->n && memcmp(p, word->p, n) == 0)
				return true;
			p += n + (p[n] != 0);
		}
		return false;
	}
	json_array_foreach(claim, i, one) {
		if (json_is_string(one) &&
		    json_string_length(one) == word->n &&
		    memcmp(json_string_value(one), word->p, word->n) == 0)
			return true;
	}
	return false;
}

static bool
has_scopes(const struct culver_value *list, const json_t *claims)
{
	const json_t *scope = json_object_get(claims, "scope");

	if (scope == NULL)
		scope = json_object_get(claims, "scp");
	for (size_t i = 0; i < list->u.list.n; i++)
		if (!has_word(scope, &list->u.list.v[i]))
			return false;
	return true;
}

static culver_status
purpose_check(const struct culver_value *opt, const json_t *claims,
    struct culver_call *call)
{
	if (oauth_claims_issuer(opt, claims, call) != CULVER_OK)
		return CULVER_E_AUTH;
	if (opt[OPT_AUDIENCE].u.list.n > 0 && !any_of(&opt[OPT_AUDIENCE],
	    json_object_get(claims, "aud")))
		return culver_fail(call, CULVER_E_AUTH, 0, "its aud has none "
		    "of `audience'");
	if (!has_scopes(&opt[OPT_SCOPE], claims))
		return culver_fail(call, CULVER_E_AUTH, 0, "it has not all of "
		    "`scope'");
	return CULVER_OK;
}

/* --- when ---------------------------------------------------------------- */

/* A NumericDate (RFC 7519 2); 0: there is none, -1: it is none. */
static int
date_get(const json_t *claims, const char *name, double *out)
{
	const json_t *j = json_object_get(claims, name);

	if (j == NULL)
		return 0;
	*out = json_number_value(j);
	return json_is_number(j) ? 1 : -1;
}

static culver_status
time_check(const struct culver_value *opt, const json_t *claims, int64_t now,
    bool must_end, struct culver_call *call)
{
	double leeway = (double)opt[OPT_LEEWAY].u.i / NS_PER_S;
	double t = (double)now, exp = 0, nbf = 0;
	int has_exp = date_get(claims, "exp", &exp);
	int has_nbf = date_get(claims, "nbf", &nbf);

	if (has_exp < 0 || has_nbf < 0 || (must_end && has_exp == 0))
		return culver_fail(call, CULVER_E_AUTH, 0, "it has no exp, or "
		    "its exp or nbf is no number");
	if (has_exp != 0 && !(t < exp + leeway))
		return culver_fail(call, CULVER_E_EXPIRED, 0, "it has "
		    "expired");
	if (has_nbf != 0 && !(t + leeway >= nbf))
		return culver_fail(call, CULVER_E_AUTH, 0, "it is not valid "
		    "yet: are the clocks right?");
	return CULVER_OK;
}

culver_status
oauth_claims_check(const struct culver_value *opt, const json_t *claims,
    int64_t now, bool is_jwt, bool has_jwt, struct culver_call *call)
{
	culver_status st = CULVER_OK;

	if (is_jwt || !has_jwt)
		st = purpose_check(opt, claims, call);
	if (st == CULVER_OK)
		st = time_check(opt, claims, now, is_jwt, call);
	/* RFC 7800 3.1: whoever shows it must prove that he has a key, which
	 * neither mechanism can. */
	if (st == CULVER_OK && json_object_get(claims, "cnf") != NULL)
		st = culver_fail(call, CULVER_E_AUTH, 0, "it is bound to a "
		    "key (cnf): only its owner could use it");
	return st;
}

/* --- whose --------------------------------------------------------------- */

/* No name that could not be a user's; the core looks again. */
static bool
name_fits(const char *p, size_t n)
{
	if (n == 0 || n > OAUTH_MAX_NAME || p[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f || p[i] == '/' ||
		    (p[i] == '\xc2' && (unsigned char)p[i + 1] < 0xa0))
			return false;
	return true;
}

/* Who may write any address into his own account is not its owner: does the
 * provider say that he is?  What says nothing is as good as MISSING. */
static bool
is_verified(const json_t *claims, bool missing)
{
	const json_t *j = json_object_get(claims, "email_verified");

	return j == NULL ? missing : json_is_true(j) || (json_is_string(j) &&
	    strcmp(json_string_value(j), "true") == 0);
}

culver_status
oauth_claims_user(const struct culver_value *opt, const json_t *claims,
    bool is_copy, char out[OAUTH_MAX_NAME + 1], struct culver_call *call)
{
	const char *claim = opt[OPT_USER_CLAIM].u.s.p;
	const json_t *j = json_object_get(claims, claim);
	const char *p = json_string_value(j);
	size_t n = json_string_length(j);

	if (p == NULL || !name_fits(p, n))
		return culver_fail(call, CULVER_E_AUTH, 0, "its claim %.60s "
		    "is missing, or no user's name", claim);
	if (strcmp(claim, "email") == 0 && !is_verified(claims, is_copy ||
	    opt[OPT_UNVERIFIED].u.i != 0))
		return culver_fail(call, CULVER_E_AUTH, 0, "its e-mail "
		    "address is not a verified one (email_verified)");
	memcpy(out, p, n + 1);
	for (size_t i = 0; opt[OPT_USER_CASE].u.i == 1 && i < n; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
	return CULVER_OK;
}
