/*
 * mechs.h - the names of the mechanisms and what each of them needs.
 *
 * For every role: the config role reads their names, the gate offers them,
 * the coordinator runs them, the worker repeats them in CAPA.
 */
#ifndef SASL_MECHS_H
#define SASL_MECHS_H

#include <stddef.h>
#include <stdint.h>

/* In the order in which CAPA lists them. */
enum sasl_id {
	SASL_PLAIN, SASL_LOGIN, SASL_SCRAM_SHA_256_PLUS, SASL_SCRAM_SHA_256,
	SASL_SCRAM_SHA_1_PLUS, SASL_SCRAM_SHA_1, SASL_CRAM_MD5, SASL_EXTERNAL,
	SASL_OAUTHBEARER, SASL_XOAUTH2,
	SASL_APOP,		/* RFC 1939 7, a command of its own */
	SASL_USER,		/* USER and PASS, likewise */
	SASL_MECHS
};
#define SASL_BIT(id) (1u << (id))
#define SASL_ALL (SASL_BIT(SASL_USER) - 1u)	/* that can be configured */

enum {				/* what it needs */
	SASL_F_COMMAND = 1u << 0,	/* no AUTH: not in CAPA */
	SASL_F_PASSWORD = 1u << 1,	/* a section that verifies one */
	SASL_F_SECRET = 1u << 2,	/* one that looks credentials up */
	SASL_F_TOKEN = 1u << 3,		/* one that verifies tokens */
	SASL_F_CERT = 1u << 4,		/* a certificate of the client */
	SASL_F_BINDING = 1u << 5,	/* TLS: a channel to bind to */
	SASL_F_SCRAM = 1u << 6
};

enum {				/* credentials that a user may have, as bits */
	SASL_HAS_PLAIN = 1u << 0,
	SASL_HAS_SHA_1 = 1u << 1,	/* the keys of SCRAM-SHA-1 */
	SASL_HAS_SHA_256 = 1u << 2
};

struct sasl_mech {
	const char *name;	/* upper case */
	unsigned flags;
	unsigned has;		/* SASL_F_SECRET: any of these is enough */
};

extern const struct sasl_mech sasl_mechs[SASL_MECHS];

/* The mechanism with this NAME of N octets in any case (RFC 5034 4), commands
 * included; SASL_MECHS if there is none. */
enum sasl_id sasl_find(const char *name, size_t n);

/* The credentials that NAME ("PLAIN", "SCRAM-SHA-256") means; 0: none. */
unsigned sasl_has_find(const char *name);

enum { SASL_LIST_MAX = 160 };

/* The names of the mechanisms of AUTH in MASK, with SEP between them, into
 * OUT; its octets without the NUL. */
size_t sasl_list(uint32_t mask, const char *sep, char out[SASL_LIST_MAX]);

#endif /* SASL_MECHS_H */
