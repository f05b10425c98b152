/*
 * test_sasl.c - the SASL mechanisms, step by step, with what clients send and
 * what they should not.
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

#include "core/sasl/sasl.h"

#define S(text) text, sizeof(text) - 1

struct row {
	const char *mech, *in;
	size_t n;
	enum sasl_event event;
	enum sasl_failure failure;
	const char *user, *password;
};

static const struct row one_step[] = {
	{"PLAIN", S("\0tim\0tanstaaf"), SASL_CREDENTIALS, SASL_OK, "tim",
	    "tanstaaf"},
	{"PLAIN", S("tim\0tim\0pw"), SASL_CREDENTIALS, SASL_OK, "tim", "pw"},
	{"PLAIN", S("\0a b@c\0 p w "), SASL_CREDENTIALS, SASL_OK, "a b@c",
	    " p w "},
	{"PLAIN", S("\0tim\0\xff\xfe"), SASL_CREDENTIALS, SASL_OK, "tim",
	    "\xff\xfe"},
	{"PLAIN", S(""), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("tim"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("\0tim"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("\0\0pw"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("\0tim\0"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("\0tim\0pw\0"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"PLAIN", S("\0\0\0"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"USER", S("tim\0tanstaaf"), SASL_CREDENTIALS, SASL_OK, "tim",
	    "tanstaaf"},
	{"USER", S("tim\0pass word"), SASL_CREDENTIALS, SASL_OK, "tim",
	    "pass word"},
	{"USER", S("tim"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"USER", S("tim\0"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"USER", S("\0pw"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"USER", S("tim\0p\0w"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"LOGIN", S(""), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"LOGIN", S("ti\0m"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
};

static void
start(struct sasl *s, const char *mech)
{
	assert_true(sasl_start(s, sasl_find(mech, strlen(mech)), NULL));
}

static void
test_one_step(void **state)
{
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof(one_step) / sizeof(one_step[0]); i++) {
		const struct row *r = &one_step[i];
		/* an exact copy, so that a sanitizer sees a read too far */
		uint8_t *in = malloc(r->n > 0 ? r->n : 1);

		assert_non_null(in);
		memcpy(in, r->in, r->n);
		start(&s, r->mech);
		assert_int_equal(sasl_step(&s, in, r->n), r->event);
		assert_int_equal(s.failure, r->failure);
		if (r->event == SASL_CREDENTIALS) {
			assert_string_equal(s.user, r->user);
			assert_int_equal(s.password_n, strlen(r->password));
			assert_memory_equal(s.password, r->password,
			    s.password_n);
		} else {
			assert_null(s.password);
		}
		/* whatever came, the exchange is over */
		assert_int_equal(sasl_step(&s, in, r->n), SASL_FAILED);
		free(in);
	}
}

/* Who asks to act for another one is told apart from who asks for himself;
 * whether he may is not for the mechanism to say. */
static void
test_plain_authzid(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		const char *authzid;
	} rows[] = {
		{S("\0tim\0pw"), ""}, {S("tim\0tim\0pw"), ""},
		{S("kurt\0tim\0pw"), "kurt"}, {S("ti\0tim\0pw"), "ti"},
		{S("timm\0tim\0pw"), "timm"},
	};
	uint8_t big[300 + 7];
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(&s, "PLAIN");
		assert_int_equal(sasl_step(&s, (const uint8_t *)rows[i].in,
		    rows[i].n), SASL_CREDENTIALS);
		assert_string_equal(s.user, "tim");
		assert_string_equal(s.authzid, rows[i].authzid);
	}
	memset(big, 'x', sizeof(big));
	memcpy(big + 300, "\0tim\0p", 6);
	start(&s, "PLAIN");
	assert_int_equal(sasl_step(&s, big, 306), SASL_FAILED);
	assert_int_equal(s.failure, SASL_TOO_LONG);
}

static void
test_lengths(void **state)
{
	static uint8_t in[2 + SASL_MAX_USER + SASL_MAX_PASSWORD + 2];
	struct sasl s;

	(void)state;
	for (unsigned more_user = 0; more_user < 2; more_user++) {
		for (unsigned more_pw = 0; more_pw < 2; more_pw++) {
			size_t u = SASL_MAX_USER + more_user;
			size_t p = SASL_MAX_PASSWORD + more_pw;
			_Bool fits = more_user == 0 && more_pw == 0;

			memset(in, 'x', sizeof(in));
			in[0] = in[1 + u] = 0;
			start(&s, "PLAIN");
			assert_int_equal(sasl_step(&s, in, 2 + u + p),
			    fits ? SASL_CREDENTIALS : SASL_FAILED);
			assert_int_equal(s.failure,
			    fits ? SASL_OK : SASL_TOO_LONG);
		}
	}
}

static void
test_plain_without_initial_response(void **state)
{
	struct sasl s;

	(void)state;
	start(&s, "plain");
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
	assert_string_equal(s.challenge, "");
	assert_int_equal(sasl_step(&s, (const uint8_t *)"\0u\0p", 4),
	    SASL_CREDENTIALS);
	assert_string_equal(s.user, "u");
}

static void
test_login(void **state)
{
	const uint8_t user[] = {'u', 's', 'e', 'r'}, pw[] = {'p', 'w'};
	struct sasl s;

	(void)state;
	for (int initial = 0; initial < 2; initial++) {
		start(&s, "LOGIN");
		if (!initial) {
			assert_int_equal(sasl_step(&s, NULL, 0),
			    SASL_CHALLENGE);
			assert_string_equal(s.challenge, "Username:");
		}
		assert_int_equal(sasl_step(&s, user, sizeof(user)),
		    SASL_CHALLENGE);
		assert_string_equal(s.challenge, "Password:");
		assert_int_equal(sasl_step(&s, pw, sizeof(pw)),
		    SASL_CREDENTIALS);
		assert_string_equal(s.user, "user");
		assert_ptr_equal(s.password, pw);
		assert_int_equal(s.password_n, 2);
	}
	/* an empty password is none */
	start(&s, "LOGIN");
	assert_int_equal(sasl_step(&s, user, sizeof(user)), SASL_CHALLENGE);
	assert_int_equal(sasl_step(&s, pw, 0), SASL_FAILED);
	/* "no initial response" only counts at the beginning */
	start(&s, "LOGIN");
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_FAILED);
}

static void
test_table(void **state)
{
	char list[SASL_LIST_MAX];
	struct sasl s;
	size_t n;

	(void)state;
	assert_int_equal(sasl_find("USER", 4), SASL_USER);
	assert_int_equal(sasl_find("", 0), SASL_MECHS);
	assert_int_equal(sasl_find("PLAINX", 6), SASL_MECHS);
	assert_int_equal(sasl_find("PLAINX", 5), SASL_PLAIN);
	assert_int_equal(sasl_find("Login", 5), SASL_LOGIN);
	assert_int_equal(sasl_find("scram-sha-256-plus", 18),
	    SASL_SCRAM_SHA_256_PLUS);
	assert_int_equal(sasl_has_find("scram-sha-1"), SASL_HAS_SHA_1);
	assert_int_equal(sasl_has_find("MD5"), 0);
	/* all names fit, and commands are no mechanisms of AUTH */
	n = sasl_list(UINT32_MAX, "\r\n", list);
	assert_int_equal(n, strlen(list));
	assert_non_null(strstr(list, "OAUTHBEARER\r\nXOAUTH2"));
	assert_null(strstr(list, "APOP"));
	assert_null(strstr(list, "USER"));
	sasl_list(SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_PLAIN), " ", list);
	assert_string_equal(list, "PLAIN LOGIN");
	memset(&s, 1, sizeof(s));
	s.scram = NULL;
	sasl_wipe(&s);
	for (size_t i = 0; i < sizeof(s); i++)
		assert_int_equal(((uint8_t *)&s)[i], 0);
}

/* RFC 2195 2, RFC 1939 7 */
static void
test_md5(void **state)
{
	static const char stamp[] = "<1896.697170952@dbc.mtview.ca.us>";
	static const struct sasl_facts facts = {.nonce = {1, 2, 3},
	    .hostname = "mail.example.org"};
	struct sasl_creds creds = {.password = {
	    (const uint8_t *)S("tanstaaftanstaaf")}};
	uint8_t apop[128];
	struct sasl s;

	(void)state;
	for (int wrong = 0; wrong < 4; wrong++) {
		assert_true(sasl_start(&s, SASL_CRAM_MD5, &facts));
		assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
		assert_string_equal(s.challenge,
		    "<bcdaaaaaaaaaaaaaaa@mail.example.org>");
		snprintf(s.text, sizeof(s.text),
		    "<1896.697170952@postoffice.reston.mci.net>");
		assert_int_equal(sasl_step(&s, (const uint8_t *)S("tim "
		    "b913a602c7eda7a495b4e6e7334d3890")), SASL_LOOKUP);
		assert_string_equal(s.user, "tim");
		s.digest[3] ^= wrong == 1;
		creds.password.n = wrong == 2 ? 15 : 16;
		assert_int_equal(sasl_creds(&s, &creds, wrong == 3),
		    SASL_VERDICT);
		assert_int_equal(sasl_verdict(&s),
		    wrong ? SASL_FAILED : SASL_DONE);
		assert_int_equal(s.failure, wrong ? SASL_MISMATCH : SASL_OK);
		sasl_wipe(&s);
	}
	memcpy(apop, stamp, sizeof(stamp));
	memcpy(apop + sizeof(stamp),
	    S("mrose\0c4c9334bac560ecc979e58001b3e22fb"));
	creds.password = (struct sasl_octets){(const uint8_t *)S("tanstaaf")};
	start(&s, "APOP");
	assert_int_equal(sasl_step(&s, apop, sizeof(stamp) + 6 + 32),
	    SASL_LOOKUP);
	assert_string_equal(s.user, "mrose");
	assert_int_equal(sasl_creds(&s, &creds, 0), SASL_VERDICT);
	assert_int_equal(sasl_verdict(&s), SASL_DONE);
}

static void
test_md5_malformed(void **state)
{
	static const struct row rows[] = {
		{"CRAM-MD5", S("tim"), 0, 0, NULL, NULL},
		{"CRAM-MD5", S(" b913a602c7eda7a495b4e6e7334d3890"), 0, 0,
		    NULL, NULL},
		{"CRAM-MD5", S("timb913a602c7eda7a495b4e6e7334d3890"), 0, 0,
		    NULL, NULL},
		{"CRAM-MD5", S("tim b913a602c7eda7a495b4e6e7334d389g"), 0, 0,
		    NULL, NULL},
		{"CRAM-MD5", S("t\0m b913a602c7eda7a495b4e6e7334d3890"), 0, 0,
		    NULL, NULL},
		{"APOP", S(""), 0, 0, NULL, NULL},
		{"APOP", S("<x>\0"), 0, 0, NULL, NULL},
		{"APOP", S("<x>\0tim"), 0, 0, NULL, NULL},
		{"APOP", S("<x>\0tim\0"), 0, 0, NULL, NULL},
		{"APOP", S("<x>\0\0b913a602c7eda7a495b4e6e7334d3890"), 0, 0,
		    NULL, NULL},
		{"APOP", S("<x>\0tim\0b913a602c7eda7a495b4e6e7334d38901"), 0,
		    0, NULL, NULL},
	};
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(&s, rows[i].mech);
		if (rows[i].mech[0] == 'C')
			assert_int_equal(sasl_step(&s, NULL, 0),
			    SASL_CHALLENGE);
		assert_int_equal(sasl_step(&s, (const uint8_t *)rows[i].in,
		    rows[i].n), SASL_FAILED);
		assert_int_equal(s.failure, SASL_MALFORMED);
	}
	/* the server speaks first */
	start(&s, "CRAM-MD5");
	assert_int_equal(sasl_step(&s, (const uint8_t *)S("tim "
	    "b913a602c7eda7a495b4e6e7334d3890")), SASL_FAILED);
}

static void
test_external(void **state)
{
	static const struct {
		const char *cert, *in;
		enum sasl_event event;
		enum sasl_failure failure;
	} rows[] = {
		{"tim", "", SASL_CREDENTIALS, SASL_OK},
		{"tim", "tim", SASL_CREDENTIALS, SASL_OK},
		{"tim", "kurt", SASL_FAILED, SASL_AUTHZID},
		{"tim", "ti", SASL_FAILED, SASL_AUTHZID},
		{"", "tim", SASL_FAILED, SASL_NO_CERT},
		{NULL, "", SASL_FAILED, SASL_NO_CERT},
	};
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct sasl_facts facts = {.cert_user = rows[i].cert};

		assert_true(sasl_start(&s, SASL_EXTERNAL, &facts));
		assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
		assert_string_equal(s.challenge, "");
		assert_int_equal(sasl_step(&s, (const uint8_t *)rows[i].in,
		    strlen(rows[i].in)), rows[i].event);
		assert_int_equal(s.failure, rows[i].failure);
		if (rows[i].event == SASL_CREDENTIALS)
			assert_string_equal(s.user, "tim");
	}
}

/* RFC 7628 4.1 and what Google describes; what is wrong with the others. */
static const struct row tokens[] = {
	{"OAUTHBEARER", S("n,a=user@example.com,\1host=server.example.com\1"
	    "port=143\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg"
	    "==\1\1"), SASL_CREDENTIALS, SASL_OK, "user@example.com",
	    "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
	{"OAUTHBEARER", S("n,,\1auth=bearer  x\1\1"), SASL_CREDENTIALS,
	    SASL_OK, "", "x"},
	{"OAUTHBEARER", S("y,a=a=2Cb,\1auth=Bearer x\1\1"),
	    SASL_CREDENTIALS, SASL_OK, "a,b", "x"},
	{"XOAUTH2", S("user=someuser@example.com\1auth=Bearer ya29.vF9\1\1"),
	    SASL_CREDENTIALS, SASL_OK, "someuser@example.com", "ya29.vF9"},
	{"OAUTHBEARER", S(""), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1"), SASL_FAILED, SASL_MALFORMED, NULL,
	    NULL},
	{"OAUTHBEARER", S("n,,\1\1"), SASL_FAILED, SASL_MALFORMED, NULL,
	    NULL},
	{"OAUTHBEARER", S("n,,\1auth=Bearer x\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1auth=Bearer \1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1auth=Basic eA==\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1auth=Bearer x\n\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1auth=Bearer x y\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("p=tls-unique,,\1auth=Bearer x\1\1"),
	    SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,b=x,\1auth=Bearer x\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"OAUTHBEARER", S("n,,\1novalue\1auth=Bearer x\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
	{"XOAUTH2", S(""), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"XOAUTH2", S("\1\1"), SASL_FAILED, SASL_MALFORMED, NULL, NULL},
	{"XOAUTH2", S("user=x\1\1"), SASL_FAILED, SASL_MALFORMED, NULL,
	    NULL},
	{"XOAUTH2", S("auth=Bearer x\1\1"), SASL_FAILED, SASL_MALFORMED,
	    NULL, NULL},
	{"XOAUTH2", S("user=\1auth=Bearer x\1\1"), SASL_FAILED,
	    SASL_MALFORMED, NULL, NULL},
};

static void
test_tokens(void **state)
{
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		const struct row *r = &tokens[i];
		uint8_t *in = malloc(r->n > 0 ? r->n : 1);

		assert_non_null(in);
		memcpy(in, r->in, r->n);
		start(&s, r->mech);
		assert_int_equal(sasl_step(&s, in, r->n), r->event);
		assert_int_equal(s.failure, r->failure);
		if (r->event == SASL_CREDENTIALS) {
			assert_string_equal(s.user, r->user);
			assert_int_equal(s.password_n, strlen(r->password));
			assert_memory_equal(s.password, r->password,
			    s.password_n);
			/* the client hears why before it fails */
			assert_int_equal(sasl_denied(&s), SASL_CHALLENGE);
			assert_int_equal(s.challenge[0], '{');
			assert_non_null(strstr(s.challenge, "\"status\":"));
			assert_int_equal(sasl_step(&s, (const uint8_t *)"\1",
			    1), SASL_FAILED);
			assert_int_equal(s.failure, SASL_MISMATCH);
		}
		free(in);
	}
	/* who sent a password hears nothing */
	start(&s, "PLAIN");
	assert_int_equal(sasl_step(&s, (const uint8_t *)S("\0t\0p")),
	    SASL_CREDENTIALS);
	assert_int_equal(sasl_denied(&s), SASL_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_step),
		cmocka_unit_test(test_plain_authzid),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_plain_without_initial_response),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_md5),
		cmocka_unit_test(test_md5_malformed),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
