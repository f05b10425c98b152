/*
 * crypto.c - digests and HMACs of libcrypto for the mechanisms.
 *
 * Runs in the auth coordinator; sees keys and passwords, keeps none.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "core/sasl/crypto.h"
#include "core/sasl/sasl.h"

static EVP_MAC *hmac;		/* fetched once: that is what costs */

static const EVP_MD *
md_of(enum crypto_hash h)
{
	return h == CRYPTO_MD5 ? EVP_md5() : h == CRYPTO_SHA1 ? EVP_sha1() :
	    EVP_sha256();
}

static const char *
name_of(enum crypto_hash h)
{
	return h == CRYPTO_MD5 ? "MD5" : h == CRYPTO_SHA1 ? "SHA1" : "SHA256";
}

size_t
crypto_size(enum crypto_hash h)
{
	return h == CRYPTO_MD5 ? 16 : h == CRYPTO_SHA1 ? 20 : 32;
}

_Bool
crypto_digest(enum crypto_hash h, const struct part *text, unsigned n,
    uint8_t *out)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	_Bool ok = md != NULL && EVP_DigestInit_ex(md, md_of(h), NULL) == 1;

	for (unsigned i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(md, text[i].p, text[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(md, out, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

_Bool
crypto_hmac(enum crypto_hash h, const void *key, size_t key_n,
    const struct part *text, unsigned n, uint8_t *out)
{
	OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(),
	    OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *ctx;
	char name[8];
	size_t made;
	_Bool ok;

	memcpy(name, name_of(h), strlen(name_of(h)) + 1);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    name, 0);
	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	ctx = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	/* a key of NULL would mean the one of before */
	ok = ctx != NULL && EVP_MAC_init(ctx, key_n > 0 ? key :
	    (const void *)"", key_n, params) == 1;
	for (unsigned i = 0; ok && i < n; i++)
		ok = EVP_MAC_update(ctx, (const uint8_t *)text[i].p,
		    text[i].n) == 1;
	ok = ok && EVP_MAC_final(ctx, out, &made, crypto_size(h)) == 1;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

_Bool
crypto_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

_Bool
sasl_warm(void)
{
	const struct part text = {"", 0};
	uint8_t out[SASL_MAX_KEY];
	_Bool ok = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG |
	    OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1;

	for (int h = CRYPTO_MD5; ok && h <= CRYPTO_SHA256; h++)
		ok = crypto_digest((enum crypto_hash)h, &text, 1, out) &&
		    crypto_hmac((enum crypto_hash)h, "k", 1, &text, 1, out);
	return ok;
}
