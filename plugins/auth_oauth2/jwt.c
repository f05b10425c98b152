/*
 * jwt.c - signed tokens: their form, their header, their signature.
 *
 * Runs in a pool process, on what a client sent.  The header is read before
 * anything vouches for it, so it chooses among what the section and the keys
 * allow and nothing else (RFC 8725 3.1): keys and addresses of keys in it
 * are not looked at.
 */
#include "config.h"

#include <jose/b64.h>
#include <jose/jws.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

/* Three parts with two dots; an encrypted token has five. */
static bool
split(const struct culver_str *token, struct oauth_jwt *t)
{
	const char *p = token->p, *end = token->p + token->n;

	for (unsigned i = 0; i < 3; i++) {
		const char *dot = memchr(p, '.', (size_t)(end - p));

		if ((dot == NULL) != (i == 2))
			return false;
		t->part[i] = p;
		t->n[i] = (size_t)((dot != NULL ? dot : end) - p);
		p = dot != NULL ? dot + 1 : end;
	}
	return true;
}

/* The JSON object that is N octets of base64url at P. */
static json_t *
part_load(const char *p, size_t n)
{
	size_t len = jose_b64_dec_buf(p, n, NULL, 0);
	json_t *j = NULL;
	char *text;

	if (n == 0 || len == SIZE_MAX || (text = malloc(len + 1)) == NULL)
		return NULL;
	if (jose_b64_dec_buf(p, n, text, len) == len)
		j = oauth_json_object(text, len);
	wipe_free(text);
	return j;
}

/* Is it said to be something else than an access token (RFC 8725 3.11, RFC
 * 9068 2.1)? */
static bool
typ_fits(const json_t *header)
{
	const json_t *typ = json_object_get(header, "typ");
	const char *text = json_string_value(typ);

	if (typ == NULL)
		return true;
	if (text != NULL && strncasecmp(text, "application/", 12) == 0)
		text += 12;
	return text != NULL && (strcasecmp(text, "JWT") == 0 ||
	    strcasecmp(text, "at+jwt") == 0);
}

static culver_status
header_check(const struct culver_value *algorithms, struct oauth_jwt *t,
    struct culver_call *call)
{
	const json_t *kid = json_object_get(t->header, "kid");
	const char *alg = oauth_json_text(t->header, "alg");
	size_t n = alg != NULL ? strlen(alg) : 0;

	if (alg != NULL && oauth_list_has(algorithms, alg, n))
		t->alg = oauth_alg_find(alg, n);
	if (t->alg == NULL)
		return culver_fail(call, CULVER_E_AUTH, 0, "it is signed in a "
		    "way that is not one of `algorithms'");
	if (json_object_get(t->header, "crit") != NULL)
		return culver_fail(call, CULVER_E_AUTH, 0, "its header wants "
		    "an extension to be understood");
	if (!typ_fits(t->header))
		return culver_fail(call, CULVER_E_AUTH, 0, "its header says "
		    "that it is no access token");
	if (kid != NULL && !json_is_string(kid))
		return culver_fail(call, CULVER_E_AUTH, 0, "its kid is no "
		    "text");
	t->kid = json_string_value(kid);
	return CULVER_OK;
}

culver_status
oauth_jwt_parse(const struct culver_value *algorithms,
    const struct culver_str *token, struct oauth_jwt *out,
    struct culver_call *call)
{
	*out = (struct oauth_jwt){.kid = NULL};
	if (token->n > OAUTH_MAX_TOKEN)
		return culver_fail(call, CULVER_E_AUTH, 0, "it has more than "
		    "%d octets", OAUTH_MAX_TOKEN);
	if (!split(token, out) ||
	    (out->header = part_load(out->part[0], out->n[0])) == NULL)
		return culver_fail(call, CULVER_E_DECLINE, 0, "it is no "
		    "signed JWT");
	out->claims = part_load(out->part[1], out->n[1]);
	if (out->claims == NULL)
		return culver_fail(call, CULVER_E_AUTH, 0, "its claims are no "
		    "JSON object in which each is there once");
	return header_check(algorithms, out, call);
}

void
oauth_jwt_free(struct oauth_jwt *t)
{
	json_decref(t->header);
	json_decref(t->claims);
	*t = (struct oauth_jwt){.kid = NULL};
}

/* May K have signed T?  The type of the key decides, and its own alg. */
static bool
key_fits(const struct oauth_key *k, const struct oauth_jwt *t)
{
	return strcmp(k->kty, t->alg->kty) == 0 &&
	    (t->alg->crv == NULL || (k->crv != NULL &&
	    strcmp(k->crv, t->alg->crv) == 0)) &&
	    (k->alg == NULL || strcmp(k->alg, t->alg->name) == 0) &&
	    (k->kid == NULL || t->kid == NULL || strcmp(k->kid, t->kid) == 0);
}

enum oauth_signature
oauth_jwt_signature(jose_cfg_t *cfg, const struct oauth_jwt *t,
    const struct oauth_keyset *keys)
{
	enum oauth_signature found = OAUTH_NO_KEY;
	json_t *jws = json_pack("{s:s%,s:s%,s:s%}", "protected", t->part[0],
	    t->n[0], "payload", t->part[1], t->n[1], "signature", t->part[2],
	    t->n[2]);

	if (jws == NULL)	/* no memory, or no text */
		return OAUTH_BAD;
	for (unsigned i = 0; i < keys->n && found != OAUTH_GOOD; i++) {
		const struct oauth_key *k = &keys->key[i];

		if (!key_fits(k, t))
			continue;
		found = jose_jws_ver(cfg, jws, NULL, k->jwk, false) ?
		    OAUTH_GOOD : OAUTH_BAD;
	}
	json_decref(jws);
	return found;
}
