/*
 * test_sasl.c - the SASL mechanisms, step by step, with what clients send and
 * what they should not.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
	{"PLAIN", S("kurt\0tim\0pw"), SASL_FAILED, SASL_AUTHZID, NULL, NULL},
	{"PLAIN", S("ti\0tim\0pw"), SASL_FAILED, SASL_AUTHZID, NULL, NULL},
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
		sasl_start(&s, sasl_find(r->mech, 1));
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
			sasl_start(&s, sasl_find("PLAIN", 0));
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
	sasl_start(&s, sasl_find("plain", 0));
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
		sasl_start(&s, sasl_find("LOGIN", 0));
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
	sasl_start(&s, sasl_find("LOGIN", 0));
	assert_int_equal(sasl_step(&s, user, sizeof(user)), SASL_CHALLENGE);
	assert_int_equal(sasl_step(&s, pw, 0), SASL_FAILED);
	/* "no initial response" only counts at the beginning */
	sasl_start(&s, sasl_find("LOGIN", 0));
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_CHALLENGE);
	assert_int_equal(sasl_step(&s, NULL, 0), SASL_FAILED);
}

static void
test_table(void **state)
{
	struct sasl s;

	(void)state;
	assert_null(sasl_find("USER", 0));
	assert_null(sasl_find("", 0));
	assert_null(sasl_find("PLAINX", 0));
	assert_null(sasl_find("CRAM-MD5", 1));
	assert_string_equal(sasl_find("Login", 0)->name, "LOGIN");
	assert_string_equal(sasl_mechs[0].name, "PLAIN");
	memset(&s, 1, sizeof(s));
	sasl_wipe(&s);
	for (size_t i = 0; i < sizeof(s); i++)
		assert_int_equal(((uint8_t *)&s)[i], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_step),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_plain_without_initial_response),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
