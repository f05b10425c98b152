/*
 * test_mbox_deliver.c - what is delivered is there once, whole, and comes
 * back as it was; what a crash left of a delivery is taken back.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/storage_mbox/mbox.h"

static culver_status
deliver(const char *text, char *uid)
{
	return drive_deliver(&mbtest, text, strlen(text), 7, uid);
}

static void
must_deliver(const char *text, char *uid)
{
	culver_status st = deliver(text, uid);

	if (st != CULVER_OK)
		print_error("%s\n", mbtest.host.err.text);
	assert_int_equal(st, CULVER_OK);
}

/* In, and out again, octet for octet. */
static void
test_round_trip(void **state)
{
	static const char *const text[] = {
		"S: 1\r\n\r\nhello\r\n", "", "\r\n", "\r\n\r\n", "S: 1\r\n",
		"S: 1\r\n\r\n", "no header", "S: 1\r\n\r\nno end",
		"S: 1\r\n\r\nFrom x\r\n>From y\r\n>>From z\r\n",
		"From a Thu Nov 29 22:33:52 2001\r\nS: 1\r\n\r\nx\r\n",
		">From a Thu Nov 29 22:33:52 2001\r\nS: 1\r\n\r\nx\r\n",
		"S: 1\r\nStatus: RO\r\nX-UID: 7\r\nContent-Length: 3\r\n"
		"X-IMAPbase: 1 2\r\n 3\r\nX-Culver-Status: O\r\n"
		"x-culver-X-CULVER-status: O\r\n\r\nStatus: x\r\n",
		"S: 1\r\n\r\n.\r\n..\r\n\r\n\r\n", "S: 1\r\n\r\nx\ry\r\n",
		"S: 1\r\n\r\nx\r\r\ny\r\n", "S: 1\r\n\r\nx\r",
		" begins with a space\r\n\r\nx\r\n",
		("X-Culver-UIDL: forged 00000000000000000000000000000000\r\n"
		"\r\nx\r\n"), "X-Culver-X-Culver-UIDL: x\r\n\r\nx\r\n",
		"S: 1\r\n\r\nFrom", "S: 1\r\n\r\n>", "S: 1\r\n\r\n\r\n\r\nx\r\n",
	};
	const size_t n = sizeof(text) / sizeof(text[0]);
	char uid[sizeof(text) / sizeof(text[0])][71];
	const char *first[] = { "", FROM("a") "S: 0\n\nx\n\n",
	    "From a Thu Nov 29 22:33:52 2001\r\nS: 0\r\n\r\nx\r\n\r\n",
	    FROM("a") "S: 0\n\nno line end" };
	char want[600];
	size_t i, k, w, base;

	(void)state;
	for (k = 0; k < 4; k++) {
		drive_close(&mbtest);
		remove(mbtest_path("I/culver-uidl"));
		mbtest_put(first[k]);
		base = k > 0;
		for (i = 0; i < n; i++)
			must_deliver(text[i], uid[i]);
		mbtest_open((uint32_t)(n + base));
		for (i = 0; i < n; i++) {
			w = strlen(text[i]);
			memcpy(want, text[i], w + 1);
			if (w > 0 && text[i][w - 1] != '\n')
				memcpy(want + w, "\r\n", 3);
			print_message("  %zu: %zu\n", k, i);
			mbtest_fetch_is((uint32_t)(i + base), want);
			assert_string_equal(mbtest_uid((uint32_t)(i + base)),
			    uid[i]);
		}
	}
}

/* Each of two equal messages has the UIDL that its delivery said. */
static void
test_equal_ones(void **state)
{
	char uid[4][71];
	uint32_t i;

	(void)state;
	mbtest_put("");
	for (i = 0; i < 3; i++)
		must_deliver("S: 1\r\n\r\nsame\r\n", uid[i]);
	mbtest_open(3);
	for (i = 0; i < 3; i++)
		assert_string_equal(mbtest_uid(i), uid[i]);
	assert_int_equal(mbtest_expunge(1, 1), CULVER_OK);
	must_deliver("S: 1\r\n\r\nsame\r\n", uid[3]);
	mbtest_reopen(3);
	assert_string_equal(mbtest_uid(0), uid[0]);
	assert_string_equal(mbtest_uid(1), uid[2]);
	assert_string_equal(mbtest_uid(2), uid[3]);
}

/* What a crash may leave of the file, and what it has to become. */
static void
test_torn(void **state)
{
	static const char old[] = FROM("old") "S: 0\n\nx\n\n";
	static const char text[] = FROM("new") "S: 1\n\nyes\n\n";
	static const char other[] = FROM("other") "S: 2\n\nz\n\n";
	char file[1024], want[1024], intent[1024];
	struct mb_append a;
	size_t k, kind, n, w;
	bool whole;

	(void)state;
	for (kind = 0; kind < 4; kind++)
		for (k = 0; k <= sizeof(text) - 1; k++) {
			/* nothing; zeros; others'; others' after a line end */
			n = w = 0;
			mbtest_add(file, sizeof(file), &n, "%s%.*s", old,
			    (int)k, text);
			mbtest_add(want, sizeof(want), &w, "%s%s", old,
			    k == sizeof(text) - 1 ? text : "");
			whole = k == sizeof(text) - 1 ||
			    (kind == 3 && k == sizeof(text) - 2);
			if (kind == 1) {
				memset(file + n, 0, sizeof(text) - 1 - k);
				n += sizeof(text) - 1 - k;
			}
			if (kind >= 2) {
				const char *gap = kind == 3 ? "\n" : "";

				mbtest_add(file, sizeof(file), &n, "%s%s",
				    gap, other);
				mbtest_add(want, sizeof(want), &w, "%s%s",
				    gap, other);
			}
			drive_close(&mbtest);
			mbtest_put(old);
			mbtest_spill(mbtest_path("M"), file, n);
			a = (struct mb_append){ .magic = MB_APPEND_MAGIC,
			    .size = htole64(sizeof(old) - 1),
			    .from = htole64(sizeof(a)),
			    .length = htole64(sizeof(text) - 1) };
			a.sum = mb_append_sum(&a);
			memcpy(intent, &a, sizeof(a));
			memcpy(intent + sizeof(a), text, sizeof(text) - 1);
			mbtest_spill(mbtest_path("I/culver-append"), intent,
			    sizeof(a) + sizeof(text) - 1);
			mbtest_open(1 + whole + (kind >= 2));
			/* a line end may be anybody's */
			if (kind < 3)
				mbtest_is(want);
			assert_false(mbtest_exists(
			    mbtest_path("I/culver-append")));
		}
}

/* A write or a sync that fails adds nothing, whichever it is. */
static void
test_failures(void **state)
{
	static const char old[] = FROM("old") "S: 0\n\nx\n\n";
	unsigned n, failed = 0;
	bool sync;

	(void)state;
	for (sync = false;; sync = true) {
		for (n = 1; n < 40; n++) {
			mbtest_put(old);
			mbtest_hook.fail_write = sync ? 0 : n;
			mbtest_hook.write_errno = ENOSPC;
			mbtest_hook.fail_sync = sync ? n : 0;
			if (deliver("S: 1\r\n\r\nx\r\n", NULL) == CULVER_OK) {
				/* the mark in the dotlock may be missing */
				if (mbtest_hook.fail_write == 0 &&
				    mbtest_hook.fail_sync == 0)
					continue;
				break;
			}
			failed++;
			assert_true(mbtest_hook.fail_write == 0);
			mbtest_is(old);
			assert_false(mbtest_exists(
			    mbtest_path("I/culver-append")));
		}
		assert_true(n > 3 && n < 40);
		mbtest_hook.fail_write = mbtest_hook.fail_sync = 0;
		if (sync)
			break;
	}
	assert_true(failed > 6);
	mbtest_put(old);
	mbtest_reopen(1);
}

static void
test_quota(void **state)
{
	(void)state;
	mbtest_put(FROM("a") "S: 0\n\nx\n\n");
	mbtest.user.quota_messages = 2;
	mbtest.user.quota_octets = 40;
	drive_close(&mbtest);
	mbtest.ops->destroy(mbtest.store);
	assert_int_equal(drive_start(&mbtest), CULVER_OK);
	/* 11 octets are there */
	assert_int_equal(deliver("S: 1\r\n\r\n0123456789012345678901\r\n",
	    NULL), CULVER_E_QUOTA);
	must_deliver("S: 1\r\n\r\n012345678901234567\r\n", NULL);
	assert_int_equal(deliver("", NULL), CULVER_E_QUOTA);
	mbtest_open(2);
}

/* The envelope's UIDL and date are kept; a UIDL that is taken is refused. */
static void
test_envelope(void **state)
{
	struct culver_envelope env = { .size = sizeof(env), .sender = "me",
	    .recipient = "alice", .uid = "kept-one", .received = 1007073232 };
	struct culver_delivery *d;
	struct culver_str uid;
	culver_status want[] = { CULVER_OK, CULVER_E_PERM };
	int i;

	(void)state;
	mbtest_put("");
	for (i = 0; i < 2; i++) {
		assert_int_equal(mbtest.ops->deliver_begin(mbtest.store, &env,
		    &d, fakehost_call(&mbtest.host)), CULVER_OK);
		assert_int_equal(mbtest.ops->deliver_write(d, "x", 1,
		    fakehost_call(&mbtest.host)), CULVER_OK);
		assert_int_equal(mbtest.ops->deliver_commit(d, &uid,
		    fakehost_call(&mbtest.host)), want[i]);
	}
	mbtest_open(1);
	assert_string_equal(mbtest_uid(0), "kept-one");
	assert_int_equal(mbtest.msg[0].received, 1007073232);
}

/* While a session looks at it: neither lost nor shown. */
static void
test_during_a_session(void **state)
{
	char uid[71];

	(void)state;
	mbtest_put(FROM("a") "S: 0\n\nx\n\n" FROM("b") "S: 1\n\ny\n\n");
	mbtest_open(2);
	must_deliver("S: 2\r\n\r\nz\r\n", uid);
	mbtest_fetch_is(1, "S: 1\r\n\r\ny\r\n");
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	mbtest_reopen(2);
	mbtest_fetch_is(1, "S: 2\r\n\r\nz\r\n");
	assert_string_equal(mbtest_uid(1), uid);
}

#define T(name) cmocka_unit_test_setup_teardown(name, mbtest_setup, \
	mbtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_round_trip), T(test_equal_ones), T(test_torn),
		T(test_failures), T(test_quota), T(test_envelope),
		T(test_during_a_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
