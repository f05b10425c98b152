/*
 * test_maildir_sizes.c - what the Maildir plugin believes of S= and W= in the
 * names of files, what it looks at, and what it opens before it is asked to.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugins/storage_maildir/maildir.h"

static void
test_sizes_in_names(void **state)
{
	(void)state;
	mdtest_put("new/1.a,S=4,W=6", "a\nb\n");
	mdtest_put("new/2.a,W=5", "a\nb\n");
	mdtest_put("new/3.a,W=3", "a\nb\n");	/* shorter than the file */
	mdtest_put("new/4.a,W=11", "a\nb\n");	/* longer than can be */
	mdtest_put("new/5.a,W=6x", "a\nb\n");
	mdtest_put("new/6.a,W=,S=4", "a\nb\n");
	mdtest_open(6);
	assert_int_equal(mdtest.msg[0].flags, CULVER_MSG_OCTETS_EXACT);
	assert_int_equal(mdtest.msg[0].octets, 6);
	assert_int_equal(mdtest.msg[0].stored, 4);
	assert_int_equal(mdtest.msg[1].octets, 5);
	assert_int_equal(mdtest.msg[1].flags, CULVER_MSG_OCTETS_EXACT);
	assert_int_equal(mdtest.msg[2].flags, 0);
	assert_int_equal(mdtest.msg[3].flags, 0);
	assert_int_equal(mdtest.msg[4].flags, 0);
	assert_int_equal(mdtest.msg[5].flags, 0);
	/* what was counted goes before the name, for ever */
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 1, 6,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_reopen(6);
	assert_int_equal(mdtest.msg[1].octets, 6);
	mdtest_reopen(6);
	assert_int_equal(mdtest.msg[1].octets, 6);
	drive_close(&mdtest);
	assert_int_equal(mdtest_restart("trust_sizes", "no", NULL), CULVER_OK);
	mdtest_open(6);
	assert_int_equal(mdtest.msg[0].flags, 0);
	assert_int_equal(mdtest.msg[1].flags, CULVER_MSG_OCTETS_EXACT);
	assert_int_equal(mdtest.ops->put_octets(mdtest.mb, 0, 6,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	mdtest_reopen(6);
	assert_int_equal(mdtest.msg[0].flags, CULVER_MSG_OCTETS_EXACT);
	assert_int_equal(mdtest.msg[0].octets, 6);
}

/* A message whose name says all was looked at all the same. */
static bool looked;

static void
look_for_it(const char *name)
{
	looked = looked || strchr("124", name[0]) != NULL;
}

/* S= and W= save a look at each file, until one is read. */
static void
test_names_that_say_enough(void **state)
{
	(void)state;
	mdtest_put("cur/1.a,S=4,W=5:2,S", "one\n");
	mdtest_put("cur/2.b,S=4,W=5:2,S", "two and more\n");
	mdtest_put("cur/3.c,S=900000000000000,W=900000000000000:2,", "3\n");
	mdtest_put("cur/4.d,S=5,W=6,CU=x:2,", "four\n");
	mdtest_hook.ahead = 10;
	mdtest_hook.on_stat = look_for_it;
	mdtest_open(4);
	assert_false(looked);
	assert_int_equal(mdtest.msg[1].octets, 5);
	assert_int_equal(mdtest.msg[1].stored, 4);
	assert_int_equal(mdtest.msg[2].stored, 2);
	assert_int_equal(mdtest.msg[2].flags, 0);
	mdtest_hook.listed = 0;
	mdtest_reopen(4);
	assert_false(looked);
	assert_int_equal(mdtest_hook.listed, 0);
	mdtest_fetch_is(0, "one\r\n");
	mdtest_fetch_is(1, "two and more\r\n");
	mdtest_fetch_is(2, "3\r\n");
	/* once a name was found wrong it is not believed again */
	mdtest_reopen(4);
	assert_int_equal(mdtest.msg[1].flags, 0);
	assert_int_equal(mdtest.msg[1].stored, 13);
	assert_int_equal(mdtest.msg[3].octets, 6);
}

static void
dates_are(bool wanted)
{
	struct culver_message m[4];
	struct culver_mailbox *mb;
	uint32_t n, i;

	assert_int_equal(mdtest.ops->open(mdtest.store, CULVER_OPEN_EXCLUSIVE |
	    (wanted ? CULVER_OPEN_DATES : 0u), &mb,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	assert_int_equal(mdtest.ops->list(mb, 0, m, 4, &n,
	    fakehost_call(&mdtest.host)), CULVER_OK);
	for (i = 0; i < n; i++)
		assert_int_equal(m[i].received != 0, wanted || i == 1);
	assert_int_equal(n, 2);
	mdtest.ops->close(mb);
}

static void
test_dates_of_names_that_say_enough(void **state)
{
	(void)state;
	mdtest_put("cur/1.a,S=4,W=5:2,S", "one\n");
	mdtest_put("cur/2.b:2,S", "two\n");
	mdtest_hook.ahead = 10;
	mdtest_open(2);
	drive_close(&mdtest);
	dates_are(false);
	dates_are(true);
}

enum { MANY = 120, MS = 1000000 };

static unsigned
open_files(void)
{
	return mdtest_entries("/proc/self/fd");
}

/* As with a disk that takes a millisecond for each message. */
static void
read_slowly(uint32_t i)
{
	struct culver_call *call = fakehost_call(&mdtest.host);
	char text[20], got[20];
	struct culver_content *c;
	struct culver_extent e;
	uint32_t n;

	snprintf(text, sizeof(text), "message %u\n", i);
	assert_int_equal(mdtest.ops->read(mdtest.mb, i, &c, call), CULVER_OK);
	mdtest.host.clock += MS;
	assert_int_equal(mdtest.ops->next(c, &e, 1, &n, call), CULVER_OK);
	assert_int_equal(pread(e.fd, got, sizeof(got), 0), strlen(text));
	assert_memory_equal(got, text, strlen(text));
	assert_int_equal(mdtest.ops->next(c, &e, 1, &n, call), CULVER_DONE);
	mdtest.ops->done(c);
}

static void
test_files_are_opened_before_their_turn(void **state)
{
	char text[20];
	unsigned before, open;
	uint32_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "message %u\n", i);
		mdtest_put(mdtest_name("cur/%03u.x:2,", i), text);
	}
	before = open_files();
	mdtest_open(MANY);
	mdtest.host.clock = MS;
	open = open_files();
	for (i = 0; i < 4; i++)
		read_slowly(i);
	assert_int_equal(open_files(), open);
	read_slowly(4);
	assert_int_equal(open_files(), open + MD_AHEAD);
	/* others' changes: a file that is open, and one that is not yet */
	mdtest_remove("cur/020.x:2,");
	mdtest_rename("cur/090.x:2,", "cur/090.x:2,S");
	for (i = 5; i < 95; i++)
		read_slowly(i);
	assert_true(open_files() > open);
	/* no longer one after the other */
	read_slowly(2);
	assert_int_equal(open_files(), open);
	for (i = 3; i < MANY; i++)
		if (i != 20)
			read_slowly(i);
	for (i = 95; i < 101; i++)
		read_slowly(i);
	assert_true(open_files() > open);
	drive_close(&mdtest);
	assert_int_equal(open_files(), before);
	mdtest.host.clock = 0;
}

static void
test_nothing_is_opened_early_while_reading_is_fast(void **state)
{
	unsigned open;
	uint32_t i;

	(void)state;
	for (i = 0; i < 20; i++)
		mdtest_put(mdtest_name("cur/%03u.x:2,", i), "x\n");
	mdtest_open(20);
	mdtest.host.clock = MS;
	open = open_files();
	for (i = 0; i < 20; i++) {
		mdtest_fetch_is(i, "x\r\n");
		assert_int_equal(open_files(), open);
	}
	mdtest.host.clock = 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_sizes_in_names),
		T(test_names_that_say_enough),
		T(test_dates_of_names_that_say_enough),
		T(test_files_are_opened_before_their_turn),
		T(test_nothing_is_opened_early_while_reading_is_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
