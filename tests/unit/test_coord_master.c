/*
 * test_coord_master.c - masters through the auth coordinator: who may log in as
 * whom, what is asked of which section, what is logged and what counts.
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

enum { USERS, MASTERS, MAILBOXES };

static int gate, pool[3];

/* Users' passwords, masters, and a section that knows mailboxes only. */
static void
start(uint64_t master_caps)
{
	section(USERS, "users", CULVER_AU_VERIFY | CULVER_AU_CREDS);
	section(MASTERS, "masters", master_caps);
	section(MAILBOXES, "mailboxes", CULVER_AU_USER);
	t.conf.section[MASTERS].masters = 1;
	t.conf.master_separator = '*';
	t.conf.user_case = 1;
	gate = add_gate(1);
	for (unsigned i = 0; i < 3; i++)
		pool[i] = add_pool(i);
}

static void
stop(void)
{
	close(gate);
	for (unsigned i = 0; i < 3; i++)
		close(pool[i]);
}

/* A section of masters is asked whether it knows USER, and says ST. */
static void
is_master(const char *user, culver_status st)
{
	struct ipc_pool_creds m = {.status = (uint32_t)st, .user = "",
	    .error = "disk on fire"};

	m.id = asked(pool[MASTERS]);
	assert_int_equal(in.m.pool_login.want, IPC_WANT_CREDS);
	assert_int_equal(in.m.pool_login.form, CULVER_CRED_PLAIN);
	assert_int_equal(in.m.pool_login.password.n, 0);
	assert_string_equal(in.m.pool_login.user, user);
	assert_int_equal(ipc_send(pool[MASTERS], IPC_POOL_CREDS, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

/* Masters' section is asked about ADMIN, and finds the password right. */
static void
master_is_right(const char *admin)
{
	struct ipc_pool_answer a = good_answer(asked(pool[MASTERS]));

	assert_string_equal(in.m.pool_login.user, admin);
	assert_int_equal(in.m.pool_login.want, IPC_WANT_VERIFY);
	answer(pool[MASTERS], &a);
}

static void
grant_is(uint64_t serial, const char *user, const char *master)
{
	struct ipc_pool_answer a = good_answer(asked(pool[MAILBOXES]));

	assert_string_equal(in.m.pool_login.user, user);
	assert_int_equal(in.m.pool_login.password.n, 0);
	answer(pool[MAILBOXES], &a);
	expect(t.master, R_MASTER, IPC_GRANT);
	assert_int_equal(in.m.grant.serial, serial);
	assert_string_equal(in.m.grant.user, user);
	assert_string_equal(in.m.grant.master, master);
	expect(gate, R_GATE, IPC_AUTH_YES);
	silent(pool[USERS], R_POOL);
}

static void
test_login(void **state)
{
	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	begin(gate, 1, "Tim@Example.ORG*Admin", "pw");
	master_is_right("admin");
	is_master("tim@example.org", CULVER_E_NOUSER);
	grant_is(1, "tim@example.org", "admin");
	/* the same, as SASL has it */
	begin_mech(gate, 2, "PLAIN", "tim\0admin\0pw", 12);
	master_is_right("admin");
	is_master("tim", CULVER_E_NOUSER);
	grant_is(2, "tim", "admin");
	/* the user's own login is no matter of masters */
	begin(gate, 3, "tim", "pw");
	verdict(pool[USERS], CULVER_OK, 0);
	grant_is(3, "tim", "");
	silent(pool[MASTERS], R_POOL);
	stop();
}

/* A mailbox of two names is asked for by the other one, and the section that
 * knows both says which is its own. */
static void
test_other_names(void **state)
{
	struct ipc_pool_answer a;

	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	for (unsigned i = 1; i <= 2; i++) {
		begin(gate, i, i == 1 ? "timmy*admin" : "chief*admin", "pw");
		master_is_right("admin");
		is_master(i == 1 ? "timmy" : "chief", CULVER_E_NOUSER);
		a = good_answer(asked(pool[MAILBOXES]));
		a.user = i == 1 ? "tim" : "boss";
		answer(pool[MAILBOXES], &a);
		is_master(a.user, i == 1 ? CULVER_E_NOUSER : CULVER_OK);
		if (i == 1)
			grant_is(1, "tim", "admin");
	}
	assert_true(expect_no(gate, 2, CULVER_E_AUTH) > t.now);
	assert_non_null(strstr(logged, "other-master"));
	silent(pool[MAILBOXES], R_POOL);
	stop();
}

/* A plugin that cannot look anybody up cannot tell who is a master. */
static void
test_passwords_only(void **state)
{
	(void)state;
	start(CULVER_AU_VERIFY);
	begin(gate, 1, "tim*admin", "pw");
	master_is_right("admin");
	grant_is(1, "tim", "admin");
	/* nor can it serve what needs that */
	begin_mech(gate, 2, "SCRAM-SHA-256", "n,,n=tim*admin,r=abc", 20);
	silent(pool[USERS], R_POOL);
	silent(pool[MASTERS], R_POOL);
	expect_no(gate, 2, CULVER_E_AUTH);
	assert_non_null(strstr(logged, "reason=no-credentials"));
	stop();
}

static void
test_scram(void **state)
{
	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	begin_mech(gate, 1, "SCRAM-SHA-256", "n,,n=tim*admin,r=abc", 20);
	asked(pool[MASTERS]);
	assert_int_equal(in.m.pool_login.form, CULVER_CRED_SCRAM_SHA256);
	assert_string_equal(in.m.pool_login.user, "admin");
	cancel(gate, 1);
	begin_mech(gate, 2, "SCRAM-SHA-256", "n,a=tim,n=admin,r=abc", 21);
	silent(pool[USERS], R_POOL);
	stop();
}

/* Nobody becomes a master, and nobody nobody; what was right is answered as
 * what is wrong would be. */
static void
test_whom_not(void **state)
{
	static const culver_status known[] = {CULVER_OK,
	    CULVER_E_UNSUPPORTED, CULVER_E_DISABLED};
	uint64_t serial = 0;

	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	for (size_t i = 0; i < 3; i++) {
		uint64_t t0 = t.now += 200 * S;

		begin(gate, ++serial, "root*admin", "pw");
		master_is_right("admin");
		is_master("root", known[i]);
		assert_int_equal(expect_no(gate, serial, CULVER_E_AUTH),
		    t0 + S);
	}
	assert_non_null(strstr(logged, "auth-failed user=root master=admin "
	    "remote=192.0.2.1 mech=USER reason=other-master"));
	t.now += 200 * S;
	begin(gate, ++serial, "nobody*admin", "pw");
	master_is_right("admin");
	is_master("nobody", CULVER_E_NOUSER);
	verdict(pool[MAILBOXES], 0, CULVER_E_NOUSER);
	assert_int_equal(expect_no(gate, serial, CULVER_E_AUTH), t.now + S);
	assert_non_null(strstr(logged, "user=nobody master=admin "
	    "remote=192.0.2.1 mech=USER reason=unknown-user"));
	t.now += 200 * S;
	begin(gate, ++serial, "tim*admin", "pw");
	master_is_right("admin");
	is_master("tim", CULVER_E_TEMP);
	expect_no(gate, serial, CULVER_E_TEMP);
	silent(t.master, R_MASTER);
	stop();
}

static void
test_names(void **state)
{
	static const struct {
		const char *name, *reason;
	} rows[] = {
		{"a*b*c", "bad-name"}, {"*admin", "bad-name"},
		{"tim*", "bad-name"}, {"*", "bad-name"},
		{"../x*admin", "bad-name"}, {"tim*../x", "bad-name"},
	};

	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		logged[0] = 0;
		begin(gate, i + 1, rows[i].name, "pw");
		expect_no(gate, i + 1, CULVER_E_AUTH);
		assert_non_null(strstr(logged, rows[i].reason));
	}
	begin_mech(gate, 20, "PLAIN", "tim\0joe*admin\0pw", 16);
	expect_no(gate, 20, CULVER_E_AUTH);
	begin_mech(gate, 21, "PLAIN", "tim*joe\0admin\0pw", 16);
	expect_no(gate, 21, CULVER_E_AUTH);
	for (unsigned i = 0; i < 3; i++)
		silent(pool[i], R_POOL);
	/* without a separator a star is a letter like others */
	t.conf.master_separator = 0;
	t.now += 200 * S;
	begin(gate, 22, "tim*admin", "pw");
	asked(pool[USERS]);
	assert_string_equal(in.m.pool_login.user, "tim*admin");
	stop();
}

/* Guesses count against the master and the address, not against the user, and
 * not against a user of the master's name. */
static void
test_throttle(void **state)
{
	struct throttle *th;
	enum throttle_lane lane;
	static const struct {
		const char *remote, *user;
		_Bool waits;
	} rows[] = {
		{"192.0.2.1", "joe", 1}, {"192.0.2.2", "tim", 0},
		{"192.0.2.2", "admin", 0}, {"192.0.2.2", "\001admin", 1},
	};

	(void)state;
	start(CULVER_AU_VERIFY | CULVER_AU_CREDS);
	begin(gate, 1, "tim*admin", "guess");
	verdict(pool[MASTERS], CULVER_E_AUTH, 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t.now + S);
	assert_non_null(strstr(logged, "auth-failed user=tim master=admin "
	    "remote=192.0.2.1 mech=USER reason=bad-password"));
	th = t.coord->throttle;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct throttle_key k = throttle_key(th, rows[i].remote,
		    rows[i].user);

		assert_int_equal(throttle_ask(th, &k, t.now, &lane) > t.now,
		    rows[i].waits);
	}
	/* an unknown master is never looked for among the users */
	t.now += 200 * S;
	begin(gate, 2, "tim*joe", "pw");
	verdict(pool[MASTERS], CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH), t.now + S);
	silent(pool[USERS], R_POOL);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_login), T(test_passwords_only), T(test_scram),
		T(test_whom_not), T(test_names), T(test_other_names),
		T(test_throttle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
