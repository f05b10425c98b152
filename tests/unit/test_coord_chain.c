/*
 * test_coord_chain.c - the auth sections as a chain: what the outcomes of each
 * lead to, who says where mail is, and what a client can see of it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>

#include "tests/unit/coordkit.h"

enum { BOTH = CULVER_AU_VERIFY | CULVER_AU_USER };

static int gate, pool[3];

/* N sections that can do everything, a gate, a pool each. */
static void
start(unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		section(i, i == 1 ? "second" : "third", BOTH);
	gate = add_gate(1);
	for (unsigned i = 0; i < 3; i++)
		pool[i] = i < n ? add_pool(i) : -1;
}

static void
stop(void)
{
	close(gate);
	for (unsigned i = 0; i < 3; i++)
		if (pool[i] >= 0)
			close(pool[i]);
}

/* Does the next guess of this address have to wait? */
static _Bool
slowed(const char *remote)
{
	struct throttle_key k = throttle_key(t.coord->throttle, remote, "x");
	enum throttle_lane lane;

	return throttle_ask(t.coord->throttle, &k, t.now, &lane) > t.now;
}

/* Let USER in, of whom the first section says FIRST and the second one yes. */
static void
let_in(uint64_t serial, const char *user, const char *remote,
    culver_status first)
{
	begin_from(gate, serial, user, "pw", remote);
	verdict(pool[0], first, 0);
	verdict(pool[1], CULVER_OK, CULVER_OK);
	expect_yes(gate, serial);
}

/* The same when the second one says SECOND: the client is told TOLD at AT. */
static void
refused(uint64_t serial, const char *user, const char *remote,
    culver_status first, culver_status second, culver_status told,
    uint64_t at)
{
	begin_from(gate, serial, user, "guess", remote);
	verdict(pool[0], first, 0);
	verdict(pool[1], second, 0);
	assert_int_equal(expect_no(gate, serial, told), at);
}

/* Local accounts first, customers of the same names behind them. */
static void
test_wrong_is_next(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	t.conf.section[0].on_wrong = CONF_THEN_NEXT;
	start(2);
	let_in(1, "info", "192.0.2.1", CULVER_E_AUTH);
	refused(2, "info", "192.0.2.1", CULVER_E_AUTH, CULVER_E_NOUSER,
	    CULVER_E_AUTH, t0 + S);
	assert_non_null(strstr(logged, "user=info remote=192.0.2.1 mech=USER "
	    "reason=bad-password"));
	/* an account that is closed is closed for the others, too */
	begin_from(gate, 3, "gone", "pw", "192.0.2.3");
	verdict(pool[0], CULVER_E_DISABLED, 0);
	assert_int_equal(expect_no(gate, 3, CULVER_E_AUTH), t0 + S);
	silent(pool[1], R_POOL);
	stop();
}

/* With the customers' database away a wrong password for a local account
 * still counts, and neither answer nor time tells that there is one. */
static void
test_wrong_then_failure(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	t.conf.section[0].on_wrong = CONF_THEN_NEXT;
	start(2);
	refused(1, "root", "192.0.2.1", CULVER_E_AUTH, CULVER_E_TEMP,
	    CULVER_E_TEMP, t0 + S);
	assert_true(slowed("192.0.2.1"));
	refused(2, "nobody", "192.0.2.2", CULVER_E_NOUSER, CULVER_E_TEMP,
	    CULVER_E_TEMP, t0 + S);
	assert_false(slowed("192.0.2.2"));
	stop();
}

/* Nor does a section that has no time, or dies, hide that another found the
 * password wrong; or a client that hangs up. */
static void
test_wrong_then_nothing(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	t.conf.section[0].on_wrong = CONF_THEN_NEXT;
	start(2);
	begin_from(gate, 1, "root", "guess", "192.0.2.1");
	verdict(pool[0], CULVER_E_AUTH, 0);
	asked(pool[1]);				/* and it is busy with that */
	begin_from(gate, 2, "bin", "guess", "192.0.2.2");
	verdict(pool[0], CULVER_E_AUTH, 0);
	cancel(gate, 2);
	pump();
	assert_true(slowed("192.0.2.2"));
	close(pool[1]);
	pool[1] = -1;
	pump();
	assert_int_equal(expect_no(gate, 1, CULVER_E_TEMP), t0 + S);
	assert_true(slowed("192.0.2.1"));
	begin_from(gate, 3, "daemon", "guess", "192.0.2.3");
	verdict(pool[0], CULVER_E_AUTH, 0);
	wait_until(t0 + 10 * S);		/* no process runs */
	assert_true(expect_no(gate, 3, CULVER_E_TEMP) >= t0 + S);
	stop();
}

static void
test_unknown_stops(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	t.conf.section[0].on_unknown = CONF_THEN_STOP;
	start(2);
	begin(gate, 1, "tim", "pw");
	verdict(pool[0], CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	/* not mine is no answer */
	let_in(2, "joe", "192.0.2.2", CULVER_E_DECLINE);
	t.conf.section[0].on_unknown = CONF_THEN_TEMP;
	begin_from(gate, 3, "ann", "pw", "192.0.2.3");
	verdict(pool[0], CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 3, CULVER_E_TEMP), 0);
	assert_non_null(strstr(logged, "section users: unknown-user"));
	stop();
}

static void
test_failure_is_next(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	t.conf.section[0].on_failure = CONF_THEN_NEXT;
	start(2);
	let_in(1, "tim", "192.0.2.1", CULVER_E_TEMP);
	assert_non_null(strstr(logged, "section users: disk on fire"));
	/* nobody says no while one cannot tell */
	refused(2, "tom", "192.0.2.2", CULVER_E_TEMP, CULVER_E_NOUSER,
	    CULVER_E_TEMP, t0 + S);
	assert_false(slowed("192.0.2.2"));
	/* but a wrong guess at the other one's users counts */
	refused(3, "tom", "192.0.2.3", CULVER_E_TEMP, CULVER_E_AUTH,
	    CULVER_E_TEMP, t0 + S);
	assert_true(slowed("192.0.2.3"));
	stop();
}

/* Mail is never sent back because a database is away. */
static void
test_delivery(void **state)
{
	static const struct {
		culver_status first, second, told;
	} rows[] = {
		{CULVER_E_TEMP, CULVER_E_NOUSER, CULVER_E_TEMP},
		{CULVER_E_TEMP, CULVER_OK, CULVER_OK},
		{CULVER_E_NOUSER, CULVER_E_NOUSER, CULVER_E_NOUSER},
	};
	int lmtp;

	(void)state;
	t.conf.section[0].on_failure = CONF_THEN_NEXT;
	start(2);
	lmtp = add_lmtp(9);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_auth_user m = {.serial = i + 1, .user = "tim",
		    .remote = "unix"};

		assert_int_equal(ipc_send(lmtp, IPC_AUTH_USER, &m, NULL, 0),
		    CULVER_OK);
		pump();
		verdict(pool[0], 0, rows[i].first);
		verdict(pool[1], 0, rows[i].second);
		expect(lmtp, R_LMTP, IPC_AUTH_FOUND);
		assert_int_equal((culver_status)in.m.auth_found.status,
		    rows[i].told);
	}
	close(lmtp);
	stop();
}

/* The section that knows the password names who knows the mailbox. */
static void
test_user_data(void **state)
{
	(void)state;
	t.conf.section[0].user_data = 2;
	start(3);
	begin(gate, 1, "tim", "pw");
	asked(pool[0]);
	assert_int_equal(in.m.pool_login.want, IPC_WANT_VERIFY);
	{
		struct ipc_pool_answer a = good_answer(in.m.pool_login.id);

		answer(pool[0], &a);
	}
	verdict(pool[2], 0, CULVER_OK);
	expect_yes(gate, 1);
	silent(pool[1], R_POOL);
	/* and nobody else has a mailbox for this user */
	begin(gate, 2, "tim", "pw");
	verdict(pool[0], CULVER_OK, CULVER_OK);
	verdict(pool[2], 0, CULVER_E_NOUSER);
	expect_no(gate, 2, CULVER_E_TEMP);
	/* a section that names itself is asked at once */
	t.conf.section[0].user_data = 0;
	begin(gate, 3, "tim", "pw");
	verdict(pool[0], CULVER_OK, CULVER_E_NOUSER);
	expect_no(gate, 3, CULVER_E_TEMP);
	silent(pool[1], R_POOL);
	silent(pool[2], R_POOL);
	stop();
}

/* A no comes at the same time however many sections were asked, and however
 * long they took. */
static void
test_time_tells_nothing(void **state)
{
	uint64_t t0 = t.now;

	(void)state;
	start(2);
	begin_from(gate, 1, "known", "guess", "192.0.2.1");
	begin_from(gate, 2, "nobody", "guess", "192.0.2.2");
	t.now += 100 * NS_PER_MS;
	verdict(pool[0], CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t0 + S);
	verdict(pool[0], CULVER_E_NOUSER, 0);
	t.now += 250 * NS_PER_MS;
	verdict(pool[1], CULVER_E_NOUSER, 0);
	/* its verification began when the pool had time */
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH),
	    t0 + S + 100 * NS_PER_MS);
	/* of one that takes longer only whole delays can be seen */
	t0 = t.now;
	begin_from(gate, 3, "nobody2", "guess", "192.0.2.3");
	verdict(pool[0], CULVER_E_NOUSER, 0);
	t.now += 1100 * NS_PER_MS;
	verdict(pool[1], CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 3, CULVER_E_AUTH), t0 + 2 * S);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_wrong_is_next), T(test_wrong_then_failure),
		T(test_wrong_then_nothing),
		T(test_unknown_stops), T(test_failure_is_next),
		T(test_delivery), T(test_user_data),
		T(test_time_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
