/*
 * sasl-private.h - what the mechanisms share; included by core/sasl only.
 */
#ifndef SASL_SASL_PRIVATE_H
#define SASL_SASL_PRIVATE_H

#include "core/sasl/sasl.h"

/* RFC 4616; the draft that LOGIN never left; and USER with PASS (RFC 1939 7)
 * as the gate hands them on: user NUL password. */
enum sasl_event sasl_plain_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_login_step(struct sasl *s, const uint8_t *in, size_t n);
enum sasl_event sasl_user_step(struct sasl *s, const uint8_t *in, size_t n);

/* End the exchange / ask for the next response. */
enum sasl_event sasl_fail(struct sasl *s, enum sasl_failure why);
enum sasl_event sasl_challenge(struct sasl *s, const char *text);

/* Keep the user's name: 1..SASL_MAX_USER octets without NUL, or fail. */
_Bool sasl_take_user(struct sasl *s, const uint8_t *in, size_t n);

/* Borrow the password: 1..SASL_MAX_PASSWORD octets without NUL, or fail. */
enum sasl_event sasl_take_password(struct sasl *s, const uint8_t *in,
    size_t n);

#endif /* SASL_SASL_PRIVATE_H */
