/*
 * tlskit.h - certificates made on the spot, and a TLS client, for tests.
 */
#ifndef TESTS_UNIT_TLSKIT_H
#define TESTS_UNIT_TLSKIT_H

#include <openssl/ssl.h>

#include "core/tls/pair.h"

struct kit_cert {
	const char *name;	/* subject and only alternative name */
	int rsa_bits;		/* 0: ECDSA P-256 */
	long from, to;		/* seconds from now */
	const char *digest;	/* "SHA256" if NULL */
	const struct kit_pair *issuer;	/* NULL: itself */
};

struct kit_pair {
	X509 *x;
	EVP_PKEY *key;
};

/* A certificate valid for a day, unless WHAT says otherwise; frees nothing:
 * kit_pair_free(). */
struct kit_pair kit_make(const struct kit_cert *what);
void kit_pair_free(struct kit_pair *p);

/* Memory files that hold them as PEM. */
int kit_cert_file(X509 *const *x, int n);
int kit_key_file(EVP_PKEY *key, const char *passphrase);
int kit_text_file(const char *text);

/* What is in them. */
struct kit_files {
	struct tls_file cert, key;
};
struct kit_files kit_files(const struct kit_pair *p);
void kit_files_free(struct kit_files *f);

/* A sealed bundle with this pair only. */
int kit_bundle(const struct kit_pair *p);

/* Three sealed ticket keys' worth of one: all octets from SEED on. */
int kit_ticket_file(unsigned char seed);

#endif /* TESTS_UNIT_TLSKIT_H */
