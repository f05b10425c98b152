/*
 * sasl.c - the table of mechanisms and what they share.
 *
 * Runs in the auth coordinator, on octets that a client sent.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "core/sasl/sasl-private.h"

const struct sasl_mech sasl_mechs[] = {
	{.name = "PLAIN", .flags = SASL_PLAINTEXT, .step = sasl_plain_step},
	{.name = "LOGIN", .flags = SASL_PLAINTEXT, .step = sasl_login_step},
	{.name = "USER", .flags = SASL_PLAINTEXT | SASL_INTERNAL,
	    .step = sasl_user_step},
	{.name = NULL}
};

const struct sasl_mech *
sasl_find(const char *name, _Bool internal)
{
	for (const struct sasl_mech *m = sasl_mechs; m->name != NULL; m++)
		if (strcasecmp(m->name, name) == 0 &&
		    (internal || (m->flags & SASL_INTERNAL) == 0))
			return m;
	return NULL;
}

void
sasl_start(struct sasl *s, const struct sasl_mech *mech)
{
	*s = (struct sasl){.mech = mech, .challenge = ""};
}

enum sasl_event
sasl_step(struct sasl *s, const uint8_t *in, size_t n)
{
	enum sasl_event event;

	if (s->mech == NULL || s->failure != SASL_OK || s->password != NULL ||
	    (in == NULL && s->steps > 0))
		return sasl_fail(s, SASL_MALFORMED);
	s->challenge = "";
	event = s->mech->step(s, in, n);
	s->steps++;
	return event;
}

enum sasl_event
sasl_fail(struct sasl *s, enum sasl_failure why)
{
	s->failure = why;
	s->password = NULL;
	s->password_n = 0;
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

const char *
sasl_failure_text(enum sasl_failure failure)
{
	switch (failure) {
	case SASL_OK: return "ok";
	case SASL_MALFORMED: return "malformed";
	case SASL_TOO_LONG: return "too-long";
	case SASL_AUTHZID: return "other-authzid";
	}
	return "?";
}

void
sasl_wipe(struct sasl *s)
{
	explicit_bzero(s, sizeof(*s));
}
