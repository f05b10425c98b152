/*
 * scram.c - see scram.h.  Runs in a pool process; sees passwords, keeps none.
 */
#include "config.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "plugins/common/scram.h"

enum { MAX_ITERATIONS = 10000000 };

size_t
plug_base64(const char *p, size_t n, unsigned char *out, size_t cap)
{
	unsigned char data[PLUG_BASE64], again[PLUG_BASE64 + 1];
	size_t len = n / 4 * 3;

	if (n == 0 || n % 4 != 0 || n > PLUG_BASE64 ||
	    EVP_DecodeBlock(data, (const unsigned char *)p, (int)n) < 0)
		return 0;
	len -= p[n - 1] != '=' ? 0 : p[n - 2] == '=' ? 2 : 1;
	/* what OpenSSL is lenient with does not come out the same again */
	if (len > cap || EVP_EncodeBlock(again, data, (int)len) != (int)n ||
	    memcmp(again, p, n) != 0)
		len = 0;
	memcpy(out, data, len);
	explicit_bzero(data, sizeof(data));
	explicit_bzero(again, sizeof(again));
	return len;
}

/* The text up to the next comma, or all; moves *P behind it. */
static size_t
field(const char **p, const char *end, const char **start)
{
	const char *comma = memchr(*p, ',', (size_t)(end - *p));

	*start = *p;
	*p = comma != NULL ? comma + 1 : end;
	return (size_t)((comma != NULL ? comma : end) - *start);
}

static bool
number(const char *p, size_t n, uint32_t *out)
{
	uint32_t v = 0;

	if (n == 0 || n > 8)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(p[i] - '0');
	}
	*out = v;
	return v > 0 && v <= MAX_ITERATIONS;
}

bool
plug_scram_parse(bool sha256, const char *text, size_t n,
    struct plug_scram *out)
{
	const char *p = text, *end = text + n, *start;
	size_t len = field(&p, end, &start);

	*out = (struct plug_scram){.sha256 = sha256,
	    .key_n = sha256 ? 32 : 20};
	if (!number(start, len, &out->iterations))
		return false;
	len = field(&p, end, &start);
	out->salt_n = plug_base64(start, len, out->salt, sizeof(out->salt));
	len = field(&p, end, &start);
	if (out->salt_n == 0 || plug_base64(start, len, out->stored,
	    sizeof(out->stored)) != out->key_n)
		return false;
	return plug_base64(p, (size_t)(end - p), out->server,
	    sizeof(out->server)) == out->key_n;
}

bool
plug_scram_make(struct plug_scram *k, const void *password, size_t n)
{
	const EVP_MD *md = k->sha256 ? EVP_sha256() : EVP_sha1();
	unsigned char salted[32], client[32];
	int len = k->sha256 ? 32 : 20;
	bool ok = k->iterations > 0 && k->iterations <= MAX_ITERATIONS &&
	    n <= 65536 && PKCS5_PBKDF2_HMAC(password, (int)n, k->salt,
		(int)k->salt_n, (int)k->iterations, md, len, salted) == 1 &&
	    HMAC(md, salted, len, (const unsigned char *)"Client Key", 10,
		client, NULL) != NULL &&
	    EVP_Digest(client, (size_t)len, k->stored, NULL, md, NULL) == 1 &&
	    HMAC(md, salted, len, (const unsigned char *)"Server Key", 10,
		k->server, NULL) != NULL;

	k->key_n = (size_t)len;
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client, sizeof(client));
	return ok;
}

bool
plug_scram_warm(void)
{
	struct plug_scram k = {.iterations = 1, .salt_n = 1};

	/* a plugin reads no openssl.cnf */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
	    !plug_scram_make(&k, "", 0))
		return false;
	k.sha256 = true;
	return plug_scram_make(&k, "", 0);
}
