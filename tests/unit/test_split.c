/*
 * test_split.c - cutting imported files into messages, whole and octet by
 * octet.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/tools/split.h"

/* What was delivered: each message in brackets. */
static char got[65536];
static size_t got_n;
static unsigned fail_at;	/* the message whose end fails; 0: none */
static unsigned n_messages;

static culver_status
on_begin(void *arg)
{
	(void)arg;
	got[got_n++] = '[';
	return CULVER_OK;
}

static culver_status
on_data(void *arg, const uint8_t *p, size_t n)
{
	(void)arg;
	assert_true(got_n + n < sizeof(got) - 2);
	memcpy(got + got_n, p, n);
	got_n += n;
	return CULVER_OK;
}

static culver_status
on_end(void *arg)
{
	(void)arg;
	got[got_n++] = ']';
	return ++n_messages == fail_at ? CULVER_E_NOSPACE : CULVER_OK;
}

static const struct split_ops ops = {on_begin, on_data, on_end};

static culver_status
cut(const char *text, size_t n, _Bool mbox, size_t step)
{
	static struct split s;
	culver_status st = CULVER_OK;

	got_n = 0;
	n_messages = 0;
	split_start(&s, &ops, NULL, mbox);
	for (size_t i = 0; i < n && st == CULVER_OK; i += step)
		st = split_add(&s, (const uint8_t *)text + i,
		    n - i < step ? n - i : step);
	if (st == CULVER_OK)
		st = split_end(&s);
	got[got_n] = 0;
	return st;
}

#define CUT(text, mbox, want) do {					\
	for (size_t step = 1; step < 9; step++) {			\
		assert_int_equal(cut(text, sizeof(text) - 1, mbox, step),\
		    CULVER_OK);						\
		assert_int_equal(got_n, sizeof(want) - 1);		\
		assert_memory_equal(got, want, sizeof(want) - 1);	\
	}								\
} while (0)

static void
one_message_gets_crlf(void **state)
{
	(void)state;
	CUT("a: b\n\nx\n", 0, "[a: b\r\n\r\nx\r\n]");
	CUT("a: b\r\n\r\nx\r\n", 0, "[a: b\r\n\r\nx\r\n]");
	CUT("", 0, "[]");
	CUT("\n", 0, "[\r\n]");
}

static void
odd_octets_stay(void **state)
{
	(void)state;
	CUT("no end", 0, "[no end]");
	CUT("bare\rcr\n", 0, "[bare\rcr\r\n]");
	CUT("a\r\r\n", 0, "[a\r\r\n]");
	CUT("end\r", 0, "[end\r]");
	CUT("nul\0 \xff\n.\n", 0, "[nul\0 \xff\r\n.\r\n]");
	CUT("x\n\nFrom me\n>From you\n", 0,
	    "[x\r\n\r\nFrom me\r\n>From you\r\n]");
}

static void
mbox_is_cut_at_from_lines(void **state)
{
	(void)state;
	CUT("From a@b Mon\nh: 1\n\nbody\n\nFrom c@d Tue\nh: 2\n\n\n\n", 1,
	    "[h: 1\r\n\r\nbody\r\n][h: 2\r\n\r\n\r\n]");
	CUT("From a\r\nh: 1\r\n\r\nx\r\n\r\nFrom b\r\nh\r\n", 1,
	    "[h: 1\r\n\r\nx\r\n][h\r\n]");
	CUT("\n\nFrom a\nx", 1, "[x]");
	CUT("From a\n", 1, "[]");
}

static void
mbox_quotes_are_taken_off(void **state)
{
	(void)state;
	CUT("From a\nh\n\n>From x\n>>From y\n>Fro\n> From z\nFrom here\n"
	    "FromX\n>>>\nFrom", 1,
	    "[h\r\n\r\nFrom x\r\n>From y\r\n>Fro\r\n> From z\r\n"
	    "From here\r\nFromX\r\n>>>\r\nFrom]");
}

static void
what_is_no_mbox_is_refused(void **state)
{
	static const char *const bad[] = {"x", "from a\n", ">From a\n",
	    "\nSubject: x\n\n", "Fro", "\r\rFrom a\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t step = 1; step < 4; step++) {
			assert_int_equal(cut(bad[i], strlen(bad[i]), 1, step),
			    CULVER_E_CORRUPT);
			assert_int_equal(got_n, 0);
		}
}

static void
first_failure_ends_it(void **state)
{
	static const char text[] = "From a\n1\n\nFrom b\n2\n\nFrom c\n3\n";

	(void)state;
	fail_at = 2;
	assert_int_equal(cut(text, sizeof(text) - 1, 1, 3), CULVER_E_NOSPACE);
	fail_at = 0;
	assert_string_equal(got, "[1\r\n][2\r\n]");
}

static void
long_lines_pass(void **state)
{
	static char text[50000];

	(void)state;
	memset(text, '>', sizeof(text) - 1);
	memcpy(text, "From a\n", 7);
	assert_int_equal(cut(text, sizeof(text) - 1, 1, 7777), CULVER_OK);
	assert_int_equal(got_n, sizeof(text) - 1 - 7 + 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_gets_crlf),
		cmocka_unit_test(odd_octets_stay),
		cmocka_unit_test(mbox_is_cut_at_from_lines),
		cmocka_unit_test(mbox_quotes_are_taken_off),
		cmocka_unit_test(what_is_no_mbox_is_refused),
		cmocka_unit_test(first_failure_ends_it),
		cmocka_unit_test(long_lines_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
