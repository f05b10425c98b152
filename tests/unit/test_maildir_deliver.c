/*
 * test_maildir_deliver.c - what is delivered is what is read, byte for byte
 * and octet for octet, and a delivery that fails leaves nothing.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT(s) { s, sizeof(s) - 1 }

static const struct {
	const char *p;
	size_t n;
} corpus[] = {
	TEXT(""),
	TEXT("Subject: x\r\n\r\nbody\r\n"),
	TEXT("Subject: x\r\n\r\n"),
	TEXT("no line end"),
	TEXT("lf\nonly\n"),
	TEXT("mixed\r\nline\nends\r\n"),
	TEXT("bare\rcr\r\n"),
	TEXT("two\r\r\nof them\r\r\r\n"),
	TEXT("cr at the end\r"),
	TEXT("\r"),
	TEXT("\n"),
	TEXT("\r\n"),
	TEXT("\r\n\r\n"),
	TEXT("\n\r\n\r"),
	TEXT("a\0b\0\r\n\0"),
	TEXT(".\r\n..\r\n.x\r\n"),
	TEXT("\377\376\200 8 bit\r\n"),
};

static void
deliver_and_read(const char *text, size_t n, size_t chunk)
{
	char uid[71], *wire, *want, sizes[64];
	size_t wire_n, want_n;

	assert_int_equal(drive_deliver(&mdtest, text, n, chunk, uid),
	    CULVER_OK);
	want = drive_wire(text, n, &want_n);
	mdtest_open(1);
	assert_string_equal(mdtest.msg[0].uid, uid);
	assert_int_equal(mdtest.msg[0].octets, want_n);
	assert_int_equal(mdtest.msg[0].flags, CULVER_MSG_OCTETS_EXACT);
	snprintf(sizes, sizeof(sizes), ",S=%llu,W=%zu",
	    (unsigned long long)mdtest.msg[0].stored, want_n);
	assert_non_null(strstr(uid, sizes));
	assert_int_equal(drive_fetch(&mdtest, 0, &wire, &wire_n), CULVER_OK);
	assert_int_equal(wire_n, want_n);
	assert_memory_equal(wire, want, want_n);
	free(wire);
	free(want);
	drive_close(&mdtest);
	mdtest_remove(mdtest_name("new/%s", uid));
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 0);
}

static void
test_every_kind_of_line_end(void **state)
{
	static const size_t chunk[] = { 1, 2, 3, 4096 };
	size_t i, k;

	(void)state;
	mdtest_hook.skip_sync = true;
	for (i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++)
		for (k = 0; k < 4; k++)
			deliver_and_read(corpus[i].p, corpus[i].n, chunk[k]);
}

static void
test_random_line_ends(void **state)
{
	static const char alphabet[] = "a\r\n\r\n.";
	unsigned random = 4711;
	char text[64];
	size_t i, k, n;

	(void)state;
	mdtest_hook.skip_sync = true;
	for (i = 0; i < 300; i++) {
		random = random * 1664525u + 1013904223u;
		n = (random >> 8) % sizeof(text);
		for (k = 0; k < n; k++) {
			random = random * 1664525u + 1013904223u;
			text[k] = alphabet[(random >> 16) % 6];
		}
		deliver_and_read(text, n, 1 + i % 9);
	}
}

static void
test_a_message_larger_than_any_buffer(void **state)
{
	size_t i, n = 3 * 1024 * 1024 + 17;
	char *text = malloc(n);

	(void)state;
	assert_non_null(text);
	for (i = 0; i < n; i++)
		text[i] = i % 79 == 77 ? '\r' : i % 79 == 78 ? '\n' : 'x';
	deliver_and_read(text, n, 65536);
	memset(text, 'y', n);
	deliver_and_read(text, n, 32768);
	free(text);
}

static void
test_stored_with_unix_line_ends(void **state)
{
	char uid[71], *raw;
	size_t n;

	(void)state;
	assert_int_equal(drive_deliver(&mdtest, "a\r\nb\r\n", 6, 6, uid),
	    CULVER_OK);
	raw = mdtest_slurp(mdtest_path("M/new/%s", uid), &n);
	assert_string_equal(raw, "a\nb\n");
	free(raw);
}

static void
test_abort_leaves_nothing(void **state)
{
	struct culver_envelope env = { .size = sizeof(env), .sender = "",
	    .recipient = "" };
	struct culver_delivery *d;

	(void)state;
	assert_int_equal(mdtest.ops->deliver_begin(mdtest.store, &env, &d,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(mdtest.ops->deliver_write(d, "x\r\n", 3,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_open(0);
	mdtest.ops->deliver_abort(d);
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 0);
	mdtest_reopen(0);
}

static void
test_failures_leave_nothing(void **state)
{
	(void)state;
	mdtest_hook.fail_sync = 5;
	assert_int_equal(drive_deliver(&mdtest, "x\r\n", 3, 3, NULL),
	    CULVER_E_TEMP);
	mdtest_hook.fail_sync = 122;	/* over quota */
	assert_int_equal(drive_deliver(&mdtest, "x\r\n", 3, 3, NULL),
	    CULVER_E_NOSPACE);
	mdtest_hook.fail_sync = 0;
	mdtest.host.fail_alloc = 1;
	assert_int_equal(drive_deliver(&mdtest, "x\r\n", 3, 3, NULL),
	    CULVER_E_NOMEM);
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 0);
	assert_int_equal(mdtest_entries(mdtest_path("M/new")), 0);
}

static void
test_directory_sync_fails(void **state)
{
	struct culver_envelope env = { .size = sizeof(env), .sender = "",
	    .recipient = "" };
	struct culver_delivery *d;
	struct culver_str uid;

	(void)state;
	/* the second fsync() is that of new/, when the message is in it */
	mdtest_hook.fail_sync_from = 2;
	mdtest_hook.syncs = 0;
	mdtest_hook.fail_sync = 5;
	assert_int_equal(mdtest.ops->deliver_begin(mdtest.store, &env, &d,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(mdtest.ops->deliver_commit(d, &uid,
	    fakehost_call(&mdtest.host)), CULVER_E_TEMP);
	assert_non_null(strstr(mdtest.host.err.text, "M/new"));
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 0);
	assert_int_equal(mdtest_entries(mdtest_path("M/new")), 0);
}

static void
test_absent_mailbox(void **state)
{
	(void)state;
	assert_int_equal(rename(mdtest_path("M/tmp"), mdtest_path("away")), 0);
	assert_int_equal(drive_deliver(&mdtest, "x\r\n", 3, 3, NULL),
	    CULVER_E_TEMP);
	assert_non_null(strstr(mdtest.host.err.text, "M/tmp"));
}

static void
test_old_files_in_tmp_are_removed(void **state)
{
	const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	(void)state;
	mdtest_put("tmp/old", "x");
	mdtest_put("tmp/young", "x");
	assert_int_equal(utimensat(AT_FDCWD, mdtest_path("M/tmp/old"), old, 0),
	    0);
	mdtest_open(0);
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 2);
	mdtest_hook.ahead = 36 * 3600 - 60;
	mdtest_put("new/1.a", "x\n");
	mdtest_reopen(1);
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 2);
	mdtest_hook.ahead = 36 * 3600 + 60;
	mdtest_put("new/2.b", "x\n");
	mdtest_reopen(2);
	assert_int_equal(mdtest_entries(mdtest_path("M/tmp")), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_kind_of_line_end),
		T(test_random_line_ends),
		T(test_a_message_larger_than_any_buffer),
		T(test_stored_with_unix_line_ends),
		T(test_abort_leaves_nothing),
		T(test_failures_leave_nothing),
		T(test_directory_sync_fails),
		T(test_absent_mailbox),
		T(test_old_files_in_tmp_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
