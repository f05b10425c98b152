/*
 * test_coord_user.c - what a user's data says of logins, whichever plugin it
 * comes from: closed accounts, networks, delays, retention.
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

#define F(text) {(const uint8_t *)text, sizeof(text)}	/* ends in NUL */

static int gate, pool;
static uint64_t serial;

static void
start(void)
{
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

/* A right password of tim at REMOTE, whose data has FIELDS. */
static void
login(const char *remote, struct ipc_bytes fields)
{
	struct ipc_pool_answer a;

	begin_from(gate, ++serial, "tim", "pw", remote);
	a = good_answer(asked(pool));
	a.expire_days = 0;
	a.login_delay = 0;
	a.fields = fields;
	answer(pool, &a);
}

/* The tail of the grant that follows. */
static struct ipc_userdata
granted(void)
{
	static union ipc_any tail;
	enum ipc_type type;
	unsigned nfds;

	expect(t.master, R_MASTER, IPC_GRANT);
	assert_int_equal(in.m.grant.serial, serial);
	assert_true(ipc_decode(in.m.grant.tail.p, in.m.grant.tail.n, &type,
	    &nfds, &tail));
	expect(gate, R_GATE, IPC_AUTH_YES);
	return tail.userdata;
}

static void
test_who_may(void **state)
{
	static const struct {
		const char *remote, *reason;	/* NULL: may */
		struct ipc_bytes fields;
	} rows[] = {
		{"192.0.2.1", NULL, F("x\0y")},
		{"192.0.2.1", "disabled", F("nologin\0y")},
		{"192.0.2.1", "disabled", F("nologin\0")},
		{"192.0.2.1", NULL, F("nologin\0no")},
		{"192.0.2.1", NULL, F("a\0b\0allow_nets\0" "192.0.2.0/24")},
		{"192.0.2.1", "address", F("allow_nets\0" "10.0.0.0/8,local")},
		{"192.0.2.1", "address", F("allow_nets\0")},
		{"192.0.2.1", "address", F("allow_nets\0nonsense")},
		{"2001:db8::1", NULL,
		    F("allow_nets\0" "10.1.1.1,2001:db8::/32")},
		{"unix", NULL, F("allow_nets\0local")},
		{"unix", "address", F("allow_nets\0" "127.0.0.1")},
	};

	(void)state;
	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t.now += 300 * S;
		logged[0] = 0;
		login(rows[i].remote, rows[i].fields);
		if (rows[i].reason == NULL) {
			granted();
			continue;
		}
		/* no sooner than a wrong password, and it counts as one */
		assert_int_equal(expect_no(gate, serial, CULVER_E_AUTH),
		    t.now + S);
		assert_non_null(strstr(logged, rows[i].reason));
		silent(t.master, R_MASTER);
	}
	stop();
}

static void
test_retention(void **state)
{
	static const struct {
		uint32_t days;
		struct ipc_bytes fields;
	} rows[] = {
		{0, F("x\0y")}, {30, F("expire\0" "30")},
		{UINT32_MAX, F("expire\0never")},
		{UINT32_MAX - 1, F("expire\0off")},
	};
	static const struct ipc_bytes bad[] = {
		F("expire\0"), F("expire\0" "0"), F("expire\0" "3x"),
		F("expire\0" "99999999999"), F("login_delay\0-1"),
		F("login_delay\0" "5w"), F("login_delay\0" "2d"),
		F("login_delay\0" "5mm"), F("login_delay\0"),
	};

	(void)state;
	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		login("192.0.2.1", rows[i].fields);
		assert_int_equal(granted().expire_days, rows[i].days);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		logged[0] = 0;
		login("192.0.2.1", bad[i]);
		expect_no(gate, serial, CULVER_E_TEMP);
		assert_non_null(strstr(logged, "cannot be understood"));
	}
	stop();
}

static void
test_login_delay(void **state)
{
	static const struct ipc_bytes minute = F("login_delay\0" "1m");
	static const struct ipc_bytes none = F("login_delay\0" "0");

	(void)state;
	start();
	login("192.0.2.1", minute);
	assert_int_equal(granted().login_delay, 60 * S);
	t.now += 59 * S;
	login("192.0.2.2", minute);
	expect_no(gate, serial, CULVER_E_DELAY);
	assert_non_null(strstr(logged, "reason=login-delay"));
	/* which is no login */
	t.now += S;
	login("192.0.2.1", minute);
	granted();
	login("192.0.2.1", none);
	granted();
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_who_may), T(test_retention), T(test_login_delay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
