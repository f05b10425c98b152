/*
 * sasl-private.h - what the mechanisms share; included by core/sasl only.
 */
#ifndef SASL_SASL_PRIVATE_H
#define SASL_SASL_PRIVATE_H

#include "core/sasl/crypto.h"
#include "core/sasl/sasl.h"

enum {
	SCRAM_MAX_FIRST = 1024,		/* the client's first message */
	SCRAM_MAX_NONCE = 256,		/* in it */
	SCRAM_MAX_BOUND = 1472		/* base64 of its head and a binding */
};

struct sasl_scram {
	_Bool sha256, fake;
	char nonce[40];			/* ours, in base64 */
	char bare[SCRAM_MAX_FIRST];	/* client-first-message-bare */
	char first[SASL_MAX_CHALLENGE];	/* server-first-message */
	char both[SCRAM_MAX_NONCE + 40];	/* the two nonces */
	char bound[SCRAM_MAX_BOUND];	/* what c= has to be */
	char final[64];			/* server-final-message */
	uint8_t stored_key[SASL_MAX_KEY], server_key[SASL_MAX_KEY];
	struct {
		uint8_t octets[SASL_MAX_BINDING];
		size_t n;
	} exporter, endpoint, unique;
	_Bool binding_offered;
};

/* RFC 4616; the draft that LOGIN never left; and USER with PASS (RFC 1939 7)
 * as the gate hands them on: user NUL password. */
enum sasl_event sasl_plain_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_login_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_user_step(struct sasl *s, const uint8_t *in, size_t n);

/* RFC 2195; RFC 1939 7 as the gate hands it on: greeting NUL user NUL
 * digest. */
enum sasl_event sasl_cram_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_apop_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_md5_creds(struct sasl *s, const struct sasl_creds *c,
    _Bool fake);

/* RFC 4422 A; RFC 7628; XOAUTH2 as Google describes it. */
enum sasl_event sasl_external_step(struct sasl *s, const uint8_t *in,
    size_t n);
enum sasl_event sasl_bearer_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_xoauth2_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_token_denied(struct sasl *s);

/* RFC 5802, 7677. */
_Bool scram_start(struct sasl *s, const struct sasl_facts *facts);
enum sasl_event scram_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event scram_creds(struct sasl *s, const struct sasl_creds *c,
    _Bool fake);
enum sasl_event scram_verdict(struct sasl *s);

/* End the exchange / ask for the next response. */
enum sasl_event sasl_fail(struct sasl *s, enum sasl_failure why);
enum sasl_event sasl_challenge(struct sasl *s, const char *text);

/* Keep the user's name: 1..SASL_MAX_USER octets without NUL, or fail. */
_Bool sasl_take_user(struct sasl *s, const uint8_t *in, size_t n);

/* Keep whom the client wants to act for, after the user: 0..SASL_MAX_USER
 * octets without NUL, or fail. */
_Bool sasl_take_authzid(struct sasl *s, const uint8_t *in, size_t n);

/* Borrow the password: 1..SASL_MAX_PASSWORD octets without NUL, or fail. */
enum sasl_event sasl_take_password(struct sasl *s, const uint8_t *in,
    size_t n);

/* --- scram_text.c: the messages of SCRAM --------------------------------- */

struct scram_client_first {
	enum { SCRAM_NONE, SCRAM_COULD, SCRAM_BOUND } flag;
	struct part binding;		/* SCRAM_BOUND: its type */
	struct part head;		/* gs2-header, both commas included */
	struct part bare, nonce;
	char authzid[SASL_MAX_USER + 1], user[SASL_MAX_USER + 1];
};

struct scram_client_final {
	struct part bound, nonce;
	struct part unproven;		/* client-final-message-without-proof */
	uint8_t proof[SASL_MAX_KEY];
};

/* Take a message apart; OK, MALFORMED or TOO_LONG. */
enum sasl_failure scram_parse_first(const char *in, size_t n,
    struct scram_client_first *out);
enum sasl_failure scram_parse_final(const char *in, size_t n, size_t key_n,
    struct scram_client_final *out);

/* A gs2-header (RFC 5801 4): up to its second comma.  Like these. */
enum sasl_failure gs2_parse(const char *in, size_t n,
    struct scram_client_first *out);

#endif /* SASL_SASL_PRIVATE_H */
