/*
 * auth_digest.c - password schemes of libcrypto and libargon2 as Dovecot
 * writes them: digests with and without salt, PBKDF2, Argon2.
 *
 * Runs in a pool process; sees passwords, keeps none.  Hashes come from an
 * administrator: they may be malformed.
 */
#include "config.h"

#include <string.h>

#ifdef WITH_ARGON2
#include <argon2.h>
#endif
#include <openssl/evp.h>

#include "plugins/common/auth.h"
#include "plugins/common/scram.h"

enum { MAX_TEXT = CRYPT_OUTPUT_SIZE, SHA1_SIZE = 20 };

_Bool
secret_equal(const void *input, size_t n, const void *stored, size_t stored_n)
{
	const unsigned char *in = input, *s = stored;
	unsigned char diff = n != stored_n;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(in[i] ^
		    s[stored_n > 0 ? i % stored_n : 0]);
	return diff == 0;
}

_Bool
text_number(const char **p, const char *end, uint32_t *out)
{
	const char *start = *p;

	for (*out = 0; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		if (*p - start == 9)
			return 0;
		*out = *out * 10 + (uint32_t)(**p - '0');
	}
	return *p > start;
}

/* The octets that N hexadecimal digits stand for; 0: they are none. */
static size_t
hex_decode(const char *p, size_t n, unsigned char *out, size_t cap)
{
	static const char digits[] = "0123456789abcdef";

	if (n % 2 != 0 || n / 2 > cap)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char c = p[i] >= 'A' && p[i] <= 'F' ? (char)(p[i] + 32) : p[i];
		const char *at = c != '\0' ? strchr(digits, c) : NULL;

		if (at == NULL)
			return 0;
		out[i / 2] = (unsigned char)(i % 2 == 0 ?
		    (at - digits) << 4 : out[i / 2] | (at - digits));
	}
	return n / 2;
}

/* --- SHA256, SSHA256 and so on: the digest, and the salt behind it --------- */

static _Bool
digest_fits(const struct method *m, size_t n)
{
	return m->name[1] == 'S' ? n > m->digest : n == m->digest;
}

/* The octets of TEXT; 0: it is not of M. */
static size_t
digest_read(const struct method *m, struct span text, unsigned char *out,
    size_t cap)
{
	size_t n = hex_decode(text.p, text.n, out, cap);

	if (!digest_fits(m, n))
		n = plug_base64(text.p, text.n, out, cap);
	return digest_fits(m, n) ? n : 0;
}

_Bool
digest_good(const struct method *m, struct span text)
{
	unsigned char all[MAX_TEXT];
	_Bool good = digest_read(m, text, all, sizeof(all)) > 0;

	explicit_bzero(all, sizeof(all));
	return good;
}

culver_status
digest_verify(const struct method *m, const char *hash,
    const struct culver_str *password)
{
	const EVP_MD *md = m->digest == 64 ? EVP_sha512() : EVP_sha256();
	unsigned char all[MAX_TEXT], made[EVP_MAX_MD_SIZE];
	size_t n = digest_read(m, (struct span){hash, strlen(hash)}, all,
	    sizeof(all));
	EVP_MD_CTX *ctx = n > 0 ? EVP_MD_CTX_new() : NULL;
	culver_status st = CULVER_E_TEMP;

	if (ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, password->p, password->n) == 1 &&
	    EVP_DigestUpdate(ctx, all + m->digest, n - m->digest) == 1 &&
	    EVP_DigestFinal_ex(ctx, made, NULL) == 1)
		st = secret_equal(made, m->digest, all, m->digest) ?
		    CULVER_OK : CULVER_E_AUTH;
	EVP_MD_CTX_free(ctx);
	explicit_bzero(all, sizeof(all));
	explicit_bzero(made, sizeof(made));
	return st;
}

/* --- PBKDF2: $1$SALT$ROUNDS$KEY, with SHA-1 -------------------------------- */

struct pbkdf2 {
	struct span salt;	/* as it is written */
	uint32_t rounds;
	unsigned char key[SHA1_SIZE];
};

static _Bool
pbkdf2_read(struct span text, struct pbkdf2 *out)
{
	const char *p = text.p, *end = p + text.n, *dollar;

	if (text.n < 3 || memcmp(p, "$1$", 3) != 0)
		return 0;
	p += 3;
	dollar = memchr(p, '$', (size_t)(end - p));
	if (dollar == NULL || dollar == p)
		return 0;
	out->salt = (struct span){p, (size_t)(dollar - p)};
	p = dollar + 1;
	return text_number(&p, end, &out->rounds) && out->rounds > 0 &&
	    p < end && *p++ == '$' && hex_decode(p, (size_t)(end - p),
		out->key, sizeof(out->key)) == sizeof(out->key);
}

_Bool
pbkdf2_good(const struct method *m, struct span text)
{
	struct pbkdf2 k;

	(void)m;
	return pbkdf2_read(text, &k);
}

culver_status
pbkdf2_verify(const struct method *m, const char *hash,
    const struct culver_str *password)
{
	culver_status st = CULVER_E_TEMP;
	unsigned char made[SHA1_SIZE];
	struct pbkdf2 k;

	(void)m;
	if (pbkdf2_read((struct span){hash, strlen(hash)}, &k) &&
	    PKCS5_PBKDF2_HMAC(password->p, (int)password->n,
		(const unsigned char *)k.salt.p, (int)k.salt.n, (int)k.rounds,
		EVP_sha1(), sizeof(made), made) == 1)
		st = secret_equal(made, sizeof(made), k.key, sizeof(k.key)) ?
		    CULVER_OK : CULVER_E_AUTH;
	explicit_bzero(made, sizeof(made));
	explicit_bzero(&k, sizeof(k));
	return st;
}

/* --- Argon2: $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$TAG ----------------- */

#ifdef WITH_ARGON2
struct argon {
	argon2_type type;
	uint32_t version, kib, passes, lanes;
	size_t salt_n, tag_n;
	unsigned char salt[64], tag[64];
};

/* NAME and a number at *P, which is moved behind them. */
static _Bool
param(const char **p, const char *end, const char *name, uint32_t *out)
{
	size_t n = strlen(name);

	if ((size_t)(end - *p) < n || memcmp(*p, name, n) != 0)
		return 0;
	*p += n;
	return text_number(p, end, out);
}

/* Base64 without padding, up to a dollar sign or the end. */
static size_t
unpadded(const char **p, const char *end, unsigned char *out, size_t cap)
{
	const char *dollar = memchr(*p, '$', (size_t)(end - *p));
	size_t n = (size_t)((dollar != NULL ? dollar : end) - *p);
	char text[96];

	if (n == 0 || n > sizeof(text) - 4 || memchr(*p, '=', n) != NULL)
		return 0;
	memset(text, '=', sizeof(text));
	memcpy(text, *p, n);
	*p += n + (dollar != NULL);
	return plug_base64(text, (n + 3) / 4 * 4, out, cap);
}

static _Bool
argon_read(const struct method *m, struct span text, struct argon *out)
{
	static const char i[] = "$argon2i$v=", id[] = "$argon2id$v=";
	const char *p = text.p, *end = p + text.n;

	*out = (struct argon){.type = strcmp(m->name, "ARGON2I") == 0 ?
	    Argon2_i : Argon2_id};
	if (!param(&p, end, out->type == Argon2_i ? i : id, &out->version) ||
	    (out->version != ARGON2_VERSION_10 &&
	    out->version != ARGON2_VERSION_13) ||
	    !param(&p, end, "$m=", &out->kib) ||
	    !param(&p, end, ",t=", &out->passes) ||
	    !param(&p, end, ",p=", &out->lanes) || p == end || *p++ != '$')
		return 0;
	out->salt_n = unpadded(&p, end, out->salt, sizeof(out->salt));
	out->tag_n = unpadded(&p, end, out->tag, sizeof(out->tag));
	return out->salt_n >= ARGON2_MIN_SALT_LENGTH && p == end &&
	    end[-1] != '$' && out->tag_n >= ARGON2_MIN_OUTLEN &&
	    out->passes > 0 && out->lanes > 0 && out->lanes <= 255 &&
	    out->kib >= 8 * out->lanes;
}

_Bool
argon_good(const struct method *m, struct span text)
{
	struct argon a;

	return argon_read(m, text, &a);
}

/* All lanes in this thread: a pool process makes no other. */
culver_status
argon_verify(const struct method *m, const char *hash,
    const struct culver_str *password)
{
	struct argon a;
	unsigned char made[sizeof(a.tag)] = {0};
	culver_status st = CULVER_E_TEMP;
	argon2_context ctx = {.out = made,
	    .pwd = (uint8_t *)(uintptr_t)password->p,
	    .pwdlen = (uint32_t)password->n, .threads = 1};

	if (!argon_read(m, (struct span){hash, strlen(hash)}, &a))
		return st;
	ctx.outlen = (uint32_t)a.tag_n;
	ctx.salt = a.salt;
	ctx.saltlen = (uint32_t)a.salt_n;
	ctx.t_cost = a.passes;
	ctx.m_cost = a.kib;
	ctx.lanes = a.lanes;
	ctx.version = a.version;
	if (argon2_ctx(&ctx, a.type) == ARGON2_OK)
		st = secret_equal(made, a.tag_n, a.tag, a.tag_n) ? CULVER_OK :
		    CULVER_E_AUTH;
	explicit_bzero(made, sizeof(made));
	explicit_bzero(&a, sizeof(a));
	return st;
}
#endif
