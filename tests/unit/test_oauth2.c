/*
 * test_oauth2.c - tokens that are forged, broken or meant for somebody else,
 * and what good ones say.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <jose/openssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/oauthkit.h"

#define ANNA "anna@example.org"
#define GOOD "\"iss\":\"" OK_ISS "\",\"aud\":\"" OK_AUD "\",\"email\":\"" \
	ANNA "\",\"email_verified\":true"
#define SOON ((long long)time(NULL) + 600)

/* RFC 7515 A.2.1: the payload that its examples share. */
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6" \
	"Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_A1 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS \
	".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_A1_KEY "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMko" \
	"qQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define RFC_A2 "eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".cC4hiUPoj9Eetdgtv3hF80EG" \
	"rhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W" \
	"2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTy" \
	"WzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d" \
	"O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUi" \
	"pUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_A3 "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS ".DtEhU3ljbEg8L38VWAfUAqOy" \
	"KAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC_NONE "eyJhbGciOiJub25lIn0." RFC_CLAIMS "."
#define RFC_EXP 1300819380

/* --- the examples of RFC 7515 and 7519 ----------------------------------- */

/* Does one of the keys in TEXT sign TOKEN, once its header is accepted? */
static enum oauth_signature
signature(struct oauthkit *k, const char *token, const char *text,
    culver_status want)
{
	struct culver_str t = {token, strlen(token)};
	struct oauth_keyset keys;
	struct oauth_jwt jwt;
	enum oauth_signature s = OAUTH_NO_KEY;
	const char *why;

	assert_true(oauth_keyset_parse(NULL, text, strlen(text), &keys,
	    &why));
	assert_int_equal(oauth_jwt_parse(&k->v[OPT_ALGORITHMS], &t, &jwt,
	    fakehost_call(&k->host)), want);
	if (want == CULVER_OK)
		s = oauth_jwt_signature(NULL, &jwt, &keys);
	oauth_jwt_free(&jwt);
	oauth_keyset_free(&keys);
	return s;
}

static void
test_examples(void **state)
{
	struct oauthkit *k = *state;
	char token[1024];

	assert_int_equal(signature(k, RFC_A2, OK_JWKS, CULVER_OK),
	    OAUTH_GOOD);
	assert_int_equal(signature(k, RFC_A3, OK_JWKS, CULVER_OK),
	    OAUTH_GOOD);
	/* an HMAC (A.1), and nothing at all (RFC 7519 6.1) */
	signature(k, RFC_A1, OK_JWKS, CULVER_E_AUTH);
	signature(k, RFC_NONE, OK_JWKS, CULVER_E_AUTH);
	/* without the key that signed it */
	assert_int_equal(signature(k, RFC_A2, "{" OK_EC_PUBLIC "}",
	    CULVER_OK), OAUTH_NO_KEY);
	assert_int_equal(signature(k, RFC_A2, "{" OK_RSA_PUBLIC
	    ",\"alg\":\"PS256\"}", CULVER_OK), OAUTH_NO_KEY);
	/* one bit of each part another */
	for (size_t i = 0; i < strlen(RFC_A3); i++) {
		struct culver_str t = {token, sizeof(RFC_A3) - 1};
		struct oauth_keyset keys;
		struct oauth_jwt jwt;
		const char *why;

		if (RFC_A3[i] == '.' || i == strlen(RFC_A3) - 1)
			continue;
		snprintf(token, sizeof(token), "%s", RFC_A3);
		token[i] = token[i] == 'A' ? 'Q' : 'A';
		assert_true(oauth_keyset_parse(NULL, OK_JWKS, strlen(OK_JWKS),
		    &keys, &why));
		if (oauth_jwt_parse(&k->v[OPT_ALGORITHMS], &t, &jwt,
		    fakehost_call(&k->host)) == CULVER_OK)
			assert_int_not_equal(oauth_jwt_signature(NULL, &jwt,
			    &keys), OAUTH_GOOD);
		oauth_jwt_free(&jwt);
		oauth_keyset_free(&keys);
	}
}

static void
test_example_times(void **state)
{
	struct oauthkit *k = *state;
	struct culver_call *call = fakehost_call(&k->host);
	json_t *claims = json_pack("{s:s,s:s,s:i}", "iss", OK_ISS, "aud",
	    OK_AUD, "exp", RFC_EXP);

	assert_int_equal(oauth_claims_check(k->v, claims, RFC_EXP - 1, true,
	    false, call), CULVER_OK);
	assert_int_equal(oauth_claims_check(k->v, claims, RFC_EXP + 29, true,
	    false, call), CULVER_OK);
	assert_int_equal(oauth_claims_check(k->v, claims, RFC_EXP + 30, true,
	    false, call), CULVER_E_EXPIRED);
	json_object_set_new(claims, "nbf", json_integer(RFC_EXP - 10));
	assert_int_equal(oauth_claims_check(k->v, claims, RFC_EXP - 40, true,
	    false, call), CULVER_OK);
	assert_int_equal(oauth_claims_check(k->v, claims, RFC_EXP - 41, true,
	    false, call), CULVER_E_AUTH);
	json_decref(claims);
}

/* --- forged tokens ------------------------------------------------------- */

/* HMACs with what everybody knows of the RSA key as the secret. */
static void
test_hmac_with_a_public_key(void **state)
{
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"rsa\"}";
	struct oauthkit *k = *state;
	json_t *jwk = json_loads("{" OK_RSA_PUBLIC "}", 0, NULL);
	EVP_PKEY *key = jose_openssl_jwk_to_EVP_PKEY(NULL, jwk);
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char mac[EVP_MAX_MD_SIZE];
	char claims[256], *text, *pem, *sig;
	unsigned mac_n;
	long pem_n;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	pem_n = BIO_get_mem_data(bio, &text);
	pem = strndup(text, (size_t)pem_n);
	assert_non_null(pem);
	snprintf(claims, sizeof(claims), "{" GOOD ",\"exp\":%lld}", SOON);
	for (unsigned as = 0; as < 2; as++) {
		oauthkit_keys(k, as == 0 ? OK_JWKS : pem);
		if (k->au == NULL)
			oauthkit_start(k);
		oauthkit_join(k, header, claims, "");
		assert_non_null(HMAC(EVP_sha256(), pem, (int)pem_n,
		    (unsigned char *)k->token, strlen(k->token) - 1, mac,
		    &mac_n));
		sig = oauthkit_b64(mac, mac_n);
		oauthkit_join(k, header, claims, sig);
		free(sig);
		assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
		oauthkit_assert_why(k, "not one of `algorithms'");
	}
	free(pem);
	BIO_free(bio);
	EVP_PKEY_free(key);
	json_decref(jwk);
}

static void
test_forged(void **state)
{
	static const struct { const char *header; culver_status st; _Bool
	    is_signed; } bad[] = {
		{"{\"alg\":\"none\"}", CULVER_E_AUTH},
		{"{\"alg\":\"None\"}", CULVER_E_AUTH},
		{"{\"alg\":\"es256\"}", CULVER_E_AUTH},
		{"{\"alg\":\"ES256K\"}", CULVER_E_AUTH},
		{"{\"alg\":\"HS256\"}", CULVER_E_AUTH},
		{"{\"alg\":\"RS256\"}", CULVER_E_AUTH},
		{"{\"alg\":\"ES384\"}", CULVER_E_AUTH},
		{"{\"alg\":[\"ES256\"]}", CULVER_E_AUTH},
		{"{\"alg\":\"ES256\",\"kid\":\"x\"}", CULVER_E_AUTH, 1},
		{"{\"alg\":\"ES256\",\"kid\":7}", CULVER_E_AUTH, 1},
		{"{\"alg\":\"ES256\",\"crit\":[\"exp\"]}", CULVER_E_AUTH, 1},
		{"{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}",
		    CULVER_E_AUTH, 1},
		{"{\"alg\":\"ES256\",\"typ\":[]}", CULVER_E_AUTH, 1},
		{"{\"alg\":\"ES256\",\"alg\":\"ES256\"}", CULVER_E_DECLINE,
		    1},
		{"{\"kid\":\"ec\"}", CULVER_E_AUTH},
		{"[]", CULVER_E_DECLINE}, {"", CULVER_E_DECLINE},
		{"{", CULVER_E_DECLINE}, {"null", CULVER_E_DECLINE},
	};
	static const char *const good[] = {
		OK_HEADER, "{\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"application/at+JWT\"}",
		/* keys that it brings along are not looked at */
		("{\"alg\":\"ES256\",\"jku\":\"https://evil.example/\","
		    "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5u\":\"x\"}"),
	};
	struct oauthkit *k = *state;
	const char *sig;
	char claims[256];

	oauthkit_start(k);
	snprintf(claims, sizeof(claims), "{" GOOD ",\"exp\":%lld}", SOON);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		oauthkit_sign(k, good[i], claims);
		assert_int_equal(oauthkit_verify(k, ANNA), CULVER_OK);
	}
	sig = strdup(strrchr(k->token, '.') + 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		oauthkit_join(k, bad[i].header, claims, sig);
		assert_int_equal(oauthkit_verify(k, ANNA), bad[i].st);
		if (bad[i].is_signed)
			oauthkit_sign(k, bad[i].header, claims);
		else
			oauthkit_join(k, bad[i].header, claims, "");
		assert_int_equal(oauthkit_verify(k, ANNA), bad[i].st);
	}
	/* a good signature, of other claims */
	oauthkit_join(k, good[0], "{" GOOD ",\"exp\":99999999999}", sig);
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
	oauthkit_assert_why(k, "signature is wrong");
	free((void *)(uintptr_t)sig);
}

/* With a signature that is right as far as libjose is concerned, and a type
 * that the section does not take. */
static void
test_algorithms(void **state)
{
	struct oauthkit *k = *state;

	k->v[OPT_ALGORITHMS].u.list.n = 6;	/* RSA only */
	oauthkit_start(k);
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD ",\"exp\":%lld}",
	    SOON), CULVER_E_AUTH);
	oauthkit_assert_why(k, "not one of `algorithms'");
}

static void
test_cut_and_long(void **state)
{
	struct oauthkit *k = *state;
	size_t n;

	oauthkit_start(k);
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD ",\"exp\":%lld}",
	    SOON), CULVER_OK);
	for (n = strlen(k->token) - 1; n > 0; n--) {
		culver_status st;

		k->token[n] = 0;
		st = oauthkit_verify(k, ANNA);
		assert_true(st == CULVER_E_AUTH || st == CULVER_E_DECLINE);
	}
	memset(k->token, 'a', 65536);
	k->token[65536] = 0;
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
	memset(k->token, '.', 16384);
	k->token[16384] = 0;
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_DECLINE);
	snprintf(k->token, sizeof(k->token), "a.b.c.d.e");
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_DECLINE);
	k->token[0] = 0;
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_DECLINE);
}

/* As deep as a token can be, and deeper than jansson goes. */
static void
test_deep(void **state)
{
	struct oauthkit *k = *state;
	char deep[9000];

	oauthkit_start(k);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	oauthkit_join(k, OK_HEADER, deep, "AA");
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
	for (size_t i = 0; i + 5 < sizeof(deep); i += 5)
		memcpy(deep + i, "{\"a\":", 5);
	oauthkit_join(k, OK_HEADER, deep, "AA");
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
	oauthkit_join(k, deep, "{}", "AA");
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_DECLINE);
}

/* --- claims -------------------------------------------------------------- */

static void
test_claims(void **state)
{
	static const struct { const char *claims, *why; } bad[] = {
		{"\"iss\":\"https://other/\"", "iss is not one"},
		{"\"iss\":7", "iss is not one"},
		{"\"iss\":[\"" OK_ISS "\"]", "iss is not one"},
	};
	static const struct { const char *claims, *why; } more[] = {
		{"\"aud\":\"x\"", "aud has none"}, {"\"aud\":[]", "aud has"},
		{"\"aud\":{\"mail\":1}", "aud has none"},
		{"\"aud\":\"mail\",\"nbf\":99999999999", "not valid yet"},
		{"\"aud\":\"mail\",\"nbf\":\"0\"", "is no number"},
		{"\"aud\":\"mail\",\"cnf\":{}", "bound to a key"},
	};
	struct oauthkit *k = *state;

	oauthkit_start(k);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(oauthkit_claims(k, ANNA, "{%s,\"aud\":"
		    "\"mail\",\"email\":\"" ANNA "\",\"exp\":%lld}",
		    bad[i].claims, SOON), CULVER_E_DECLINE);
		oauthkit_assert_why(k, bad[i].why);
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		assert_int_equal(oauthkit_claims(k, ANNA, "{\"iss\":\"" OK_ISS
		    "\",%s,\"email\":\"" ANNA "\",\"exp\":%lld}",
		    more[i].claims, SOON), CULVER_E_AUTH);
		oauthkit_assert_why(k, more[i].why);
	}
	assert_int_equal(oauthkit_claims(k, ANNA, "{\"iss\":\"" OK_ISS "\","
	    "\"aud\":[\"x\",7,\"mail\"],\"nbf\":1,\"email\":\"" ANNA "\","
	    "\"email_verified\":true,"
	    "\"exp\":%lld.5}", SOON), CULVER_OK);
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD "}"),
	    CULVER_E_AUTH);
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD ",\"exp\":%lld}",
	    SOON - 700), CULVER_E_EXPIRED);
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD ",\"exp\":1e999}"),
	    CULVER_E_AUTH);
	/* twice */
	assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD ",\"exp\":%lld,"
	    "\"email\":\"bert@example.org\"}", SOON), CULVER_E_AUTH);
}

static void
test_scope(void **state)
{
	struct oauthkit *k = *state;
	static const struct { const char *scope; culver_status st; } c[] = {
		{"\"scope\":\"mail pop\"", CULVER_OK},
		{"\"scope\":\"x  pop mail y\"", CULVER_OK},
		{"\"scp\":[\"pop\",\"mail\"]", CULVER_OK},
		{"\"scp\":\"mail pop\"", CULVER_OK},
		{"\"scope\":\"mail\"", CULVER_E_AUTH},
		{"\"scope\":\"mail popx\"", CULVER_E_AUTH},
		{"\"scope\":\"xmail pop\"", CULVER_E_AUTH},
		{"\"scope\":\"\",\"scp\":\"mail pop\"", CULVER_E_AUTH},
		{"\"scope\":{\"mail\":1,\"pop\":1}", CULVER_E_AUTH},
		{"\"scopes\":\"mail pop\"", CULVER_E_AUTH},
	};

	k->scope[0] = (struct culver_str){"mail", 4};
	k->scope[1] = (struct culver_str){"pop", 3};
	k->v[OPT_SCOPE].u.list.v = k->scope;
	k->v[OPT_SCOPE].u.list.n = 2;
	k->v[OPT_AUDIENCE].u.list.n = 0;	/* one of both is enough */
	oauthkit_start(k);
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		assert_int_equal(oauthkit_claims(k, ANNA, "{" GOOD
		    ",\"exp\":%lld,%s}", SOON, c[i].scope), c[i].st);
}

static void
test_users(void **state)
{
	static const struct { const char *email, *user; culver_status st; }
	c[] = {
		{"\"Anna@Example.org\"", ANNA, CULVER_OK},
		{"\"" ANNA "\"", "anna@example.or", CULVER_E_AUTH},
		{"\"" ANNA "\"", "bert@example.org", CULVER_E_AUTH},
		{"\"" ANNA "\\u0000\"", ANNA, CULVER_E_AUTH},
		{"\"" ANNA "\\n\"", ANNA "\n", CULVER_E_AUTH},
		{"\"a/b\"", "a/b", CULVER_E_AUTH},
		{"\".a\"", ".a", CULVER_E_AUTH}, {"\"\"", "", CULVER_E_AUTH},
		{"\"a\\u0085\"", "", CULVER_E_AUTH},
		{"null", "", CULVER_E_AUTH},
		{"[\"" ANNA "\"]", ANNA, CULVER_E_AUTH},
		{"\"\u00e4nne@example.org\"", "\u00e4nne@example.org",
		    CULVER_OK},
	};
	struct oauthkit *k = *state;

	oauthkit_start(k);
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		assert_int_equal(oauthkit_claims(k, c[i].user, "{\"iss\":\""
		    OK_ISS "\",\"aud\":\"mail\",\"exp\":%lld,"
		    "\"email_verified\":true,\"email\":%s}", SOON,
		    c[i].email), c[i].st);
		assert_null(k->ok.user);
	}
	/* a client that leaves it to the token */
	assert_int_equal(oauthkit_claims(k, "", "{" GOOD ",\"exp\":%lld}",
	    SOON), CULVER_OK);
	assert_string_equal(k->ok.user, ANNA);
	/* a host that knows no canonical names cannot be told */
	k->v[OPT_USER_CASE].u.i = 0;
	assert_int_equal(oauthkit_claims(k, ANNA, "{\"iss\":\"" OK_ISS "\","
	    "\"aud\":\"mail\",\"exp\":%lld,\"email\":\"Anna@example.org\","
	    "\"email_verified\":true}", SOON), CULVER_E_AUTH);
	oauthkit_assert_why(k, "it is ");
	assert_null(strstr(k->host.log, k->token));
}

/* Who may write any address into his own account is not its owner. */
static void
test_unverified(void **state)
{
	static const struct { const char *more; culver_status st, allowed; }
	c[] = {
		{"", CULVER_E_AUTH, CULVER_OK},
		{",\"email_verified\":true", CULVER_OK, CULVER_OK},
		{",\"email_verified\":\"true\"", CULVER_OK, CULVER_OK},
		{",\"email_verified\":false", CULVER_E_AUTH, CULVER_E_AUTH},
		{",\"email_verified\":\"no\"", CULVER_E_AUTH, CULVER_E_AUTH},
		{",\"email_verified\":null", CULVER_E_AUTH, CULVER_E_AUTH},
		{",\"email_verified\":1", CULVER_E_AUTH, CULVER_E_AUTH},
	};
	struct oauthkit *k = *state;

	oauthkit_start(k);
	for (size_t i = 0; i < 2 * sizeof(c) / sizeof(c[0]); i++) {
		k->v[OPT_UNVERIFIED].u.i = i & 1;
		assert_int_equal(oauthkit_claims(k, ANNA, "{\"iss\":\"" OK_ISS
		    "\",\"aud\":\"mail\",\"exp\":%lld,\"email\":\"" ANNA
		    "\"%s}", SOON, c[i / 2].more), i & 1 ? c[i / 2].allowed :
		    c[i / 2].st);
	}
	/* a claim that is not an address needs nothing of the kind */
	k->v[OPT_UNVERIFIED].u.i = 0;
	oauthkit_text(k, OPT_USER_CLAIM, "sub");
	assert_int_equal(oauthkit_claims(k, "anna", "{\"iss\":\"" OK_ISS
	    "\",\"aud\":\"mail\",\"exp\":%lld,\"sub\":\"anna\"}", SOON),
	    CULVER_OK);
}

/* A password is none of its business, nor is a token a password. */
static void
test_password(void **state)
{
	struct oauthkit *k = *state;
	struct culver_auth_req rq = {.size = sizeof(rq), .user = ANNA};
	struct culver_str p = {"pw", 2};

	oauthkit_start(k);
	assert_int_equal(k->ops->verify_plain(k->au, &rq, &p, &k->ok,
	    fakehost_call(&k->host)), CULVER_E_DECLINE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OK_T(test_examples), OK_T(test_example_times),
		OK_T(test_hmac_with_a_public_key), OK_T(test_forged),
		OK_T(test_algorithms), OK_T(test_cut_and_long),
		OK_T(test_deep), OK_T(test_claims), OK_T(test_scope),
		OK_T(test_users), OK_T(test_unverified),
		OK_T(test_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
