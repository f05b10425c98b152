/*
 * test_maildir_state.c - what the Maildir plugin writes for itself: a cache
 * that may be lost or damaged at any time, and UIDLs that may not.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/storage_maildir/maildir.h"

#define SUM_AT 32		/* of the checksum in culver-cache */

static void
put_three(void)
{
	mdtest_put("new/1.a,S=4,W=5", "one\n");
	mdtest_put("cur/2 b:2,S", "two\n");
	mdtest_put("cur/3.c:2,", "three\n");
}

static bool
is_hex(const char *s)
{
	return strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32;
}

static const char *
cache_path(void)
{
	return mdtest_path("M/" MD_CACHE);
}

static const char *
uidl_path(void)
{
	return mdtest_path("M/" MD_UIDL);
}

/* --- the cache ---------------------------------------------------------- */

static void
test_an_unchanged_mailbox_is_not_read(void **state)
{
	char uid[71];

	(void)state;
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	snprintf(uid, sizeof(uid), "%s", mdtest.msg[1].uid);
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 2, 7,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	drive_close(&mdtest);
	mdtest_hook.listed = mdtest_hook.stats = 0;
	mdtest_open(3);
	assert_int_equal(mdtest_hook.listed, 0);
	assert_true(mdtest_hook.stats <= 2);	/* lock, culver-uidl */
	assert_string_equal(mdtest.msg[0].uid, "1.a,S=4,W=5");
	assert_int_equal(mdtest.msg[0].octets, 5);
	assert_int_equal(mdtest.msg[0].flags, CULVER_MSG_OCTETS_EXACT);
	assert_string_equal(mdtest.msg[1].uid, uid);
	assert_int_equal(mdtest.msg[1].flags, 0);
	assert_int_equal(mdtest.msg[2].octets, 7);
	assert_int_equal(mdtest.msg[2].flags, CULVER_MSG_OCTETS_EXACT);
	mdtest_fetch_is(0, "one\r\n");
	mdtest_fetch_is(1, "two\r\n");
	mdtest_fetch_is(2, "three\r\n");
}

static void
test_a_young_time_stamp_proves_nothing(void **state)
{
	(void)state;
	put_three();
	mdtest_open(3);
	mdtest_hook.listed = 0;
	mdtest_reopen(3);
	assert_int_not_equal(mdtest_hook.listed, 0);
	/* a clock that was set back: time stamps in the future */
	mdtest_hook.ahead = -1000;
	mdtest_reopen(3);
	mdtest_hook.listed = 0;
	mdtest_reopen(3);
	assert_int_not_equal(mdtest_hook.listed, 0);
}

static void
test_only_new_messages_are_looked_at(void **state)
{
	(void)state;
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 2, 7,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	drive_close(&mdtest);
	mdtest_put("new/4.d", "four\n");
	mdtest_rename("new/1.a,S=4,W=5", "cur/1.a,S=4,W=5:2,S");
	mdtest_hook.stats = 0;
	mdtest_open(4);
	/* lock, culver-uidl twice at most, and the new one */
	assert_true(mdtest_hook.stats <= 4);
	assert_int_equal(mdtest.msg[2].octets, 7);
	assert_int_equal(mdtest.msg[3].stored, 5);
	mdtest_fetch_is(0, "one\r\n");
	/* another file under an old name is another file */
	drive_close(&mdtest);
	mdtest_put("tmp/3.c", "number three\n");
	mdtest_rename("tmp/3.c", "cur/3.c:2,");
	mdtest_open(4);
	assert_int_equal(mdtest.msg[2].flags, 0);
	assert_int_equal(mdtest.msg[2].stored, 13);
}

static void
test_only_the_directory_that_changed_is_read(void **state)
{
	(void)state;
	/* tmp/ is always read then */
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	drive_close(&mdtest);
	mdtest_put("new/4.d", "four\n");
	mdtest_hook.listed = 0;
	mdtest_open(4);
	assert_int_equal(mdtest_hook.listed, 2);
	mdtest_fetch_is(3, "four\r\n");
	drive_close(&mdtest);
	mdtest_rename("cur/3.c:2,", "cur/3.c:2,S");
	mdtest_hook.listed = 0;
	mdtest_open(4);
	assert_int_equal(mdtest_hook.listed, 2);
	mdtest_fetch_is(2, "three\r\n");
	/* a time stamp that may be older than the last change */
	drive_close(&mdtest);
	mdtest_put("new/5.e", "five\n");
	mdtest_hook.ahead = 0;
	mdtest_open(5);
	drive_close(&mdtest);
	mdtest_hook.ahead = 10;
	mdtest_rename("cur/3.c:2,S", "cur/3.c:2,");
	mdtest_hook.listed = 0;
	mdtest_open(5);
	assert_int_equal(mdtest_hook.listed, 3);
}

/* The listing has one file of a message; another one may be left. */
static void
test_a_second_file_in_an_unchanged_directory(void **state)
{
	(void)state;
	put_three();
	mdtest_put("new/3.c", "three\n");
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	drive_close(&mdtest);
	mdtest_remove("cur/3.c:2,");
	mdtest_open(3);
	mdtest_fetch_is(2, "three\r\n");
}

static void
test_names_are_sorted_whatever_the_times(void **state)
{
	static const uint64_t span[] = { 1, 3, 5000, 100000, 1ull << 40,
		UINT64_MAX };
	struct md_list l = { 0 };
	char name[64];
	uint64_t v = 1;
	size_t i, k;

	(void)state;
	for (k = 0; k < sizeof(span) / sizeof(span[0]); k++) {
		for (i = 0; i < 3000; i++) {
			v = v * 6364136223846793005u + 1;
			snprintf(name, sizeof(name), "%" PRIu64 ".%u%s",
			    (v >> 7) % span[k], (unsigned)(v >> 57),
			    i % 100 == 0 ? "x:2,S" : "");
			assert_true(md_list_add(&l, i % 500 == 0 ? name + 1 :
			    name, MD_CUR, i));
		}
		assert_true(md_list_sort(&l));
		for (i = 1; i < l.n; i++)
			assert_true(md_order(md_base(&l, &l.rec[i - 1]),
			    md_base(&l, &l.rec[i])) < 0);
		md_list_free(&l);
	}
}

static void
test_messages_that_others_removed_are_not_listed(void **state)
{
	uint32_t first[] = { 0 };
	struct culver_expunge_result res = { .size = sizeof(res) };

	(void)state;
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	mdtest_reopen(3);
	drive_close(&mdtest);
	mdtest_remove("cur/3.c:2,");
	mdtest_open(2);
	assert_int_equal(mdtest.ops->expunge(mdtest.mb, first, 1, &res,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_reopen(1);
	mdtest_reopen(1);
	mdtest_fetch_is(0, "two\r\n");
}

/* Open with the cache BUF and expect that it made no difference. */
static void
check_with_cache(const char *buf, size_t n, const char *uid, size_t at)
{
	unlink(cache_path());
	mdtest_spill(cache_path(), buf, n);
	fakehost_reset(&mdtest.host);
	mdtest_open(3);
	if (strcmp(mdtest.msg[0].uid, "1.a,S=4,W=5") != 0 ||
	    strcmp(mdtest.msg[1].uid, uid) != 0 ||
	    strcmp(mdtest.msg[2].uid, "3.c") != 0 ||
	    mdtest.msg[0].octets != 5 || mdtest.msg[2].stored != 6)
		fail_msg("damage at %zu is believed", at);
	if (mdtest.msg[2].flags != 0)
		fail_msg("a size of a damaged cache (at %zu) is used", at);
	if (strstr(mdtest.host.log, "damaged") == NULL)
		fail_msg("damage at %zu is not logged", at);
	drive_close(&mdtest);
}

static void
test_every_damaged_byte_of_the_cache_is_noticed(void **state)
{
	char *good, *bad, uid[71];
	size_t n, i;

	(void)state;
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	snprintf(uid, sizeof(uid), "%s", mdtest.msg[1].uid);
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 2, 99,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	drive_close(&mdtest);
	good = mdtest_slurp(cache_path(), &n);
	bad = malloc(n);
	assert_non_null(bad);
	mdtest_hook.skip_sync = true;
	for (i = 0; i < n; i++) {
		memcpy(bad, good, n);
		bad[i] ^= (char)(1 << i % 8);
		check_with_cache(bad, n, uid, i);
	}
	for (i = 0; i < n; i += 5)
		check_with_cache(good, i, uid, i);
	free(good);
	free(bad);
}

/* A cache with a right checksum over wrong content: the owner made it. */
static void
test_a_forged_cache_breaks_nothing(void **state)
{
	unsigned random = 20250607;
	char *good, *bad;
	size_t n, i, k;
	uint64_t sum;

	(void)state;
	put_three();
	mdtest_hook.ahead = 10;
	mdtest_open(3);
	drive_close(&mdtest);
	good = mdtest_slurp(cache_path(), &n);
	bad = malloc(n);
	assert_non_null(bad);
	mdtest_hook.skip_sync = true;
	for (i = 0; i < 4000; i++) {
		memcpy(bad, good, n);
		for (k = 0; k < 1 + i % 3; k++) {
			random = random * 1664525u + 1013904223u;
			bad[(random >> 8) % n] = (char)(random >> 24);
		}
		memset(bad + SUM_AT, 0, sizeof(sum));
		sum = plug_hash(0, bad, n);
		memcpy(bad + SUM_AT, &sum, sizeof(sum));
		assert_int_equal(unlink(cache_path()), 0);
		mdtest_spill(cache_path(), bad, n);
		fakehost_reset(&mdtest.host);
		if (drive_open(&mdtest, RDONLY) == CULVER_OK)
			for (k = 0; k < mdtest.n; k++) {
				char *wire;
				size_t len;

				assert_true(plug_uid_legal(mdtest.msg[k].uid,
				    strlen(mdtest.msg[k].uid)));
				drive_fetch(&mdtest, (uint32_t)k, &wire, &len);
				free(wire);
			}
		drive_close(&mdtest);
	}
	free(good);
	free(bad);
}

static void
test_a_cache_that_cannot_be_written_is_only_logged(void **state)
{
	(void)state;
	put_three();
	assert_int_equal(mkdir(mdtest_path("M/" MD_CACHE ".new"), 0700), 0);
	mdtest_open(3);
	drive_close(&mdtest);
	assert_non_null(strstr(mdtest.host.log, MD_CACHE));
	mdtest_open(3);
}

/* --- culver-uidl -------------------------------------------------------- */

static void
test_names_that_are_no_legal_uidl(void **state)
{
	char name[200], want[6][71];
	uint32_t i;

	(void)state;
	snprintf(name, sizeof(name), "new/1.%068d", 0);
	mdtest_put(name, "70 bytes are legal\n");
	snprintf(name, sizeof(name), "new/2.%069d", 0);
	mdtest_put(name, "71 are not\n");
	mdtest_put("new/3 space", "x\n");
	mdtest_put("new/4.\303\244", "x\n");
	mdtest_put("new/5.%41\n", "x\n");
	mdtest_put("cur/:2,S", "no base name at all\n");
	mdtest_open(6);
	assert_true(is_hex(mdtest.msg[0].uid));
	assert_int_equal(strlen(mdtest.msg[1].uid), 70);
	for (i = 2; i < 6; i++)
		assert_true(is_hex(mdtest.msg[i].uid));
	for (i = 0; i < 6; i++)
		snprintf(want[i], sizeof(want[i]), "%s", mdtest.msg[i].uid);
	/* without the cache, with it, and with a bad one */
	drive_close(&mdtest);
	assert_int_equal(unlink(cache_path()), 0);
	mdtest_open(6);
	for (i = 0; i < 6; i++)
		assert_string_equal(mdtest.msg[i].uid, want[i]);
	mdtest_hook.ahead = 10;
	mdtest_reopen(6);
	mdtest_reopen(6);
	for (i = 0; i < 6; i++)
		assert_string_equal(mdtest.msg[i].uid, want[i]);
	/* and when another message is added */
	mdtest_put("new/3.5 more", "x\n");
	mdtest_reopen(7);
	for (i = 0; i < 6; i++)
		assert_string_equal(mdtest.msg[i < 4 ? i : i + 1].uid, want[i]);
}

static void
test_a_name_that_is_the_uidl_of_another_message(void **state)
{
	char uid[71];

	(void)state;
	mdtest_put("new/1 a", "one\n");
	mdtest_open(1);
	snprintf(uid, sizeof(uid), "%s", mdtest.msg[0].uid);
	drive_close(&mdtest);
	mdtest_put(mdtest_name("new/%s", uid), "saved under its UIDL\n");
	mdtest_open(2);
	assert_string_not_equal(mdtest.msg[0].uid, mdtest.msg[1].uid);
}

static void
test_every_damaged_byte_of_the_state_is_an_error(void **state)
{
	char *good, *bad, *now;
	size_t n, m, i;

	(void)state;
	put_three();
	mdtest_open(3);
	drive_close(&mdtest);
	good = mdtest_slurp(uidl_path(), &n);
	bad = malloc(n);
	assert_non_null(bad);
	for (i = 0; i < 2 * n; i++) {
		size_t len = i < n ? n : i - n;

		memcpy(bad, good, n);
		if (i < n)
			bad[i] ^= (char)(1 << i % 8);
		assert_int_equal(unlink(uidl_path()), 0);
		mdtest_spill(uidl_path(), bad, len);
		mdtest_open_fails(CULVER_E_CORRUPT, MD_UIDL);
		/* and it is left for an administrator to look at */
		now = mdtest_slurp(uidl_path(), &m);
		assert_int_equal(m, len);
		assert_memory_equal(now, bad, m);
		free(now);
	}
	mdtest_spill(uidl_path(), good, n);
	mdtest_open(3);
	free(good);
	free(bad);
}

/* As another machine and an earlier version wrote it. */
static void
test_the_state_of_another_machine_is_read(void **state)
{
	static const char text[] = "culver-uidl 1\n"
	    "dirs 1:2 3:4 self 5:6\n"
	    "0123456789abcdef0123456789abcdef 1%20a\n"
	    "end 1 4a6a4f675d2f378c\n";

	(void)state;
	mdtest_spill(uidl_path(), text, sizeof(text) - 1);
	mdtest_put("new/1 a", "one\n");
	mdtest_open(1);
	assert_string_equal(mdtest.msg[0].uid,
	    "0123456789abcdef0123456789abcdef");
}

static void
test_the_cache_gives_back_a_lost_state(void **state)
{
	char uid[71];

	(void)state;
	put_three();
	mdtest_open(3);
	snprintf(uid, sizeof(uid), "%s", mdtest.msg[1].uid);
	drive_close(&mdtest);
	assert_int_equal(unlink(uidl_path()), 0);
	mdtest_open(3);
	assert_string_equal(mdtest.msg[1].uid, uid);
	drive_close(&mdtest);
	assert_int_equal(unlink(cache_path()), 0);
	mdtest_open(3);
	assert_string_equal(mdtest.msg[1].uid, uid);
}

static void
test_a_uidl_that_cannot_be_kept_is_not_shown(void **state)
{
	(void)state;
	put_three();
	mdtest_hook.fail_sync = 5;
	mdtest_open_fails(CULVER_E_TEMP, MD_UIDL);
	mdtest_hook.fail_sync = 28;
	mdtest_open_fails(CULVER_E_NOSPACE, MD_UIDL);
	/* renamed, but the directory may forget it */
	mdtest_hook.syncs = 0;
	mdtest_hook.fail_sync_from = 2;
	mdtest_open_fails(CULVER_E_NOSPACE, "sync");
	/* the next session cannot know, so it syncs again */
	mdtest_hook.syncs = 0;
	mdtest_hook.fail_sync_from = 1;
	mdtest_open_fails(CULVER_E_NOSPACE, "sync");
	mdtest_hook.fail_sync = 0;
	mdtest_open(3);
}

static void
test_the_state_does_not_grow_for_ever(void **state)
{
	struct stat before, after;
	char first[71];
	unsigned i;

	(void)state;
	for (i = 0; i < 1200; i++)
		mdtest_put(mdtest_name("new/%u gone", 1000 + i), "x\n");
	mdtest_open(1200);
	snprintf(first, sizeof(first), "%s", mdtest.msg[1199].uid);
	drive_close(&mdtest);
	assert_int_equal(stat(uidl_path(), &before), 0);
	for (i = 0; i < 1200; i++)
		mdtest_remove(mdtest_name("new/%u gone", 1000 + i));
	mdtest_put("new/1 first", "x\n");
	mdtest_open(1);
	drive_close(&mdtest);
	assert_int_equal(stat(uidl_path(), &after), 0);
	assert_true(after.st_size < before.st_size);
	/* one that comes back from a backup soon is the same one */
	mdtest_put("cur/2199 gone:2,S", "x\n");
	mdtest_open(2);
	assert_string_equal(mdtest.msg[1].uid, first);
}

/* --- no memory ------------------------------------------------------------ */

/* Open with the N-th allocation failing; false if there were fewer. */
static bool
open_without(unsigned n)
{
	culver_status st;

	mdtest_hook.fail_memory = n;
	st = mdtest.ops->open(mdtest.store, EXCL, &mdtest.mb,
	    fakehost_call(&mdtest.host));
	if (st != CULVER_OK) {
		assert_int_equal(st, CULVER_E_NOMEM);
		assert_string_not_equal(mdtest.host.err.text, "");
		mdtest.mb = NULL;
	}
	/* close() allocates for the cache: it may fail there as well */
	drive_close(&mdtest);
	n = mdtest_hook.fail_memory;
	mdtest_hook.fail_memory = 0;
	return n == 0;
}

static void
test_every_allocation_may_fail(void **state)
{
	unsigned n, round;

	(void)state;
	put_three();
	mdtest_put("new/4 d", "four\n");
	mdtest_hook.ahead = 10;
	/* first session; unchanged; with a new message; unchanged again */
	for (round = 0; round < 4; round++) {
		if (round == 2)
			mdtest_put("new/5.e", "five\n");
		for (n = 1; open_without(n); n++)
			continue;
		assert_true(n > 1);
		mdtest_open(round < 2 ? 4 : 5);
		drive_close(&mdtest);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_an_unchanged_mailbox_is_not_read),
		T(test_a_young_time_stamp_proves_nothing),
		T(test_only_new_messages_are_looked_at),
		T(test_only_the_directory_that_changed_is_read),
		T(test_a_second_file_in_an_unchanged_directory),
		T(test_names_are_sorted_whatever_the_times),
		T(test_messages_that_others_removed_are_not_listed),
		T(test_every_damaged_byte_of_the_cache_is_noticed),
		T(test_a_forged_cache_breaks_nothing),
		T(test_a_cache_that_cannot_be_written_is_only_logged),
		T(test_names_that_are_no_legal_uidl),
		T(test_a_name_that_is_the_uidl_of_another_message),
		T(test_every_damaged_byte_of_the_state_is_an_error),
		T(test_the_state_of_another_machine_is_read),
		T(test_the_cache_gives_back_a_lost_state),
		T(test_a_uidl_that_cannot_be_kept_is_not_shown),
		T(test_every_allocation_may_fail),
		T(test_the_state_does_not_grow_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
