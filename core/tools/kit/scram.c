/*
 * scram.c - the keys of SCRAM by OpenSSL; see scram.h.  Runs in a check.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "core/tools/kit/scram.h"

static bool
hmac(const EVP_MD *md, const unsigned char *key, size_t n, const char *text,
    unsigned char *out)
{
	return HMAC(md, key, (int)n, (const unsigned char *)text,
	    strlen(text), out, NULL) != NULL;
}

void
scram_start(void)
{
	unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];

	(void)scram_keys(true, "", 0, "", 0, 1, stored, server);
	(void)scram_keys(false, "", 0, "", 0, 1, stored, server);
}

size_t
scram_keys(bool sha256, const void *password, size_t n, const void *salt,
    size_t salt_n, uint32_t iterations, unsigned char stored[SCRAM_KEY],
    unsigned char server[SCRAM_KEY])
{
	const EVP_MD *md = sha256 ? EVP_sha256() : EVP_sha1();
	size_t len = (size_t)EVP_MD_get_size(md);
	unsigned char salted[SCRAM_KEY], client[SCRAM_KEY];

	if (iterations < 1 || iterations > 10000000 ||
	    PKCS5_PBKDF2_HMAC(password, (int)n, salt, (int)salt_n,
	    (int)iterations, md, (int)len, salted) != 1 ||
	    !hmac(md, salted, len, "Client Key", client) ||
	    !hmac(md, salted, len, "Server Key", server) ||
	    EVP_Digest(client, len, stored, NULL, md, NULL) != 1)
		len = 0;
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	return len;
}
