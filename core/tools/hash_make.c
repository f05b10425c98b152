/*
 * hash_make.c - see hash_make.h.  libcrypto and libargon2 do the work.
 *
 * Runs as culverctl's caller, in the program hash.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#ifdef WITH_ARGON2
#include <argon2.h>
#endif
#include <openssl/evp.h>

#include "core/tools/hash_make.h"
#include "core/tools/kit/scram.h"

enum { SALT = 16, ITERATIONS = 4096,	/* what SCRAM answers for unknown users,
					 * too: others would stand out */
	ROUNDS = 600000 };		/* of PBKDF2 */

static char out[384];

static const char *
scram_make(_Bool sha256, const char *password, const unsigned char *salt)
{
	unsigned char stored[SCRAM_KEY], server[SCRAM_KEY], text[3][96];
	size_t n = scram_keys(sha256, password, strlen(password), salt, SALT,
	    ITERATIONS, stored, server);

	if (n == 0)
		return NULL;
	EVP_EncodeBlock(text[0], salt, SALT);
	EVP_EncodeBlock(text[1], stored, (int)n);
	EVP_EncodeBlock(text[2], server, (int)n);
	snprintf(out, sizeof(out), "%d,%s,%s,%s", ITERATIONS,
	    (char *)text[0], (char *)text[1], (char *)text[2]);
	return out;
}

/* The digest of the password and the first N octets of SALT, and these. */
static const char *
digest_make(const EVP_MD *md, const char *password, const unsigned char *salt,
    size_t n)
{
	unsigned char all[EVP_MAX_MD_SIZE + SALT];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned size = 0;
	_Bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, password, strlen(password)) == 1 &&
	    EVP_DigestUpdate(ctx, salt, n) == 1 &&
	    EVP_DigestFinal_ex(ctx, all, &size) == 1;

	EVP_MD_CTX_free(ctx);
	memcpy(all + size, salt, n);
	EVP_EncodeBlock((unsigned char *)out, all, (int)(size + n));
	return ok ? out : NULL;
}

/* Dovecot takes the salt as it is written: digits here, as of the key. */
static const char *
pbkdf2_make(const char *password, const unsigned char *salt)
{
	unsigned char key[20];
	char text[2 * SALT + 1];
	int n;

	for (int i = 0; i < SALT; i++)
		snprintf(text + 2 * i, 3, "%02x", salt[i]);
	if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password),
	    (unsigned char *)text, 2 * SALT, ROUNDS, EVP_sha1(), sizeof(key),
	    key) != 1)
		return NULL;
	n = snprintf(out, sizeof(out), "$1$%s$%d$", text, ROUNDS);
	for (size_t i = 0; i < sizeof(key); i++)
		n += snprintf(out + n, sizeof(out) - (size_t)n, "%02x",
		    key[i]);
	return out;
}

#ifdef WITH_ARGON2
/* Dovecot's cost, which is that of RFC 9106 4 for less memory. */
static const char *
argon2_make(argon2_type type, const char *password, const unsigned char *salt)
{
	unsigned char tag[32];
	_Bool i = type == Argon2_i;
	int done = argon2_hash(i ? 4 : 3, i ? 32768 : 65536, 1, password,
	    strlen(password), salt, SALT, tag, sizeof(tag), out, sizeof(out),
	    type, ARGON2_VERSION_13);

	explicit_bzero(tag, sizeof(tag));
	return done == ARGON2_OK ? out : NULL;
}
#endif

const char *
hash_make(const char *scheme, const char *password)
{
	unsigned char salt[SALT];

	if (getrandom(salt, sizeof(salt), 0) != sizeof(salt))
		return NULL;
	if (strncmp(scheme, "SCRAM", 5) == 0)
		return scram_make(strcmp(scheme, "SCRAM-SHA-256") == 0,
		    password, salt);
#ifdef WITH_ARGON2
	if (strncmp(scheme, "ARGON2", 6) == 0)
		return argon2_make(strcmp(scheme, "ARGON2I") == 0 ? Argon2_i :
		    Argon2_id, password, salt);
#endif
	if (strcmp(scheme, "PBKDF2") == 0)
		return pbkdf2_make(password, salt);
	return digest_make(strstr(scheme, "512") != NULL ? EVP_sha512() :
	    EVP_sha256(), password, salt, scheme[1] == 'S' ? SALT : 0);
}
