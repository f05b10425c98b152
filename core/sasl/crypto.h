/*
 * crypto.h - digests and HMACs of libcrypto, in one piece.
 *
 * Runs in the auth coordinator, for mechanisms and for the cache.
 */
#ifndef SASL_CRYPTO_H
#define SASL_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

/* A part of a message. */
struct part {
	const char *p;
	size_t n;
};

enum crypto_hash { CRYPTO_MD5, CRYPTO_SHA1, CRYPTO_SHA256 };

/* Octets of a digest. */
size_t crypto_size(enum crypto_hash h);

/* Of the concatenation of N texts; false: libcrypto failed. */
_Bool crypto_digest(enum crypto_hash h, const struct part *text, unsigned n,
    uint8_t *out);
_Bool crypto_hmac(enum crypto_hash h, const void *key, size_t key_n,
    const struct part *text, unsigned n, uint8_t *out);

/* Equal?  Takes as long for all octets. */
_Bool crypto_equal(const void *a, const void *b, size_t n);

#endif /* SASL_CRYPTO_H */
