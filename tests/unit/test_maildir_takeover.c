/*
 * test_maildir_takeover.c - a Maildir that another POP3 server had: UIDLs and
 * order are that server's, and stay what they are once they were shown.
 */
#include "config.h"

#include "plugins/common/md5.h"
#include "plugins/storage_maildir/old.h"
#include "tests/unit/mdtest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
put_four(void)
{
	mdtest_put("cur/1.a:2,S", "one\n");
	mdtest_put("cur/2.b:2,", "two two\n");
	mdtest_put("new/3.c", "three\n");
	mdtest_put("new/4.d", "four\n");
}

static void
spill(const char *name, const char *text)
{
	mdtest_spill(mdtest_path("M/%s", name), text, strlen(text));
}

/* The UIDLs of all messages are these, in this order; "*" is any. */
static void
check_uids(const char *const want[])
{
	uint32_t i;

	for (i = 0; want[i] != NULL; i++) {
		assert_true(i < mdtest.n);
		if (strcmp(want[i], "*") != 0)
			assert_string_equal(mdtest.msg[i].uid, want[i]);
		assert_true(plug_uid_legal(mdtest.msg[i].uid,
		    strlen(mdtest.msg[i].uid)));
	}
	assert_int_equal(i, mdtest.n);
}

#define CHECK(...) check_uids((const char *const []){ __VA_ARGS__, NULL })

static void
forget_cache(void)
{
	drive_close(&mdtest);
	assert_int_equal(unlink(mdtest_path("M/" MD_CACHE)), 0);
}

static const char dovecot[] = "3 V11 N9\n1 :4.d\n4 :2.b\n5 P :1.a\n"
    "6 :gone\n";

/* Without the cache, with it, and when nothing changed at all. */
static void
test_dovecot_order_and_uidls(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, dovecot);
	mdtest_open(4);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
	mdtest_fetch_is(0, "four\r\n");
	mdtest_fetch_is(1, "two two\r\n");
	mdtest_fetch_is(2, "one\r\n");
	mdtest_fetch_is(3, "three\r\n");
	forget_cache();
	mdtest_open(4);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
	mdtest_hook.ahead = 10;
	mdtest_reopen(4);
	mdtest_hook.listed = 0;
	mdtest_reopen(4);
	assert_int_equal(mdtest_hook.listed, 0);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
	mdtest_fetch_is(0, "four\r\n");
	assert_non_null(strstr(mdtest.host.log,
	    "from dovecot-uidlist, which knows 3 of 4 messages\n"));
	/* sizes and removals are of the message that was meant, too */
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 1, 9,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(storetest_expunge(&mdtest, 2, 0u, 2u), CULVER_OK);
	drive_close(&mdtest);
	assert_false(mdtest_exists(mdtest_path("M/new/4.d")));
	assert_false(mdtest_exists(mdtest_path("M/cur/1.a:2,S")));
	mdtest_open(2);
	CHECK("000000040000000b", "3.c");
	assert_int_equal(mdtest.msg[0].octets, 9);
}

/* Mail that comes later is behind all that the other server showed. */
static void
test_new_mail_comes_last(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, dovecot);
	mdtest_open(4);
	drive_close(&mdtest);
	mdtest_put("new/0.early", "x\n");
	mdtest_put("new/5.late", "x\n");
	/* one whose name is a UIDL that was taken over */
	mdtest_put("new/000000010000000b", "x\n");
	mdtest_open(7);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c",
	    "0.early", "5.late", "*");
	assert_int_equal(strlen(mdtest.msg[6].uid), 32);
	mdtest_reopen(7);
	assert_int_equal(strlen(mdtest.msg[6].uid), 32);
}

/* The other server's files are read once; what they say later is too late. */
static void
test_a_file_that_changes_later_changes_nothing(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, dovecot);
	mdtest_open(4);
	drive_close(&mdtest);
	unlink(mdtest_path("M/" OLD_DOVECOT));
	spill(OLD_DOVECOT, "3 V99 N9\n1 :1.a\n2 :2.b\n3 :3.c\n4 :4.d\n");
	mdtest_put("new/5.e", "x\n");
	mdtest_open(5);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c", "5.e");
	forget_cache();
	unlink(mdtest_path("M/" OLD_DOVECOT));
	spill(OLD_DOVECOT, "garbage");
	mdtest_restart("uidl", "courier", NULL);
	mdtest_open(5);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c", "5.e");
	assert_non_null(strstr(mdtest.host.log, "too late"));
}

/* ... nor does one that appears where mail was shown without. */
static void
test_a_file_that_comes_later_changes_nothing(void **state)
{
	(void)state;
	put_four();
	mdtest_open(4);
	CHECK("1.a", "2.b", "3.c", "4.d");
	assert_non_null(strstr(mdtest.host.log, "no other server left any"));
	forget_cache();
	spill(OLD_DOVECOT, dovecot);
	mdtest_open(4);
	CHECK("1.a", "2.b", "3.c", "4.d");
	/* if culver-uidl is lost the cache knows it, too */
	drive_close(&mdtest);
	assert_int_equal(unlink(mdtest_path("M/" MD_UIDL)), 0);
	mdtest_put("new/5.e", "x\n");
	mdtest_open(5);
	CHECK("1.a", "2.b", "3.c", "4.d", "5.e");
	/* who removes both wants to begin anew */
	forget_cache();
	assert_int_equal(unlink(mdtest_path("M/" MD_UIDL)), 0);
	mdtest_open(5);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c", "5.e");
}

/* Not a session: the other server may still serve the mailbox. */
static void
test_looking_takes_nothing_over(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, dovecot);
	assert_int_equal(drive_open(&mdtest, RDONLY), CULVER_OK);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
	drive_close(&mdtest);
	assert_false(mdtest_exists(mdtest_path("M/" MD_UIDL)));
	unlink(mdtest_path("M/" OLD_DOVECOT));
	spill(OLD_DOVECOT, "3 V11 N9\n1 :4.d\n4 :2.b\n5 P :1.a\n7 :3.c\n");
	mdtest_open(4);
	CHECK("000000010000000b", "000000040000000b", "1.a",
	    "000000070000000b");
}

static void
test_it_is_on_disk_before_it_is_shown(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, dovecot);
	mdtest_hook.fail_sync = 28;
	mdtest_open_fails(CULVER_E_NOSPACE, MD_UIDL);
	mdtest_hook.fail_sync = 0;
	unlink(mdtest_path("M/" MD_UIDL));
	mdtest_open(4);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
}

/* A mailbox that nobody had needs no room on a full disk. */
static void
test_a_note_that_cannot_be_kept(void **state)
{
	(void)state;
	put_four();
	mdtest_hook.fail_sync = 28;
	mdtest_open(4);
	CHECK("1.a", "2.b", "3.c", "4.d");
	assert_non_null(strstr(mdtest.host.log, "look again"));
}

static void
test_damage_is_an_error(void **state)
{
	static const char *const bad[] = { "", "3 V1 N2\n\n",
	    "3 V11 N9\n4 :2.b\n1 :4.d\n", "9 V1 N1\n" };
	size_t i;

	(void)state;
	put_four();
	for (i = 0; i < 4; i++) {
		spill(OLD_DOVECOT, bad[i]);
		mdtest_open_fails(CULVER_E_TEMP, OLD_DOVECOT);
		assert_false(mdtest_exists(mdtest_path("M/" MD_UIDL)));
		unlink(mdtest_path("M/" OLD_DOVECOT));
	}
	assert_int_equal(mkdir(mdtest_path("M/" OLD_COURIER), 0700), 0);
	mdtest_open_fails(CULVER_E_TEMP, OLD_COURIER);
	rmdir(mdtest_path("M/" OLD_COURIER));
	assert_int_equal(symlink("/dev/zero", mdtest_path("M/" OLD_DOVECOT)),
	    0);
	mdtest_open_fails(CULVER_E_TEMP, OLD_DOVECOT);
	unlink(mdtest_path("M/" OLD_DOVECOT));
	spill(OLD_DOVECOT, "");
	assert_int_equal(truncate(mdtest_path("M/" OLD_DOVECOT),
	    (off_t)1 << 40), 0);
	mdtest_open_fails(CULVER_E_TEMP, "too large");
	/* nothing of it is looked at if the administrator says so */
	mdtest_restart("uidl", "name", NULL);
	mdtest_open(4);
	CHECK("1.a", "2.b", "3.c", "4.d");
}

/* One UIDL for several messages: with Dovecot, and of a name of another. */
static void
test_doubles(void **state)
{
	char text[400];

	(void)state;
	put_four();
	snprintf(text, sizeof(text), "3 V11 N9\n1 P1.a :4.d\n4 P1.a :2.b\n"
	    "5 P1.a-2 :1.a\n6 P%070d :5.e\n7 P%070d :6.f\n", 0, 0);
	spill(OLD_DOVECOT, text);
	mdtest_put("new/5.e", "x\n");
	mdtest_put("new/6.f", "x\n");
	mdtest_open(6);
	CHECK("1.a", "*", "1.a-2", "*", "*", "3.c");
	assert_int_equal(strlen(mdtest.msg[1].uid), 32);
	assert_int_equal(strlen(mdtest.msg[3].uid), 70);
	assert_int_equal(strlen(mdtest.msg[4].uid), 32);
	forget_cache();
	mdtest_open(6);
	CHECK("1.a", "*", "1.a-2", "*", "*", "3.c");
	drive_close(&mdtest);
	unlink(mdtest_path("M/" MD_UIDL));
	unlink(mdtest_path("M/" MD_CACHE));
	/* as Dovecot renames them; and a name is not what others had */
	unlink(mdtest_path("M/" OLD_DOVECOT));
	spill(OLD_DOVECOT, "3 V11 N9\n1 Pq :4.d\n4 Pq :2.b\n5 Pq :1.a\n"
	    "6 P6.f :5.e\n");
	mdtest_open(6);
	CHECK("q", "q-2", "q-3", "6.f", "3.c", "*");
	assert_int_equal(strlen(mdtest.msg[5].uid), 32);
}

static void
test_formats(void **state)
{
	(void)state;
	put_four();
	spill(OLD_DOVECOT, "1 11 9\n1 4.d\n4 2.b\n5 1.a\n8 3.c:2,S\n");
	mdtest_restart("uidl", "dovecot", "uidl_format", "%v.%u", NULL);
	mdtest_open(4);
	CHECK("11.1", "11.4", "11.5", "11.8");
}

static void
test_courier(void **state)
{
	(void)state;
	put_four();
	mdtest_put("cur/2.b.c:2,", "x\n");
	spill(OLD_COURIER, "/3 9 77\n1.a:2,S 5 1:77:0\n2.b.c:2, 3 2:77:0\n"
	    "2.b:2, 9 3:70:0\n3.c 0 0:0:0\n");
	mdtest_open(5);
	/* where Courier's order is not that of our names */
	CHECK("UID1-77", "UID2-77", "UID3-70", "3.c", "4.d");
	mdtest_put("new/5.e", "x\n");
	forget_cache();
	mdtest_open(6);
	CHECK("UID1-77", "UID2-77", "UID3-70", "3.c", "4.d", "5.e");
}

/* Both were there; the one that wrote last was the last one. */
static void
test_auto_takes_the_newer_file(void **state)
{
	struct timespec t[2] = { { .tv_sec = 2000 }, { .tv_sec = 2000 } };

	(void)state;
	put_four();
	spill(OLD_COURIER, "/3 9 77\n1.a:2,S 5 1:77:0\n");
	spill(OLD_DOVECOT, dovecot);
	assert_int_equal(utimensat(AT_FDCWD, mdtest_path("M/" OLD_DOVECOT), t,
	    0), 0);
	mdtest_open(4);
	CHECK("UID1-77", "2.b", "3.c", "4.d");
	assert_non_null(strstr(mdtest.host.log, "not used: " OLD_DOVECOT));
	forget_cache();
	unlink(mdtest_path("M/" MD_UIDL));
	t[1].tv_sec = 1000;
	assert_int_equal(utimensat(AT_FDCWD, mdtest_path("M/" OLD_COURIER), t,
	    0), 0);
	mdtest_open(4);
	CHECK("000000010000000b", "000000040000000b", "1.a", "3.c");
	assert_non_null(strstr(mdtest.host.log, "not used: " OLD_COURIER));
}

static void
set_times(void)
{
	static const char *const names[] = { "cur/1.a:2,S", "cur/2.b:2,",
	    "new/3.c", "new/4.d" };
	static const time_t times[] = { 500, -7, 100, 100 };
	int i;

	for (i = 0; i < 4; i++) {
		struct timespec t[2] = { { .tv_sec = times[i] },
		    { .tv_sec = times[i] } };

		assert_int_equal(utimensat(AT_FDCWD, mdtest_path("M/%s",
		    names[i]), t, 0), 0);
	}
}

static void
test_qmail_and_tpop3d_sort_by_time(void **state)
{
	(void)state;
	put_four();
	set_times();
	mdtest_restart("uidl", "qmail", NULL);
	mdtest_open(4);
	CHECK("2.b", "3.c", "4.d", "1.a");
	forget_cache();
	mdtest_put("new/0.a", "x\n");
	mdtest_open(5);
	CHECK("2.b", "3.c", "4.d", "1.a", "0.a");
	forget_cache();
	unlink(mdtest_path("M/" MD_UIDL));
	mdtest_remove("new/0.a");
	mdtest_restart("uidl", "tpop3d", NULL);
	mdtest_open(4);
	CHECK("4d17423dfce3bb2aa69549522d99884b", "*", "*", "*");
}

/* So many that their UIDLs take more memory than there was for the names. */
static void
test_uidls_of_many(void **state)
{
	const struct timespec same[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char name[32], want[PLUG_UID_MAX + 1];
	unsigned char sum[16];
	struct md5 md5;
	int i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "cur/%05d.many:2,", i);
		mdtest_put(name, "x\n");
		assert_int_equal(utimensat(AT_FDCWD, mdtest_path("M/%s",
		    name), same, 0), 0);
	}
	mdtest_restart("uidl", "tpop3d", NULL);
	mdtest_open(3000);
	for (i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%05d.many", i);
		md5_init(&md5);
		md5_add(&md5, name, strlen(name));
		md5_end(&md5, sum);
		plug_hex(sum, sizeof(sum), want);
		assert_string_equal(mdtest.msg[i].uid, want);
	}
}

/* The first session with the N-th allocation failing, or fewer there are. */
static culver_status
open_without(unsigned n)
{
	culver_status status;

	drive_close(&mdtest);
	unlink(mdtest_path("M/" MD_UIDL));
	unlink(mdtest_path("M/" MD_CACHE));
	mdtest_hook.fail_memory = n;
	status = mdtest.ops->open(mdtest.store, EXCL, &mdtest.mb,
	    fakehost_call(&mdtest.host));
	mdtest_hook.fail_memory = 0;
	if (status != CULVER_OK)
		mdtest.mb = NULL;
	return status;
}

static void
test_every_allocation_may_fail(void **state)
{
	culver_status status;
	unsigned n = 1;

	(void)state;
	put_four();
	spill(OLD_DOVECOT, "3 V11 N9\n1 Pq :4.d\n4 Pq :2.b\n5 Pq :1.a\n");
	mdtest_hook.skip_sync = true;
	while ((status = open_without(n)) == CULVER_E_NOMEM)
		n++;
	assert_int_equal(status, CULVER_OK);
	assert_true(n > 10);
	mdtest_reopen(4);
	CHECK("q", "q-2", "q-3", "3.c");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, \
    mdtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dovecot_order_and_uidls),
		TEST(test_new_mail_comes_last),
		TEST(test_a_file_that_changes_later_changes_nothing),
		TEST(test_a_file_that_comes_later_changes_nothing),
		TEST(test_looking_takes_nothing_over),
		TEST(test_it_is_on_disk_before_it_is_shown),
		TEST(test_a_note_that_cannot_be_kept),
		TEST(test_damage_is_an_error),
		TEST(test_doubles),
		TEST(test_formats),
		TEST(test_courier),
		TEST(test_auto_takes_the_newer_file),
		TEST(test_qmail_and_tpop3d_sort_by_time),
		TEST(test_uidls_of_many),
		TEST(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
