/*
 * test_lmtp.c - LMTP without sockets: grammar, states, BDAT, dots, and the
 * same octets cut in every way.
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

#include "core/lmtp/proto.h"
#include "tests/unit/lmtpkit.h"

#define HI "LHLO me\r\n"
#define MAIL "MAIL FROM:<a@b>\r\n"
#define RCPT "RCPT TO:<user@x>\r\n"

static struct kit_result got, first;

/* The reply codes, as "250 550 ...": the last line of each reply. */
static void
codes(const struct kit_result *r, char out[4096])
{
	const char *p = r->replies, *end;
	size_t n = 0;

	for (; (end = strstr(p, "\r\n")) != NULL; p = end + 2)
		if (end - p > 3 && p[3] == ' ' && n < 4000)
			n += (size_t)snprintf(out + n, 4096 - n, "%s%.3s",
			    n > 0 ? " " : "", p);
	out[n] = 0;
}

/* Serve IN, cut in many ways, which must make no difference. */
static void
serve(const char *in, size_t n)
{
	static const size_t steps[] = {1, 2, 3, 5, 7, 13, 64, 0};

	kit_serve((const uint8_t *)in, n, 1 << 20, 100000, &first);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		kit_serve((const uint8_t *)in, n, steps[i], 100000, &got);
		if (strcmp(got.replies, first.replies) != 0 ||
		    got.n_text != first.n_text ||
		    memcmp(got.text, first.text, got.n_text) != 0)
			fail_msg("cut into %zu: %s\n--\n%s", steps[i],
			    got.replies, first.replies);
	}
}

static void
check(const char *in, const char *wanted)
{
	char found[4096];

	serve(in, strlen(in));
	codes(&first, found);
	if (strcmp(found, wanted) != 0)
		fail_msg("%s\ngave %s, wanted %s\n%s", in, found, wanted,
		    first.replies);
}

static void
states(void **state)
{
	static const struct {
		const char *in, *codes;
	} t[] = {
		/* every command before LHLO */
		{"NOOP\r\n" MAIL RCPT "DATA\r\nRSET\r\nVRFY x\r\nQUIT\r\n",
		    "220 250 503 503 503 250 252 221"},
		{"HELO me\r\nEHLO me\r\nLHLO\r\nLHLO \r\n" HI,
		    "220 500 500 501 501 250"},
		/* in order */
		{HI MAIL RCPT "DATA\r\nx\r\n.\r\nQUIT\r\n",
		    "220 250 250 250 354 250 221"},
		{HI RCPT "DATA\r\n" MAIL MAIL "DATA\r\n",
		    "220 250 503 503 250 503 503"},
		/* an answer a recipient, none for those that were refused */
		{HI MAIL RCPT "RCPT TO:<nobody@x>\r\nRCPT TO:<user2@x>\r\n"
		    "RCPT TO:<full@x>\r\nRCPT TO:<temp@x>\r\n"
		    "RCPT TO:<off@x>\r\nDATA\r\n.\r\nNOOP\r\n",
		    "220 250 250 250 550 250 452 451 550 354 250 250 250"},
		{HI MAIL "RCPT TO:<nobody@x>\r\nDATA\r\nRSET\r\nNOOP\r\n",
		    "220 250 250 550 503 250 250"},
		/* what ends a transaction */
		{HI MAIL RCPT "RSET\r\nDATA\r\n" MAIL RCPT HI "DATA\r\n" MAIL,
		    "220 250 250 250 250 503 250 250 250 503 250"},
		{HI MAIL RCPT "DATA\r\n.\r\n" RCPT "DATA\r\n",
		    "220 250 250 250 354 250 503 503"},
		/* arguments */
		{HI "MAIL\r\nMAIL FROM\r\nMAIL FROM:\r\nMAIL FROM:a@b\r\n"
		    "MAIL FROM:<a b>\r\nMAIL FROM:<a@b\r\nMAIL FROM:<@>\r\n"
		    "MAIL FROM:<a@>\r\nMAIL FROM:<a@b>x\r\nMAIL TO:<a@b>\r\n",
		    "220 250 501 501 501 501 501 501 501 501 501 501"},
		{HI "MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:user\r\n"
		    "RCPT TO:<user>\r\nrcpt to: <user@x>\r\n"
		    "RCPT TO:<@a,@b:user@x>\r\nRCPT TO:<\"user x\"@x>\r\n"
		    "RCPT TO:<user@[192.0.2.1]>\r\n"
		    "RCPT TO:<user@[x>\r\nRCPT TO:<\"user@x>\r\n",
		    "220 250 250 501 501 250 250 250 250 250 501 501"},
		{HI "MAIL FROM:<a@b> SIZE=100 BODY=8BITMIME\r\nRSET\r\n"
		    "MAIL FROM:<a@b> SIZE=100001\r\n"
		    "MAIL FROM:<a@b> SIZE=99999999999999999999999\r\n"
		    "MAIL FROM:<a@b> SIZE=\r\nMAIL FROM:<a@b> SIZE=1x\r\n"
		    "MAIL FROM:<a@b> BODY=BINARYMIME\r\n"
		    "MAIL FROM:<a@b> RET=FULL\r\n" MAIL
		    "RCPT TO:<user@x> NOTIFY=NEVER\r\n",
		    "220 250 250 250 552 501 501 555 555 555 250 555"},
		{HI "DATA x\r\nRSET x\r\nQUIT x\r\nNOOP x\r\nFOO\r\n\r\n"
		    "LHLOX y\r\n", "220 250 501 501 501 250 500 500 500"},
		/* what follows could be a message */
		{HI MAIL RCPT "BDAT\r\n" MAIL, "220 250 250 250 501"},
		{HI MAIL RCPT "BDAT x\r\n" MAIL, "220 250 250 250 501"},
		{HI MAIL RCPT "BDAT 1 LAST x\r\n" MAIL,
		    "220 250 250 250 501"},
		/* UTF-8 needs SMTPUTF8 */
		{HI "MAIL FROM:<\xc3\xa4@b>\r\n"
		    "MAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\n"
		    "RCPT TO:<user\xc3\xa4@x>\r\nRSET\r\n" MAIL
		    "RCPT TO:<user\xc3\xa4@x>\r\n",
		    "220 250 553 250 250 250 250 553"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(t[i].in, t[i].codes);
}

static void
chunks(void **state)
{
	static const struct {
		const char *in, *codes, *text;
	} t[] = {
		{HI MAIL RCPT "BDAT 5 LAST\r\na\r\n.\r" "NOOP\r\n",
		    "220 250 250 250 250 250", "a\r\n.\r\r\n\xff"},
		{HI MAIL RCPT "BDAT 2\r\na\rBDAT 1\r\n\nBDAT 3 LAST\r\n.\r\n"
		    "NOOP\r\n", "220 250 250 250 250 250 250 250",
		    "a\r\n.\r\n\xff"},
		{HI MAIL RCPT "BDAT 0 LAST\r\nNOOP\r\n",
		    "220 250 250 250 250 250", "\xff"},
		{HI MAIL RCPT "BDAT 1\r\nxRSET\r\nBDAT 0 LAST\r\n" MAIL RCPT
		    "BDAT 1 LAST\r\nyQUIT\r\n",
		    "220 250 250 250 250 250 503 250 250 250 221",
		    "y\r\n\xff"},
		/* octets that nobody wants are not commands */
		{HI "BDAT 6\r\nNOOP\r\nNOOP\r\n", "220 250 503 250", ""},
		{HI MAIL "RCPT TO:<no@x>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		    "220 250 250 550 503 250", ""},
		/* not mixed with DATA, nor with a new recipient */
		{HI MAIL RCPT "BDAT 1\r\nx" RCPT "DATA\r\n" MAIL,
		    "220 250 250 250 250 503 503 503", ""},
		{HI MAIL RCPT "RCPT TO:<user2@x>\r\nBDAT 1 LAST\r\nx",
		    "220 250 250 250 250 250 250", "x\r\n\xff"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		check(t[i].in, t[i].codes);
		if (first.n_text != strlen(t[i].text) ||
		    memcmp(first.text, t[i].text, first.n_text) != 0)
			fail_msg("%s gave %.*s", t[i].in, (int)first.n_text,
			    (const char *)first.text);
	}
}

/* What DATA is given, and the message that it means. */
static void
dots(void **state)
{
#define T(a, b) {a, sizeof(a) - 1, b, sizeof(b) - 1}
	static const struct {
		const char *in;
		size_t in_n;
		const char *text;
		size_t text_n;
	} t[] = {
		T(".\r\n", ""),
		T("a\r\n.\r\n", "a\r\n"),
		T("..\r\n.\r\n", ".\r\n"),
		T(".a\r\n..b\r\n...\r\n.\r\n", "a\r\n.b\r\n..\r\n"),
		T("\0\xff\r\n.\r\n", "\0\xff\r\n"),
		T("a\rb\r\n.\r\n", "a\rb\r\n"),
		T("a\r\r\n.\r\n", "a\r\r\n"),
		T(".\r\r\n.\r\n", "\r\r\n"),
		T(".\ra\r\n.\r\n", "\ra\r\n"),
		/* no end but CRLF . CRLF */
		T("a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
		T("a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
		T("a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n"),
		T("a\r.\rb\r\n.\r\n", "a\r.\rb\r\n"),
		T("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n"),
		T("a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n"),
		T("a\n.\rb\r\n.\r\n", "a\r\n.\rb\r\n"),
		T("\n.\n\r\n.\r\n", "\r\n.\r\n\r\n"),
		T("\r\n\0.\r\n.\r\n", "\r\n\0.\r\n"),
	};
	static const char head[] = HI MAIL RCPT "DATA\r\n", tail[] = "NOOP\r\n";
	char in[512], found[4096];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = sizeof(head) - 1;
		memcpy(in, head, n);
		memcpy(in + n, t[i].in, t[i].in_n);
		n += t[i].in_n;
		memcpy(in + n, tail, sizeof(tail) - 1);
		serve(in, n + sizeof(tail) - 1);
		codes(&first, found);
		assert_string_equal(found, "220 250 250 250 354 250 250");
		assert_int_equal(first.messages, 1);
		assert_int_equal(first.n_text, t[i].text_n + 1);
		assert_memory_equal(first.text, t[i].text, t[i].text_n);
	}
}

static void
limits(void **state)
{
	static char in[300000];
	size_t n = 0;
	char found[4096];

	(void)state;
	/* a line of 2048 octets is one, of 2049 none */
	n = (size_t)snprintf(in, sizeof(in), HI "NOOP ");
	memset(in + n, 'x', 2041);
	memcpy(in + n + 2041, "\r\nNOOP ", 7);
	memset(in + n + 2048, 'x', 2042);
	memcpy(in + n + 4090, "\r\nQUIT\r\n", 9);
	check(in, "220 250 250 500 221");
	/* one that never ends is nothing else */
	memset(in, 'x', 100000);
	memcpy(in + 100000, "\r\nQUIT\r\n", 9);
	check(in, "220 500 221");
	/* a message that is too large ends where it ends */
	n = (size_t)snprintf(in, sizeof(in), HI MAIL RCPT "DATA\r\n");
	memset(in + n, 'x', 100001);
	memcpy(in + n + 100001, "\r\n.\r\n" MAIL, sizeof("\r\n.\r\n" MAIL));
	check(in, "220 250 250 250 354 552 250");
	assert_int_equal(first.messages, 0);
	/* in a chunk before the last the transaction is lost */
	n = (size_t)snprintf(in, sizeof(in), HI MAIL RCPT "BDAT 100001\r\n");
	memset(in + n, 'x', 100001);
	memcpy(in + n + 100001, "BDAT 1 LAST\r\nxRSET\r\n" MAIL,
	    sizeof("BDAT 1 LAST\r\nxRSET\r\n" MAIL));
	check(in, "220 250 250 250 552 503 250 250");
	/* 20 wrong commands, and it is over */
	n = 0;
	for (int i = 0; i < 30; i++)
		n += (size_t)snprintf(in + n, sizeof(in) - n, "FOO\r\n");
	serve(in, n);
	codes(&first, found);
	assert_true(first.closed);
	assert_int_equal(strlen(found), 21 * 4 - 1);
	assert_string_equal(found + 80, "421");
	/* recipients */
	n = (size_t)snprintf(in, sizeof(in), HI MAIL);
	for (int i = 0; i < LMTP_RCPT_MAX + 1; i++)
		n += (size_t)snprintf(in + n, sizeof(in) - n, RCPT);
	kit_serve((const uint8_t *)in, n, n, 1000, &got);
	assert_string_equal(got.replies + got.n_replies - 32,
	    "\n452 4.5.3 Too many recipients\r\n");
}

static void
names(void **state)
{
	static const struct {
		const char *path, *delimiters;
		enum lmtp_names names;
		const char *wanted[5];
	} t[] = {
		{"<u+t@x>", "+", LMTP_ANY_NAME, {"u+t@x", "u@x", "u+t", "u"}},
		{"<u@x>", "+", LMTP_ANY_NAME, {"u@x", "u"}},
		{"<u+t@x>", "", LMTP_ANY_NAME, {"u+t@x", "u+t"}},
		{"<u+t@x>", "+", LMTP_WHOLE_NAME, {"u+t@x", "u@x"}},
		{"<u-a+t@x>", "+-", LMTP_LOCAL_NAME, {"u-a+t", "u"}},
		{"<u>", "+", LMTP_WHOLE_NAME, {"u"}},
		{"<+t@x>", "+", LMTP_LOCAL_NAME, {"+t"}},
		{"<\"a b\"@x>", "+", LMTP_ANY_NAME, {"a b@x", "a b"}},
		{"<\"a@b\"@x>", "+", LMTP_LOCAL_NAME, {"a@b"}},
		{"<@r:\"a\\\"\"@x>", "+", LMTP_WHOLE_NAME, {"a\"@x"}},
	};
	struct lmtp_addr a;
	char name[256];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(lmtp_path((const uint8_t *)t[i].path,
		    strlen(t[i].path), &a), strlen(t[i].path));
		for (unsigned k = 0; k < 5; k++) {
			_Bool is = lmtp_user(&a, t[i].names, t[i].delimiters,
			    k, name);

			if (is != (t[i].wanted[k] != NULL) ||
			    (is && strcmp(name, t[i].wanted[k]) != 0))
				fail_msg("%s %u: %s", t[i].path, k,
				    is ? name : "none");
			if (!is)
				break;
		}
	}
}

/* Nothing that a client says can make another header. */
static void
head(void **state)
{
	static const char in[] = "LHLO a(b)\tc;d";
	struct lmtp_session s;
	struct lmtp_reply r;
	char out[LMTP_HEAD_MAX];

	(void)state;
	lmtp_session_start(&s, "mx.example", 1000);
	lmtp_line(&s, (const uint8_t *)in, sizeof(in) - 1, &r);
	lmtp_line(&s, (const uint8_t *)"LHLO a(b) c;d", 13, &r);
	lmtp_line(&s, (const uint8_t *)"MAIL FROM:<a@b>", 15, &r);
	assert_int_equal(lmtp_line(&s, (const uint8_t *)"RCPT TO:<u+t@x>", 15,
	    &r), LMTP_ASK);
	lmtp_recipient(&s, CULVER_OK, "u", 0, &r);
	assert_true(lmtp_head(&s, 0, "192.0.2.1", "1-2", 1700000000, out) > 0);
	assert_string_equal(out, "Return-Path: <a@b>\r\n"
	    "Delivered-To: u+t@x\r\n"
	    "Received: from a?b??c?d (192.0.2.1)\r\n"
	    "\tby mx.example with LMTP id 1-2\r\n"
	    "\tfor <u+t@x>; Tue, 14 Nov 2023 22:13:20 +0000\r\n");
	lmtp_session_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states), cmocka_unit_test(chunks),
		cmocka_unit_test(dots), cmocka_unit_test(limits),
		cmocka_unit_test(names), cmocka_unit_test(head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
