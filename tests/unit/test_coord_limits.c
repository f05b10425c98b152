/*
 * test_coord_limits.c - what the auth coordinator does with too much and with
 * too many: slots for guesses, floods, gates and pools that fail or break the
 * rules.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>

#include "tests/unit/coordkit.h"

/* --- slots --------------------------------------------------------------- */

/* Wrong passwords at once from one address: each has to wait for the one
 * before, whatever the client does with its connections. */
static void
test_slots(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	uint64_t t0 = t.now;

	(void)state;
	for (uint64_t i = 1; i <= 4; i++)
		begin(gate, i, "tim", "guess");
	verdict(pool, CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	/* the second is not verified before its slot */
	silent(pool, R_POOL);
	wait_until(t0 + S - 1);
	silent(pool, R_POOL);
	wait_until(t0 + S);
	verdict(pool, CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH), t0 + 3 * S);
	wait_until(t0 + 3 * S);
	verdict(pool, CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 3, CULVER_E_AUTH), t0 + 7 * S);
	/* a right one in its turn, at once */
	wait_until(t0 + 7 * S);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 4);
	/* meanwhile another address would not have waited long */
	begin_from(gate, 5, "tim", "right", "198.51.100.1");
	wait_until(t0 + 8 * S);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 5);
	close(gate);
	close(pool);
}

/* A section that cannot tell is not the client's failure: the next attempt
 * waits no longer for it, and earlier failures count as before. */
static void
test_server_faults(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	uint64_t t0 = t.now;

	(void)state;
	begin(gate, 1, "tim", "guess");
	verdict(pool, CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	wait_until(t0 + S);
	for (uint64_t i = 2; i <= 5; i++) {
		begin(gate, i, "tim", "right");
		verdict(pool, CULVER_E_TEMP, 0);
		assert_int_equal(expect_no(gate, i, CULVER_E_TEMP), 0);
	}
	begin(gate, 6, "tim", "guess");
	verdict(pool, CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 6, CULVER_E_AUTH), t0 + 3 * S);
	close(gate);
	close(pool);
}

/* A client that hangs up does not get its guess for nothing. */
static void
test_hang_up(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	begin(gate, 1, "tim", "guess");
	cancel(gate, 1);
	verdict(pool, CULVER_E_AUTH, 0);
	silent(gate, R_GATE);
	begin(gate, 2, "tim", "guess");
	silent(pool, R_POOL);
	/* nor does one whose gate goes */
	close(gate);
	pump();
	gate = add_gate(2);
	begin(gate, 1, "tim", "guess");
	silent(pool, R_POOL);
	wait_until(t.now + S);
	asked(pool);
	close(gate);
	close(pool);
}

static void
test_cancel_waiting(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	begin(gate, 1, "tim", "pw");
	begin(gate, 2, "tom", "pw");		/* waits for the pool */
	begin_mech(gate, 3, "PLAIN", NULL, 0);	/* waits for the client */
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	cancel(gate, 2);
	cancel(gate, 3);
	cancel(gate, 1);
	verdict(pool, CULVER_E_AUTH, 0);
	begin(gate, 4, "tim", "pw");		/* waits for its slot */
	cancel(gate, 4);
	wait_until(t.now + 60 * S);
	silent(pool, R_POOL);
	silent(gate, R_GATE);
	assert_true(TAILQ_EMPTY(&t.coord->held));
	assert_true(TAILQ_EMPTY(&t.coord->active));
	/* an answer and a cancel may cross */
	cancel(gate, 1);
	begin(gate, 5, "new", "pw");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 5);
	close(gate);
	close(pool);
}

/* One address cannot fill the list of those that wait. */
static void
test_too_many_waiting(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	unsigned refused = 0;

	(void)state;
	begin(gate, 1, "tim", "guess");
	verdict(pool, CULVER_E_AUTH, 0);
	expect_no(gate, 1, CULVER_E_AUTH);
	for (uint64_t i = 2; i < 2 + MAX_HELD_ADDR + 10; i++) {
		begin(gate, i, "tim", "guess");
		ipc_done(&in);
		if (ipc_recv(gate, &in, R_AUTH, R_GATE, P_RUN) == IPC_GOT) {
			assert_int_equal((culver_status)in.m.auth_no.status,
			    CULVER_E_TEMP);
			refused++;
		}
	}
	assert_int_equal(refused, 10);
	begin_from(gate, 1000, "tom", "pw", "198.51.100.1");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 1000);
	close(gate);
	close(pool);
}

/* Attempts in which nothing is verified reach no slot and wait for none, so
 * they must not push away the slots of the user that they name, nor those of
 * others behind the same address by more than one. */
static void
test_malformed_flood_locks_nobody_out(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	uint64_t t0 = t.now, i;

	(void)state;
	for (i = 1; i <= 100; i++) {
		/* without a password */
		begin_mech(gate, i, "PLAIN", "\0tim\0", 5);
		assert_true(expect_no(gate, i, CULVER_E_AUTH) <= t0 + 15 * S);
	}
	/* tim mistypes his, and then gets it right */
	begin_from(gate, ++i, "tim", "mistyped", "198.51.100.1");
	wait_until(t0 + 1 * S);
	verdict(pool, CULVER_E_AUTH, 0);
	expect_no(gate, i, CULVER_E_AUTH);
	begin_from(gate, ++i, "tim", "right", "198.51.100.1");
	wait_until(t0 + 5 * S);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, i);
	/* and so does a neighbour of the one that flooded */
	begin(gate, ++i, "tom", "right");
	wait_until(t0 + 20 * S);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, i);
	close(gate);
	close(pool);
}

/* Whoever was here before goes first when the pools are busy. */
static void
test_known_first(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	begin(gate, 1, "tim", "pw");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 1);
	begin_from(gate, 2, "a", "guess", "198.51.100.1");
	begin_from(gate, 3, "b", "guess", "198.51.100.2");
	begin(gate, 4, "tim", "pw");
	verdict(pool, CULVER_E_AUTH, 0);
	expect_no(gate, 2, CULVER_E_AUTH);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 4);
	verdict(pool, CULVER_E_AUTH, 0);
	expect_no(gate, 3, CULVER_E_AUTH);
	close(gate);
	close(pool);
}

static void
test_log_rate(void **state)
{
	int gate, pool;
	unsigned lines = 0;

	(void)state;
	t.conf.failure_delay = t.conf.failure_delay_max = 0;
	gate = add_gate(1);
	pool = add_pool(0);
	for (uint64_t i = 1; i <= 50; i++) {
		begin(gate, i, "tim", "pw");
		verdict(pool, CULVER_E_AUTH, 0);
		expect_no(gate, i, CULVER_E_AUTH);
	}
	for (char *p = logged; (p = strstr(p, "auth-failed")) != NULL; p++)
		lines++;
	assert_int_equal(lines, 10);
	t.now += 60 * S;
	begin(gate, 51, "tim", "pw");
	verdict(pool, CULVER_E_AUTH, 0);
	assert_non_null(strstr(logged, "not-logged=40"));
	close(gate);
	close(pool);
}

/* --- pools that fail ----------------------------------------------------- */

static void
test_pool_death(void **state)
{
	int gate = add_gate(1), first = add_pool(0), second;

	(void)state;
	begin(gate, 1, "tim", "pw");
	asked(first);
	second = add_pool(0);
	begin(gate, 2, "tom", "pw");
	begin(gate, 3, "joe", "pw");
	close(first);
	pump();
	/* told at once, and not tried on the other */
	expect_no(gate, 1, CULVER_E_TEMP);
	verdict(second, CULVER_OK, CULVER_OK);
	expect_yes(gate, 2);
	verdict(second, CULVER_OK, CULVER_OK);
	expect_yes(gate, 3);
	silent(second, R_POOL);
	/* with none at all a login waits for a while */
	close(second);
	pump();
	begin(gate, 4, "tim", "pw");
	silent(gate, R_GATE);
	first = add_pool(0);
	verdict(first, CULVER_OK, CULVER_OK);
	expect_yes(gate, 4);
	close(first);
	pump();
	begin(gate, 5, "tim", "pw");
	wait_until(t.now + 5 * S);
	expect_no(gate, 5, CULVER_E_TEMP);
	close(gate);
}

static void
test_deadline(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	struct ipc_pool_answer a;

	(void)state;
	begin(gate, 1, "tim", "pw");
	a = good_answer(asked(pool));
	begin(gate, 2, "tom", "pw");
	wait_until(t.now + 30 * S);
	expect_no(gate, 1, CULVER_E_TEMP);
	expect_no(gate, 2, CULVER_E_TEMP);
	/* what comes late is nobody's, and the pool is free again */
	answer(pool, &a);
	silent(gate, R_GATE);
	silent(t.master, R_MASTER);
	begin(gate, 3, "joe", "pw");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 3);
	close(gate);
	close(pool);
}

static void
test_bad_pool(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	struct ipc_pool_answer a = good_answer(1);

	(void)state;
	answer(pool, &a);		/* was not asked */
	closed(pool, R_POOL);
	close(pool);
	pool = add_pool(0);
	begin(gate, 1, "tim", "pw");
	a = good_answer(asked(pool) + 1);
	answer(pool, &a);		/* another login's */
	closed(pool, R_POOL);
	expect_no(gate, 1, CULVER_E_TEMP);
	silent(t.master, R_MASTER);
	close(pool);
	pool = add_pool(0);
	begin(gate, 2, "tim", "pw");
	asked(pool);
	assert_int_equal(send(pool, "garbage", 7, MSG_NOSIGNAL), 7);
	pump();
	closed(pool, R_POOL);
	expect_no(gate, 2, CULVER_E_TEMP);
	close(pool);
	/* a section that does not exist */
	pool = add_pool(9);
	closed(pool, R_POOL);
	close(pool);
	close(gate);
}

/* --- gates that misbehave ------------------------------------------------ */

enum crime { REUSE, OLD, UNKNOWN_CONT, CONT_TWICE, FUTURE_CANCEL, MECH,
	BAD_REMOTE, FOREIGN, GARBAGE, CRIMES };

static void
commit(int gate, enum crime crime)
{
	struct ipc_auth_begin b = {.serial = 10, .mech = "USER",
	    .service = "pop3", .remote = "192.0.2.9", .local = "x",
	    .data = {(const uint8_t *)"a\0b", 3}};
	struct ipc_auth_cont c = {.serial = 4, .data = {NULL, 0}};
	struct ipc_auth_cancel x = {.serial = 99};
	struct ipc_grant g = {.id = 1, .user = "root", .uid = 1000};
	uint8_t buf[512];
	size_t n;

	switch (crime) {
	case REUSE:
		b.serial = 5;
		break;
	case OLD:
		b.serial = 1;
		break;
	case UNKNOWN_CONT:
		c.serial = 99;
		ipc_send(gate, IPC_AUTH_CONT, &c, NULL, 0);
		return;
	case CONT_TWICE:	/* it waits for the pool, not for us */
		c.serial = 5;
		ipc_send(gate, IPC_AUTH_CONT, &c, NULL, 0);
		return;
	case FUTURE_CANCEL:
		ipc_send(gate, IPC_AUTH_CANCEL, &x, NULL, 0);
		return;
	case MECH:
		b.mech = "NTLM";
		break;
	case BAD_REMOTE:
		b.remote = "192.0.2.1\nx";
		break;
	case FOREIGN:
		n = ipc_encode(IPC_GRANT, &g, 0, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(send(gate, buf, n, MSG_NOSIGNAL), n);
		return;
	default:
		assert_int_equal(send(gate, "x", 1, MSG_NOSIGNAL), 1);
		return;
	}
	ipc_send(gate, IPC_AUTH_BEGIN, &b, NULL, 0);
}

static void
test_bad_gate(void **state)
{
	int good = add_gate(1), pool = add_pool(0), bad;

	(void)state;
	for (int crime = 0; crime < CRIMES; crime++) {
		begin(good, (uint64_t)crime + 1, "tim", "pw");
		bad = add_gate(100 + (uint32_t)crime);
		begin_from(bad, 5, "tom", "pw", "192.0.2.9");
		commit(bad, (enum crime)crime);
		pump();
		closed(bad, R_GATE);
		close(bad);
		/* nobody else notices; the bad gate's login is dropped */
		verdict(pool, CULVER_OK, CULVER_OK);
		expect_yes(good, (uint64_t)crime + 1);
		silent(pool, R_POOL);
	}
	close(good);
	close(pool);
}

/* Serials are each gate's own. */
static void
test_two_gates(void **state)
{
	int a = add_gate(1), b = add_gate(2), pool = add_pool(0);

	(void)state;
	begin(a, 1, "tim", "pw");
	begin(b, 1, "tom", "pw");
	asked(pool);
	close(a);
	pump();
	{
		struct ipc_pool_answer x = good_answer(in.m.pool_login.id);

		answer(pool, &x);
	}
	silent(t.master, R_MASTER);	/* nobody is there to use it */
	verdict(pool, CULVER_OK, CULVER_OK);
	expect(t.master, R_MASTER, IPC_GRANT);
	assert_int_equal(in.m.grant.gate, 2);
	assert_string_equal(in.m.grant.user, "tom");
	expect(b, R_GATE, IPC_AUTH_YES);
	close(b);
	close(pool);
}

/* A gate that does not read for a while loses no answer. */
static void
test_slow_gate(void **state)
{
	enum { N = 3000 };
	int gate;
	uint64_t got = 0;

	(void)state;
	t.conf.failure_delay = t.conf.failure_delay_max = 0;
	gate = add_gate(1);
	for (uint64_t i = 1; i <= N; i++)
		begin_mech(gate, i, "PLAIN", "x", 1);
	while (got < N) {
		ipc_done(&in);
		if (ipc_recv(gate, &in, R_AUTH, R_GATE, P_RUN) != IPC_GOT) {
			pump();
			continue;
		}
		assert_int_equal(in.type, IPC_AUTH_NO);
		assert_int_equal(in.m.auth_no.serial, ++got);
	}
	silent(gate, R_GATE);
	close(gate);
}

static void
test_master_gone(void **state)
{
	int gate = add_gate(1);

	(void)state;
	close(t.master);
	t.master = -1;
	pump();
	assert_true(t.gone);
	close(gate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_slots), T(test_server_faults),
		T(test_hang_up), T(test_cancel_waiting),
		T(test_too_many_waiting),
		T(test_malformed_flood_locks_nobody_out), T(test_known_first),
		T(test_log_rate), T(test_pool_death), T(test_deadline),
		T(test_bad_pool), T(test_bad_gate), T(test_two_gates),
		T(test_slow_gate), T(test_master_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
