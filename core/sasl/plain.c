/*
 * plain.c - PLAIN, LOGIN and USER/PASS: the mechanisms that carry a password.
 *
 * Runs in the auth coordinator, on octets that a client sent.
 */
#include "config.h"

#include <string.h>

#include "core/sasl/sasl-private.h"

/* Where the octets up to the next NUL end; NULL if no NUL follows. */
static const uint8_t *
part_end(const uint8_t *in, size_t n)
{
	return n == 0 ? NULL : memchr(in, 0, n);
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616 2) */
enum sasl_event
sasl_plain_step(struct sasl *s, const uint8_t *in, size_t n)
{
	const uint8_t *end, *authcid, *passwd;
	size_t authzid_n, authcid_n;

	if (in == NULL)
		return sasl_challenge(s, "");
	end = in + n;
	authcid = part_end(in, n);
	if (authcid == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	authzid_n = (size_t)(authcid++ - in);
	passwd = part_end(authcid, (size_t)(end - authcid));
	if (passwd == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	authcid_n = (size_t)(passwd++ - authcid);
	if (!sasl_take_user(s, authcid, authcid_n) ||
	    !sasl_take_authzid(s, in, authzid_n))
		return SASL_FAILED;
	return sasl_take_password(s, passwd, (size_t)(end - passwd));
}

/* draft-murchison-sasl-login-00; an initial response is the user's name. */
enum sasl_event
sasl_login_step(struct sasl *s, const uint8_t *in, size_t n)
{
	if (in == NULL)
		return sasl_challenge(s, "Username:");
	if (s->user[0] == 0)
		return sasl_take_user(s, in, n) ?
		    sasl_challenge(s, "Password:") : SASL_FAILED;
	return sasl_take_password(s, in, n);
}

enum sasl_event
sasl_user_step(struct sasl *s, const uint8_t *in, size_t n)
{
	const uint8_t *nul = in != NULL ? part_end(in, n) : NULL;

	if (nul == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	if (!sasl_take_user(s, in, (size_t)(nul - in)))
		return SASL_FAILED;
	return sasl_take_password(s, nul + 1, n - (size_t)(nul - in) - 1);
}
