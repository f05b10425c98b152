/*
 * test_mbox_change.c - others change the file during a session and between
 * sessions; UIDLs stay, nothing else than what was deleted goes.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/storage_mbox/mbox.h"

#define A FROM("a") "S: 1\n\none\n\n"
#define B FROM("b") "S: 2\n\ntwo\n\n"
#define C FROM("c") "S: 3\n\nthree\n\n"
#define D FROM("d") "S: 4\n\nfour\n\n"

/* Others sort, mark and remove: each message is still itself. */
static void
test_uidls_stay(void **state)
{
	char a[71], b[71], c[71];

	(void)state;
	mbtest_put(A B C);
	mbtest_open(3);
	snprintf(a, 71, "%s", mbtest_uid(0));
	snprintf(b, 71, "%s", mbtest_uid(1));
	snprintf(c, 71, "%s", mbtest_uid(2));
	assert_int_equal(strlen(a), 32);
	drive_close(&mbtest);
	mbtest_put(C D FROM("a") "Status: RO\nS: 1\nX-UID: 3\nLines: 1\n\n"
	    "one\n\n\n");
	mbtest_open(3);
	assert_string_equal(mbtest_uid(0), c);
	assert_string_not_equal(mbtest_uid(1), b);
	assert_string_equal(mbtest_uid(2), a);
	drive_close(&mbtest);
	/* it was only away */
	mbtest_put(B A);
	remove(mbtest_path("I/culver-cache"));
	mbtest_open(2);
	assert_string_equal(mbtest_uid(0), b);
	assert_string_equal(mbtest_uid(1), a);
}

/* An unchanged file is not read; one that grew is read from its end. */
static void
test_reads_only_what_is_new(void **state)
{
	size_t n;
	char *big = mbtest_big(2 * MB_CHUNK, &n);

	(void)state;
	mbtest_put(big);
	free(big);
	mbtest_append("\n\n" A);
	mbtest_open(2);
	mbtest_hook.bytes = 0;
	mbtest_reopen(2);
	assert_int_equal(mbtest_hook.bytes, 0);
	drive_close(&mbtest);
	mbtest_append(B);
	mbtest_hook.bytes = 0;
	mbtest_open(3);
	assert_true(mbtest_hook.bytes < MB_CHUNK / 2);
	mbtest_fetch_is(2, "S: 2\r\n\r\ntwo\r\n");
	/* time stamps that are too young prove nothing */
	mbtest_hook.ahead = 0;
	drive_close(&mbtest);
	mbtest_append(C);
	mbtest_open(4);
	mbtest_hook.bytes = 0;
	mbtest_reopen(4);
	assert_true(mbtest_hook.bytes > 2 * MB_CHUNK);
}

/* Between listing and reading. */
static void
test_during_a_session(void **state)
{
	(void)state;
	mbtest_put(A B C);
	mbtest_open(3);
	/* the first one goes, flags come, mail arrives */
	mbtest_put(FROM("b") "S: 2\nStatus: O\n\ntwo\n\n" C D);
	mbtest_fetch_is(1, "S: 2\r\n\r\ntwo\r\n");
	mbtest_fetch_is(2, "S: 3\r\n\r\nthree\r\n");
	mbtest_fetch_fails(0, CULVER_E_GONE);
	/* as many bytes, at the same place, and others */
	mbtest_put(FROM("b") "S: 2\nStatus: O\n\nTWO\n\n" C D);
	mbtest_fetch_fails(1, CULVER_E_GONE);
	mbtest_fetch_is(2, "S: 3\r\n\r\nthree\r\n");
	assert_int_equal(mbtest_expunge(3, 0, 1, 2), CULVER_OK);
	mbtest_is(FROM("b") "S: 2\nStatus: O\n\nTWO\n\n" D);
	unlink(mbtest_path("M"));
	mbtest_fetch_fails(2, CULVER_E_GONE);
}

/* A message that is cut while it is sent never ends well. */
static void
test_while_it_is_sent(void **state)
{
	size_t len;
	char *big = mbtest_big(3 * MB_CHUNK, &len);
	struct culver_content *c;
	struct culver_extent e;
	culver_status st;
	uint32_t n;

	(void)state;
	mbtest_spill(mbtest_path("M"), big, len);
	mbtest_open(1);
	assert_int_equal(mbtest.ops->read(mbtest.mb, 0, &c,
	    fakehost_call(&mbtest.host)), CULVER_OK);
	assert_int_equal(mbtest.ops->next(c, &e, 1, &n,
	    fakehost_call(&mbtest.host)), CULVER_OK);
	big[2 * MB_CHUNK] ^= 1;
	mbtest_spill(mbtest_path("M"), big, len);
	free(big);
	do
		st = mbtest.ops->next(c, &e, 1, &n,
		    fakehost_call(&mbtest.host));
	while (st == CULVER_OK);
	assert_int_equal(st, CULVER_E_STALE);
	mbtest.ops->done(c);
}

static void
test_expunge(void **state)
{
	(void)state;
	mbtest_put(A B C D);
	mbtest_open(4);
	mbtest_append(FROM("e") "S: 5\n\nfive\n\n");
	assert_int_equal(mbtest_expunge(2, 1, 3), CULVER_OK);
	mbtest_is(A C FROM("e") "S: 5\n\nfive\n\n");
	mbtest_reopen(3);
	assert_int_equal(mbtest_expunge(3, 0, 1, 2), CULVER_OK);
	mbtest_is("");
	mbtest_reopen(0);
	assert_false(mbtest_exists(mbtest_path("I/culver-journal")));
	assert_false(mbtest_exists(mbtest_path("M.lock")));
}

/* UIDs of other programs stay valid when the first message goes. */
static void
test_imapbase_moves(void **state)
{
	(void)state;
	mbtest_put(FROM("a") "S: 1\nX-IMAPbase: 1006789012 0000000002\n"
	    "X-UID: 1\n\none\n\n" FROM("b") "S: 2\nX-UID: 2\n\ntwo\n\n");
	mbtest_open(2);
	assert_string_equal(mbtest_uid(0), "000000013c026194");
	assert_string_equal(mbtest_uid(1), "000000023c026194");
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	mbtest_is(FROM("b") "X-IMAPbase: 1006789012 0000000002\n"
	    "S: 2\nX-UID: 2\n\ntwo\n\n");
	mbtest_reopen(1);
	assert_string_equal(mbtest_uid(0), "000000023c026194");
	mbtest_fetch_is(0, "S: 2\r\n\r\ntwo\r\n");
}

/* A full disk: nothing is lost, and who deletes all gets room. */
static void
test_disk_full(void **state)
{
	unsigned n, failed = 0;
	bool ok;

	(void)state;
	for (n = 1; n < 30; n++) {
		drive_close(&mbtest);
		mbtest_put(A B C);
		mbtest_open(3);
		mbtest_hook.fail_write = n;
		mbtest_hook.write_errno = ENOSPC;
		ok = mbtest_expunge(1, 1) == CULVER_OK;
		mbtest_hook.fail_write = 0;
		if (!ok) {
			failed++;
			mbtest_is(A B C);
		}
		mbtest_reopen(ok ? 2 : 3);
	}
	assert_true(failed > 2);
	/* no byte may be written, and all go */
	drive_close(&mbtest);
	mbtest_put(A B C);
	mbtest_open(3);
	mbtest_hook.fail_write = 2;
	assert_int_equal(mbtest_expunge(2, 1, 2), CULVER_OK);
	mbtest_hook.fail_write = 0;
	mbtest_is(A);
}

/* The journal of a crash, and what others did since. */
static void
test_replay(void **state)
{
	static const char *const since[] = {
		/* as it was; with mail behind it; shorter; another file */
		A B C, A B C D, A B, A C D
	};
	static const char *const after[] = { A C, A C D, A B, A C D };
	size_t i, n;
	char *journal;

	(void)state;
	mbtest_put(A B C);
	mbtest_open(3);
	/* the bytes are written, then the mbox cannot be */
	mbtest_hook.fail_sync = 5;
	for (i = 2; i < 12; i++) {
		mbtest_hook.fail_sync = (unsigned)i;
		if (mbtest_expunge(1, 1) == CULVER_OK)
			break;
		mbtest_is(A B C);
	}
	mbtest_hook.fail_sync = 0;
	assert_true(mbtest_exists(mbtest_path("I/culver-journal")));
	journal = mbtest_slurp(mbtest_path("I/culver-journal"), &n);
	for (i = 0; i < 4; i++) {
		drive_close(&mbtest);
		mbtest_put(since[i]);
		mbtest_spill(mbtest_path("I/culver-journal"), journal, n);
		remove(mbtest_path("I/culver-journal.old"));
		mbtest_open(strlen(after[i]) == strlen(A C D) ? 3 : 2);
		mbtest_is(after[i]);
		assert_false(mbtest_exists(mbtest_path("I/culver-journal")));
		assert_int_equal(mbtest_exists(
		    mbtest_path("I/culver-journal.old")), i == 2);
	}
	free(journal);
}

/* Damage of our own files. */
static void
test_damage(void **state)
{
	size_t n;
	char *buf;

	(void)state;
	mbtest_put(A B);
	mbtest_open(2);
	drive_close(&mbtest);
	buf = mbtest_slurp(mbtest_path("I/culver-cache"), &n);
	buf[n / 2] ^= 1;
	mbtest_spill(mbtest_path("I/culver-cache"), buf, n);
	free(buf);
	mbtest_open(2);
	drive_close(&mbtest);
	buf = mbtest_slurp(mbtest_path("I/culver-uidl"), &n);
	buf[n / 2] ^= 1;
	mbtest_spill(mbtest_path("I/culver-uidl"), buf, n);
	free(buf);
	remove(mbtest_path("I/culver-cache"));
	mbtest_open_fails(CULVER_E_CORRUPT, "culver-uidl");
	remove(mbtest_path("I/culver-uidl"));
	mbtest_open(2);
	drive_close(&mbtest);
	unlink(mbtest_path("M"));
	mbtest_open_fails(CULVER_E_TEMP, "cannot open");
}

/* Somebody holds a dotlock; a dead Culver's is no lock. */
static void
test_dotlock(void **state)
{
	(void)state;
	mbtest_put(A);
	mbtest_spill(mbtest_path("M.lock"), "1\nculver\n", 9);
	mbtest_open(1);
	assert_false(mbtest_exists(mbtest_path("M.lock")));
	mbtest_append(B);
	mbtest_spill(mbtest_path("M.lock"), "1\n", 2);
	mbtest.host.call.deadline = mbtest.host.host.now(&mbtest.host.host) +
	    100000000;
	drive_close(&mbtest);
	assert_int_equal(drive_open(&mbtest, EXCL), CULVER_E_TIMEOUT);
	mbtest.host.call.deadline = UINT64_MAX;
	assert_true(mbtest_exists(mbtest_path("M.lock")));
	mbtest_hook.ahead = 400;
	mbtest_open(2);
}

static bool
locked_by_us(void)
{
	struct flock fl = { .l_whence = SEEK_SET, .l_type = F_WRLCK };
	int fd = open(mbtest_path("M"), O_RDWR | O_CLOEXEC), r;

	assert_true(fd >= 0);
	r = fcntl(fd, F_OFD_GETLK, &fl);
	close(fd);
	assert_int_equal(r, 0);
	return fl.l_type != F_UNLCK;
}

/* The clock, which is looked at between two tries: a partner who has the
 * dotlock, and gives it back when he got the other lock. */
static uint64_t
partner(const struct culver_host *host)
{
	static uint64_t now;

	(void)host;
	if (now != 0 && !locked_by_us())
		unlink(mbtest_path("M.lock"));
	return ++now;
}

/* Who waits for a dotlock does not hold the kernel's lock. */
static void
test_other_order(void **state)
{
	(void)state;
	mbtest_put(A);
	mbtest_spill(mbtest_path("M.lock"), "1\n", 2);
	mbtest.host.host.now = partner;
	mbtest.host.call.deadline = 200;
	mbtest_open(1);
	mbtest.host.call.deadline = UINT64_MAX;
}

static struct {			/* a host that makes dotlocks */
	culver_status says;	/* to TAKE */
	unsigned taken, kept;
	bool held;
} locker;

static culver_status
host_dotlock(const struct culver_host *host, int32_t op,
    struct culver_call *call)
{
	(void)host;
	assert_true(locker.held == (op != CULVER_DOTLOCK_TAKE));
	if (op == CULVER_DOTLOCK_TAKE && locker.says != CULVER_OK)
		return culver_fail(call, locker.says, 0, "says the locker");
	locker.taken += op == CULVER_DOTLOCK_TAKE;
	locker.kept += op == CULVER_DOTLOCK_KEEP;
	locker.held = op != CULVER_DOTLOCK_DROP;
	return CULVER_OK;
}

/* As in a directory that only others may write to; DOTLOCK is the option. */
static void
use_locker(const char *dotlock)
{
	assert_int_equal(mbtest_restart("dotlock", dotlock, NULL), CULVER_OK);
	mbtest.host.host.dotlock = host_dotlock;
	mbtest.store->host_dots = true;
	memset(&locker, 0, sizeof(locker));
}

/* Others take a dotlock that nobody touches away, also while much is moved. */
static void
test_long_work(void **state)
{
	size_t n;
	char *big = mbtest_big(3 * MB_CHUNK, &n);

	(void)state;
	use_locker("try");
	mbtest_put(A);
	mbtest_append(big);
	mbtest_open(2);
	mbtest_hook.slow = 100;
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	assert_true(locker.kept >= 3);
	mbtest_is(big);
	free(big);
}

static void
test_host_makes_dotlocks(void **state)
{
	(void)state;
	use_locker("try");
	mbtest_put(A B);
	mbtest_open(2);
	assert_int_equal(mbtest_expunge(1, 0), CULVER_OK);
	assert_true(locker.taken >= 2 && !locker.held);
	locker.says = CULVER_E_TEMP;		/* it died */
	assert_int_equal(mbtest_expunge(1, 1), CULVER_E_TEMP);
	assert_false(locked_by_us());
	locker.says = CULVER_E_IN_USE;
	mbtest.host.call.deadline = mbtest.host.host.now(&mbtest.host.host) +
	    100000000;
	assert_int_equal(mbtest_expunge(1, 1), CULVER_E_TIMEOUT);
	mbtest.host.call.deadline = UINT64_MAX;
	locker.says = CULVER_E_PERM;
	assert_int_equal(mbtest_expunge(1, 1), CULVER_OK);
	assert_non_null(strstr(mbtest.host.log, "done without"));
	use_locker("require");
	locker.says = CULVER_E_PERM;
	mbtest_put(A);			/* to be read, and so locked */
	mbtest_open_fails(CULVER_E_PERM, "says the locker");
	assert_false(mbtest_exists(mbtest_path("M.lock")));
}

#define T(name) cmocka_unit_test_setup_teardown(name, mbtest_setup, \
	mbtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_uidls_stay), T(test_reads_only_what_is_new),
		T(test_during_a_session), T(test_while_it_is_sent),
		T(test_expunge), T(test_imapbase_moves), T(test_disk_full),
		T(test_replay), T(test_damage), T(test_dotlock),
		T(test_other_order), T(test_host_makes_dotlocks),
		T(test_long_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
