/*
 * test_dump.c - what another server answered to LIST and UIDL, in every form
 * that clients print it, and what is none.
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

#include "core/tools/dump.h"

static char text[4096];
static struct dump d;

static const char *
parse(const char *s)
{
	free(d.row);
	snprintf(text, sizeof(text), "%s", s);
	return dump_parse(&d, text, strlen(text));
}

static int
forget(void **state)
{
	(void)state;
	free(d.row);
	d.row = NULL;
	return 0;
}

static void
check_two(const char *s, _Bool sizes)
{
	const char *wrong = parse(s);

	if (wrong != NULL)
		fail_msg("%s: %s", s, wrong);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.sizes, sizes);
	assert_int_equal(d.row[0].number, 1);
	assert_string_equal(d.row[0].uidl, "a");
	assert_int_equal(d.row[0].octets, sizes ? 120 : 0);
	assert_int_equal(d.row[1].number, 3);
	assert_string_equal(d.row[1].uidl, "b c");
	assert_int_equal(d.row[1].octets, sizes ? 7 : 0);
}

static void
test_forms(void **state)
{
	(void)state;
	check_two("+OK ready\r\n+OK\r\n+OK in\r\n+OK 2 127\r\n+OK 2\r\n"
	    "1 120\r\n3 7\r\n.\r\n+OK\r\n1 a\r\n3 b c\r\n.\r\n+OK bye\r\n", 1);
	/* the other way round, LF, and as curl prints it */
	check_two("+OK\n1 a\n3 b c\n.\n+OK\n1 120\n3 7\n.\n", 1);
	check_two("1 120\r\n3 7\r\n1 a\r\n3 b c\r\n", 1);
	check_two("1 120\n3  7 \n\n1 a\n3 b c", 1);
	check_two("+OK\n1 a\n3 b c\n.\n", 0);
	check_two("1 a\n3 b c\n", 0);
	/* UIDLs that are numbers */
	assert_null(parse("+OK\n1 120\n.\n+OK\n1 5\n.\n"));
	assert_int_equal(d.row[0].octets, 120);
	assert_string_equal(d.row[0].uidl, "5");
	assert_null(parse("+OK\n1 120\n.\n"));
	assert_false(d.sizes);
	assert_string_equal(d.row[0].uidl, "120");
	/* an empty mailbox */
	assert_null(parse("+OK\r\n.\r\n+OK\r\n.\r\n"));
	assert_int_equal(d.n, 0);
	assert_true(d.sizes);
}

static void
test_what_is_none(void **state)
{
	static const struct {
		const char *text;
		size_t line;
		const char *what;
	} bad[] = {
		{ "", 0, "no reply" },
		{ "+OK\n+OK\n", 2, "no reply" },
		{ "+OK\n1 a\n2 b", 3, "cut off" },
		{ "+OK\n1 120\n.\n+OK\n1 a\n", 5, "cut off" },
		{ "+OK\n1 120\n+OK\n1 a\n.\n", 3, "without a dot" },
		{ "+OK\n1 120\n.\n-ERR no\n", 4, "refused" },
		{ ".\n", 1, "without a reply" },
		{ "+OK\n2 a\n1 b\n.\n", 3, "ascend" },
		{ "+OK\n2 a\n2 b\n.\n", 3, "ascend" },
		{ "hello\n", 1, "neither" },
		{ "0 a\n", 1, "neither" },
		{ "4294967296 a\n", 1, "neither" },
		{ "1\n", 1, "neither" },
		{ "1 \n", 1, "neither" },
		{ "1 5\n1 a\n1 b\n", 3, "third" },
		{ "1 5\n2 6\n1 a\n", 3, "same messages" },
		{ "1 5\n1 a\n2 b\n", 3, "same messages" },
		{ "1 5\n2 6\n1 a\n3 b\n", 4, "same messages" },
		{ "1 x\n1 a\n", 2, "sizes" },
		{ "1 99999999999999999999\n1 a\n", 2, "sizes" },
	};
	const char *wrong;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wrong = parse(bad[i].text);
		if (wrong == NULL || strstr(wrong, bad[i].what) == NULL ||
		    d.line != bad[i].line)
			fail_msg("%s: line %zu: %s", bad[i].text, d.line,
			    wrong);
	}
	free(d.row);
	memcpy(text, "1 \0a\n", 6);
	assert_string_equal(dump_parse(&d, text, 5), "a zero octet");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_forms, forget),
		cmocka_unit_test_teardown(test_what_is_none, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
