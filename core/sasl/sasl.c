/*
 * sasl.c - one exchange of any mechanism, and what they share.
 *
 * Runs in the auth coordinator, on octets that a client sent.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/sasl/sasl-private.h"

typedef enum sasl_event step_fn(struct sasl *s, const uint8_t *in, size_t n);

static step_fn *const steps[SASL_MECHS] = {
	[SASL_PLAIN] = sasl_plain_step,
	[SASL_LOGIN] = sasl_login_step,
	[SASL_SCRAM_SHA_256_PLUS] = scram_step,
	[SASL_SCRAM_SHA_256] = scram_step,
	[SASL_SCRAM_SHA_1_PLUS] = scram_step,
	[SASL_SCRAM_SHA_1] = scram_step,
	[SASL_CRAM_MD5] = sasl_cram_step,
	[SASL_EXTERNAL] = sasl_external_step,
	[SASL_OAUTHBEARER] = sasl_bearer_step,
	[SASL_XOAUTH2] = sasl_xoauth2_step,
	[SASL_APOP] = sasl_apop_step,
	[SASL_USER] = sasl_user_step,
};

/* What FACTS has for this mechanism. */
static void
facts_take(struct sasl *s, const struct sasl_facts *facts)
{
	size_t n = 0;

	if (s->id == SASL_EXTERNAL && facts->cert_user != NULL) {
		n = strnlen(facts->cert_user, sizeof(s->text) - 1);
		memcpy(s->text, facts->cert_user, n);
	} else if (s->id == SASL_CRAM_MD5) {
		/* RFC 2195 2: a msg-id that was never there before */
		s->text[n++] = '<';
		for (size_t i = 0; i < SASL_NONCE; i++)
			s->text[n++] = (char)('a' + facts->nonce[i] % 26);
		s->text[n++] = '@';
		for (const char *h = facts->hostname; h != NULL && *h != 0 &&
		    n < sizeof(s->text) - 2; h++)
			s->text[n++] = *h;
		s->text[n++] = '>';
	}
	s->text[n] = 0;
}

_Bool
sasl_start(struct sasl *s, enum sasl_id id, const struct sasl_facts *facts)
{
	*s = (struct sasl){.mech = &sasl_mechs[id], .id = id,
	    .challenge = ""};
	if (facts != NULL)
		facts_take(s, facts);
	return (s->mech->flags & SASL_F_SCRAM) == 0 || scram_start(s, facts);
}

enum sasl_event
sasl_step(struct sasl *s, const uint8_t *in, size_t n)
{
	enum sasl_event event;

	if (s->mech == NULL || s->over || (in == NULL && s->steps > 0))
		return sasl_fail(s, SASL_MALFORMED);
	s->challenge = "";
	event = steps[s->id](s, in, n);
	s->steps++;
	s->over = event != SASL_CHALLENGE;
	return event;
}

enum sasl_event
sasl_creds(struct sasl *s, const struct sasl_creds *creds, _Bool fake)
{
	enum sasl_event event;

	if ((s->mech->flags & SASL_F_SCRAM) == 0)
		return sasl_md5_creds(s, creds, fake);
	event = scram_creds(s, creds, fake);
	s->over = event != SASL_CHALLENGE;
	return event;
}

enum sasl_event
sasl_verdict(struct sasl *s)
{
	if (!s->good)
		return sasl_fail(s, SASL_MISMATCH);
	if ((s->mech->flags & SASL_F_SCRAM) == 0)
		return SASL_DONE;
	s->over = 0;
	return scram_verdict(s);
}

enum sasl_event
sasl_denied(struct sasl *s)
{
	if ((s->mech->flags & SASL_F_TOKEN) == 0)
		return sasl_fail(s, SASL_MISMATCH);
	s->over = 0;
	return sasl_token_denied(s);
}

_Bool
sasl_is_proven(const struct sasl *s)
{
	return s->good;
}

enum sasl_event
sasl_fail(struct sasl *s, enum sasl_failure why)
{
	s->failure = why;
	s->password = NULL;
	s->password_n = 0;
	s->good = 0;
	s->over = 1;
	return SASL_FAILED;
}

enum sasl_event
sasl_challenge(struct sasl *s, const char *text)
{
	s->challenge = text;
	return SASL_CHALLENGE;
}

_Bool
sasl_take_user(struct sasl *s, const uint8_t *in, size_t n)
{
	if (n == 0 || memchr(in, 0, n) != NULL) {
		sasl_fail(s, SASL_MALFORMED);
		return 0;
	}
	if (n > SASL_MAX_USER) {
		sasl_fail(s, SASL_TOO_LONG);
		return 0;
	}
	memcpy(s->user, in, n);
	s->user[n] = 0;
	return 1;
}

_Bool
sasl_take_authzid(struct sasl *s, const uint8_t *in, size_t n)
{
	if (n > SASL_MAX_USER || (n > 0 && memchr(in, 0, n) != NULL)) {
		sasl_fail(s, n > SASL_MAX_USER ? SASL_TOO_LONG :
		    SASL_MALFORMED);
		return 0;
	}
	if (n == 0 || (n == strlen(s->user) && memcmp(in, s->user, n) == 0))
		return 1;
	memcpy(s->authzid, in, n);
	s->authzid[n] = 0;
	return 1;
}

enum sasl_event
sasl_take_password(struct sasl *s, const uint8_t *in, size_t n)
{
	if (n == 0 || memchr(in, 0, n) != NULL)
		return sasl_fail(s, SASL_MALFORMED);
	if (n > SASL_MAX_PASSWORD)
		return sasl_fail(s, SASL_TOO_LONG);
	s->password = in;
	s->password_n = n;
	return SASL_CREDENTIALS;
}

void
sasl_salt(const uint8_t *secret, size_t n, enum sasl_id id,
    const char *user, uint8_t salt[SASL_SALT])
{
	_Bool sha256 = (sasl_mechs[id].has & SASL_HAS_SHA_256) != 0;
	const struct part text[] = {{"culver scram salt", 18},
	    {sha256 ? "2" : "1", 1}, {user, strlen(user)}};
	uint8_t mac[SASL_MAX_KEY] = {0};

	crypto_hmac(CRYPTO_SHA256, secret, n, text, 3, mac);
	memcpy(salt, mac, SASL_SALT);
}

const char *
sasl_failure_text(enum sasl_failure failure)
{
	switch (failure) {
	case SASL_OK: return "ok";
	case SASL_MALFORMED: return "malformed";
	case SASL_TOO_LONG: return "too-long";
	case SASL_AUTHZID: return "other-authzid";
	case SASL_BINDING: return "channel-binding";
	case SASL_NO_CERT: return "no-certificate";
	case SASL_MISMATCH: return "bad-password";
	}
	return "?";
}

void
sasl_wipe(struct sasl *s)
{
	if (s->scram != NULL)
		explicit_bzero(s->scram, sizeof(*s->scram));
	free(s->scram);
	explicit_bzero(s, sizeof(*s));
}
