/*
 * test_log_json.c - lines of the log taken apart, and written as JSON: nothing
 * that a user sends forges a key, a line or another encoding.
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

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/log/format.h"
#include "core/log/record.h"

static const struct timespec moment = {.tv_sec = 1700000000,
    .tv_nsec = 42999999};
#define HEAD "{\"time\":\"2023-11-15T03:43:20.042+05:30\",\"level\":"

static int
setup(void **state)
{
	(void)state;
	setenv("TZ", "XXX-05:30", 1);
	tzset();
	return 0;
}

static const char *
json(enum out_kind kind, const struct entry *e)
{
	static char buf[OUT_LINE_MAX + 1];
	size_t n = format_line(buf, kind, 1, &moment, e);

	assert_true(n <= OUT_LINE_MAX);
	assert_int_equal(buf[n - 1], '\n');
	assert_null(memchr(buf, '\n', n - 1));
	assert_true(json_is_utf8(buf, n));
	buf[n] = 0;
	return buf;
}

static const char *
event(const char *who, const char *pairs)
{
	const struct entry e = {.level = LOG_INFO_, .who = who, .text = pairs,
	    .pairs = pairs};

	return json(OUT_FILE, &e);
}

static void
events_become_objects(void **state)
{
	(void)state;
	assert_string_equal(event("master/0", "login user=anna "
	    "remote=192.0.2.1 tls=yes mech=PLAIN session=00000100000000ff "
	    "uid=1007 pid=0"),
	    HEAD "\"info\",\"role\":\"master\",\"instance\":0,"
	    "\"event\":\"login\",\"user\":\"anna\",\"remote\":\"192.0.2.1\","
	    "\"tls\":true,\"mech\":\"PLAIN\","
	    "\"session\":\"00000100000000ff\",\"uid\":1007,\"pid\":0}\n");
	/* a user whose name is a number is no number */
	assert_non_null(strstr(event("auth/1", "auth-failed user=007"),
	    "\"user\":\"007\"}"));
	assert_non_null(strstr(event("auth/1", "auth-failed user=\"\" "
	    "reason=\"a \\x22b\\x22\\x0a\\x5c\""),
	    "\"user\":\"\",\"reason\":\"a \\\"b\\\"\\u000a\\\\\"}"));
}

static void
what_is_no_event_is_a_message(void **state)
{
	static const char *const texts[] = {
		"reloaded: generation 2", "login", "login ", "login user",
		"login user=", "login user=a=b", "login user=a user=b",
		"login user=a time=2", "login user=a  uid=1",
		"login user=a uid=01", "login user=a uid=1x",
		"login user=a uid=-1", "login user=\"a", "login user=\"a\"b",
		"login user=\"\\y\"", "login user=\"\\x4\"", "login User=a",
		"login user=a tls=maybe", "login user=a: and more",
		"logout user=a", " login user=a", "login user=a\"",
		"login user=a uid=184467440737095516150", ""
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *got = event("gate/1", texts[i]);

		assert_non_null(strstr(got, "\"instance\":1,\"message\":\""));
		assert_null(strstr(got, "\"event\""));
	}
	assert_string_equal(event("gate/1", "a \"b\"\n{}"),
	    HEAD "\"info\",\"role\":\"gate\",\"instance\":1,"
	    "\"message\":\"a \\\"b\\\"\\u000a{}\"}\n");
}

/* Whatever kv.c makes of octets, they come out again. */
static void
every_octet_survives(void **state)
{
	static struct record r;
	char value[3] = "";
	struct kv kv;

	(void)state;
	for (int c = 1; c < 256; c++)
		for (int d = 0; d < 256; d += 5) {
			value[0] = (char)c;
			value[1] = (char)d;
			kv_start(&kv, "login");
			kv_text(&kv, "user", value);
			kv_u64(&kv, "uid", UINT64_MAX);
			assert_true(record_parse(&r, kv.buf));
			assert_string_equal(record_value(&r, "user"), value);
			assert_string_equal(record_value(&r, "uid"),
			    "18446744073709551615");
			event("gate/1", kv.buf);
		}
}

static void
texts_are_utf8_or_latin1(void **state)
{
	static const struct {
		const char *from, *to;
	} t[] = {
		{"\xc3\xa9", "\xc3\xa9"}, {"\xe9", "\\u00e9"},
		{"\xc3\xa9\xe9", "\\u00c3\\u00a9\\u00e9"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xc0\x80", "\\u00c0\\u0080"},		/* overlong */
		{"\xe0\x80\xaf", "\\u00e0\\u0080\\u00af"},
		{"\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"},	/* surrogate */
		{"\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080"},
		{"a\xc3", "a\\u00c3"},
		{"\xc2\x9b" "31m", "\\u009b31m"},	/* CSI */
		{"\xd8\x9c", "\\u061c"},
		{"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xae", "\\u202e"},
		{"\x7f\x01\t", "\\u007f\\u0001\\u0009"}, {"/", "/"},
	};
	char want[128];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct entry e = {.level = LOG_WARN_, .who = "pool/2",
		    .text = t[i].from};

		snprintf(want, sizeof(want), ",\"message\":\"%s\"}\n",
		    t[i].to);
		assert_non_null(strstr(json(OUT_FILE, &e), want));
	}
}

static void
a_workers_words_stand_beside_its_session(void **state)
{
	const struct entry e = {.level = LOG_ERROR_,
	    .who = "worker/00000100000000ff", .pairs = "session-note user=a:",
	    .text = "session-note user=a:: x user=b", .note = "x user=b"};

	(void)state;
	assert_string_equal(json(OUT_FILE, &e),
	    HEAD "\"error\",\"role\":\"worker\","
	    "\"session\":\"00000100000000ff\",\"event\":\"session-note\","
	    "\"user\":\"a:\",\"message\":\"x user=b\"}\n");
}

static void
the_longest_lines_end(void **state)
{
	static char text[OUT_TEXT_MAX];
	struct entry e = {.level = LOG_INFO_, .who = "gate/1", .text = text};
	const char *got;
	size_t n;

	(void)state;
	memset(text, 1, sizeof(text) - 1);
	got = json(OUT_FILE, &e);
	assert_true(strlen(got) > 6 * (sizeof(text) - 1));
	assert_string_equal(got + strlen(got) - 9, "\\u0001\"}\n");
	n = (size_t)snprintf(text, sizeof(text), "session-note user=\"");
	for (; n + 6 < sizeof(text); n += 4)
		snprintf(text + n, 5, "\\xff");
	text[n] = '"';
	text[n + 1] = 0;
	e.pairs = e.note = text;
	got = json(OUT_FILE, &e);
	assert_string_equal(got + strlen(got) - 3, "\"}\n");
}

static void
syslog_gets_its_prefix(void **state)
{
	const struct entry e = {.level = LOG_ERROR_, .who = "auth/1",
	    .text = "x"};

	(void)state;
	assert_string_equal(json(OUT_SYSLOG, &e), "<19>Nov 15 03:43:20 "
	    "culver: " HEAD "\"error\",\"role\":\"auth\",\"instance\":1,"
	    "\"message\":\"x\"}\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_become_objects),
		cmocka_unit_test(what_is_no_event_is_a_message),
		cmocka_unit_test(every_octet_survives),
		cmocka_unit_test(texts_are_utf8_or_latin1),
		cmocka_unit_test(a_workers_words_stand_beside_its_session),
		cmocka_unit_test(the_longest_lines_end),
		cmocka_unit_test(syslog_gets_its_prefix),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
