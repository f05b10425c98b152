/*
 * keyset.c - public keys: JWKS (RFC 7517), or PEM.
 *
 * Runs in a pool process.  A key is what an administrator or the identity
 * provider says; what it may be used for is said by its type, never by a
 * token, so that a public key is no secret of an HMAC.
 */
#include "config.h"

#include <jose/jwk.h>
#include <jose/openssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "plugins/auth_oauth2/oauth2.h"

enum { MIN_RSA = 2048, MAX_RSA = 16384 };	/* bits; RFC 7518 3.3 */

static const struct oauth_alg algs[] = {
	{"RS256", "RSA", NULL}, {"RS384", "RSA", NULL}, {"RS512", "RSA", NULL},
	{"PS256", "RSA", NULL}, {"PS384", "RSA", NULL}, {"PS512", "RSA", NULL},
	{"ES256", "EC", "P-256"}, {"ES384", "EC", "P-384"},
	{"ES512", "EC", "P-521"},
};

const struct oauth_alg *
oauth_alg_find(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		if (strlen(algs[i].name) == n &&
		    memcmp(algs[i].name, name, n) == 0)
			return &algs[i];
	return NULL;
}

void
oauth_keyset_free(struct oauth_keyset *s)
{
	for (unsigned i = 0; i < s->n; i++)
		json_decref(s->key[i].jwk);
	s->n = 0;
}

/* Can a JWK verify signatures, for all that it says (RFC 7517 4.2, 4.3)? */
static bool
jwk_verifies(jose_cfg_t *cfg, const json_t *jwk)
{
	const char *alg = oauth_json_text(jwk, "alg");

	return (alg == NULL || oauth_alg_find(alg, strlen(alg)) != NULL) &&
	    jose_jwk_prm(cfg, jwk, false, "verify");
}

/* Is it of a kind and size that can be used here? */
static bool
jwk_fits(jose_cfg_t *cfg, const json_t *jwk)
{
	EVP_PKEY *key = jose_openssl_jwk_to_EVP_PKEY(cfg, jwk);
	const char *crv = oauth_json_text(jwk, "crv");
	bool fits = false;
	int bits;

	if (key == NULL)
		return false;
	bits = EVP_PKEY_get_bits(key);
	if (EVP_PKEY_is_a(key, "RSA"))
		fits = bits >= MIN_RSA && bits <= MAX_RSA;
	else if (EVP_PKEY_is_a(key, "EC"))
		fits = crv != NULL && (strcmp(crv, "P-256") == 0 ||
		    strcmp(crv, "P-384") == 0 || strcmp(crv, "P-521") == 0);
	EVP_PKEY_free(key);
	return fits;
}

/* Add the public part of JWK; false: no memory or no room. */
static bool
keyset_add(struct oauth_keyset *s, const json_t *jwk)
{
	static const char *const members[] = {"kty", "n", "e", "crv", "x",
	    "y", "kid", "alg"};
	struct oauth_key *k = &s->key[s->n];

	if (s->n == OAUTH_MAX_KEYS || (k->jwk = json_object()) == NULL)
		return false;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const char *text = oauth_json_text(jwk, members[i]);

		if (text != NULL && json_object_set_new(k->jwk, members[i],
		    json_string(text)) != 0) {
			json_decref(k->jwk);
			return false;
		}
	}
	k->kty = oauth_json_text(k->jwk, "kty");
	k->crv = oauth_json_text(k->jwk, "crv");
	k->kid = oauth_json_text(k->jwk, "kid");
	k->alg = oauth_json_text(k->jwk, "alg");
	s->n++;
	return true;
}

static bool
jwks_parse(jose_cfg_t *cfg, const char *text, size_t n,
    struct oauth_keyset *out, const char **why)
{
	json_t *j = oauth_json_object(text, n), *list, *jwk;
	size_t i;

	*why = "is not a JSON object in which each member is there once";
	if (j == NULL)
		return false;
	list = json_object_get(j, "keys");
	*why = "is neither a JWKS nor a JWK";
	if (list == NULL && oauth_json_text(j, "kty") != NULL) {
		if (jwk_verifies(cfg, j) && jwk_fits(cfg, j))
			keyset_add(out, j);
	} else if (!json_is_array(list)) {
		json_decref(j);
		return false;
	}
	*why = "has more than 64 keys";
	json_array_foreach(list, i, jwk) {
		if (json_is_object(jwk) && jwk_verifies(cfg, jwk) &&
		    jwk_fits(cfg, jwk) && !keyset_add(out, jwk)) {
			json_decref(j);
			return false;
		}
	}
	json_decref(j);
	*why = "has no key that can verify signatures by one of " OAUTH_ALGS;
	return out->n > 0;
}

/* The public key of one block of PEM; NULL: there is none in it. */
static EVP_PKEY *
pem_key(const char *name, const unsigned char *p, long n)
{
	X509 *cert;
	EVP_PKEY *key;

	if (strcmp(name, PEM_STRING_PUBLIC) == 0)
		return d2i_PUBKEY(NULL, &p, n);
	if (strcmp(name, PEM_STRING_X509) != 0)
		return NULL;
	cert = d2i_X509(NULL, &p, n);
	key = cert != NULL ? X509_get_pubkey(cert) : NULL;
	X509_free(cert);
	return key;
}

static bool
pem_add(jose_cfg_t *cfg, struct oauth_keyset *out, const char *name,
    const unsigned char *p, long n, const char **why)
{
	EVP_PKEY *key = pem_key(name, p, n);
	json_t *jwk = key != NULL ? jose_openssl_jwk_from_EVP_PKEY(cfg, key) :
	    NULL;
	bool good = false;

	EVP_PKEY_free(key);
	if (strstr(name, "PRIVATE") != NULL)
		*why = "has a private key: only the public one is needed here";
	else if (jwk == NULL || !jwk_fits(cfg, jwk))
		*why = "has something else than public keys and certificates, "
		    "of RSA (2048 to 16384 bits) or P-256, P-384, P-521";
	else if (!keyset_add(out, jwk))
		*why = "has more than 64 keys";
	else
		good = true;
	json_decref(jwk);
	return good;
}

static bool
pem_parse(jose_cfg_t *cfg, const char *text, size_t n,
    struct oauth_keyset *out, const char **why)
{
	BIO *bio = BIO_new_mem_buf(text, (int)n);
	char *name, *header;
	unsigned char *data;
	bool good = bio != NULL;
	long len;

	while (good && PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
		good = pem_add(cfg, out, name, data, len, why);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, len > 0 ? (size_t)len : 0);
	}
	if (good && ERR_GET_REASON(ERR_peek_last_error()) !=
	    PEM_R_NO_START_LINE) {
		*why = "has PEM that is damaged or cut off";
		good = false;
	}
	ERR_clear_error();
	BIO_free(bio);
	if (good && out->n == 0)
		*why = "is neither JSON nor PEM with a public key";
	return good && out->n > 0;
}

bool
oauth_keyset_parse(jose_cfg_t *cfg, const char *text, size_t n,
    struct oauth_keyset *out, const char **why)
{
	size_t skip = 0;
	bool good;

	out->n = 0;
	*why = "no memory";
	while (skip < n && strchr(" \t\r\n", text[skip]) != NULL)
		skip++;
	good = skip < n && text[skip] == '{' ?
	    jwks_parse(cfg, text, n, out, why) :
	    pem_parse(cfg, text, n, out, why);
	if (!good)
		oauth_keyset_free(out);
	return good;
}
