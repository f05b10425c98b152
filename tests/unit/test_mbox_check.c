/*
 * test_mbox_check.c - check() says what is wrong with an mbox and what is
 * kept beside it, and changes nothing.
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

#define MESSAGE(who, text) FROM(who) "S: " who "\n\n" text "\n\n"
#define GOOD MESSAGE("a", "one") MESSAGE("b", "two")

/* Expect N findings, the first with WORD. */
static void
check_says(uint32_t n, const char *word)
{
	struct culver_str out[9];
	culver_status st;
	uint32_t got;
	size_t len, after;
	char *before = mbtest_slurp(mbtest_path("M"), &len), *now;

	drive_close(&mbtest);
	st = mbtest.ops->check(mbtest.store, out, 9, &got,
	    fakehost_call(&mbtest.host));
	if (st != CULVER_OK)
		fail_msg("check: %s", mbtest.host.err.text);
	if (got != n)
		fail_msg("%u findings, like %s", got, got > 0 ? out[0].p : "");
	if (n > 0 && strstr(out[0].p, word) == NULL)
		fail_msg("no '%s' in: %s", word, out[0].p);
	now = mbtest_slurp(mbtest_path("M"), &after);
	assert_int_equal(after, len);
	assert_memory_equal(now, before, len);
	free(now);
	free(before);
}

static void
test_nothing_is_wrong(void **state)
{
	(void)state;
	mbtest_put("");
	check_says(0, "");
	mbtest_put(GOOD);
	check_says(0, "");
	mbtest_open(2);
	check_says(0, "");
	mbtest_open(2);
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	check_says(0, "");
	assert_int_equal(drive_deliver(&mbtest, "S: x\r\n\r\nx\r\n", 11, 11,
	    NULL), CULVER_OK);
	check_says(0, "");
}

static void
test_the_file(void **state)
{
	static const struct {
		const char *text, *says;
	} t[] = {
		{ "no From_ line\n", "is no mbox" },
		{ "\n\nnor here\n", "offset 2" },
		{ GOOD "cut", "middle of a line" },
		{ FROM("a") "Content-Length: 4\n\none\n\n"
		    FROM("b") "Content-Length: 400\n\ntwo\n\n"
		    FROM("c") "Content-Length: 2\n\nthree\n\n",
		    "Content-Length of 2 messages" },
	};
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		mbtest_put(t[i].text);
		check_says(1, t[i].says);
	}
	mbtest_put(GOOD);
	fd = open(mbtest_path("M"), O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "\0\0\0", 3), 3);
	close(fd);
	drive_close(&mbtest);
	check_says(1, "3 zero bytes");
}

static void
test_what_is_beside_it(void **state)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 },
	    { .tv_sec = 1000000000 } };

	(void)state;
	mbtest_put(GOOD);
	mbtest_open(2);
	drive_close(&mbtest);
	mbtest_spill(mbtest_path("I/culver-journal"), "junk", 4);
	check_says(1, "a damaged journal");
	assert_true(mbtest_exists(mbtest_path("I/culver-journal")));
	mbtest_reopen(2);		/* sets it aside */
	check_says(1, "culver-journal.old");
	remove(mbtest_path("I/culver-journal.old"));
	mbtest_spill(mbtest_path("M.lock"), "1\n", 2);
	check_says(0, "");
	assert_int_equal(utimensat(AT_FDCWD, mbtest_path("M.lock"), old, 0),
	    0);
	check_says(1, "seconds old");
	remove(mbtest_path("M.lock"));
	mbtest_spill(mbtest_path("I/culver-uidl"), "junk", 4);
	check_says(1, "culver-uidl is damaged");
}

/* A cache that lies while stamps say that nothing changed. */
static void
test_the_cache(void **state)
{
	struct timespec times[2];
	struct stat st;
	struct mb_cache cache;
	struct mb_snap snap;
	struct plug_index ix = { .path = "I" };
	struct culver_call *call;

	(void)state;
	mbtest_put(GOOD);
	mbtest_open(2);
	drive_close(&mbtest);
	assert_int_equal(stat(mbtest_path("M"), &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	mbtest_put(MESSAGE("a", "ONE") MESSAGE("b", "two"));
	assert_int_equal(utimensat(AT_FDCWD, mbtest_path("M"), times, 0), 0);
	check_says(0, "");		/* its ctime shows that it changed */
	ix.fd = open(mbtest_path("I"), O_RDONLY | O_DIRECTORY);
	call = fakehost_call(&mbtest.host);
	mb_cache_load(mbtest.store, &ix, &cache, call);
	assert_int_equal(cache.list.n, 2);
	assert_int_equal(stat(mbtest_path("M"), &st), 0);
	snap = cache.snap;
	plug_stamp_set(&snap.file, &st);
	mb_cache_save(mbtest.store, &ix, &cache.list, &snap);
	mb_list_free(&cache.list);
	close(ix.fd);
	check_says(1, "culver-cache does not say");
}

#define T(name) cmocka_unit_test_setup_teardown(name, mbtest_setup, \
    mbtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_is_wrong), T(test_the_file),
		T(test_what_is_beside_it), T(test_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
