/*
 * test_coord_slow.c - passwords that take long to check: the auth coordinator
 * keeps one process of a section for everything else.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>

#include "tests/unit/coordkit.h"

enum { CAPS = CULVER_AU_VERIFY | CULVER_AU_USER | CULVER_AU_QUICK };

static int gate, pool[3];

static void
start(int pools)
{
	section(0, "file", CAPS);
	gate = add_gate(1);
	for (int i = 0; i < 3; i++)
		pool[i] = i < pools ? add_pool(0) : -1;
}

static void
stop(void)
{
	close(gate);
	for (int i = 0; i < 3; i++)
		if (pool[i] >= 0)
			close(pool[i]);
}

/* The process that has been asked something; -1: none. */
static int
who(void)
{
	struct pollfd p = {.events = POLLIN};

	pump();
	for (int i = 0; i < 3; i++) {
		p.fd = pool[i];
		if (pool[i] >= 0 && poll(&p, 1, 0) > 0)
			return pool[i];
	}
	return -1;
}

/* Some process is asked about USER, and if QUICK, for a quick answer. */
static int
is_asked(const char *user, _Bool quick, uint64_t *id)
{
	int fd = who();

	assert_true(fd >= 0);
	*id = asked(fd);
	assert_string_equal(in.m.pool_login.user, user);
	assert_int_equal((in.m.pool_login.flags & IPC_QUICK) != 0, quick);
	return fd;
}

static void
say(int fd, uint64_t id, culver_status verify)
{
	struct ipc_pool_answer a = good_answer(id);

	a.verify = (uint32_t)verify;
	answer(fd, &a);
}

/* Two of three processes check slow passwords, the third nothing of the kind:
 * it answers who is quick, and for lookups. */
static void
test_one_process_is_left(void **state)
{
	uint64_t id[5];
	int fd[5], lmtp;
	struct ipc_auth_user rcpt = {.serial = 1, .user = "carl",
	    .remote = ""};

	(void)state;
	start(3);
	begin(gate, 1, "anna", "a");
	begin(gate, 2, "bert", "b");
	fd[1] = is_asked("anna", 0, &id[1]);
	fd[2] = is_asked("bert", 0, &id[2]);
	begin(gate, 3, "dora", "d");
	fd[3] = is_asked("dora", 1, &id[3]);
	assert_true(fd[3] != fd[1] && fd[3] != fd[2]);
	say(fd[3], id[3], CULVER_E_UNSUPPORTED);
	assert_int_equal(who(), -1);
	begin(gate, 4, "emil", "e");
	assert_int_equal(is_asked("emil", 1, &id[4]), fd[3]);
	say(fd[3], id[4], CULVER_OK);
	expect_yes(gate, 4);
	lmtp = add_lmtp(2);
	assert_int_equal(ipc_send(lmtp, IPC_AUTH_USER, &rcpt, NULL, 0),
	    CULVER_OK);
	assert_int_equal(is_asked("carl", 0, &id[0]), fd[3]);
	assert_int_equal(in.m.pool_login.want, IPC_WANT_USER);
	say(fd[3], id[0], 0);
	expect(lmtp, R_LMTP, IPC_AUTH_FOUND);
	/* who waited gets the first process that has time */
	say(fd[2], id[2], CULVER_OK);
	expect_yes(gate, 2);
	fd[3] = is_asked("dora", 0, &id[3]);
	say(fd[3], id[3], CULVER_OK);
	expect_yes(gate, 3);
	say(fd[1], id[1], CULVER_OK);
	expect_yes(gate, 1);
	close(lmtp);
	stop();
}

/* A section with one process has none to keep. */
static void
test_only_one_process(void **state)
{
	uint64_t id;

	(void)state;
	start(1);
	begin(gate, 1, "anna", "a");
	begin(gate, 2, "bert", "b");
	is_asked("anna", 0, &id);
	assert_int_equal(who(), -1);
	say(pool[0], id, CULVER_OK);
	expect_yes(gate, 1);
	is_asked("bert", 0, &id);
	say(pool[0], id, CULVER_OK);
	expect_yes(gate, 2);
	stop();
}

/* That a guess takes long tells nothing, so it is none yet; it is verified when
 * its slot has come, as any other. */
static void
test_guesses_have_slots(void **state)
{
	uint64_t id[3], t0 = t.now;
	int fd[3];

	(void)state;
	start(2);
	begin(gate, 1, "anna", "one");
	begin(gate, 2, "anna", "two");
	fd[1] = is_asked("anna", 0, &id[1]);
	fd[2] = is_asked("anna", 1, &id[2]);
	say(fd[2], id[2], CULVER_E_UNSUPPORTED);
	assert_int_equal(who(), -1);
	say(fd[1], id[1], CULVER_E_AUTH);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	assert_int_equal(who(), -1);
	wait_until(t0 + S - 1);
	assert_int_equal(who(), -1);
	wait_until(t0 + S);
	fd[2] = is_asked("anna", 0, &id[2]);
	say(fd[2], id[2], CULVER_E_AUTH);
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH), t0 + 3 * S);
	stop();
}

/* Who asks the same as one whom a process gave back shares its answer. */
static void
test_who_follows(void **state)
{
	uint64_t id[5];
	int fd[5];

	(void)state;
	start(3);
	begin(gate, 1, "anna", "a");
	begin(gate, 2, "bert", "b");
	fd[1] = is_asked("anna", 0, &id[1]);
	fd[2] = is_asked("bert", 0, &id[2]);
	for (uint64_t i = 3; i <= 4; i++) {
		begin(gate, i, "dora", "d");
		fd[i] = is_asked("dora", 1, &id[i]);
		say(fd[i], id[i], CULVER_E_UNSUPPORTED);
	}
	assert_int_equal(who(), -1);
	say(fd[1], id[1], CULVER_OK);
	expect_yes(gate, 1);
	fd[3] = is_asked("dora", 0, &id[3]);
	say(fd[2], id[2], CULVER_OK);
	expect_yes(gate, 2);
	assert_int_equal(who(), -1);
	say(fd[3], id[3], CULVER_OK);
	expect_yes(gate, 3);
	expect_yes(gate, 4);
	stop();
}

/* A client goes away; a process dies: the next one is asked all the same. */
static void
test_ends(void **state)
{
	uint64_t id[4];
	int fd[4];

	(void)state;
	start(2);
	begin(gate, 1, "anna", "a");
	fd[1] = is_asked("anna", 0, &id[1]);
	begin(gate, 2, "bert", "b");
	fd[2] = is_asked("bert", 1, &id[2]);
	cancel(gate, 2);
	pump();
	say(fd[2], id[2], CULVER_E_UNSUPPORTED);
	begin(gate, 3, "carl", "c");
	fd[3] = is_asked("carl", 1, &id[3]);
	say(fd[3], id[3], CULVER_E_UNSUPPORTED);
	assert_int_equal(who(), -1);
	close(fd[1]);
	pool[fd[1] == pool[0] ? 0 : 1] = -1;
	pump();
	expect_no(gate, 1, CULVER_E_TEMP);
	fd[3] = is_asked("carl", 0, &id[3]);
	say(fd[3], id[3], CULVER_OK);
	expect_yes(gate, 3);
	stop();
}

/* What a process says that was not asked to be quick is a failure. */
static void
test_not_asked_to_be_quick(void **state)
{
	uint64_t id;
	int fd;

	(void)state;
	start(2);
	begin(gate, 1, "anna", "a");
	fd = is_asked("anna", 0, &id);
	say(fd, id, CULVER_E_UNSUPPORTED);
	expect_no(gate, 1, CULVER_E_TEMP);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_process_is_left), T(test_only_one_process),
		T(test_guesses_have_slots), T(test_who_follows),
		T(test_ends), T(test_not_asked_to_be_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
