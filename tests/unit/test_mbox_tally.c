/*
 * test_mbox_tally.c - what Culver itself did to an mbox it need not read
 * again, and what others do is noticed, however soon after it.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/storage_mbox/mbox.h"

enum { LITTLE = 200 };		/* bytes that are no reading of a mailbox */

#define MESSAGE(who, text) FROM(who) "S: " who "\n\n" text "\n\n"

static const char three[] = MESSAGE("a", "one") MESSAGE("b", "two")
    MESSAGE("c", "three");

static culver_status
deliver(const char *text)
{
	return drive_deliver(&mbtest, text, strlen(text), 100, NULL);
}

static void
reopen_reads(uint32_t n, bool all)
{
	drive_close(&mbtest);
	mbtest_hook.bytes = 0;
	mbtest_open(n);
	if (all)
		assert_true(mbtest_hook.bytes > LITTLE);
	else
		assert_in_range(mbtest_hook.bytes, 0, LITTLE);
}

/* A session at once after one that deleted. */
static void
test_own_deletion(void **state)
{
	char uid[2][71];

	(void)state;
	mbtest_put(three);
	mbtest_hook.ahead = 10;
	mbtest_open(3);
	snprintf(uid[0], 71, "%s", mbtest_uid(0));
	snprintf(uid[1], 71, "%s", mbtest_uid(2));
	assert_int_equal(mbtest_expunge(1, 1), CULVER_OK);
	mbtest_hook.ahead = 0;
	reopen_reads(2, false);
	assert_string_equal(mbtest_uid(0), uid[0]);
	assert_string_equal(mbtest_uid(1), uid[1]);
	mbtest_fetch_is(0, "S: a\r\n\r\none\r\n");
	mbtest_fetch_is(1, "S: c\r\n\r\nthree\r\n");
	assert_int_equal(mbtest_expunge(1, 1), CULVER_OK);
	reopen_reads(1, false);
	mbtest_fetch_is(0, "S: a\r\n\r\none\r\n");
	mbtest_is(MESSAGE("a", "one"));
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	reopen_reads(0, false);
}

/* The header that other programs count by moves on. */
static void
test_moved_line(void **state)
{
	(void)state;
	mbtest_put(FROM("a") "X-IMAPbase: 9 3\nS: a\n\none\n\n"
	    MESSAGE("b", "two") MESSAGE("c", "three") MESSAGE("d", "four"));
	mbtest_hook.ahead = 10;
	mbtest_open(4);
	assert_int_equal(mbtest_expunge(2, 0, 2), CULVER_OK);
	mbtest_hook.ahead = 0;
	reopen_reads(2, false);
	mbtest_fetch_is(0, "S: b\r\n\r\ntwo\r\n");
	mbtest_fetch_is(1, "S: d\r\n\r\nfour\r\n");
	mbtest_is(FROM("b") "X-IMAPbase: 9 3\nS: b\n\ntwo\n\n"
	    MESSAGE("d", "four"));
}

/* What came during the session is listed, the rest is not read. */
static void
test_mail_came_meanwhile(void **state)
{
	size_t n;
	char *big = mbtest_big(4200 * 70, &n);

	(void)state;
	mbtest_put(big);
	mbtest_append("\n");
	mbtest_append(three);
	free(big);
	mbtest_hook.ahead = 10;
	mbtest_open(4);
	mbtest_append(MESSAGE("d", "four"));
	assert_int_equal(mbtest_expunge(1, 2), CULVER_OK);
	mbtest_hook.ahead = 0;
	drive_close(&mbtest);
	mbtest_hook.bytes = 0;
	mbtest_open(4);
	assert_in_range(mbtest_hook.bytes, 1, 30000);
	mbtest_fetch_is(1, "S: a\r\n\r\none\r\n");
	mbtest_fetch_is(2, "S: c\r\n\r\nthree\r\n");
	mbtest_fetch_is(3, "S: d\r\n\r\nfour\r\n");
}

/* Another program writes at once, as many bytes, and sets the mtime back. */
static void
test_foreign_write_at_once(void **state)
{
	static const char *const text[] = { MESSAGE("a", "ONE"),
	    MESSAGE("z", "one") };
	struct timespec times[2];
	struct stat st;
	int fd, i;

	(void)state;
	for (i = 0; i < 40; i++) {
		mbtest_hook.ahead = 0;
		mbtest_put(three);
		mbtest_hook.ahead = 10;
		drive_close(&mbtest);
		mbtest_open(3);
		assert_int_equal(mbtest_expunge(2, 1, 2), CULVER_OK);
		mbtest_hook.ahead = 0;
		drive_close(&mbtest);
		fd = open(mbtest_path("M"), O_RDWR);
		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		assert_int_equal(st.st_size, strlen(text[0]));
		assert_int_equal(pwrite(fd, text[i % 2], strlen(text[0]), 0),
		    strlen(text[0]));
		assert_int_equal(futimens(fd, times), 0);
		close(fd);
		mbtest_open(1);
		mbtest_fetch_is(0, i % 2 ? "S: z\r\n\r\none\r\n" :
		    "S: a\r\n\r\nONE\r\n");
	}
}

/* How much DELIVER reads of a large mailbox, with a quota. */
static void
delivery_reads(culver_status st, uint64_t min, uint64_t max)
{
	mbtest_hook.bytes = 0;
	assert_int_equal(deliver("S: x\r\n\r\nx\r\n"), st);
	assert_in_range(mbtest_hook.bytes, min, max);
}

static void
start_with_quota(uint64_t messages)
{
	drive_close(&mbtest);
	mbtest.ops->destroy(mbtest.store);
	mbtest.user.quota_messages = messages;
	assert_int_equal(drive_start(&mbtest), CULVER_OK);
}

/* It counts what others added, and all after what others removed. */
static void
test_quota_counts_what_is_new(void **state)
{
	const uint64_t some = 40000, all = 290000;
	size_t n;
	char *big = mbtest_big(4200 * 70, &n);

	(void)state;
	mbtest_put(big);
	mbtest_append("\n");
	start_with_quota(8);
	delivery_reads(CULVER_OK, all, UINT64_MAX);
	delivery_reads(CULVER_OK, 1, some);
	delivery_reads(CULVER_OK, 1, some);		/* 4 */
	mbtest_append(MESSAGE("a", "one") MESSAGE("b", "two"));
	delivery_reads(CULVER_OK, 1, some);		/* 7 */
	mbtest_append(MESSAGE("c", "three"));
	delivery_reads(CULVER_E_QUOTA, 1, some);
	mbtest_open(8);
	assert_int_equal(mbtest_expunge(2, 3, 5), CULVER_OK);
	drive_close(&mbtest);
	delivery_reads(CULVER_OK, 1, some);
	delivery_reads(CULVER_OK, 1, some);
	delivery_reads(CULVER_E_QUOTA, 1, some);
	/* damage, and another mailbox */
	mbtest_spill(mbtest_path("I/culver-tally"), "damage", 6);
	delivery_reads(CULVER_E_QUOTA, 1, UINT64_MAX);
	mbtest_put(three);
	delivery_reads(CULVER_OK, 1, UINT64_MAX);
	delivery_reads(CULVER_OK, 1, some);
	mbtest_open(5);
	free(big);
}

static culver_status
deliver_as(struct drive *d, const char *uid)
{
	const struct culver_envelope env = { .size = sizeof(env),
	    .sender = "", .recipient = "", .uid = uid };
	struct culver_delivery *dl;
	struct culver_str got;
	culver_status st;

	st = d->ops->deliver_begin(d->store, &env, &dl,
	    fakehost_call(&d->host));
	if (st == CULVER_OK)
		st = d->ops->deliver_commit(dl, &got, fakehost_call(&d->host));
	if (st == CULVER_OK)
		assert_string_equal(got.p, uid);
	return st;
}

/* UIDLs that deliveries bring: none twice, and none is looked for by reading
 * the mailbox again. */
static void
test_kept_uidls(void **state)
{
	size_t n;
	char *big = mbtest_big(4200 * 70, &n);
	char uid[16];
	int i;

	(void)state;
	mbtest_put(big);
	mbtest_append("\n");
	free(big);
	assert_int_equal(deliver_as(&mbtest, "u0"), CULVER_OK);
	mbtest_hook.bytes = 0;
	for (i = 1; i < 9; i++) {
		snprintf(uid, sizeof(uid), "u%d", i);
		assert_int_equal(deliver_as(&mbtest, uid), CULVER_OK);
	}
	assert_in_range(mbtest_hook.bytes, 1, 250000);
	assert_int_equal(deliver_as(&mbtest, "u3"), CULVER_E_PERM);
	assert_int_equal(deliver("S: x\r\n\r\nx\r\n"), CULVER_OK);
	/* as by another process */
	start_with_quota(0);
	assert_int_equal(deliver_as(&mbtest, "u8"), CULVER_E_PERM);
	assert_int_equal(deliver_as(&mbtest, "u9"), CULVER_OK);
	mbtest_append(MESSAGE("a", "one"));
	assert_int_equal(deliver_as(&mbtest, "u9"), CULVER_E_PERM);
	mbtest_open(13);
	assert_string_equal(mbtest_uid(1), "u0");
	assert_string_equal(mbtest_uid(11), "u9");
}

#define T(name) cmocka_unit_test_setup_teardown(name, mbtest_setup, \
    mbtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_own_deletion), T(test_moved_line),
		T(test_mail_came_meanwhile), T(test_foreign_write_at_once),
		T(test_quota_counts_what_is_new), T(test_kept_uidls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
