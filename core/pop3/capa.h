/*
 * capa.h - the answer to CAPA (RFC 2449), the same in both states as far as
 * it is true: clients keep what they saw before login.
 *
 * Runs in gate and worker.
 */
#ifndef POP3_CAPA_H
#define POP3_CAPA_H

#include <stddef.h>
#include <stdint.h>

enum { POP3_CAPA_MAX = 1024 };

#define POP3_EXPIRE_NEVER	UINT32_MAX
#define POP3_EXPIRE_NONE	(UINT32_MAX - 1)	/* not announced */

struct pop3_capa {
	_Bool stls;		/* STLS would be taken before login */
	_Bool user;		/* so would USER and PASS */
	const char *sasl;	/* mechanisms that would; NULL or "": none */
	uint32_t expire_days;	/* POP3_EXPIRE_* or days */
	_Bool expire_user;	/* AUTHORIZATION: users have their own */
	uint32_t login_delay;	/* seconds; 0: none */
};

/*
 * Write the whole reply, "+OK" line and final dot included, into BUF (room
 * for POP3_CAPA_MAX) and return its octets.
 */
size_t pop3_capa(const struct pop3_capa *capa, char *buf, size_t cap);

#endif /* POP3_CAPA_H */
