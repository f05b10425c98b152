/*
 * auth_scheme.c - password schemes: which there are, what a field says, and
 * those of crypt(3) through libxcrypt, the keys of SCRAM and PLAIN.
 *
 * Runs in a pool process; sees passwords, keeps none.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "plugins/common/auth.h"
#include "plugins/common/scram.h"

static _Bool
scram_good(const struct method *m, struct span text)
{
	struct plug_scram k;
	_Bool ok = plug_scram_parse(m->scram == 256, text.p, text.n, &k);

	explicit_bzero(&k, sizeof(k));
	return ok;
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
			st = secret_equal(made.stored, made.key_n, k.stored,
			    k.key_n) ? CULVER_OK : CULVER_E_AUTH;
		explicit_bzero(&made, sizeof(made));
	}
	explicit_bzero(&k, sizeof(k));
	return st;
}

#define A8	"AAAAAAAA"
#define A40	A8 A8 A8 A8 A8
#define SALT	"Y3VsdmVyY3VsdmVyY3VsZA"	/* "culverculverculd" */
#define KEYS	.good = scram_good, .verify = scram_verify
#define DIGEST	.good = digest_good, .verify = digest_verify
#define ARGON2	.good = argon_good, .verify = argon_verify

/* The settings cost what the tools that make such hashes choose themselves. */
static const struct method methods[] = {
	{"YESCRYPT", "$y$", "$y$j9T$culverculver"},
	{"SHA512-CRYPT", "$6$", "$6$culverculver"},
	{"SHA256-CRYPT", "$5$", "$5$culverculver"},
	{"BLF-CRYPT", "$2", "$2b$10$culverculverculverculv."},
	{"SCRYPT", "$7$", "$7$CU..../....culverculverculver"},
	{"PLAIN", NULL, ""},
	{"MD5-CRYPT", "$1$", "$1$culver", .weak = 1},
	{"DES-CRYPT", NULL, "cu", .weak = 1},
	{"SCRAM-SHA-256", NULL, "4096," SALT "==," A40 "AAA=," A40 "AAA=",
	    .scram = 256, KEYS},
	{"SCRAM-SHA-1", NULL, "4096," SALT "==," A8 A8 A8 "AAA=," A8 A8 A8
	    "AAA=", .scram = 1, KEYS},
#ifdef WITH_ARGON2
	{"ARGON2ID", NULL, "$argon2id$v=19$m=65536,t=3,p=1$" SALT "$" A40
	    "AAA", ARGON2},
	{"ARGON2I", NULL, "$argon2i$v=19$m=32768,t=4,p=1$" SALT "$" A40 "AAA",
	    ARGON2},
#endif
	{"PBKDF2", NULL, "$1$culverculverculv$600000$"
	    "0000000000000000000000000000000000000000",
	    .good = pbkdf2_good, .verify = pbkdf2_verify},
	{"SSHA512", NULL, A40 A40 A8 "AAA=", .digest = 64, DIGEST},
	{"SSHA256", NULL, A40 A8, .digest = 32, DIGEST},
	{"SHA512", NULL, A40 A40 "AAAAAA==", .digest = 64, DIGEST},
	{"SHA256", NULL, A40 "AAA=", .digest = 32, DIGEST},
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

/* Without ".HEX", ".B64", ".BASE64", by which Dovecot tells how a digest is
 * written; the digest itself tells, too. */
static struct span
strip_encoding(struct span name)
{
	static const char *const ends[] = {".HEX", ".B64", ".BASE64"};
	size_t n;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		n = strlen(ends[i]);
		if (name.n > n && strncasecmp(name.p + name.n - n, ends[i],
		    n) == 0)
			return (struct span){name.p, name.n - n};
	}
	return name;
}

const struct method *
method_find(struct span name)
{
	struct span digest = strip_encoding(name);

	if (name_is(name, "CLEAR") || name_is(name, "CLEARTEXT"))
		return method_plain;
	for (unsigned i = 0; i < N_METHODS; i++)
		if (name_is(methods[i].digest != 0 ? digest : name,
		    methods[i].name))
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

/* H, unless to check it would take more than one login may. */
static struct hash
cost_check(struct hash h)
{
	struct hash_cost cost;

	if (h.state != HASH_GOOD)
		return h;
	cost = hash_cost(h.method, h.text);
	if (!hash_cost_bearable(&cost))
		h.state = HASH_COSTLY;
	return h;
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
	if (named != NULL && named->good != NULL) {
		h.method = named;
		if (h.text.n >= CRYPT_OUTPUT_SIZE ||
		    !named->good(named, h.text))
			h.state = HASH_BROKEN;
		return cost_check(h);
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
	return cost_check(h);
}

culver_status
hash_verify(const struct method *method, const char *hash,
    const struct culver_str *password, struct crypt_data *work)
{
	const char *made;

	if (method == method_plain)
		return secret_equal(password->p, password->n, hash,
		    strlen(hash)) ? CULVER_OK : CULVER_E_AUTH;
	/* crypt(3) would stop at a NUL without looking at the hash, and to
	 * HMAC NULs at the end of a key are nothing. */
	if (memchr(password->p, 0, password->n) != NULL)
		return CULVER_E_AUTH;
	if (method->verify != NULL)
		return method->verify(method, hash, password);
	/* it would refuse this without looking, too */
	if (password->n >= CRYPT_MAX_PASSPHRASE_SIZE)
		return CULVER_E_AUTH;
	made = crypt_rn(password->p, hash, work, sizeof(*work));
	if (made == NULL || made[0] == '*')
		return CULVER_E_TEMP;
	return secret_equal(made, strlen(made), hash, strlen(hash)) ?
	    CULVER_OK : CULVER_E_AUTH;
}
