/*
 * fuzz_oauth2.c - hostile octets as a token, as its header and claims, and as
 * a provider's keys.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  Nobody may be let in who has no
 * key, and what claims say of a user must be a name.
 */
#include "config.h"

#include <jose/b64.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_oauth2/oauth2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define EC "\"kty\":\"EC\",\"crv\":\"P-256\"," \
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define KEYS "{\"keys\":[{" EC "}]}"

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("{"), W("}"), W("["), W("]"), W("\""), W(","), W(":"), W("."),
	W("null"), W("true"), W("1e99"), W("-1"), W("\"\\u0000\""),
	W("\"alg\":\"ES256\""), W("\"alg\":\"none\""), W("\"kid\":\"a\""),
	W("\"iss\":\"i\""), W("\"aud\":[\"m\"]"), W("\"exp\":9e9"),
	W("\"email\":\"u@x\",\"email_verified\":true"),
	W("\"scope\":\"s t\""), W("\"cnf\":{}"),
	W("{\"alg\":\"ES256\"}"), W("{" EC "}"), W("{\"keys\":["), W("]}"),
	W("eyJhbGciOiJFUzI1NiJ9."), W("e30."), W("AAAA"), W("_-"), W("\xff"),
	W("-----BEGIN PUBLIC KEY-----\n"), W("-----END PUBLIC KEY-----\n"),
	W("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"), W("\n"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static struct culver_value opt[N_OPTIONS];
static struct culver_str list[] = {W("ES256"), W("RS256"), W("i"), W("m"),
    W("s")};
static struct oauth_keyset keys;
static jose_cfg_t *cfg;

static void
say_nothing(void *misc, const char *file, int line, uint64_t err,
    const char *format, va_list args)
{
	(void)misc, (void)file, (void)line, (void)err, (void)format,
	(void)args;
}

static void
start(void)
{
	const char *why;

	if (cfg != NULL)
		return;
	CHECK((cfg = jose_cfg()) != NULL);
	jose_cfg_set_err_func(cfg, say_nothing, NULL);
	CHECK(oauth_keyset_parse(cfg, KEYS, strlen(KEYS), &keys, &why));
	opt[OPT_ALGORITHMS].u.list.v = list;
	opt[OPT_ALGORITHMS].u.list.n = 2;
	opt[OPT_ISSUER].u.list.v = &list[2];
	opt[OPT_AUDIENCE].u.list.v = &list[3];
	opt[OPT_SCOPE].u.list.v = &list[4];
	opt[OPT_ISSUER].u.list.n = opt[OPT_AUDIENCE].u.list.n =
	    opt[OPT_SCOPE].u.list.n = 1;
	opt[OPT_USER_CLAIM].u.s = (struct culver_str)W("email");
	opt[OPT_USER_CASE].u.i = 1;
}

static void
try_claims(const json_t *claims, struct culver_call *call)
{
	char user[OAUTH_MAX_NAME + 1];

	oauth_claims_check(opt, claims, 1000, true, false, call);
	oauth_claims_check(opt, claims, 1000, false, true, call);
	if (oauth_claims_user(opt, claims, false, user, call) != CULVER_OK)
		return;
	CHECK(user[0] != 0 && user[0] != '.' && strchr(user, '/') == NULL);
	for (const char *p = user; *p != 0; p++)
		CHECK((unsigned char)*p >= 0x20 && *p != 0x7f &&
		    (*p < 'A' || *p > 'Z'));
}

static void
try_token(const char *p, size_t n, struct culver_call *call)
{
	struct culver_str token = {p, n};
	struct oauth_jwt t;

	if (oauth_jwt_parse(&opt[OPT_ALGORITHMS], &token, &t, call) ==
	    CULVER_OK) {
		CHECK(oauth_jwt_signature(cfg, &t, &keys) != OAUTH_GOOD);
		try_claims(t.claims, call);
	}
	oauth_jwt_free(&t);
}

/* A token with BEFORE, the N octets at P as base64url, and AFTER. */
static void
try_part(const char *before, const char *p, size_t n, const char *after,
    struct culver_call *call)
{
	size_t len = jose_b64_enc_buf(p, n, NULL, 0), at = strlen(before);
	size_t end = strlen(after);
	char *token = calloc(1, at + len + end + 1);

	CHECK(token != NULL);
	memcpy(token, before, at);
	CHECK(jose_b64_enc_buf(p, n, token + at, len) == len);
	memcpy(token + at + len, after, end);
	try_token(token, at + len + end, call);
	free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct culver_error err = {.size = sizeof(err)};
	struct culver_call call = {.size = sizeof(call), .err = &err};
	struct oauth_keyset set;
	char *text = calloc(1, n + 1);
	const char *why;
	json_t *j;

	CHECK(text != NULL);
	memcpy(text, data, n);
	start();
	if (oauth_keyset_parse(cfg, text, n, &set, &why))
		CHECK(set.n > 0 && set.n <= OAUTH_MAX_KEYS);
	oauth_keyset_free(&set);
	try_token(text, n, &call);
	try_part("", text, n, ".e30.AAAA", &call);
	try_part("eyJhbGciOiJFUzI1NiJ9.", text, n, ".AAAA", &call);
	j = oauth_json_object(text, n);
	if (j != NULL)
		try_claims(j, &call);
	json_decref(j);
	free(text);
	return 0;
}
