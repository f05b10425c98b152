/*
 * scram.h - the keys of SCRAM (RFC 5802 3) in passwd files and databases.
 *
 * Runs in a pool process; for auth plugins.  The text is an administrator's:
 * it may be malformed.
 */
#ifndef PLUGINS_COMMON_SCRAM_H
#define PLUGINS_COMMON_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plug_scram {
	bool sha256;		/* else SHA-1 */
	uint32_t iterations;	/* 1..10,000,000 */
	size_t salt_n, key_n;	/* octets; 20 or 32 of a key */
	unsigned char salt[64], stored[32], server[32];
};

enum { PLUG_BASE64 = 384 };	/* characters */

/* Decode the N characters at P, which must be base64 of 1 to CAP octets as it
 * is written, with padding, and nothing else; how many octets, or 0. */
size_t plug_base64(const char *p, size_t n, unsigned char *out, size_t cap);

/* Read "ITERATIONS,SALT,STORED_KEY,SERVER_KEY", the last three in base64, as
 * Dovecot writes it behind {SCRAM-SHA-256}.  False: it is not that. */
bool plug_scram_parse(bool sha256, const char *text, size_t n,
    struct plug_scram *out);

/* Make the keys of PASSWORD with the hash, salt and iterations in K.  Takes
 * about a millisecond for 4096 of them.  False: libcrypto failed. */
bool plug_scram_make(struct plug_scram *k, const void *password, size_t n);

/* Let libcrypto load what it needs, before the process is confined. */
bool plug_scram_warm(void);

#endif /* PLUGINS_COMMON_SCRAM_H */
