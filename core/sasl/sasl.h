/*
 * sasl.h - SASL mechanisms as pure state machines: octets in, an event out.
 *
 * Runs in the auth coordinator.  No I/O, and no base64 but what mechanisms
 * have inside their messages (that of AUTH is the gate's).  The octets come
 * from a client and are hostile.  A password or token is never copied: it is
 * borrowed from the input, so whoever owns the input wipes it.
 */
#ifndef SASL_SASL_H
#define SASL_SASL_H

#include <stddef.h>
#include <stdint.h>

#include "core/sasl/mechs.h"

enum {
	SASL_MAX_USER = 255,
	SASL_MAX_PASSWORD = 1024,
	SASL_MAX_TOKEN = 9216,		/* what fits into a line of AUTH */
	SASL_MAX_KEY = 32,
	SASL_MAX_SALT = 64,
	SASL_MAX_BINDING = 64,
	SASL_MAX_CHALLENGE = 640,
	SASL_NONCE = 18,		/* random octets of ours */
	SASL_SALT = 16,			/* of salts that are made here */
	SASL_ITERATIONS = 4096,		/* RFC 7677 4; what Dovecot's tools and
					 * `culverctl hash' make, too */
	SASL_MAX_ITERATIONS = 10000000
};

enum sasl_event {
	SASL_CHALLENGE,		/* send `challenge`, then step again */
	SASL_CREDENTIALS,	/* user and password (or token, or, with
				 * SASL_F_CERT, nothing) are there: verify */
	SASL_LOOKUP,		/* look up what `user` has, then sasl_creds() */
	SASL_VERDICT,		/* sasl_verdict() when it may be told */
	SASL_DONE,		/* the client has shown that it is `user` */
	SASL_FAILED		/* `failure` says why; the exchange is over */
};

enum sasl_failure {
	SASL_OK,
	SASL_MALFORMED,		/* not what the mechanism prescribes */
	SASL_TOO_LONG,
	SASL_AUTHZID,		/* asks to act for another user */
	SASL_BINDING,		/* bound to another channel, or downgraded */
	SASL_NO_CERT,		/* there is none with a name */
	SASL_MISMATCH		/* the proof is wrong, or nothing was there to
				 * prove */
};

struct sasl_octets {
	const uint8_t *p;
	size_t n;		/* 0: there is none */
};

/* What an exchange has to know besides; borrowed by sasl_start() only. */
struct sasl_facts {
	uint8_t nonce[SASL_NONCE];	/* random; for those that look up */
	const char *hostname;		/* CRAM-MD5's challenge */
	struct sasl_octets exporter;	/* tls-exporter, RFC 9266 */
	struct sasl_octets endpoint;	/* tls-server-end-point, RFC 5929 4 */
	struct sasl_octets unique;	/* tls-unique, RFC 5929 3 */
	_Bool binding_offered;		/* the client was offered -PLUS */
	const char *cert_user;		/* of its certificate; NULL or "": none
					 * that counts */
};

/* What a user has: the password, or the keys of SCRAM. */
struct sasl_creds {
	struct sasl_octets password;
	struct sasl_octets salt, stored_key, server_key;
	uint32_t iterations;
};

struct sasl_scram;

/* One exchange.  sasl_start() sets all of it. */
struct sasl {
	const struct sasl_mech *mech;
	enum sasl_id id;
	unsigned steps;			/* responses taken so far */
	enum sasl_failure failure;
	const char *challenge;		/* maybe "" */
	char user[SASL_MAX_USER + 1];	/* NUL-terminated; of a token: maybe
					 * "", the token says it */
	char authzid[SASL_MAX_USER + 1];	/* whom to act for, if that is
					 * not `user'; PLAIN and SCRAM */
	const uint8_t *password;	/* in the input of the last step */
	size_t password_n;
	struct sasl_scram *scram;	/* SCRAM: the messages so far */
	/* CRAM-MD5, APOP, EXTERNAL */
	char text[320];			/* our challenge; the certificate's
					 * user */
	uint8_t digest[16];
	_Bool good;			/* what sasl_verdict() will say */
	_Bool denied;			/* sasl_denied(): the last response */
	_Bool over;
};

/* False: no memory.  FACTS may be NULL where only passwords are sent. */
_Bool sasl_start(struct sasl *s, enum sasl_id id,
    const struct sasl_facts *facts);

/*
 * Take one response of N octets; IN is NULL for "no initial response" (only
 * in the first step).  After SASL_CREDENTIALS s->password points into IN.
 * After SASL_FAILED, SASL_DONE or SASL_CREDENTIALS another step fails.
 */
enum sasl_event sasl_step(struct sasl *s, const uint8_t *in, size_t n);

/*
 * After SASL_LOOKUP: here is what the user has.  FAKE: there is no such user,
 * or nothing of it fits; the exchange goes on as it would for others, and
 * fails when they would for a wrong password.  CREDS are copied.
 */
enum sasl_event sasl_creds(struct sasl *s, const struct sasl_creds *creds,
    _Bool fake);

/* After SASL_VERDICT: CHALLENGE (the proof is right, and the client wants to
 * see ours; then step), DONE or FAILED. */
enum sasl_event sasl_verdict(struct sasl *s);

/* After SASL_CREDENTIALS, which were wrong: CHALLENGE if the mechanism tells
 * the client so before it fails (RFC 7628 3.2.2), else FAILED. */
enum sasl_event sasl_denied(struct sasl *s);

/* Is what is proven in this exchange known to be right? */
_Bool sasl_is_proven(const struct sasl *s);

/*
 * The SALT of USER for mechanism ID, always the same with the same SECRET: for
 * users that do not exist, and for those whose keys are made from a password.
 * Each hash has its own: keys that are stored for one of them only would show
 * by the other's salt that there is such a user.
 */
void sasl_salt(const uint8_t *secret, size_t n, enum sasl_id id,
    const char *user, uint8_t salt[SASL_SALT]);

/* "malformed", ...: for a log line. */
const char *sasl_failure_text(enum sasl_failure failure);

/* Forget everything that the exchange knows. */
void sasl_wipe(struct sasl *s);

/* Make libcrypto load what it loads lazily; false: it lacks something. */
_Bool sasl_warm(void);

#endif /* SASL_SASL_H */
