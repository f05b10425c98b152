/*
 * test_maildir_absent.c - a fault never looks like an empty mailbox, and an
 * empty mailbox never like a fault.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Keep state outside the Maildir, in I. */
static void
use_index(void)
{
	static char index[300];

	snprintf(index, sizeof(index), "%s/I", mdtest_dir);
	mkdir(index, 0700);
	assert_int_equal(mdtest_restart("index_dir", index, NULL), CULVER_OK);
}

static void
make_maildir(const char *name)
{
	assert_int_equal(mkdir(mdtest_path("%s", name), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("%s/tmp", name), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("%s/new", name), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("%s/cur", name), 0700), 0);
}

static void
move(const char *from, const char *to)
{
	assert_int_equal(rename(mdtest_path("%s", from),
	    mdtest_path("%s", to)), 0);
}

static void
test_missing_directories(void **state)
{
	static const char *const part[] = { "M/new", "M/cur", "M" };
	size_t i;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	for (i = 0; i < 3; i++) {
		move(part[i], "away");
		mdtest_open_fails(CULVER_E_TEMP, part[i]);
		assert_int_equal(mdtest.host.err.sys_errno, 2);
		/* an empty directory, as a mount point has it */
		assert_int_equal(mkdir(mdtest_path("%s", part[i]), 0700), 0);
		if (i == 2)
			mdtest_open_fails(CULVER_E_TEMP, "M/new");
		assert_int_equal(rmdir(mdtest_path("%s", part[i])), 0);
		/* no directory at all */
		mdtest_spill(mdtest_path("%s", part[i]), "x", 1);
		mdtest_open_fails(CULVER_E_TEMP, part[i]);
		assert_int_equal(unlink(mdtest_path("%s", part[i])), 0);
		move("away", part[i]);
	}
	mdtest_open(1);
}

static void
test_missing_parent(void **state)
{
	static char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/no/M", mdtest_dir);
	assert_int_equal(mdtest_restart("path", path, NULL), CULVER_OK);
	mdtest_open_fails(CULVER_E_TEMP, "no/M");
}

static void
test_missing_index_dir(void **state)
{
	(void)state;
	mdtest_put("new/1.a", "one\n");
	use_index();
	mdtest_open(1);
	drive_close(&mdtest);
	move("I", "away");
	mdtest_open_fails(CULVER_E_TEMP, "/I");
}

static void
test_unreadable(void **state)
{
	static const char *const part[] = { "M", "M/new", "M/cur" };
	const bool root = geteuid() == 0;
	culver_status st;
	size_t i;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	for (i = 0; i < 3; i++)		/* also for the user root is below */
		assert_int_equal(chmod(mdtest_path("%s", part[i]), 0755), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(chmod(mdtest_path("%s", part[i]), 0), 0);
		/* nothing is unreadable to root: be somebody for a moment */
		if (root) {
			assert_int_equal(chmod(mdtest_dir, 0755), 0);
			assert_int_equal(seteuid(65534), 0);
		}
		st = drive_open(&mdtest, RDONLY);
		if (root)
			assert_int_equal(seteuid(0), 0);
		assert_int_equal(st, CULVER_E_TEMP);
		assert_int_equal(mdtest.host.err.sys_errno, 13);
		assert_non_null(strstr(mdtest.host.err.text, part[i]));
		assert_int_equal(chmod(mdtest_path("%s", part[i]), 0755), 0);
	}
	mdtest_open(1);
}

static void
test_emptied_by_another_reader(void **state)
{
	(void)state;
	use_index();
	mdtest_put("new/1.a", "one\n");
	mdtest_put("cur/2 b:2,", "two\n");
	mdtest_open(2);
	drive_close(&mdtest);
	mdtest_remove("new/1.a");
	mdtest_remove("cur/2 b:2,");
	mdtest_open(0);
	mdtest_reopen(0);
	drive_close(&mdtest);
	assert_int_equal(unlink(mdtest_path("I/culver-cache")), 0);
	mdtest_open(0);
}

static void
test_emptied_by_ourselves(void **state)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	uint32_t all[] = { 0 };

	(void)state;
	use_index();
	mdtest_put("new/1.a", "one\n");
	mdtest_open(1);
	assert_int_equal(mdtest.ops->expunge(mdtest.mb, all, 1, &res,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_reopen(0);
	/* and an empty one may be moved to another disk */
	drive_close(&mdtest);
	move("M", "away");
	make_maildir("M");
	mdtest_open(0);
}

static void
test_another_maildir_in_its_place(void **state)
{
	(void)state;
	use_index();
	mdtest_put("new/1.a", "one\n");
	mdtest_put("cur/2.b:2,", "two\n");
	mdtest_open(2);
	drive_close(&mdtest);
	move("M", "away");
	make_maildir("M");
	mdtest_open_fails(CULVER_E_TEMP, "not mounted");
	/* mail arrives there: the old messages are still not seen */
	mdtest_put("new/3.c", "three\n");
	mdtest_open_fails(CULVER_E_TEMP, "not mounted");
	assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_E_TEMP);
	move("M", "wrong");
	move("away", "M");
	mdtest_open(2);
	drive_close(&mdtest);
	/* what the text says helps */
	move("M", "away");
	move("wrong", "M");
	assert_int_equal(unlink(mdtest_path("I/culver-cache")), 0);
	mdtest_open(1);
}

static void
test_another_maildir_and_no_cache(void **state)
{
	(void)state;
	use_index();
	mdtest_put("new/1 a", "one\n");
	mdtest_open(1);
	drive_close(&mdtest);
	assert_int_equal(unlink(mdtest_path("I/culver-cache")), 0);
	move("M", "away");
	make_maildir("M");
	mdtest_open_fails(CULVER_E_TEMP, "culver-uidl");
	move("M", "wrong");
	move("away", "M");
	mdtest_open(1);
}

static void
test_the_advice_stands_behind_a_long_path(void **state)
{
	char name[81], path[400], index[300];

	(void)state;
	memset(name, 'L', 80);
	name[80] = '\0';
	make_maildir(name);
	assert_int_equal(mkdir(mdtest_path("I"), 0700), 0);
	snprintf(path, sizeof(path), "%s/%s", mdtest_dir, name);
	snprintf(index, sizeof(index), "%s/I", mdtest_dir);
	assert_int_equal(mdtest_restart("path", path, "index_dir", index,
	    NULL), CULVER_OK);
	mdtest_spill(mdtest_path("%s/new/1.a", name), "one\n", 4);
	mdtest_open(1);
	drive_close(&mdtest);
	move(name, "away");
	make_maildir(name);
	mdtest_open_fails(CULVER_E_TEMP, "remove culver-cache");
}

static void
test_only_one_directory_replaced(void **state)
{
	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_open(1);
	drive_close(&mdtest);
	move("M/new", "away");
	assert_int_equal(mkdir(mdtest_path("M/new"), 0700), 0);
	mdtest_open_fails(CULVER_E_TEMP, "not mounted");
}

static void
test_a_whole_maildir_that_was_copied(void **state)
{
	char *cache;
	size_t n;

	(void)state;
	mdtest_put("new/1.a", "one\n");
	mdtest_open(1);
	drive_close(&mdtest);
	/* emptied by another reader, then copied with the cache in it */
	cache = mdtest_slurp(mdtest_path("M/culver-cache"), &n);
	move("M", "away");
	make_maildir("M");
	mdtest_spill(mdtest_path("M/culver-cache"), cache, n);
	free(cache);
	mdtest_open(0);
}

static void
test_restored_from_a_backup(void **state)
{
	(void)state;
	use_index();
	mdtest_put("new/1.a", "one\n");
	mdtest_put("new/2.b", "two\n");
	mdtest_open(2);
	drive_close(&mdtest);
	move("M", "away");
	make_maildir("M");
	mdtest_put("new/1.a", "one\n");
	mdtest_open(1);
}

/* --- create = yes ------------------------------------------------------- */

static void
test_create(void **state)
{
	static char path[300], index[300];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/N", mdtest_dir);
	snprintf(index, sizeof(index), "%s/X", mdtest_dir);
	assert_int_equal(mdtest_restart("path", path, "index_dir", index,
	    "create", "yes", NULL), CULVER_OK);
	mdtest_open(0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(mdtest_entries(path), 3);
	assert_int_equal(drive_deliver(&mdtest, "x\r\n", 3, 3, NULL),
	    CULVER_OK);
	/* what is there already stays as it is */
	assert_int_equal(mdtest_restart("path", path, "index_dir", index,
	    "create", "yes", NULL), CULVER_OK);
	mdtest_open(1);
}

static void
test_create_only_in_a_directory_of_the_user(void **state)
{
	static char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/no/M", mdtest_dir);
	assert_int_equal(mdtest_restart("path", path, "create", "yes", NULL),
	    CULVER_E_TEMP);
	assert_non_null(strstr(mdtest.host.err.text, "/no"));
	assert_int_equal(mkdir(mdtest_path("no"), 0700), 0);
	drive_stop(&mdtest);
	drive_init(&mdtest, &storage_maildir_LTX_culver_plugin);
	drive_set(&mdtest, "path", path);
	drive_set(&mdtest, "create", "yes");
	mdtest.user.uid = geteuid() + 1;
	assert_int_equal(drive_start(&mdtest), CULVER_E_TEMP);
	assert_non_null(strstr(mdtest.host.err.text, "not a directory of uid"));
	assert_false(mdtest_exists(path));
	assert_int_equal(mdtest_restart("path", path, "create", "yes", NULL),
	    CULVER_OK);
	mdtest_open(0);
}

static void
test_location_and_paths(void **state)
{
	static char location[300];
	struct culver_path p[4];
	uint32_t n;

	(void)state;
	make_maildir("L");
	mdtest_spill(mdtest_path("L/new/1.l"), "l\n", 2);
	snprintf(location, sizeof(location), "%s/L//", mdtest_dir);
	drive_stop(&mdtest);
	drive_init(&mdtest, &storage_maildir_LTX_culver_plugin);
	drive_set(&mdtest, "path", "/nonexistent/M");
	mdtest.user.location = location;
	assert_int_equal(drive_start(&mdtest), CULVER_OK);
	mdtest_open(1);
	assert_int_equal(mdtest.ops->paths(mdtest.store, p, 4, &n,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(n, 1);
	assert_string_equal(p[0].path, mdtest_path("L"));
	assert_int_equal(p[0].access, CULVER_PATH_READ | CULVER_PATH_WRITE |
	    CULVER_PATH_CREATE | CULVER_PATH_DIR);
	use_index();
	assert_int_equal(mdtest.ops->paths(mdtest.store, p, 1, &n,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(n, 2);
	/* a relative path would mean whatever directory we are in */
	assert_int_equal(mdtest_restart("path", "Maildir", NULL),
	    CULVER_E_PERM);
}

static uint32_t
check(struct culver_str out[5])
{
	uint32_t n = 9;

	assert_int_equal(mdtest.ops->check(mdtest.store, out, 5, &n,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	return n;
}

static void
test_check_finds_what_reading_does_not(void **state)
{
	struct culver_str out[5];

	(void)state;
	mdtest_put("new/1.a b", "no UIDL\n");
	mdtest_put("cur/2.x:2,S", "a message\n");
	mdtest_open(2);
	drive_close(&mdtest);
	assert_int_equal(check(out), 0);
	assert_int_equal(symlink("2.x:2,S", mdtest_path("M/cur/3.y")), 0);
	assert_int_equal(mkdir(mdtest_path("M/cur/4.z"), 0700), 0);
	assert_int_equal(rmdir(mdtest_path("M/tmp")), 0);
	mdtest_spill(mdtest_path("M/culver-uidl"), "rubbish", 7);
	assert_int_equal(check(out), 3);
	assert_non_null(strstr(out[0].p, "cur: 2 entries are no files"));
	assert_non_null(strstr(out[1].p, "M/tmp"));
	assert_non_null(strstr(out[2].p, "culver-uidl"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_missing_directories),
		T(test_missing_parent),
		T(test_missing_index_dir),
		T(test_unreadable),
		T(test_emptied_by_another_reader),
		T(test_emptied_by_ourselves),
		T(test_another_maildir_in_its_place),
		T(test_another_maildir_and_no_cache),
		T(test_the_advice_stands_behind_a_long_path),
		T(test_only_one_directory_replaced),
		T(test_a_whole_maildir_that_was_copied),
		T(test_restored_from_a_backup),
		T(test_create),
		T(test_create_only_in_a_directory_of_the_user),
		T(test_location_and_paths),
		T(test_check_finds_what_reading_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
