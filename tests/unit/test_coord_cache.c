/*
 * test_coord_cache.c - logins that ask nobody: answers that are remembered, how
 * long and of whom, and questions that are being asked already.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>

#include "tests/unit/coordkit.h"

enum { BOTH = CULVER_AU_VERIFY | CULVER_AU_USER };

static int gate, pool;
static uint64_t serial;

static void
start(uint64_t time, uint64_t negative, uint64_t away)
{
	t.conf.cache_size = 1 << 20;
	t.conf.cache_time = time;
	t.conf.cache_negative_time = negative;
	t.conf.cache_away_time = away;
	gate = add_gate(1);
	pool = add_pool(0);
	serial = 0;
}

static void
stop(void)
{
	close(gate);
	close(pool);
}

/* A login of tim, which nobody is asked about. */
static void
known(const char *password)
{
	begin(gate, ++serial, "tim", password);
	expect_yes(gate, serial);
	silent(pool, R_POOL);
}

/* The same, and the section says V. */
static void
asks(const char *password, culver_status v)
{
	begin(gate, ++serial, "tim", password);
	verdict(pool, v, CULVER_OK);
	if (v == CULVER_OK)
		expect_yes(gate, serial);
	else
		expect_no(gate, serial, v == CULVER_E_TEMP ? CULVER_E_TEMP :
		    CULVER_E_AUTH);
	silent(gate, R_GATE);
	if (v == CULVER_E_AUTH)		/* until it may be tried again */
		t.now += 20 * S;
}

static void
flush(const char *user)
{
	struct ipc_auth_flush m = {.user = user};

	assert_int_equal(ipc_send(t.master, IPC_AUTH_FLUSH, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

static void
test_right_passwords(void **state)
{
	(void)state;
	start(100 * S, 0, 0);
	asks("pw", CULVER_OK);
	known("pw");
	t.now += 99 * S;
	known("pw");
	t.now += 1 * S;
	asks("pw", CULVER_OK);
	/* a wrong one is never answered from what is remembered */
	asks("guess", CULVER_E_AUTH);
	asks("guess", CULVER_E_AUTH);
	known("pw");
	/* a new one works at once, and the old one not any more */
	asks("new", CULVER_OK);
	known("new");
	asks("pw", CULVER_E_AUTH);
	known("new");
	/* the account is closed, whoever finds out */
	asks("x", CULVER_E_DISABLED);
	t.now += 40 * S;
	asks("new", CULVER_E_DISABLED);
	stop();
}

/* What a section may look at besides the name. */
static void
test_other_clients_are_other_questions(void **state)
{
	(void)state;
	start(100 * S, 0, 0);
	asks("pw", CULVER_OK);
	begin_from(gate, ++serial, "tim", "pw", "192.0.2.77");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, serial);
	begin_from(gate, ++serial, "tim", "pw", "192.0.2.77");
	expect_yes(gate, serial);
	/* a new password from one address ends the old one from the other */
	asks("new", CULVER_OK);
	begin_from(gate, ++serial, "tim", "pw", "192.0.2.77");
	asked(pool);
	stop();
}

static void
test_off_by_default_and_by_plugin(void **state)
{
	(void)state;
	start(0, 0, 0);
	asks("pw", CULVER_OK);
	asks("pw", CULVER_OK);
	assert_null(t.coord->cache);
	stop();
	coord_kit_teardown(state);
	coord_kit_setup(state);
	section(0, "otp", BOTH | CULVER_AU_NO_CACHE);
	start(100 * S, 100 * S, 100 * S);
	asks("pw", CULVER_OK);
	asks("pw", CULVER_OK);
	asks("pw", CULVER_E_TEMP);
	asks("nobody", CULVER_E_NOUSER);
	t.now += 20 * S;
	asks("nobody", CULVER_E_NOUSER);
	stop();
}

/* That a user is unknown; the client waits as long as for any other no. */
static void
test_unknown_users(void **state)
{
	(void)state;
	start(0, 10 * S, 0);
	begin(gate, 1, "tim", "a");
	verdict(pool, CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t.now + S);
	wait_until(t.now + S);
	begin(gate, 2, "tim", "b");
	silent(pool, R_POOL);
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH), t.now + 2 * S);
	assert_non_null(strstr(logged, "reason=unknown-user"));
	wait_until(t.now + 9 * S);
	serial = 2;
	asks("b", CULVER_OK);
	stop();
}

/* While the section is away those go on who were there not long ago. */
static void
test_away(void **state)
{
	(void)state;
	start(0, 0, 3600 * S);
	asks("pw", CULVER_OK);
	for (int i = 0; i < 3; i++) {
		t.now += 1000 * S;
		begin(gate, ++serial, "tim", "pw");
		verdict(pool, CULVER_E_TEMP, 0);
		expect_yes(gate, serial);
	}
	assert_non_null(strstr(logged, "section users: disk on fire"));
	/* nobody else */
	asks("guess", CULVER_E_TEMP);
	begin(gate, ++serial, "tom", "pw");
	verdict(pool, CULVER_E_TEMP, 0);
	expect_no(gate, serial, CULVER_E_TEMP);
	/* and not for ever */
	t.now += 600 * S;
	asks("pw", CULVER_E_TEMP);
	stop();
}

static void
test_away_without_an_answer(void **state)
{
	(void)state;
	start(0, 0, 3600 * S);
	asks("pw", CULVER_OK);
	/* it does not answer */
	begin(gate, ++serial, "tim", "pw");
	asked(pool);
	wait_until(t.now + 30 * S);
	expect_yes(gate, serial);
	/* its process dies */
	close(pool);
	pool = add_pool(0);
	begin(gate, ++serial, "tim", "pw");
	asked(pool);
	close(pool);
	pump();
	expect_yes(gate, serial);
	/* there is none */
	begin(gate, ++serial, "tim", "pw");
	wait_until(t.now + 5 * S);
	expect_yes(gate, serial);
	begin(gate, ++serial, "tim", "other");
	wait_until(t.now + 5 * S);
	expect_no(gate, serial, CULVER_E_TEMP);
	close(gate);
}

static void
test_flush(void **state)
{
	struct ipc_pool_answer a;

	(void)state;
	start(100 * S, 0, 100 * S);
	asks("pw", CULVER_OK);
	flush("tom");
	known("pw");
	flush("tim");
	asks("pw", CULVER_OK);
	flush("");
	/* nor is that kept whose question is older */
	begin(gate, ++serial, "tim", "pw");
	a = good_answer(asked(pool));
	flush("tim");
	answer(pool, &a);
	expect_yes(gate, serial);
	asks("pw", CULVER_OK);
	known("pw");
	stop();
}

/* Who a user is, of sections that know no passwords. */
static void
test_user_data(void **state)
{
	int second;

	(void)state;
	section(0, "pam", CULVER_AU_VERIFY | CULVER_AU_NO_CACHE);
	section(1, "sql", CULVER_AU_USER);
	start(100 * S, 0, 0);
	second = add_pool(1);
	begin(gate, 1, "tim", "pw");
	verdict(pool, CULVER_OK, 0);
	verdict(second, 0, CULVER_OK);
	expect_yes(gate, 1);
	begin(gate, 2, "tim", "pw");
	verdict(pool, CULVER_OK, 0);
	silent(second, R_POOL);
	expect_yes(gate, 2);
	close(second);
	stop();
}

/* Many at once with the same password are one question. */
static void
test_one_question(void **state)
{
	enum { N = 20 };
	int second;

	(void)state;
	start(0, 0, 0);
	second = add_pool(0);
	for (uint64_t i = 1; i <= N; i++)
		begin(gate, i, "tim", "pw");
	begin(gate, N + 1, "tim", "other");
	cancel(gate, 2);
	begin(gate, N + 2, "tom", "pw");
	silent(gate, R_GATE);
	/* whichever process that was */
	if (asked(pool), in.m.pool_login.password.n != 2) {
		int other = pool;

		pool = second;
		second = other;
		asked(pool);
	}
	{
		struct ipc_pool_answer a = good_answer(in.m.pool_login.id);

		answer(pool, &a);
	}
	for (unsigned i = 0; i < N - 1; i++) {
		expect(t.master, R_MASTER, IPC_GRANT);
		assert_string_equal(in.m.grant.user, "tim");
		expect(gate, R_GATE, IPC_AUTH_YES);
	}
	silent(gate, R_GATE);
	close(second);
	stop();
}

/* A wrong one is verified once for each who tries, in his slot. */
static void
test_wrong_ones_are_not_shared(void **state)
{
	uint64_t t0 = t.now;
	int second;

	(void)state;
	start(0, 0, 0);
	second = add_pool(0);
	for (uint64_t i = 1; i <= 3; i++)
		begin(gate, i, "tim", "guess");
	asked(pool);
	{
		struct ipc_pool_answer a = good_answer(in.m.pool_login.id);

		a.verify = (uint32_t)CULVER_E_AUTH;
		answer(pool, &a);
	}
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	silent(gate, R_GATE);
	silent(pool, R_POOL);
	silent(second, R_POOL);
	wait_until(t0 + S);
	/* a failure is everybody's */
	if (ipc_recv(pool, &in, R_AUTH, R_POOL, P_RUN) != IPC_GOT) {
		int other = pool;

		pool = second;
		second = other;
		asked(pool);
	}
	{
		struct ipc_pool_answer a = good_answer(in.m.pool_login.id);

		a.verify = (uint32_t)CULVER_E_TEMP;
		answer(pool, &a);
	}
	expect_no(gate, 2, CULVER_E_TEMP);
	close(second);
	stop();
}

static void
test_the_leader_dies(void **state)
{
	(void)state;
	start(0, 0, 0);
	begin(gate, 1, "tim", "pw");
	asked(pool);
	{
		int second = add_pool(0);

		begin(gate, 2, "tim", "pw");
		begin(gate, 3, "tim", "pw");
		cancel(gate, 1);
		silent(second, R_POOL);
		close(pool);
		pump();
		/* the question may be what killed the process */
		silent(second, R_POOL);
		expect_no(gate, 2, CULVER_E_TEMP);
		expect_no(gate, 3, CULVER_E_TEMP);
		assert_true(TAILQ_EMPTY(&t.coord->active));
		close(second);
	}
	close(gate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_right_passwords),
		T(test_other_clients_are_other_questions),
		T(test_off_by_default_and_by_plugin), T(test_unknown_users),
		T(test_away), T(test_away_without_an_answer), T(test_flush),
		T(test_user_data), T(test_one_question),
		T(test_wrong_ones_are_not_shared), T(test_the_leader_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
