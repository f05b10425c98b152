/*
 * test_mbox.c - reading: what other programs write is shown as they mean it,
 * octet for octet.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/storage_mbox/mbox.h"

#define MAX 6

/* A file, options, and the messages that it holds as the wire shows them. */
struct sample {
	const char *name, *file;
	const char *uidl, *quoting;	/* NULL: the default */
	const char *wire[MAX];
};

static const struct sample samples[] = {
	{ "two plain ones",
	  FROM("a@b") "Subject: 1\n\nhello\n\n"
	  FROM("c") "Subject: 2\n\nline\n\nline\n\n", NULL, NULL,
	  { "Subject: 1\r\n\r\nhello\r\n",
	    "Subject: 2\r\n\r\nline\r\n\r\nline\r\n" } },
	{ "no empty line at the end",
	  FROM("a") "S: 1\n\nhello\n", NULL, NULL,
	  { "S: 1\r\n\r\nhello\r\n" } },
	{ "no line end at the end",
	  FROM("a") "S: 1\n\nhello", NULL, NULL, { "S: 1\r\n\r\nhello\r\n" } },
	{ "no empty line between",
	  FROM("a") "S: 1\n\nhello\n" FROM("b") "S: 2\n\nyou\n", NULL, NULL,
	  { "S: 1\r\n\r\nhello\r\n", "S: 2\r\n\r\nyou\r\n" } },
	{ "headers only, with and without their end",
	  FROM("a") "S: 1\n\n\n" FROM("b") "S: 2\n\n" FROM("c") "S: 3\n",
	  NULL, NULL, { "S: 1\r\n\r\n", "S: 2\r\n", "S: 3\r\n" } },
	{ "nothing but From_ lines",
	  FROM("a") "\n" FROM("b") "\n\n", NULL, NULL, { "", "\r\n" } },
	{ "empty lines before the first",
	  "\n\n" FROM("a") "S: 1\n\nx\n\n", NULL, NULL,
	  { "S: 1\r\n\r\nx\r\n" } },
	{ "CRLF",
	  "From a Thu Nov 29 22:33:52 2001\r\nS: 1\r\n\r\n.dot\r\n\r\n"
	  "From b Thu Nov 29 22:33:52 2001\r\nS: 2\r\n\r\ny\r\n\r\n",
	  NULL, NULL, { "S: 1\r\n\r\n.dot\r\n", "S: 2\r\n\r\ny\r\n" } },
	{ "mixed line ends",
	  FROM("a") "S: 1\r\n\nx\ry\r\nz\n\n", NULL, NULL,
	  { "S: 1\r\n\r\nx\ry\r\nz\r\n" } },
	{ "mboxrd",
	  FROM("a") "S: 1\n\n>From x\n>>From y\n> From\n>from\n\n", NULL, NULL,
	  { "S: 1\r\n\r\nFrom x\r\n>From y\r\n> From\r\n>from\r\n" } },
	{ "mboxo cannot be told from text",
	  FROM("a") "S: 1\n\n>From x\n>>From y\n\n", NULL, "mboxo",
	  { "S: 1\r\n\r\n>From x\r\n>>From y\r\n" } },
	{ "From_ lines that are none",
	  FROM("a") "S: 1\n\n\nFrom me to you\n\nFrom x Thu Nov 29\n\n"
	  "From x Thu Foo 29 22:33:52 2001\n\n"
	  "From x Thu Nov 29 22:33:52 2001 and more\n\n", NULL, NULL,
	  { "S: 1\r\n\r\n\r\nFrom me to you\r\n\r\nFrom x Thu Nov 29\r\n\r\n"
	    "From x Thu Foo 29 22:33:52 2001\r\n\r\n"
	    "From x Thu Nov 29 22:33:52 2001 and more\r\n" } },
	{ "Content-Length leads to a From_ line",
	  FROM("a") "Content-Length: 46\n\nFrom b Thu Nov 29 22:33:52 2001\n"
	  "S: no header\n\n" FROM("c") "S: 2\n\ny\n\n", NULL, NULL,
	  { "\r\nFrom b Thu Nov 29 22:33:52 2001\r\nS: no header\r\n",
	    "S: 2\r\n\r\ny\r\n" } },
	{ "Content-Length leads to the end",
	  FROM("a") "Content-Length: 45\n\nFrom b Thu Nov 29 22:33:52 2001\n"
	  "S: no header\n", NULL, NULL,
	  { "\r\nFrom b Thu Nov 29 22:33:52 2001\r\nS: no header\r\n" } },
	{ "Content-Length leads nowhere",
	  FROM("a") "Content-Length: 40\n\nx\n\n" FROM("b") "S: no header\n\n",
	  NULL, NULL, { "\r\nx\r\n", "S: no header\r\n" } },
	{ "Content-Length too large",
	  FROM("a") "Content-Length: 99999999999999999999999\n\nx\n\n"
	  FROM("b") "Content-Length: 1844674407370955161\nS: 2\n\ny\n\n",
	  NULL, NULL, { "\r\nx\r\n", "S: 2\r\n\r\ny\r\n" } },
	{ "headers of mail readers, and a folded one",
	  FROM("a") "Status: RO\nS: 1\nX-Status: A\nX-Keywords: a\n  b\n"
	  "X-UID: 7\nX-Other: y\nstatus: O\n\nStatus: text\n\n", NULL, NULL,
	  { "S: 1\r\nX-Other: y\r\n\r\nStatus: text\r\n" } },
	{ "popa3d hides nothing and asks for an empty line",
	  FROM("a") "Status: RO\nS: 1\n\n>From x\n" FROM("t") "y\n\n"
	  "From whoever\nS: 2\n\n" FROM("b") "S: 3\n\nz\n\n", "popa3d", NULL,
	  { "Status: RO\r\nS: 1\r\n\r\n>From x\r\n"
	    "From t Thu Nov 29 22:33:52 2001\r\ny\r\n",
	    "S: 2\r\n\r\n", "S: 3\r\n\r\nz\r\n" } },
	{ "folder internal data",
	  "From MAILER-DAEMON Thu Nov 29 22:33:52 2001\n"
	  "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
	  "X-IMAP: 1006789012 0000000003\nStatus: RO\n\nThis text ...\n\n"
	  FROM("a") "S: 1\nX-UID: 3\n\nx\n\n", NULL, NULL,
	  { "S: 1\r\n\r\nx\r\n" } },
	{ "internal data without its subject",
	  FROM("x") "X-IMAP: 1006789012 0000000003\n\nThis text ...\n\n"
	  FROM("a") "S: 1\n\nx\n\n", NULL, NULL, { "S: 1\r\n\r\nx\r\n" } },
	{ "a body of NULs and high bytes is counted, not read",
	  FROM("a") "S: 1\n\n\x80\xff\x01\n\n", NULL, NULL,
	  { "S: 1\r\n\r\n\x80\xff\x01\r\n" } },
};

static void
test_samples(void **state)
{
	size_t i, k, n;

	(void)state;
	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *s = &samples[i];

		print_message("  %s\n", s->name);
		for (n = 0; n < MAX && s->wire[n] != NULL; n++)
			continue;
		remove(mbtest_path("I/culver-uidl"));
		remove(mbtest_path("I/culver-cache"));
		mbtest_restart("uidl", s->uidl != NULL ? s->uidl : "auto",
		    "quoting", s->quoting != NULL ? s->quoting : "auto", NULL);
		mbtest_put(s->file);
		mbtest_open((uint32_t)n);
		for (k = 0; k < n; k++)
			mbtest_fetch_is((uint32_t)k, s->wire[k]);
		/* the same from the cache */
		mbtest_reopen((uint32_t)n);
		for (k = n; k-- > 0;)
			mbtest_fetch_is((uint32_t)k, s->wire[k]);
		mbtest_is(s->file);
	}
}

static void
test_from_shapes(void **state)
{
	static const struct {
		const char *line;
		int64_t when;
	} good[] = {
		{ "From a@b Thu Nov 29 22:33:52 2001", 1007073232 },
		{ "From a@b  Thu Nov 29 22:33:52 2001\r\n", 1007073232 },
		{ "From a@b Thu Nov 29 22:33 2001", 1007073180 },
		{ "From a@b Thu Nov 29 22:33:52 2001 +0100", 1007069632 },
		{ "From a@b Thu Nov 29 22:33:52 +0100 2001", 1007069632 },
		{ "From a@b Thu Nov 29 22:33:52 -0530 2001", 1007093032 },
		{ "From a@b Thu Nov 29 22:33:52 EST 2001", 1007073232 },
		{ "From a@b Thu Nov 29 22:33:52 MET DST 2001", 1007073232 },
		{ "From a@b Thu Nov 29 22:33:52 2001 (CET)", 1007073232 },
		{ "From a@b Thu Nov  9 22:33:52 2001", 1005345232 },
		{ "From a@b Thu Nov 9 22:33:52 2001", 1005345232 },
		{ "From a@b Thu, 29 Nov 2001 22:33:52 +0000", 1007073232 },
		{ "From a@b thu nov 29 22:33:52 2001", 1007073232 },
		{ "From a@b Thu Nov 29 22:33:52 01", 1007073232 },
		{ "From - Thu Nov 29 22:33:52 2001", 1007073232 },
		{ "From  Thu Nov 29 22:33:52 2001", 1007073232 },
		{ "From \"a b Thu c\"@d Thu Nov 29 22:33:52 2001", 1007073232 },
		{ "From a b c Thu Nov 29 22:33:52 2001", 1007073232 },
		{ "From x!y Thu Nov 29 22:33:52 2001 remote from uucp",
		  1007073232 },
		{ "From MAILER-DAEMON Sun Jan  1 00:00:00 1970", 0 },
	};
	static const char *const bad[] = {
		"From a@b", "From ", "From", "from a Thu Nov 29 22:33:52 2001",
		"From a Thu Nov 32 22:33:52 2001", "From a Nov 29 22:33 2001",
		"From a Thu Nov 29 24:33:52 2001", "From aThu Nov 29 22:33 2001",
		"From a Thu Nov 29 22:60:52 2001", "From a Thu Nov 29 22:33:52",
		"From a Thu Nov 29 22:33:52 20015", "From a Thu Nov 29 2001",
		"From a Thu Nov 29 22:33:52 2001 is when I wrote",
		"From Thursday on we meet at 22:33",
	};
	int64_t when;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		print_message("  %s\n", good[i].line);
		assert_true(mb_from_parse((const unsigned char *)good[i].line,
		    strlen(good[i].line), &when));
		assert_int_equal(when, good[i].when);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("  not %s\n", bad[i]);
		assert_false(mb_from_parse((const unsigned char *)bad[i],
		    strlen(bad[i]), &when));
	}
}

/* What we write ourselves is one, whoever the sender says to be. */
static void
test_from_made(void **state)
{
	static const char *const sender[] = { "", "a@b.example", "a b\nc",
	    "Thu Nov 29", "\"q q\"@x" };
	char line[256];
	int64_t when;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(sender) / sizeof(sender[0]); i++) {
		n = mb_from_make(line, sizeof(line), sender[i], 1007073232);
		assert_true(mb_from_parse((unsigned char *)line, n, &when));
		assert_int_equal(when, 1007073232);
		assert_null(memchr(line, '\n', n));
	}
	n = mb_from_make(line, sizeof(line), "a", 1007073232);
	assert_string_equal(line, "From a Thu Nov 29 22:33:52 2001");
}

static void
test_digests(void **state)
{
	static const unsigned char want[16] = { 0x90, 0x01, 0x50, 0x98, 0x3c,
	    0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72 };
	unsigned char key[16], text[100], out[16];
	uint64_t whole[2], parts[2];
	struct md5 m;
	struct sip s;
	size_t i, k;

	(void)state;
	md5_init(&m);
	md5_add(&m, "a", 1);
	md5_add(&m, "bc", 2);
	md5_end(&m, out);
	assert_memory_equal(out, want, 16);	/* RFC 1321, "abc" */
	for (i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(i * 7);
	for (i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	/* the pieces do not matter, each byte does */
	for (k = 1; k < sizeof(text); k++) {
		sip_init(&s, key);
		sip_add(&s, text, sizeof(text));
		sip_end(&s, whole);
		sip_init(&s, key);
		for (i = 0; i < sizeof(text); i += k)
			sip_add(&s, text + i, sizeof(text) - i < k ?
			    sizeof(text) - i : k);
		sip_end(&s, parts);
		assert_memory_equal(whole, parts, sizeof(whole));
		text[k] ^= 1;
		sip_init(&s, key);
		sip_add(&s, text, sizeof(text));
		sip_end(&s, parts);
		assert_true(whole[0] != parts[0] && whole[1] != parts[1]);
	}
}

static void
test_no_mbox(void **state)
{
	(void)state;
	mbtest_put("Subject: no From_ line\n\nx\n");
	mbtest_open_fails(CULVER_E_CORRUPT, "no mbox");
	mbtest_put("From");
	mbtest_open_fails(CULVER_E_CORRUPT, "no mbox");
	mbtest_put("");
	mbtest_open(0);
}

/* Messages and lines that are larger than what is read at once. */
static void
test_large(void **state)
{
	const size_t len = 3 * MB_CHUNK + 77, room = 2 * len + 4096;
	char *file = malloc(room), *wire = malloc(room);
	size_t i, n, w, kind;

	(void)state;
	assert_non_null(file);
	assert_non_null(wire);
	for (kind = 0; kind < 3; kind++) {
		n = w = 0;
		mbtest_add(file, room, &n, FROM("a") "S: %zu\nStatus: RO\n\n",
		    kind);
		mbtest_add(wire, room, &w, "S: %zu\r\n\r\n", kind);
		for (i = 0; i < len; i++) {
			/* one line; lines of 100; lines with CR, too */
			char c = (char)('a' + i % 23);

			if (kind > 0 && i % 100 == 99)
				c = '\n';
			if (kind == 2 && i % 100 == 98 && i % 300 < 100)
				c = '\r';
			if (c == '\n' && wire[w - 1] != '\r')
				wire[w++] = '\r';
			file[n++] = c;
			wire[w++] = c;
		}
		mbtest_add(wire, room, &w, "\r\n");
		mbtest_add(file, room, &n, "\n\n" FROM("b") "S: 2\n\ny\n");
		mbtest_spill(mbtest_path("M"), file, n);
		mbtest_reopen(2);
		mbtest_fetch_is(0, wire);
		mbtest_fetch_is(1, "S: 2\r\n\r\ny\r\n");
	}
	free(file);
	free(wire);
}

/* The start of a session that stops reading, and reads another. */
static void
test_done_early(void **state)
{
	struct culver_content *c;

	(void)state;
	mbtest_put(FROM("a") "S: 1\n\nx\n\n" FROM("b") "S: 2\n\ny\n\n");
	mbtest_open(2);
	assert_int_equal(mbtest.ops->read(mbtest.mb, 0, &c,
	    fakehost_call(&mbtest.host)), CULVER_OK);
	mbtest.ops->done(c);
	mbtest_fetch_is(1, "S: 2\r\n\r\ny\r\n");
	mbtest_fetch_fails(2, CULVER_E_TEMP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_samples, mbtest_setup,
		    mbtest_teardown),
		cmocka_unit_test(test_from_shapes),
		cmocka_unit_test(test_from_made),
		cmocka_unit_test(test_digests),
		cmocka_unit_test_setup_teardown(test_no_mbox, mbtest_setup,
		    mbtest_teardown),
		cmocka_unit_test_setup_teardown(test_large, mbtest_setup,
		    mbtest_teardown),
		cmocka_unit_test_setup_teardown(test_done_early, mbtest_setup,
		    mbtest_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
