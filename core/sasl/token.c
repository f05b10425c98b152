/*
 * token.c - EXTERNAL, OAUTHBEARER and XOAUTH2: somebody else has vouched for
 * the client, by a certificate or by a token.
 *
 * Runs in the auth coordinator, on octets that a client sent.  Whether a
 * token is good is for an auth plugin to say.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "core/sasl/sasl-private.h"

#define SEPARATOR '\001'

/* authzid, or nothing: be whom the certificate names (RFC 4422 A.2) */
enum sasl_event
sasl_external_step(struct sasl *s, const uint8_t *in, size_t n)
{
	size_t cert_n = strlen(s->text);

	if (in == NULL)
		return sasl_challenge(s, "");
	if (cert_n == 0)
		return sasl_fail(s, SASL_NO_CERT);
	if (!sasl_take_user(s, (const uint8_t *)s->text, cert_n))
		return SASL_FAILED;
	if (n != 0 && (n != cert_n || memcmp(in, s->text, n) != 0))
		return sasl_fail(s, SASL_AUTHZID);
	s->password = (const uint8_t *)"";
	s->password_n = 0;
	return SASL_CREDENTIALS;
}

/* Take KEY=VALUE up to the next separator off *TEXT; false if there is
 * none. */
static _Bool
pair_next(struct part *text, struct part *key, struct part *value)
{
	const char *end = text->n > 0 ? memchr(text->p, SEPARATOR, text->n) :
	    NULL;
	const char *eq;

	if (end == NULL)
		return 0;
	key->p = text->p;
	key->n = (size_t)(end - text->p);
	text->n -= key->n + 1;
	text->p = end + 1;
	eq = memchr(key->p, '=', key->n);
	if (eq == NULL)
		return 0;
	value->p = eq + 1;
	value->n = (size_t)(end - eq) - 1;
	key->n = (size_t)(eq - key->p);
	return 1;
}

static _Bool
part_is(const struct part *a, const char *text)
{
	return a->n == strlen(text) && memcmp(a->p, text, a->n) == 0;
}

/* "Bearer TOKEN" (RFC 6750 2.1); an empty one asks what would be wrong with
 * it (RFC 7628 4.3). */
static enum sasl_event
token_take(struct sasl *s, const struct part *auth)
{
	static const char scheme[] = "Bearer ";
	size_t skip = sizeof(scheme) - 1;

	if (auth->n < skip || strncasecmp(auth->p, scheme, skip) != 0)
		return sasl_fail(s, SASL_MALFORMED);
	while (skip < auth->n && auth->p[skip] == ' ')
		skip++;
	s->password = (const uint8_t *)auth->p + skip;
	s->password_n = auth->n - skip;
	if (s->password_n > SASL_MAX_TOKEN)
		return sasl_fail(s, SASL_TOO_LONG);
	for (size_t i = 0; i < s->password_n; i++)
		if (s->password[i] < 0x21 || s->password[i] > 0x7e)
			return sasl_fail(s, SASL_MALFORMED);
	return s->password_n > 0 ? SASL_CREDENTIALS :
	    sasl_fail(s, SASL_MALFORMED);
}

/* gs2-header ^A *(key "=" value ^A) ^A */
enum sasl_event
sasl_bearer_step(struct sasl *s, const uint8_t *in, size_t n)
{
	struct scram_client_first gs2;
	struct part text, key, value, auth = {NULL, 0};
	enum sasl_failure wrong;

	if (s->denied)
		return sasl_fail(s, SASL_MISMATCH);
	if (in == NULL)
		return sasl_challenge(s, "");
	wrong = gs2_parse((const char *)in, n, &gs2);
	if (wrong != SASL_OK)
		return sasl_fail(s, wrong);
	text.p = gs2.head.p + gs2.head.n;
	text.n = n - gs2.head.n;
	if (gs2.flag == SCRAM_BOUND || text.n < 2 ||
	    text.p[0] != SEPARATOR || text.p[text.n - 1] != SEPARATOR)
		return sasl_fail(s, SASL_MALFORMED);
	text.p++;
	text.n -= 2;		/* and the last one */
	while (text.n > 0) {
		if (!pair_next(&text, &key, &value))
			return sasl_fail(s, SASL_MALFORMED);
		if (part_is(&key, "auth") && auth.p == NULL)
			auth = value;
	}
	if (auth.p == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	memcpy(s->user, gs2.authzid, sizeof(s->user));
	return token_take(s, &auth);
}

/* user=NAME ^A auth=Bearer TOKEN ^A ^A */
enum sasl_event
sasl_xoauth2_step(struct sasl *s, const uint8_t *in, size_t n)
{
	struct part text = {(const char *)in, n}, key, value,
	    auth = {NULL, 0}, user = {NULL, 0};

	if (s->denied)
		return sasl_fail(s, SASL_MISMATCH);
	if (in == NULL)
		return sasl_challenge(s, "");
	if (n < 2 || in[n - 1] != SEPARATOR || in[n - 2] != SEPARATOR)
		return sasl_fail(s, SASL_MALFORMED);
	text.n--;
	while (text.n > 0) {
		if (!pair_next(&text, &key, &value))
			return sasl_fail(s, SASL_MALFORMED);
		if (part_is(&key, "auth") && auth.p == NULL)
			auth = value;
		else if (part_is(&key, "user") && user.p == NULL)
			user = value;
	}
	if (auth.p == NULL || user.p == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	if (!sasl_take_user(s, (const uint8_t *)user.p, user.n))
		return SASL_FAILED;
	return token_take(s, &auth);
}

enum sasl_event
sasl_token_denied(struct sasl *s)
{
	s->denied = 1;
	s->password = NULL;
	s->password_n = 0;
	return sasl_challenge(s, s->id == SASL_XOAUTH2 ?
	    "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}" :
	    "{\"status\":\"invalid_token\"}");
}
