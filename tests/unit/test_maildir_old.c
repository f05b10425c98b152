/*
 * test_maildir_old.c - what Dovecot and Courier wrote about a Maildir, whole
 * and damaged, and Dovecot's formats of UIDLs.
 *
 * The UIDLs of tables were seen from Dovecot 2.3.19 and courier-pop 1.0.16,
 * or are what their sources say.
 */
#include "config.h"

#include "plugins/common/format.h"
#include "plugins/storage_maildir/old.h"
#include "tests/unit/storetest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct old_file o;

static const char *
parse(bool courier, const char *text)
{
	size_t n = strlen(text);

	old_free(&o);
	o.text = malloc(n + 1);
	assert_non_null(o.text);
	memcpy(o.text, text, n + 1);
	return courier ? old_courier_parse(&o, n) : old_dovecot_parse(&o, n);
}

static int
forget(void **state)
{
	(void)state;
	old_free(&o);
	return 0;
}

/* The UIDL of BASE, or what there is instead. */
static const char *
uidl(bool courier, const char *base, const char *format)
{
	static char out[PLUG_UID_MAX + 1];
	const struct old_rec *r = old_find(&o, base);

	if (r == NULL)
		return "unknown";
	if (!(courier ? old_courier_uidl(r, out) :
	    old_dovecot_uidl(&o, r, format, out)))
		return "illegal";
	return out;
}

static void
test_dovecot(void **state)
{
	static const char text[] =
	    "3 V1795288782 N20 Xunknown G60360a10c27e2c69ab0500000b6a8e49\n"
	    "1 W24 :1.M1P1.h\n"
	    "2 S20 W24 :2.M1P1.h:2,S\n"
	    "4 P :3.M1P1.h\n"
	    "5 Pkept:by-Dovecot O3 P2 :4.M1P1.h,S=3\n"
	    "7 Gguid0 O12 O1 :5.M1P1.h\n"
	    "8 O12x G P\303\244 x1 :6.M1P1.h\n"
	    "9 :with space :2,\n"
	    "19 :1.M1P1.h\n"
	    "20 :7.M1P1.h";

	(void)state;
	assert_null(parse(false, text));
	assert_true(o.torn);
	assert_int_equal(o.validity, 1795288782);
	assert_string_equal(uidl(false, "2.M1P1.h", "%08Xu%08Xv"),
	    "000000026b01eece");
	assert_string_equal(uidl(false, "3.M1P1.h", "%u"), "3.M1P1.h");
	assert_string_equal(uidl(false, "4.M1P1.h,S=3", "%u"),
	    "kept:by-Dovecot");
	assert_string_equal(uidl(false, "5.M1P1.h", "%g"), "guid0");
	assert_string_equal(uidl(false, "2.M1P1.h", "%g"), "2.M1P1.h");
	assert_string_equal(uidl(false, "6.M1P1.h", "%u"), "illegal");
	assert_string_equal(uidl(false, "with space ", "%f"), "illegal");
	assert_string_equal(uidl(false, "with space ", "%v.%u"),
	    "1795288782.9");
	/* the last line of a file counts, if it has an end */
	assert_string_equal(uidl(false, "1.M1P1.h", "%u"), "19");
	assert_string_equal(uidl(false, "7.M1P1.h", "%u"), "unknown");
	assert_int_equal(old_find(&o, "4.M1P1.h,S=3")->order, 3);
	assert_int_equal(old_find(&o, "5.M1P1.h")->order, 12);
	assert_int_equal(old_find(&o, "6.M1P1.h")->order, UINT32_MAX);
	/* version 1, as Courier's IMAP server writes it, too */
	assert_null(parse(false, "1 1795288782 9\n"
	    "3 1000000001.a.h:2,S\n8 1000000002.b.h\n"));
	assert_string_equal(uidl(false, "1000000001.a.h", "%Xu-%Xv"),
	    "3-6b01eece");
	assert_null(parse(false, "3 V1 N1\n"));
	assert_int_equal(o.n, 0);
}

static void
test_courier(void **state)
{
	(void)state;
	assert_null(parse(true, "/3 9 1795288782\n"
	    "1000000001.a.h:2,S 100 1:1795288782:0\n"
	    "1000000002.a b:2, 100 2:1795288000:1\n"
	    "1000000003.a.h:2, 100 3:0\n"
	    "1000000004.'+\001.h:2, 100 0:0:0\n"
	    "1000000003.a.h:2,S 101 3:0:0\n"
	    "1000000009.a.h:2, 10"));
	assert_true(o.torn);
	assert_string_equal(uidl(true, "1000000001.a.h", ""),
	    "UID1-1795288782");
	assert_string_equal(uidl(true, "1000000002.a b", ""),
	    "UID2-1795288000");
	assert_string_equal(uidl(true, "1000000003.a.h", ""), "UID3");
	assert_string_equal(uidl(true, "1000000004.'+\001.h", ""),
	    "1000000004.+27+2B+01.h");
	assert_string_equal(uidl(true, "1000000009.a.h", ""), "unknown");
	assert_null(parse(true, "/2 9 5\n1.a 1 7:5\n"));
	assert_string_equal(uidl(true, "1.a", ""), "UID7-5");
	assert_null(parse(true, "/1 9\n1.a 1 7\n"));
	assert_string_equal(uidl(true, "1.a", ""), "UID7");
	assert_null(parse(true, "1.a:2,S 100\n2.b 7\n"));
	assert_string_equal(uidl(true, "1.a", ""), "1.a");
	assert_string_equal(uidl(true, "2.b", ""), "2.b");
	/* the largest numbers, and a name that is too long in this form */
	assert_null(parse(true, "/3 9 5\n1.a 1 18446744073709551615:"
	    "18446744073709551615:0\n"
	    "++++++++++++++++++++++++ 1 0:0:0\n"
	    "+++++++++++++++++++++++0 1 0:0:0\n"));
	assert_string_equal(uidl(true, "1.a", ""),
	    "UID18446744073709551615-18446744073709551615");
	assert_string_equal(uidl(true, "++++++++++++++++++++++++", ""),
	    "illegal");
	assert_string_equal(uidl(true, "+++++++++++++++++++++++0", ""),
	    "+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B+2B"
	    "+2B+2B+2B0");
}

/* Names as Courier sorts them, where that is not as we do. */
static void
test_courier_order(void **state)
{
	(void)state;
	assert_true(old_courier_order("-5", "0") < 0);
	assert_true(old_courier_order("no number", "9.z") < 0);
	assert_true(old_courier_order("9.z", "10.a") < 0);
	/* the ':' behind a name is larger than '.' */
	assert_true(old_courier_order("10.a.b", "10.a") < 0);
	assert_true(old_courier_order("10.a", "10.ab") < 0);
	assert_true(old_courier_order("10.\344", "10.a") < 0);
	assert_int_equal(old_courier_order("10.a", "10.a"), 0);
	assert_true(md_order("10.a", "10.a.b") < 0);
}

/* Messages by rank: all of a mailbox, few of a large one, one rank twice. */
static void
test_numbers(void **state)
{
	static const struct {
		uint32_t rank[4], order[4];
		bool sorted;
	} cases[] = {
		{ { 0, 0, 0, 0 }, { 0 }, true },
		{ { 1, 2, 9, 0 }, { 0 }, true },
		{ { 3, 0, 2, 1 }, { 3, 2, 0, 1 }, false },
		{ { 0, UINT32_MAX, 70, 0 }, { 2, 1, 0, 3 }, false },
		{ { 5, 0, 5, 1 }, { 3, 0, 2, 1 }, false },
	};
	struct md_rec rec[4] = { { 0 } };
	const struct md_list l = { .rec = rec, .n = 4 };
	uint32_t *order;
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (k = 0; k < 4; k++)
			rec[k].rank = cases[i].rank[k];
		assert_true(md_list_number(&l, &order));
		assert_int_equal(order == NULL, cases[i].sorted);
		if (order != NULL)
			assert_memory_equal(order, cases[i].order, 16);
		free(order);
	}
}

/* Dovecot would begin anew, and every client with it. */
static void
test_damage(void **state)
{
	static const struct {
		bool courier;
		const char *text;
		size_t line;
		const char *what;
	} bad[] = {
		{ false, "", 0, "nothing" },
		{ false, "\n", 1, "version" },
		{ false, "3", 0, "version" },
		{ false, "3\n", 1, "version" },
		{ false, "2 1 2\n", 1, "version" },
		{ false, "3 V1 N2", 0, "version" },
		{ false, "3 V1\n", 1, "next" },
		{ false, "3 N1\n", 1, "validity" },
		{ false, "3 V0 N1\n", 1, "validity" },
		{ false, "3 V4294967296 N1\n", 1, "validity" },
		{ false, "3 V1x N1\n", 1, "validity" },
		{ false, "3 V1 N-1\n", 1, "next" },
		{ false, "3 V1 N1 G12\n", 1, "GUID" },
		{ false, "1 5\n", 1, "header" },
		{ false, "1 5 4294967296\n", 1, "header" },
		{ false, "1 5 3\n2 a\n3 b\n", 3, "below the next" },
		{ false, "3 V1 N9\n1 :a\n\n", 3, "no UID" },
		{ false, "3 V1 N9\n1 :a\n1 :b\n", 3, "ascend" },
		{ false, "3 V1 N9\n2 :a\n1 :b\n", 3, "ascend" },
		{ false, "3 V1 N9\n0 :a\n", 2, "no UID" },
		{ false, "3 V1 N9\n4294967295 :a\n", 2, "no UID" },
		{ false, "3 V1 N9\n4294967297 :a\n", 2, "no UID" },
		{ false, "3 V1 N9\n1:a\n", 2, "no UID" },
		{ false, "3 V1 N9\n1 W1 :\n", 2, "file name" },
		{ false, "3 V1 N9\n1 W1\n", 2, "file name" },
		{ false, "3 V1 N9\n1 :../a\n", 2, "file name" },
		{ true, "", 0, "nothing" },
		{ true, "/3 1 1", 0, "line" },
		{ true, "/4 1 1\n", 1, "version" },
		{ true, "/0 1 1\n", 1, "version" },
		{ true, "/x\n", 1, "version" },
		{ true, "/3\n", 1, "version" },
		{ true, "a\n", 1, "size" },
		{ true, "a b\n", 1, "size" },
		{ true, "/3 9 5\na 1 2:3:4\nb 1 2:3:4:5\n", 3, "UID" },
		{ true, "/3 9 5\na 1 2\nb 1 2:3:4\n", 2, "UID" },
		{ true, "/3 9 5\na 1 :2\n", 2, "UID" },
		{ true, "/3 9 5\na 2:3:4\n", 2, "size" },
		{ true, "/3 9 5\n 1 2:3:4\n", 2, "file name" },
		{ true, "/3 9 5\nx/a 1 2:3:4\n", 2, "file name" },
		{ true, "/3 9 5\na 1 18446744073709551616:3:4\n", 2, "UID" },
		{ true, "/2 9 5\na 1 2:3:4\n", 2, "UID" },
		{ true, "/3 9 5\na 1 2:3:0\nb 1 4:3:0\na:2,S 1 9:3:0\n", 4,
		    "second UID" },
	};
	const char *wrong;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wrong = parse(bad[i].courier, bad[i].text);
		if (wrong == NULL || strstr(wrong, bad[i].what) == NULL ||
		    o.line != bad[i].line)
			fail_msg("%zu: line %zu: %s", i, o.line, wrong);
	}
	old_free(&o);
	o.text = strdup("3 V1 N9\n1 :a\n2 x");
	assert_non_null(o.text);
	o.text[10] = '\0';
	assert_string_equal(old_dovecot_parse(&o, 16), "a zero byte");
}

#define MD5 "0123456789abcdef0123456789abcdef"

/* Dovecot's formats, of 2.3 and 2.4. */
static void
test_formats(void **state)
{
	enum { MBOX = 1 | 2 | 4 | 16, MAILDIR = 1 | 2 | 8 | 16 };
	static const struct {
		const char *format;
		unsigned have, uses;
		const char *uid;	/* of UID 10 and validity 171 */
	} good[] = {
		{ "%08Xu%08Xv", MBOX, 3, "0000000a000000ab" },
		{ "%{uid | hex(8)}%{uidvalidity | hex(8)}", MBOX, 3,
		    "0000000a000000ab" },
		{ "%{uid|hex}%{ uidvalidity|hex(08) }", MBOX, 3, "a000000ab" },
		{ "%v.%u", MBOX, 3, "171.10" },
		{ "%{uidvalidity}.%{uid}", MBOX, 3, "171.10" },
		{ "%u", MBOX, 1, "10" },
		{ "%Lu", MBOX, 1, "10" },
		{ "UID%u-%v", MBOX, 3, "UID10-171" },
		{ "%010u/%Xv", MBOX, 3, "0000000010/ab" },
		{ "%08XUu", MBOX, 1, "0000000A" },
		{ "%m", MBOX, 4, MD5 },
		{ "%g-%u", MBOX, 17, MD5 "-10" },
		{ "%f", MAILDIR, 8, "1.Ab.h" },
		{ "%Uf", MAILDIR, 8, "1.AB.H" },
		{ "%{filename | lower}", MAILDIR, 8, "1.ab.h" },
		{ "%Mf", MAILDIR, 8, "68ba3dbfa7be3a898578a1f4674e52b9" },
		{ "%{filename|md5}", MAILDIR, 8,
		    "68ba3dbfa7be3a898578a1f4674e52b9" },
		{ "%Mu", MAILDIR, 1, "d3d9446802a44259755d38e6d163e820" },
		{ "%v-%g", MAILDIR, 18, "171-" MD5 },
	};
	static const char *const bad[] = { "", "uid", "%v", "%f", "%", "%8Xu",
	    "%04Xu", "%0u", "%099u", "%u %v", "%u%%", "%Xm", "%m%m%m",
	    "\303\274%u", "%{uid", "%{uid}}\n", "%{uid | hex(7)}", "%{}",
	    "%{uid | hex(8}", "%{uid | base64}", "%{uid |}", "%{uid|md5(3)}",
	    "%{uid | md5 | hex(8)}", "%{uidl}", "%X{uid}", "%XMXu", "%08MXu",
	    "%{uid|lower|lower|lower|lower|lower}", "%{filename}",
	    ("%u01234567890123456789012345678901234567890123456789012345678"
	    "90") };
	const struct plug_format_vars vars = { .uid = 10, .validity = 171,
	    .md5 = MD5, .guid = MD5, .name = "1.Ab.h" };
	char uid[PLUG_UID_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		print_message("  %s\n", good[i].format);
		assert_int_equal(plug_format_uses(good[i].format,
		    good[i].have), good[i].uses);
		assert_true(plug_format_make(good[i].format, &vars, uid));
		assert_string_equal(uid, good[i].uid);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("  not %s\n", bad[i]);
		assert_int_equal(plug_format_uses(bad[i], MBOX), 0);
	}
	/* a Maildir has no hash of headers */
	assert_int_equal(plug_format_uses("%m", MAILDIR), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_dovecot, forget),
		cmocka_unit_test_teardown(test_courier, forget),
		cmocka_unit_test(test_courier_order),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test_teardown(test_damage, forget),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
