/*
 * test_scram.c - SCRAM against the vectors of RFC 5802 and 7677, with channel
 * bindings, for users that are not there, and with what clients should not
 * send.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/sasl/base64.h"
#include "core/sasl/sasl-private.h"

#define B(text) ((const uint8_t *)(text))

static struct sasl s;
static struct sasl_facts facts;

static uint8_t salt[64], stored[32], server[32];

/* The keys of PASSWORD with the salt B64. */
static struct sasl_creds
creds_of(_Bool sha256, const char *password, const char *b64, unsigned count)
{
	const EVP_MD *md = sha256 ? EVP_sha256() : EVP_sha1();
	unsigned n = sha256 ? 32 : 20;
	uint8_t salted[32], client[32];
	size_t salt_n;

	assert_true(base64_decode(B(b64), strlen(b64), salt, sizeof(salt),
	    &salt_n));
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password),
	    salt, (int)salt_n, (int)count, md, (int)n, salted), 1);
	assert_non_null(HMAC(md, salted, (int)n, B("Client Key"), 10, client,
	    NULL));
	assert_int_equal(EVP_Digest(client, n, stored, NULL, md, NULL), 1);
	assert_non_null(HMAC(md, salted, (int)n, B("Server Key"), 10, server,
	    NULL));
	return (struct sasl_creds){.salt = {salt, salt_n},
	    .stored_key = {stored, n}, .server_key = {server, n},
	    .iterations = count};
}

/* An exchange whose nonce of ours is NONCE. */
static void
begin(enum sasl_id id, const char *nonce)
{
	sasl_wipe(&s);
	assert_true(sasl_start(&s, id, &facts));
	if (nonce != NULL)
		snprintf(s.scram->nonce, sizeof(s.scram->nonce), "%s", nonce);
}

static void
copy(uint8_t *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)from[i];
}

/* An exact copy, so that a sanitizer sees a read too far. */
static enum sasl_event
step(const char *text)
{
	size_t n = strlen(text);
	uint8_t *in = malloc(n > 0 ? n : 1);
	enum sasl_event e;

	assert_non_null(in);
	copy(in, text, n);
	e = sasl_step(&s, in, n);
	free(in);
	return e;
}

/* RFC 5802 5 */
static void
test_rfc5802(void **state)
{
	struct sasl_creds c = creds_of(0, "pencil", "QSXCR+Q6sek8bf92", 4096);

	(void)state;
	begin(SASL_SCRAM_SHA_1, "3rfcNHYJY1ZVvWVs7j");
	assert_int_equal(step("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"),
	    SASL_LOOKUP);
	assert_string_equal(s.user, "user");
	assert_int_equal(sasl_creds(&s, &c, 0), SASL_CHALLENGE);
	assert_string_equal(s.challenge, "r=fyko+d2lbbFgONRv9qkxdawL"
	    "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
	assert_int_equal(step("c=biws,r=fyko+d2lbbFgONRv9qkxdawL"
	    "3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
	    SASL_VERDICT);
	assert_true(sasl_is_proven(&s));
	assert_int_equal(sasl_verdict(&s), SASL_CHALLENGE);
	assert_string_equal(s.challenge, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
	assert_int_equal(step(""), SASL_DONE);
	assert_int_equal(step(""), SASL_FAILED);
}

#define NONCE_7677 "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FINAL_7677 "c=biws,r=" NONCE_7677 \
	",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void
to_final(struct sasl_creds *c, _Bool fake)
{
	begin(SASL_SCRAM_SHA_256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	assert_int_equal(step("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"),
	    SASL_LOOKUP);
	assert_int_equal(sasl_creds(&s, c, fake), SASL_CHALLENGE);
}

/* RFC 7677 3 */
static void
test_rfc7677(void **state)
{
	struct sasl_creds c = creds_of(1, "pencil", "W22ZaJ0SNY7soEsUEjb6gQ==",
	    4096);

	(void)state;
	to_final(&c, 0);
	assert_string_equal(s.challenge, "r=" NONCE_7677
	    ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
	assert_int_equal(step(FINAL_7677), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_CHALLENGE);
	assert_string_equal(s.challenge,
	    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	assert_int_equal(step(""), SASL_DONE);
	/* who does not believe our proof says so */
	to_final(&c, 0);
	assert_int_equal(step(FINAL_7677), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_CHALLENGE);
	assert_int_equal(step("x"), SASL_FAILED);
}

/* A user that is not there answers the same way, with the same steps. */
static void
test_fake(void **state)
{
	struct sasl_creds c = creds_of(1, "pencil", "W22ZaJ0SNY7soEsUEjb6gQ==",
	    4096);
	uint8_t one[SASL_SALT], two[SASL_SALT];

	(void)state;
	to_final(&c, 1);
	assert_string_equal(s.challenge, "r=" NONCE_7677
	    ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
	assert_int_equal(step(FINAL_7677), SASL_VERDICT);
	assert_false(sasl_is_proven(&s));
	assert_int_equal(sasl_verdict(&s), SASL_FAILED);
	assert_int_equal(s.failure, SASL_MISMATCH);
	/* keys of another size are none, and all zero is not a key */
	c.stored_key.n = 20;
	to_final(&c, 0);
	assert_int_equal(step(FINAL_7677), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_FAILED);
	sasl_salt(B("secret"), 6, SASL_SCRAM_SHA_256, "tim", one);
	sasl_salt(B("secret"), 6, SASL_SCRAM_SHA_256, "tim", two);
	assert_memory_equal(one, two, SASL_SALT);
	sasl_salt(B("secret"), 6, SASL_SCRAM_SHA_256_PLUS, "tim", two);
	assert_memory_equal(one, two, SASL_SALT);
	/* else the salt of a stored key would differ from what is made */
	sasl_salt(B("secret"), 6, SASL_SCRAM_SHA_1, "tim", two);
	assert_memory_not_equal(one, two, SASL_SALT);
	sasl_salt(B("secret"), 6, SASL_SCRAM_SHA_256, "tom", two);
	assert_memory_not_equal(one, two, SASL_SALT);
	sasl_salt(B("secreT"), 6, SASL_SCRAM_SHA_256, "tim", two);
	assert_memory_not_equal(one, two, SASL_SALT);
}

static void
test_first_messages(void **state)
{
	static const struct {
		const char *text;
		enum sasl_failure failure;
		const char *user;
	} rows[] = {
		{"n,,n=user,r=x", SASL_OK, "user"},
		{"y,,n=user,r=x", SASL_OK, "user"},
		{"n,,n=a=2Cb=3Dc,r=x", SASL_OK, "a,b=c"},
		{"n,a=user,n=user,r=x", SASL_OK, "user"},
		{"n,a=a=2Cb,n=a=2Cb,r=x", SASL_OK, "a,b"},
		{"n,,n=user,r=x,ext=1", SASL_OK, "user"},
		{"n,,n=us\xc3\xa9r,r=x", SASL_OK, "us\xc3\xa9r"},
		{"n,a=kurt,n=user,r=x", SASL_OK, "user"},
		{"p=tls-unique,,n=user,r=x", SASL_BINDING, NULL},
		{"p=,,n=user,r=x", SASL_MALFORMED, NULL},
		{"", SASL_MALFORMED, NULL},
		{"n", SASL_MALFORMED, NULL},
		{"n,", SASL_MALFORMED, NULL},
		{"n,,", SASL_MALFORMED, NULL},
		{",,n=user,r=x", SASL_MALFORMED, NULL},
		{"x,,n=user,r=x", SASL_MALFORMED, NULL},
		{"n,n=user,r=x", SASL_MALFORMED, NULL},
		{"n,b=user,n=user,r=x", SASL_MALFORMED, NULL},
		{"n,a=,n=user,r=x", SASL_MALFORMED, NULL},
		{"n,,m=x,n=user,r=x", SASL_MALFORMED, NULL},
		{"n,,n=,r=x", SASL_MALFORMED, NULL},
		{"n,,n=user", SASL_MALFORMED, NULL},
		{"n,,n=user,r=", SASL_MALFORMED, NULL},
		{"n,,n=user,r=a b", SASL_MALFORMED, NULL},
		{"n,,n=user,r=\xc3\xa9", SASL_MALFORMED, NULL},
		{"n,,r=x,n=user", SASL_MALFORMED, NULL},
		{"n,,n=us=er,r=x", SASL_MALFORMED, NULL},
		{"n,,n=us=2cer,r=x", SASL_MALFORMED, NULL},
		{"n,,n=user=,r=x", SASL_MALFORMED, NULL},
	};
	char big[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(SASL_SCRAM_SHA_256, NULL);
		assert_int_equal(step(rows[i].text), rows[i].failure ==
		    SASL_OK ? SASL_LOOKUP : SASL_FAILED);
		assert_int_equal(s.failure, rows[i].failure);
		if (rows[i].user != NULL)
			assert_string_equal(s.user, rows[i].user);
		assert_string_equal(s.authzid, strstr(rows[i].text, "kurt") !=
		    NULL ? "kurt" : "");
	}
	begin(SASL_SCRAM_SHA_256, NULL);
	assert_int_equal(sasl_step(&s, B("n,,n=us\0r,r=x"), 13), SASL_FAILED);
	for (int what = 0; what < 4; what++) {
		static const int user[] = {255, 256, 1, 1};
		static const int nonce[] = {256, 1, 257, 1};
		static const int rest[] = {1, 1, 1, 1024};

		snprintf(big, sizeof(big), "n,,n=%0*d,r=%0*d,x=%0*d",
		    user[what], 0, nonce[what], 0, rest[what], 0);
		begin(SASL_SCRAM_SHA_256, NULL);
		assert_int_equal(step(big), what == 0 ? SASL_LOOKUP :
		    SASL_FAILED);
		assert_int_equal(s.failure, what == 0 ? SASL_OK :
		    SASL_TOO_LONG);
	}
	begin(SASL_SCRAM_SHA_256, NULL);
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
	assert_string_equal(s.challenge, "");
	assert_int_equal(step("n,,n=user,r=x"), SASL_LOOKUP);
	/* nothing was looked up yet */
	assert_int_equal(step("c=biws,r=x,p=AA=="), SASL_FAILED);
}

static void
test_final_messages(void **state)
{
	static const struct {
		const char *text;
		enum sasl_event event;
		enum sasl_failure failure;
	} rows[] = {
		{FINAL_7677, SASL_VERDICT, SASL_OK},
		{"", SASL_FAILED, SASL_MALFORMED},
		{"c=biws", SASL_FAILED, SASL_MALFORMED},
		{"c=biws,r=" NONCE_7677, SASL_FAILED, SASL_MALFORMED},
		{"c=biws,r=" NONCE_7677 ",p=", SASL_FAILED, SASL_MALFORMED},
		{"c=biws,r=" NONCE_7677 ",p=dHzb", SASL_FAILED,
		    SASL_MALFORMED},
		{FINAL_7677 ",", SASL_FAILED, SASL_MALFORMED},
		{FINAL_7677 ",x=y", SASL_FAILED, SASL_MALFORMED},
		{FINAL_7677 "\n", SASL_FAILED, SASL_MALFORMED},
		{"r=" NONCE_7677 ",c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgs"
		    "qmmiz7AndVQ=", SASL_FAILED, SASL_MALFORMED},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9z"
		    "jfMHgsqmmiz7AndVQ=", SASL_FAILED, SASL_MALFORMED},
		{"c=biws,r=" NONCE_7677 "0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHg"
		    "sqmmiz7AndVQ=", SASL_FAILED, SASL_MALFORMED},
		/* "y,," where it had said "n,,", and no base64 at all */
		{"c=eSws,r=" NONCE_7677 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgs"
		    "qmmiz7AndVQ=", SASL_FAILED, SASL_BINDING},
		{"c=,r=" NONCE_7677 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmi"
		    "z7AndVQ=", SASL_FAILED, SASL_BINDING},
	};
	struct sasl_creds c = creds_of(1, "pencil", "W22ZaJ0SNY7soEsUEjb6gQ==",
	    4096);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		to_final(&c, 0);
		assert_int_equal(step(rows[i].text), rows[i].event);
		assert_int_equal(s.failure, rows[i].failure);
	}
	/* a changed extension or proof is a wrong one */
	to_final(&c, 0);
	assert_int_equal(step("c=biws,r=" NONCE_7677 ",x=1,p=dHzbZapWIk4jUhN+"
	    "Ute9ytag9zjfMHgsqmmiz7AndVQ="), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_FAILED);
	to_final(&c, 0);
	assert_int_equal(step("c=biws,r=" NONCE_7677 ",p=eHzbZapWIk4jUhN+"
	    "Ute9ytag9zjfMHgsqmmiz7AndVQ="), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_FAILED);
	assert_int_equal(s.failure, SASL_MISMATCH);
}

/* A whole exchange of a client that computes its proof over MESSAGE. */
static enum sasl_event
exchange(enum sasl_id id, const char *head, const uint8_t *binding, size_t n)
{
	struct sasl_creds c = creds_of(1, "pw", "W22ZaJ0SNY7soEsUEjb6gQ==", 1);
	uint8_t bound[256], salted[32], client[32], sig[32];
	char text[512], b64[400], all[2048];

	begin(id, NULL);
	snprintf(text, sizeof(text), "%sn=u,r=x", head);
	if (step(text) != SASL_LOOKUP)
		return SASL_FAILED;
	assert_int_equal(sasl_creds(&s, &c, 0), SASL_CHALLENGE);
	copy(bound, head, strlen(head));
	if (n > 0)
		memcpy(bound + strlen(head), binding, n);
	base64_encode(bound, strlen(head) + n, b64);
	snprintf(text, sizeof(text), "c=%s,r=x%s", b64, s.scram->nonce);
	snprintf(all, sizeof(all), "n=u,r=x,%s,%s", s.challenge, text);
	assert_int_equal(PKCS5_PBKDF2_HMAC("pw", 2, salt, 16, 1, EVP_sha256(),
	    32, salted), 1);
	HMAC(EVP_sha256(), salted, 32, B("Client Key"), 10, client, NULL);
	HMAC(EVP_sha256(), stored, 32, B(all), strlen(all), sig, NULL);
	for (int i = 0; i < 32; i++)
		sig[i] ^= client[i];
	base64_encode(sig, 32, b64);
	snprintf(all, sizeof(all), "%s,p=%s", text, b64);
	return step(all) == SASL_VERDICT ? sasl_verdict(&s) : SASL_FAILED;
}

static void
test_binding(void **state)
{
	static const uint8_t exporter[32] = {1}, endpoint[48] = {2},
	    unique[12] = {3};
	const enum sasl_id plus = SASL_SCRAM_SHA_256_PLUS,
	    bare = SASL_SCRAM_SHA_256;

	(void)state;
	facts.exporter = (struct sasl_octets){exporter, sizeof(exporter)};
	facts.endpoint = (struct sasl_octets){endpoint, sizeof(endpoint)};
	facts.binding_offered = 1;
	assert_int_equal(exchange(plus, "p=tls-exporter,,", exporter, 32),
	    SASL_CHALLENGE);
	assert_int_equal(exchange(plus, "p=tls-server-end-point,,", endpoint,
	    48), SASL_CHALLENGE);
	/* one that this channel does not have, or that nobody knows */
	assert_int_equal(exchange(plus, "p=tls-unique,,", unique, 12),
	    SASL_FAILED);
	assert_int_equal(s.failure, SASL_BINDING);
	assert_int_equal(exchange(plus, "p=tls-unknown,,", unique, 12),
	    SASL_FAILED);
	facts.unique = (struct sasl_octets){unique, sizeof(unique)};
	assert_int_equal(exchange(plus, "p=tls-unique,,", unique, 12),
	    SASL_CHALLENGE);
	/* another channel's, or another type's */
	assert_int_equal(exchange(plus, "p=tls-exporter,,", unique, 12),
	    SASL_FAILED);
	assert_int_equal(s.failure, SASL_BINDING);
	assert_int_equal(exchange(plus, "p=tls-exporter,,", NULL, 0),
	    SASL_FAILED);
	/* -PLUS without, and a downgrade */
	assert_int_equal(exchange(plus, "n,,", NULL, 0), SASL_FAILED);
	assert_int_equal(exchange(plus, "y,,", NULL, 0), SASL_FAILED);
	assert_int_equal(exchange(bare, "p=tls-exporter,,", exporter, 32),
	    SASL_FAILED);
	assert_int_equal(exchange(bare, "y,,", NULL, 0), SASL_FAILED);
	assert_int_equal(s.failure, SASL_BINDING);
	assert_int_equal(exchange(bare, "n,,", NULL, 0), SASL_CHALLENGE);
	facts.binding_offered = 0;
	assert_int_equal(exchange(bare, "y,,", NULL, 0), SASL_CHALLENGE);
	memset(&facts, 0, sizeof(facts));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc5802),
		cmocka_unit_test(test_rfc7677),
		cmocka_unit_test(test_fake),
		cmocka_unit_test(test_first_messages),
		cmocka_unit_test(test_final_messages),
		cmocka_unit_test(test_binding),
	};
	int failed;

	if (!sasl_warm())
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sasl_wipe(&s);
	return failed;
}
