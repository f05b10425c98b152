/*
 * test_sqlite_file.c - the files of the SQLite plugin: absent databases, the
 * lock of a session, locks of other programs, space that is given back.
 */
#include "config.h"

#include "tests/unit/sqtest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>
#include <sqlite3.h>

static void
touch(const char *name, const char *text)
{
	FILE *f = fopen(sqtest_path(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
an_absent_database_is_no_empty_mailbox(void **state)
{
	(void)state;
	sqtest_restart("create", "no", NULL);
	sqtest_open_fails(CULVER_E_TEMP, "m.db");
	assert_int_equal(drive_deliver(&sqtest, "x", 1, 1, NULL),
	    CULVER_E_TEMP);
	assert_false(sqtest_exists("m.db"));
	assert_false(sqtest_exists("m.db.lock"));
}

static void
a_new_database_is_whole_at_once(void **state)
{
	struct stat st;

	(void)state;
	sqtest_open(0);
	assert_int_equal(stat(sqtest_path("m.db"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	sqtest_stop();
	/* nothing else stays but the lock file */
	assert_int_equal(unlink(sqtest_path("m.db.lock")), 0);
	assert_int_equal(unlink(sqtest_path("m.db")), 0);
	assert_int_equal(rmdir(sqtest_dir), 0);
	assert_int_equal(mkdir(sqtest_dir, 0700), 0);
}

static void
a_database_that_was_there_is_not_made_anew(void **state)
{
	static const char *const left[] = { "m.db.lock", "m.db-wal",
	    "m.db-journal" };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		touch(left[i], "");
		sqtest_open_fails(CULVER_E_TEMP, left[i]);
		assert_false(sqtest_exists("m.db"));
		unlink(sqtest_path(left[i]));
	}
	sqtest_open(0);
	drive_close(&sqtest);
	unlink(sqtest_path("m.db"));
	sqtest_open_fails(CULVER_E_TEMP, "but there was one");
}

static void
its_directory_is_made_in_one_of_the_users(void **state)
{
	(void)state;
	assert_int_equal(sqtest_restart("path", sqtest_path("a/m.db"), NULL),
	    CULVER_OK);
	sqtest_open(0);
	assert_true(sqtest_exists("a/m.db"));
	sqtest_stop();
	assert_int_equal(sqtest_restart("path", sqtest_path("b/c/m.db"),
	    NULL), CULVER_E_TEMP);
	assert_false(sqtest_exists("b"));
	/* one of another user, as a bare mount point would be */
	sqtest.ops->destroy(sqtest.store);
	sqtest.store = NULL;
	sqtest.user.uid++;
	drive_set(&sqtest, "path", sqtest_path("d/m.db"));
	assert_int_equal(drive_start(&sqtest), CULVER_E_TEMP);
	assert_false(sqtest_exists("d"));
	sqtest.ops->destroy(sqtest.store);
	sqtest.store = NULL;
	drive_set(&sqtest, "path", sqtest_path("m.db"));
	assert_int_equal(drive_start(&sqtest), CULVER_OK);
	sqtest_open_fails(CULVER_E_TEMP, "not a directory of uid");
}

static void
paths_that_are_none(void **state)
{
	static const char *const bad[] = { "m.db", "", "/", "/tmp/" };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(sqtest_restart("path", bad[i], NULL),
		    CULVER_E_PERM);
}

static void
links_lead_to_the_directory_only(void **state)
{
	(void)state;
	mkdir(sqtest_path("real"), 0700);
	assert_int_equal(symlink("real", sqtest_path("link")), 0);
	sqtest_restart("path", sqtest_path("link/m.db"), NULL);
	sqtest_open(0);
	drive_close(&sqtest);
	assert_true(sqtest_exists("real/m.db"));
	rename(sqtest_path("real/m.db"), sqtest_path("real/other.db"));
	assert_int_equal(symlink("other.db", sqtest_path("real/m.db")), 0);
	sqtest_open_fails(CULVER_E_PERM, "regular file");
	unlink(sqtest_path("real/m.db"));
	mkdir(sqtest_path("real/m.db"), 0700);
	sqtest_open_fails(CULVER_E_PERM, "regular file");
}

static void
one_session_a_mailbox(void **state)
{
	struct culver_mailbox *mb;

	(void)state;
	sqtest_deliver("1\r\n");
	assert_int_equal(drive_open(&sqtest, RDONLY), CULVER_OK);
	assert_false(sqtest_exists("m.db.lock"));
	assert_int_equal(sqtest.ops->open(sqtest.store, EXCL, &mb,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	drive_close(&sqtest);
	assert_int_equal(drive_open(&sqtest, EXCL), CULVER_E_IN_USE);
	/* deliveries and readers are not kept out */
	sqtest_deliver("2\r\n");
	drive_close(&sqtest);
	assert_int_equal(drive_open(&sqtest, RDONLY), CULVER_OK);
	assert_int_equal(sqtest.n, 2);
	sqtest.ops->close(mb);
	sqtest_reopen(2);
}

static void
a_lock_of_another_program_is_waited_for_and_temporary(void **state)
{
	sqlite3 *other;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_open(1);
	assert_int_equal(sqlite3_open(sqtest_path("m.db"), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL,
	    NULL), SQLITE_OK);
	sqtest_fetch_is(0, "1\r\n");	/* readers go on */
	assert_int_equal(sqtest_expunge(1, 0), CULVER_E_TEMP);
	assert_non_null(strstr(sqtest.host.err.text, "another program"));
	assert_int_equal(drive_deliver(&sqtest, "x", 1, 1, NULL),
	    CULVER_E_TEMP);
	sqlite3_close(other);
	sqtest_reopen(1);
	assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
}

static void
a_database_that_is_locked_whole_is_temporary(void **state)
{
	sqlite3 *other;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_stop();
	assert_int_equal(sqlite3_open(sqtest_path("m.db"), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "PRAGMA locking_mode=EXCLUSIVE;"
	    "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	sqtest_restart(NULL);
	sqtest_open_fails(CULVER_E_TEMP, "another program");
	sqlite3_close(other);
	sqtest_reopen(1);
}

static void
a_database_that_was_replaced_is_not_written(void **state)
{
	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_open(1);
	rename(sqtest_path("m.db"), sqtest_path("old.db"));
	touch("m.db", "another file");
	assert_int_equal(sqtest_expunge(1, 0), CULVER_E_STALE);
	assert_int_equal(drive_deliver(&sqtest, "x", 1, 1, NULL),
	    CULVER_E_STALE);
	rename(sqtest_path("old.db"), sqtest_path("m.db"));
	sqtest_reopen(1);
	assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
}

static void
a_listing_makes_no_files(void **state)
{
	(void)state;
	sqtest_restart("path", sqtest_path("a ?#%41 b.db"), NULL);
	sqtest_deliver("1\r\n");
	sqtest_stop();
	sqtest_restart("path", sqtest_path("a ?#%41 b.db"), NULL);
	sqtest_open(1);
	assert_false(sqtest_exists("a ?#%41 b.db-shm"));
	assert_false(sqtest_exists("a ?#%41 b.db-wal"));
	/* whoever wants to write may */
	sqtest_fetch_is(0, "1\r\n");
	assert_true(sqtest_exists("a ?#%41 b.db-shm"));
}

static void
a_listing_beside_another_program(void **state)
{
	sqlite3 *other;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_stop();
	assert_int_equal(sqlite3_open(sqtest_path("m.db"), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "PRAGMA wal_autocheckpoint=0;"
	    "INSERT INTO chunk(data) VALUES(x'0a');INSERT INTO message VALUES"
	    "(last_insert_rowid(),'written',1,0,1,0)", NULL, NULL, NULL),
	    SQLITE_OK);
	sqtest_restart(NULL);
	sqtest_open(2);		/* one is in the log only */
	assert_string_equal(sqtest.msg[1].uid, "written");
	sqlite3_close(other);
	sqtest_reopen(2);
}

static void
a_log_of_one_who_died_is_read(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_stop();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sqtest_restart(NULL);
		sqtest_deliver("2\r\n");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(sqtest_size("m.db-wal") > 0);
	sqtest_restart(NULL);
	sqtest_open(2);
	sqtest_fetch_is(1, "2\r\n");
}

static culver_status
keepalive(void)
{
	return sqtest.ops->keepalive(sqtest.mb, fakehost_call(&sqtest.host));
}

static void
nothing_is_open_while_the_client_is_silent(void **state)
{
	struct culver_content *c;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_deliver("2\r\n");
	sqtest_open(2);
	sqtest_fetch_is(1, "2\r\n");
	assert_true(sqtest_exists("m.db-shm"));
	/* not amid a message */
	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &c,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	assert_int_equal(keepalive(), CULVER_OK);
	assert_true(sqtest_exists("m.db-shm"));
	sqtest.ops->done(c);
	assert_int_equal(keepalive(), CULVER_OK);
	assert_false(sqtest_exists("m.db-shm"));
	assert_false(sqtest_exists("m.db-wal"));
	assert_int_equal(keepalive(), CULVER_OK);
	/* but the mailbox is ours still */
	sqtest_deliver("3\r\n");
	sqtest_fetch_is(0, "1\r\n");
	assert_int_equal(keepalive(), CULVER_OK);
	assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
	sqtest_reopen(2);
	sqtest_fetch_is(0, "2\r\n");
	sqtest_fetch_is(1, "3\r\n");
}

static void
another_database_after_a_silence_is_stale(void **state)
{
	struct culver_content *c;
	char sql[256];

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_open(1);
	assert_int_equal(keepalive(), CULVER_OK);
	snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", sqtest_path("copy.db"));
	sqtest_sql(sql);
	rename(sqtest_path("m.db"), sqtest_path("old.db"));
	rename(sqtest_path("copy.db"), sqtest_path("m.db"));
	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &c,
	    fakehost_call(&sqtest.host)), CULVER_E_STALE);
	assert_int_equal(sqtest_expunge(1, 0), CULVER_E_STALE);
	sqtest_reopen(1);	/* a new session may */
	assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
}

static void
no_log_where_machines_share_files(void **state)
{
	(void)state;
	sqtest_magic = NFS_SUPER_MAGIC;
	sqtest_deliver("1\r\n");
	sqtest_open(1);
	assert_false(sqtest_exists("m.db-shm"));
	assert_false(sqtest_exists("m.db-wal"));
	assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
	assert_false(sqtest_exists("m.db-shm"));
	/* one that was made elsewhere is changed over, and back again */
	sqtest_magic = 0;
	sqtest_restart(NULL);
	sqtest_deliver("2\r\n");
	assert_true(sqtest_exists("m.db-wal"));
	sqtest_open(1);
	sqtest_magic = NFS_SUPER_MAGIC;
	sqtest_restart(NULL);
	sqtest_open(1);
	assert_false(sqtest_exists("m.db-shm"));
	sqtest_fetch_is(0, "2\r\n");
	assert_int_equal(sqtest_number("SELECT count(*) FROM message"), 1);
}

/* Is TEXT anywhere in the file? */
static bool
holds(const char *name, const char *text)
{
	static char buf[1 << 20];
	FILE *f = fopen(sqtest_path(name), "r");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	return memmem(buf, n, text, strlen(text)) != NULL;
}

static void
secure_delete_leaves_no_trace(void **state)
{
	static const char *const how[] = { "no", "yes" };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		sqtest_restart("vacuum", "no", "secure_delete", how[i], NULL);
		sqtest_deliver("Subject: very secret\r\n");
		sqtest_deliver("Subject: kept\r\n");
		sqtest_open(2);
		assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
		sqtest_stop();
		assert_int_equal(holds("m.db", "very secret"), i == 0);
		assert_true(holds("m.db", "kept"));
		unlink(sqtest_path("m.db"));
		unlink(sqtest_path("m.db.lock"));
	}
}

static void
space_is_given_back(void **state)
{
	static const char *const how[] = { "no", "incremental", "full" };
	static char big[2000000];
	long size[3];
	int i;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (i = 0; i < 3; i++) {
		sqtest_restart("vacuum", how[i], NULL);
		sqtest_deliver("1\r\n");
		assert_int_equal(drive_deliver(&sqtest, big, sizeof(big),
		    50000, NULL), CULVER_OK);
		sqtest_open(2);
		assert_int_equal(sqtest_expunge(1, 1), CULVER_OK);
		sqtest_stop();
		size[i] = sqtest_size("m.db");
		assert_int_equal(sqtest_number("SELECT count(*) FROM message"),
		    1);
		unlink(sqtest_path("m.db"));
		unlink(sqtest_path("m.db.lock"));
	}
	assert_true(size[0] > 2000000);
	assert_true(size[1] < 200000);
	assert_true(size[2] < 200000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sqtest_setup, sqtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_absent_database_is_no_empty_mailbox),
		T(a_new_database_is_whole_at_once),
		T(a_database_that_was_there_is_not_made_anew),
		T(its_directory_is_made_in_one_of_the_users),
		T(paths_that_are_none), T(links_lead_to_the_directory_only),
		T(one_session_a_mailbox),
		T(a_lock_of_another_program_is_waited_for_and_temporary),
		T(a_database_that_is_locked_whole_is_temporary),
		T(a_database_that_was_replaced_is_not_written),
		T(a_listing_makes_no_files),
		T(a_listing_beside_another_program),
		T(a_log_of_one_who_died_is_read),
		T(nothing_is_open_while_the_client_is_silent),
		T(another_database_after_a_silence_is_stale),
		T(no_log_where_machines_share_files),
		T(secure_delete_leaves_no_trace), T(space_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
