/*
 * sasl.h - SASL mechanisms as pure state machines: octets in, an event out.
 *
 * Runs in the auth coordinator; the gate uses the table of names for CAPA and
 * AUTH.  No I/O, no allocation, no base64 (that is the gate's).  The octets
 * come from a client and are hostile.  The password is never copied: it is
 * borrowed from the input, so whoever owns the input wipes it.
 */
#ifndef SASL_SASL_H
#define SASL_SASL_H

#include <stddef.h>
#include <stdint.h>

enum {
	SASL_MAX_USER = 255,
	SASL_MAX_PASSWORD = 1024
};

enum {				/* sasl_mech.flags */
	SASL_PLAINTEXT = 1u << 0,	/* the password crosses the wire */
	SASL_INTERNAL = 1u << 1		/* not a mechanism of AUTH or CAPA */
};

enum sasl_event {
	SASL_CHALLENGE,		/* send `challenge`, then step again */
	SASL_CREDENTIALS,	/* user and password are there: verify them */
	SASL_FAILED		/* `failure` says why; the exchange is over */
};

enum sasl_failure {
	SASL_OK,
	SASL_MALFORMED,		/* not what the mechanism prescribes */
	SASL_TOO_LONG,
	SASL_AUTHZID		/* asks to act for another user */
};

struct sasl;

struct sasl_mech {
	const char *name;	/* upper case; NULL ends the table */
	unsigned flags;
	enum sasl_event (*step)(struct sasl *s, const uint8_t *in, size_t n);
};

/* One exchange.  sasl_start() sets all of it. */
struct sasl {
	const struct sasl_mech *mech;
	unsigned steps;			/* responses taken so far */
	enum sasl_failure failure;
	const char *challenge;		/* a constant text, maybe "" */
	char user[SASL_MAX_USER + 1];	/* NUL-terminated */
	const uint8_t *password;	/* in the input of the last step */
	size_t password_n;		/* 1..SASL_MAX_PASSWORD */
};

/* All mechanisms, in the order in which CAPA lists them. */
extern const struct sasl_mech sasl_mechs[];

/* The mechanism NAME in any case (RFC 5034 4); NULL if there is none.
 * INTERNAL: also those that only roles name. */
const struct sasl_mech *sasl_find(const char *name, _Bool internal);

void sasl_start(struct sasl *s, const struct sasl_mech *mech);

/*
 * Take one response of N octets; IN is NULL for "no initial response" (only
 * in the first step).  After SASL_CREDENTIALS s->password points into IN.
 * After SASL_FAILED or SASL_CREDENTIALS another step fails.
 */
enum sasl_event sasl_step(struct sasl *s, const uint8_t *in, size_t n);

/* "malformed", ...: for a log line. */
const char *sasl_failure_text(enum sasl_failure failure);

/* Forget everything that the exchange knows. */
void sasl_wipe(struct sasl *s);

#endif /* SASL_SASL_H */
