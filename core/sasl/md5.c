/*
 * md5.c - CRAM-MD5 and APOP: old mechanisms that hash a challenge with the
 * password, and so need the password itself on the server.
 *
 * Runs in the auth coordinator, on octets that a client sent.
 */
#include "config.h"

#include <string.h>

#include "core/sasl/sasl-private.h"

enum { HEX = 32 };		/* digits of a digest */

static int
hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ?
	    c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum sasl_event
digest_take(struct sasl *s, const uint8_t *in, size_t n)
{
	if (n != HEX)
		return sasl_fail(s, SASL_MALFORMED);
	for (size_t i = 0; i < HEX; i += 2) {
		int high = hex_digit(in[i]), low = hex_digit(in[i + 1]);

		if (high < 0 || low < 0)
			return sasl_fail(s, SASL_MALFORMED);
		s->digest[i / 2] = (uint8_t)(high << 4 | low);
	}
	return SASL_LOOKUP;
}

/* user SP digest; the name may have spaces, too. */
enum sasl_event
sasl_cram_step(struct sasl *s, const uint8_t *in, size_t n)
{
	if (in == NULL)
		return sasl_challenge(s, s->text);
	if (s->steps == 0 || n < HEX + 1 || in[n - HEX - 1] != ' ')
		return sasl_fail(s, SASL_MALFORMED);
	if (!sasl_take_user(s, in, n - HEX - 1))
		return SASL_FAILED;
	return digest_take(s, in + n - HEX, HEX);
}

enum sasl_event
sasl_apop_step(struct sasl *s, const uint8_t *in, size_t n)
{
	const uint8_t *end = in != NULL ? memchr(in, 0, n) : NULL, *user, *nul;

	if (end == NULL || (size_t)(end - in) >= sizeof(s->text))
		return sasl_fail(s, SASL_MALFORMED);
	memcpy(s->text, in, (size_t)(end - in) + 1);
	user = end + 1;
	n -= (size_t)(user - in);
	nul = memchr(user, 0, n);
	if (nul == NULL)
		return sasl_fail(s, SASL_MALFORMED);
	if (!sasl_take_user(s, user, (size_t)(nul - user)))
		return SASL_FAILED;
	return digest_take(s, nul + 1, n - (size_t)(nul - user) - 1);
}

enum sasl_event
sasl_md5_creds(struct sasl *s, const struct sasl_creds *c, _Bool fake)
{
	const struct part text[] = {{s->text, strlen(s->text)},
	    {(const char *)c->password.p, c->password.n}};
	uint8_t made[16];
	_Bool ok = s->id == SASL_APOP ?
	    crypto_digest(CRYPTO_MD5, text, 2, made) :
	    crypto_hmac(CRYPTO_MD5, c->password.p, c->password.n, text, 1,
		made);

	/* both for everybody: it takes as long with a user as without */
	ok = ok && crypto_equal(made, s->digest, sizeof(made));
	s->good = ok && !fake && c->password.n > 0;
	explicit_bzero(made, sizeof(made));
	return SASL_VERDICT;
}
