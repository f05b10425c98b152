/*
 * auth_scheme.c - password schemes: crypt(3) through libxcrypt, the keys of
 * SCRAM through libcrypto, and PLAIN.
 *
 * Runs in a pool process; sees passwords, keeps none.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "plugins/common/auth.h"
#include "plugins/common/scram.h"

/* The settings cost what the tools that make such hashes choose themselves. */
static const struct method methods[] = {
	{"YESCRYPT", "$y$", "$y$j9T$culverculver", 0, 0},
	{"SHA512-CRYPT", "$6$", "$6$culverculver", 0, 0},
	{"SHA256-CRYPT", "$5$", "$5$culverculver", 0, 0},
	{"BLF-CRYPT", "$2", "$2b$10$culverculverculverculv.", 0, 0},
	{"SCRYPT", "$7$", "$7$CU..../....culverculverculver", 0, 0},
	{"PLAIN", NULL, "", 0, 0},
	{"MD5-CRYPT", "$1$", "$1$culver", 1, 0},
	{"DES-CRYPT", NULL, "cu", 1, 0},
	{"SCRAM-SHA-256", NULL, "4096,Y3VsdmVyY3VsdmVyY3VsZA==,"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 0, 256},
	{"SCRAM-SHA-1", NULL, "4096,Y3VsdmVyY3VsdmVyY3VsZA==,"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAA=,AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 0,
	    1},
};
enum { N_METHODS = sizeof(methods) / sizeof(methods[0]), M_PLAIN = 5,
	M_DES = 7 };

const struct method *const method_plain = &methods[M_PLAIN];

static const char itoa64[] =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static _Bool
name_is(struct span s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

const struct method *
method_find(struct span name)
{
	if (name_is(name, "CLEAR") || name_is(name, "CLEARTEXT"))
		return method_plain;
	for (unsigned i = 0; i < N_METHODS; i++)
		if (name_is(name, methods[i].name))
			return &methods[i];
	return NULL;
}

_Bool
scheme_known(struct span name)
{
	return name_is(name, "CRYPT") || method_find(name) != NULL;
}

static _Bool
starts(struct span s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n > n && memcmp(s.p, prefix, n) == 0;
}

static _Bool
is_des(struct span s)
{
	if (s.n != 13)
		return 0;
	for (size_t i = 0; i < s.n; i++)
		if (strchr(itoa64, s.p[i]) == NULL)
			return 0;
	return 1;
}

/* The crypt(3) method that made the hash S; NULL if none of ours did. */
static const struct method *
method_detect(struct span s)
{
	if (is_des(s))
		return &methods[M_DES];
	for (unsigned i = 0; i < N_METHODS; i++) {
		if (methods[i].prefix == NULL || !starts(s, methods[i].prefix))
			continue;
		/* $2x$ is what a broken implementation made */
		if (s.p[1] == '2' && (s.n < 8 || s.p[3] != '$' ||
		    strchr("aby", s.p[2]) == NULL))
			return NULL;
		return &methods[i];
	}
	return NULL;
}

/* libpam-pwdfile writes "hash[13]" for what crypt(3) made. */
static struct span
strip_type(struct span s)
{
	if (s.n > 4 && s.p[0] != '{' && s.p[0] != '$' &&
	    memcmp(s.p + s.n - 4, "[13]", 4) == 0)
		s.n -= 4;
	return s;
}

/* Takes {SCHEME} off the front of the field into h->scheme. */
static void
scheme_split(struct hash *h, struct span field)
{
	const char *end;

	h->scheme = (struct span){"", 0};
	h->text = strip_type(field);
	if (field.n == 0 || field.p[0] != '{')
		return;
	end = memchr(field.p, '}', field.n);
	if (end == NULL)
		return;
	h->scheme = (struct span){field.p + 1, (size_t)(end - field.p) - 1};
	h->text = (struct span){end + 1, field.n - h->scheme.n - 2};
}

/* Does FIELD say that there is no password, as passwd(5) does? */
static _Bool
locked(struct span field)
{
	static const char *const marks[] = {"x", "*", "!", "!!", "*LK*",
	    "*NP*"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (span_is(field, marks[i]))
			return 1;
	return field.n == 0;
}

static _Bool
scram_is_good(const struct hash *h)
{
	struct plug_scram k;
	_Bool ok = h->text.n < CRYPT_OUTPUT_SIZE &&
	    plug_scram_parse(h->method->scram == 256, h->text.p, h->text.n,
		&k);

	explicit_bzero(&k, sizeof(k));
	return ok;
}

struct hash
hash_parse(struct span password, struct span scheme)
{
	struct hash h = {.state = HASH_GOOD};
	const struct method *named;
	struct span name;

	scheme_split(&h, password);
	name = h.scheme.n > 0 ? h.scheme : scheme;
	named = method_find(name);
	if (locked(password) || h.text.n == 0) {
		h.state = HASH_LOCKED;
		return h;
	}
	if (named == method_plain) {
		h.method = named;
		return h;
	}
	if (named != NULL && named->scram != 0) {
		h.method = named;
		if (!scram_is_good(&h))
			h.state = HASH_BROKEN;
		return h;
	}
	h.method = method_detect(h.text);
	if (h.text.p[0] == '!' || h.text.p[0] == '*')
		h.state = HASH_LOCKED;
	else if (named == NULL && !name_is(name, "CRYPT"))
		h.state = HASH_UNKNOWN;
	else if (named != NULL && h.method != named)
		h.state = HASH_BROKEN;
	else if (h.method == NULL || h.text.n >= CRYPT_OUTPUT_SIZE)
		h.state = HASH_UNKNOWN;
	return h;
}

size_t
hash_cost_prefix(const struct hash *h)
{
	const char *p = h->text.p, *end;

	if (h->method->scram != 0) {
		end = memchr(p, ',', h->text.n);
		return end != NULL ? (size_t)(end - p) + 1 : 0;
	}
	if (h->method->prefix == NULL)
		return 0;
	if (p[1] == '2')
		return h->text.n < 7 ? h->text.n : 7;
	if (p[1] == '7')
		return h->text.n < 14 ? h->text.n : 14;
	if (p[1] == 'y' || starts(h->text, "$5$rounds=") ||
	    starts(h->text, "$6$rounds=")) {
		end = memchr(p + 3, '$', h->text.n - 3);
		return end != NULL ? (size_t)(end - p) + 1 : h->text.n;
	}
	return 3;
}

/* Equal?  Takes as long for every input of N octets. */
static _Bool
equal(const char *input, size_t n, const char *stored, size_t stored_n)
{
	unsigned char diff = n != stored_n;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(input[i] ^
		    stored[stored_n > 0 ? i % stored_n : 0]);
	return diff == 0;
}

/* Do the keys of PASSWORD, made as those of HASH, fit? */
static culver_status
scram_verify(const struct method *method, const char *hash,
    const struct culver_str *password)
{
	struct plug_scram k, made;
	culver_status st = CULVER_E_TEMP;

	if (plug_scram_parse(method->scram == 256, hash, strlen(hash), &k)) {
		made = k;
		if (plug_scram_make(&made, password->p, password->n))
			st = equal((const char *)made.stored, made.key_n,
			    (const char *)k.stored, k.key_n) ? CULVER_OK :
			    CULVER_E_AUTH;
		explicit_bzero(&made, sizeof(made));
	}
	explicit_bzero(&k, sizeof(k));
	return st;
}

culver_status
hash_verify(const struct method *method, const char *hash,
    const struct culver_str *password, struct crypt_data *work)
{
	const char *made;

	if (method == method_plain)
		return equal(password->p, password->n, hash, strlen(hash)) ?
		    CULVER_OK : CULVER_E_AUTH;
	/* crypt(3) would stop at a NUL without looking at the hash, and to
	 * HMAC NULs at the end of a key are nothing. */
	if (memchr(password->p, 0, password->n) != NULL)
		return CULVER_E_AUTH;
	if (method->scram != 0)
		return scram_verify(method, hash, password);
	/* it would refuse this without looking, too */
	if (password->n >= CRYPT_MAX_PASSPHRASE_SIZE)
		return CULVER_E_AUTH;
	made = crypt_rn(password->p, hash, work, sizeof(*work));
	if (made == NULL || made[0] == '*')
		return CULVER_E_TEMP;
	return equal(made, strlen(made), hash, strlen(hash)) ? CULVER_OK :
	    CULVER_E_AUTH;
}
