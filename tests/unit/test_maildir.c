/*
 * test_maildir.c - the Maildir plugin as a session sees it: what is listed,
 * in which order, under which UIDL, and what happens when other programs
 * change the mailbox meanwhile.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static culver_status
expunge(const uint32_t *index, uint32_t n, uint32_t *removed)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	culver_status st = mdtest.ops->expunge(mdtest.mb, index, n, &res,
	    fakehost_call(&mdtest.host));

	*removed = res.removed;
	return st;
}

static culver_status
fetch_status(uint32_t index)
{
	char *wire;
	size_t n;
	culver_status st = drive_fetch(&mdtest, index, &wire, &n);

	free(wire);
	return st;
}

static void
test_descriptor(void **state)
{
	const struct culver_plugin *p = &storage_maildir_LTX_culver_plugin;
	const struct culver_storage_ops *o = p->ops.storage;

	(void)state;
	assert_int_equal(p->magic, CULVER_MAGIC);
	assert_int_equal(p->size, sizeof(*p));
	assert_int_equal(p->needs, 0);
	assert_int_equal(p->caps, CULVER_ST_DELIVER | CULVER_ST_SIZE_CACHE |
	    CULVER_ST_KEEP_UID | CULVER_ST_CHECK);
	assert_true(o->deliver_begin && o->deliver_write &&
	    o->deliver_commit && o->deliver_abort && o->put_octets);
	assert_null(o->keepalive);
}

static void
test_order_is_that_of_arrival(void **state)
{
	static const char *const want[] = { "nonumber", "7.b", "007.c",
	    "0099.a", "100.a", "100.b", "1700000000.M1", "1700000000.M10",
	    "1700000000.M2", "99999999999999999999.a",
	    "99999999999999999999.b" };
	uint32_t i;

	(void)state;
	for (i = 11; i-- > 0;)
		mdtest_put(mdtest_name("%s/%s", i % 2 ? "new" : "cur",
		    want[i]), "x\n");
	mdtest_open(11);
	for (i = 0; i < 11; i++)
		assert_string_equal(mdtest.msg[i].uid, want[i]);
}

static void
test_only_regular_files_are_messages(void **state)
{
	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_put("new/.2.hidden", "two\n");
	assert_int_equal(mkdir(mdtest_path("M/cur/3.dir"), 0700), 0);
	assert_int_equal(symlink("../new/1.a", mdtest_path("M/cur/4.link")), 0);
	assert_int_equal(mkfifo(mdtest_path("M/cur/5.fifo"), 0600), 0);
	mdtest_put("tmp/6.tmp", "six\n");
	mdtest_open(1);
	assert_string_equal(mdtest.msg[0].uid, "1.a");
	mdtest_fetch_is(0, "one\r\n");
}

static void
test_a_base_name_in_both_directories_is_one_message(void **state)
{
	uint32_t all[] = { 0 }, removed;

	(void)state;
	mdtest_put("new/1.a", "new\n");
	mdtest_put("cur/1.a:2,S", "cur\n");
	mdtest_put("cur/1.a:2,", "cur\n");
	mdtest_open(1);
	assert_string_equal(mdtest.msg[0].uid, "1.a");
	mdtest_fetch_is(0, "cur\r\n");
	assert_int_equal(expunge(all, 1, &removed), CULVER_OK);
	assert_int_equal(removed, 1);
	mdtest_reopen(0);
	assert_int_equal(mdtest_entries(mdtest_path("M/new")), 0);
	assert_int_equal(mdtest_entries(mdtest_path("M/cur")), 0);
}

static void
test_all_files_of_a_message_are_removed(void **state)
{
	uint32_t all[] = { 0 }, removed;
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		mdtest_put(mdtest_name("cur/1.a:2,%c", 'A' + i), "one\n");
	mdtest_open(1);
	assert_int_equal(expunge(all, 1, &removed), CULVER_OK);
	assert_int_equal(mdtest_entries(mdtest_path("M/cur")), 0);
}

static void
test_renamed_by_another_reader(void **state)
{
	uint32_t all[] = { 0, 1, 2 }, removed;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_put("cur/2.b:2,", "two\n");
	mdtest_put("cur/3.c:2,S", "three\n");
	mdtest_open(3);
	mdtest_rename("new/1.a", "cur/1.a:2,S");
	mdtest_rename("cur/2.b:2,", "cur/2.b:2,RS");
	mdtest_put("new/0.early", "came later\n");
	mdtest_fetch_is(0, "one\r\n");
	mdtest_fetch_is(1, "two\r\n");
	mdtest_fetch_is(2, "three\r\n");
	mdtest_rename("cur/2.b:2,RS", "cur/2.b:2,FRS");
	assert_int_equal(expunge(all, 3, &removed), CULVER_OK);
	assert_int_equal(removed, 3);
	assert_int_equal(mdtest_entries(mdtest_path("M/cur")), 0);
	mdtest_reopen(1);
	assert_string_equal(mdtest.msg[0].uid, "0.early");
}

static void
test_removed_by_another_reader(void **state)
{
	uint32_t all[] = { 0, 1, 2 }, removed;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_put("new/2.b", "two\n");
	mdtest_put("new/3.c", "three\n");
	mdtest_open(3);
	mdtest_remove("new/2.b");
	assert_int_equal(fetch_status(1), CULVER_E_GONE);
	mdtest_fetch_is(0, "one\r\n");
	mdtest_fetch_is(2, "three\r\n");
	mdtest_remove("new/1.a");
	mdtest_hook.syncs = 0;
	assert_int_equal(expunge(all, 3, &removed), CULVER_OK);
	assert_int_equal(removed, 3);
	assert_int_equal(mdtest_hook.syncs, 2);
	assert_int_equal(fetch_status(2), CULVER_E_GONE);
	mdtest_reopen(0);
}

/* A reader that moves the file each time before we get to it. */
static void
move_on(const char *name)
{
	static unsigned n;

	if (n++ < 3 && strncmp(name, "1.a", 3) == 0)
		mdtest_rename(mdtest_name("cur/%s", name),
		    mdtest_name("cur/1.a:2,%c", 'A' + (int)n));
}

static void
test_renamed_again_and_again_while_it_is_removed(void **state)
{
	uint32_t all[] = { 0 }, removed;

	(void)state;
	mdtest_put("cur/1.a:2,", "one\n");
	mdtest_open(1);
	mdtest_hook.on_unlink = move_on;
	assert_int_equal(expunge(all, 1, &removed), CULVER_OK);
	assert_int_equal(removed, 1);
	assert_int_equal(mdtest_entries(mdtest_path("M/cur")), 0);
}

static void
test_size_changed_since_it_was_listed(void **state)
{
	struct culver_content *c;
	struct culver_extent e;
	uint32_t n;

	(void)state;
	mdtest_put("new/1.a,S=4,W=5", "one\n");
	mdtest_put("new/2.b", "two\n");
	mdtest_open(2);
	mdtest_fetch_is(0, "one\r\n");
	mdtest_put("new/1.a,S=4,W=5", "one and more\n");
	assert_int_equal(fetch_status(0), CULVER_E_TEMP);
	assert_non_null(strstr(mdtest.host.err.text, "1.a"));
	mdtest_fetch_is(1, "two\r\n");
	mdtest_put("new/2.b", "");
	assert_int_equal(fetch_status(1), CULVER_E_TEMP);
	/* not for ever, though the directory does not change */
	mdtest_hook.ahead = 60;
	mdtest_reopen(2);
	mdtest_fetch_is(0, "one and more\r\n");
	mdtest_fetch_is(1, "");
	/* in the middle: the core must not end the message with a dot */
	assert_int_equal(mdtest.ops->read(mdtest.mb, 0, &c,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(mdtest.ops->next(c, &e, 1, &n,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_put("new/1.a,S=4,W=5", "cut");
	assert_int_equal(mdtest.ops->next(c, &e, 1, &n,
	    fakehost_call(&mdtest.host)), CULVER_E_TEMP);
	mdtest.ops->done(c);
}

static void
test_replaced_by_something_else(void **state)
{
	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_put("new/2.b", "two\n");
	mdtest_open(2);
	mdtest_remove("new/1.a");
	assert_int_equal(mkfifo(mdtest_path("M/new/1.a"), 0600), 0);
	assert_int_equal(fetch_status(0), CULVER_E_TEMP);
	mdtest_remove("new/2.b");
	assert_int_equal(symlink("/etc/passwd", mdtest_path("M/new/2.b")), 0);
	assert_int_equal(fetch_status(1), CULVER_E_TEMP);
}

/* --- listing while others change the directories ------------------------ */

static void
hide_in_first_listing(unsigned nth)
{
	if (nth == 1)
		mdtest_rename("cur/1.a:2,", "hidden");
}

static void
show_after_first_listing(unsigned nth)
{
	if (nth == 2)
		mdtest_rename("hidden", "cur/1.a:2,S");
}

static void
test_a_file_that_one_listing_missed_is_not_lost(void **state)
{
	(void)state;
	mdtest_put("cur/1.a:2,", "one\n");
	mdtest_put("cur/2.b:2,", "two\n");
	mdtest_hook.ahead = 10;
	mdtest_hook.on_list = hide_in_first_listing;
	mdtest_hook.on_listed = show_after_first_listing;
	mdtest_open(2);
	assert_string_equal(mdtest.msg[0].uid, "1.a");
	mdtest_fetch_is(0, "one\r\n");
}

/*
 * The same on a file system whose clock is too coarse to show it: then a
 * second listing has to agree, because the time stamps are young, or because
 * a message that was there is missing.
 */
static void
test_a_file_is_not_lost_behind_a_coarse_clock(void **state)
{
	(void)state;
	mdtest_put("cur/1.a:2,", "one\n");
	mdtest_put("cur/2.b:2,", "two\n");
	mdtest_hook.still = 9;
	mdtest_hook.ahead = 10 - time(NULL);
	mdtest_hook.on_list = hide_in_first_listing;
	mdtest_hook.on_listed = show_after_first_listing;
	mdtest_open(2);
}

static void
hide_in_second_session(unsigned nth)
{
	if (nth == 5)		/* the second listing of cur/ */
		mdtest_rename("cur/1.a:2,", "hidden");
	if (nth == 6)
		mdtest_rename("hidden", "cur/1.a:2,S");
}

static void
test_a_missing_message_takes_two_listings(void **state)
{
	(void)state;
	mdtest_put("cur/1.a:2,", "one\n");
	mdtest_put("cur/2.b:2,", "two\n");
	mdtest_hook.still = 8;
	mdtest_open(2);
	assert_int_equal(mdtest_hook.listed, 3);	/* new/, cur/, tmp/ */
	mdtest_hook.still = 9;
	mdtest_hook.on_list = hide_in_second_session;
	mdtest_reopen(2);
	mdtest_fetch_is(0, "one\r\n");
	assert_int_equal(mdtest_hook.listed, 8);
}

static void
add_before_listing(unsigned nth)
{
	mdtest_put(mdtest_name("new/%u.x", nth), "x");
}

static void
test_a_mailbox_that_never_rests_is_temporary(void **state)
{
	(void)state;
	mdtest_hook.on_list = add_before_listing;
	mdtest_open_fails(CULVER_E_TEMP, "changed during each of 5");
}

static void
move_to_cur(unsigned nth)
{
	if (nth == 2)	/* new/ was read, cur/ not yet */
		mdtest_rename("new/1.a", "cur/1.a:2,");
}

static void
test_moved_from_new_to_cur_while_listed(void **state)
{
	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_hook.on_list = move_to_cur;
	mdtest_open(1);
	mdtest_fetch_is(0, "one\r\n");
}

static void
test_deadline(void **state)
{
	uint32_t all[] = { 0 }, removed;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest.host.clock = 1000;
	mdtest.host.call.deadline = 1000;
	mdtest_open_fails(CULVER_E_TIMEOUT, "deadline");
	mdtest.host.clock = 999;
	mdtest_open(1);
	mdtest.host.clock = 1001;
	assert_int_equal(expunge(all, 1, &removed), CULVER_E_TIMEOUT);
	assert_int_equal(removed, 0);
	mdtest.host.clock = 0;
	mdtest.host.call.deadline = UINT64_MAX;
	mdtest_reopen(1);
}

static void
test_expunge_is_an_error_if_it_may_not_last(void **state)
{
	uint32_t all[] = { 0, 9 }, removed;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_open(1);
	assert_int_equal(expunge(all + 1, 1, &removed), CULVER_E_TEMP);
	mdtest_hook.fail_sync = 5;
	assert_int_equal(expunge(all, 1, &removed), CULVER_E_TEMP);
	assert_int_equal(removed, 1);
	assert_non_null(strstr(mdtest.host.err.text, "sync"));
	mdtest_hook.fail_sync = 28;
	mdtest_put("new/2.b", "two\n");
	mdtest_reopen(1);
	assert_int_equal(expunge(all, 1, &removed), CULVER_E_NOSPACE);
}

/* --- the lock --------------------------------------------------------- */

static void
test_one_session_and_the_lock_ends_with_its_process(void **state)
{
	int ready[2], i;
	char c;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	for (i = 0; i < 2; i++) {
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			c = drive_open(&mdtest, EXCL) == CULVER_OK ? 'y' : 'n';
			if (write(ready[1], &c, 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		assert_int_equal(c, 'y');
		mdtest_open_fails(CULVER_E_IN_USE, "held");
		/* who only looks is not kept out */
		assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_OK);
		drive_close(&mdtest);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(ready[0]);
		mdtest_open(1);
		drive_close(&mdtest);
	}
}

/* Who held the lock before removes its file, after we locked that. */
static void
remove_lock_once(const char *name)
{
	if (strcmp(name, "culver.lock") == 0) {
		mdtest_hook.on_stat = NULL;
		mdtest_remove("culver.lock");
	}
}

static void
test_a_lock_file_that_was_removed_is_no_lock(void **state)
{
	struct drive other;

	(void)state;
	mdtest_hook.on_stat = remove_lock_once;
	mdtest_open(0);
	assert_null(mdtest_hook.on_stat);
	drive_init(&other, &storage_maildir_LTX_culver_plugin);
	drive_set(&other, "path", mdtest_path("M"));
	assert_int_equal(drive_start(&other), CULVER_OK);
	assert_int_equal(drive_open(&other, EXCL), CULVER_E_IN_USE);
	drive_stop(&other);
}

/* Another session makes the lock file just before we do. */
static struct drive first_session;

static void
open_first(const char *name)
{
	if (strcmp(name, "culver.lock") != 0)
		return;
	mdtest_hook.on_create = NULL;
	assert_int_equal(drive_open(&first_session, EXCL), CULVER_OK);
}

static void
test_who_only_looks_removes_no_lock_of_a_session(void **state)
{
	(void)state;
	drive_init(&first_session, &storage_maildir_LTX_culver_plugin);
	drive_set(&first_session, "path", mdtest_path("M"));
	assert_int_equal(drive_start(&first_session), CULVER_OK);
	mdtest_put("new/1 a", "its UIDL must be saved, under the lock\n");
	mdtest_hook.on_create = open_first;
	assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_E_TEMP);
	assert_null(mdtest_hook.on_create);
	/* the first session still keeps others out */
	mdtest_open_fails(CULVER_E_IN_USE, "held");
	drive_stop(&first_session);
}

static void
test_reading_only_leaves_nothing(void **state)
{
	uint32_t all[] = { 0 }, removed;
	char uid[71];

	(void)state;
	mdtest_put("new/1.a", "one\n");
	assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_OK);
	mdtest_fetch_is(0, "one\r\n");
	assert_int_equal(expunge(all, 1, &removed), CULVER_E_PERM);
	drive_close(&mdtest);
	assert_int_equal(mdtest_entries(mdtest_path("M")), 3);
	/* but a UIDL that was shown once stays */
	mdtest_put("new/2 b", "two\n");
	assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_OK);
	snprintf(uid, sizeof(uid), "%s", mdtest.msg[1].uid);
	drive_close(&mdtest);
	assert_int_equal(mdtest_entries(mdtest_path("M")), 4);
	assert_true(mdtest_exists(mdtest_path("M/culver-uidl")));
	mdtest_open(2);
	assert_string_equal(mdtest.msg[1].uid, uid);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_descriptor),
		T(test_order_is_that_of_arrival),
		T(test_only_regular_files_are_messages),
		T(test_a_base_name_in_both_directories_is_one_message),
		T(test_all_files_of_a_message_are_removed),
		T(test_renamed_by_another_reader),
		T(test_removed_by_another_reader),
		T(test_renamed_again_and_again_while_it_is_removed),
		T(test_size_changed_since_it_was_listed),
		T(test_replaced_by_something_else),
		T(test_a_file_that_one_listing_missed_is_not_lost),
		T(test_a_file_is_not_lost_behind_a_coarse_clock),
		T(test_a_missing_message_takes_two_listings),
		T(test_a_mailbox_that_never_rests_is_temporary),
		T(test_moved_from_new_to_cur_while_listed),
		T(test_deadline),
		T(test_expunge_is_an_error_if_it_may_not_last),
		T(test_one_session_and_the_lock_ends_with_its_process),
		T(test_a_lock_file_that_was_removed_is_no_lock),
		T(test_who_only_looks_removes_no_lock_of_a_session),
		T(test_reading_only_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
