/*
 * test_coord.c - logins through the auth coordinator: grants, the chain of
 * sections, SASL.
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

/* --- grants -------------------------------------------------------------- */

static void
test_grant(void **state)
{
	int gate = add_gate(77), pool = add_pool(0);
	struct ipc_pool_answer a;
	struct ipc_grant *g;
	union ipc_any tail;
	enum ipc_type type;
	unsigned nfds;

	(void)state;
	begin(gate, 5, "Tim", "sesame");
	a = good_answer(asked(pool));
	assert_int_equal(in.m.pool_login.want,
	    IPC_WANT_VERIFY | IPC_WANT_USER);
	assert_string_equal(in.m.pool_login.user, "Tim");
	assert_string_equal(in.m.pool_login.remote, "192.0.2.1");
	assert_int_equal(in.m.pool_login.flags, IPC_TLS);
	assert_int_equal(in.m.pool_login.deadline, t.now + 30 * S);
	assert_int_equal(in.m.pool_login.password.n, 6);
	assert_memory_equal(in.m.pool_login.password.p, "sesame", 6);
	a.user = "tim@example.org";
	a.location = "~/Mail";
	a.storage = "big";
	a.fields = (struct ipc_bytes){(const uint8_t *)"a\0b\0c\0\0", 7};
	answer(pool, &a);
	/* master knows before the gate does */
	expect(t.master, R_MASTER, IPC_GRANT);
	g = &in.m.grant;
	assert_int_equal(g->id, (uint64_t)GENERATION << 40 | 1);
	assert_int_equal(g->kind, IPC_GRANT_SESSION);
	assert_int_equal(g->gate, 77);
	assert_int_equal(g->serial, 5);
	assert_int_equal(g->uid, 1001);
	assert_int_equal(g->gid, 1002);
	assert_int_equal(g->section, 1);
	assert_int_equal(g->flags, IPC_TLS);
	assert_string_equal(g->user, "tim@example.org");
	assert_string_equal(g->remote, "192.0.2.1");
	assert_string_equal(g->mech, "USER");
	assert_true(ipc_decode(g->tail.p, g->tail.n, &type, &nfds, &tail));
	assert_int_equal(type, IPC_USERDATA);
	assert_string_equal(tail.userdata.user, "tim@example.org");
	assert_string_equal(tail.userdata.home, "/home/tim");
	assert_string_equal(tail.userdata.location, "~/Mail");
	assert_int_equal(tail.userdata.quota_octets, 22);
	assert_int_equal(tail.userdata.quota_messages, 33);
	assert_int_equal(tail.userdata.login_delay, 11);
	assert_int_equal(tail.userdata.expire_days, 7);
	assert_int_equal(tail.userdata.fields.n, 7);
	expect(gate, R_GATE, IPC_AUTH_YES);
	assert_int_equal(in.m.auth_yes.grant, (uint64_t)GENERATION << 40 | 1);
	/* the password is nowhere any more */
	for (size_t i = 0; i < SASL_MAX_PASSWORD; i++)
		assert_int_equal(t.coord->secrets[0].password[i], 0);
	begin(gate, 6, "tim", "sesame");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect(t.master, R_MASTER, IPC_GRANT);
	assert_int_equal(in.m.grant.id, (uint64_t)GENERATION << 40 | 2);
	assert_string_equal(in.m.grant.user, "tim");
	assert_int_equal(in.m.grant.section, 0);
	assert_null(strstr(logged, "sesame"));
	close(gate);
	close(pool);
}

/* What a plugin must not be believed. */
static void
test_bad_users(void **state)
{
	static const struct {
		const char *why;
		uint32_t uid, gid;
		const char *home, *storage, *user, *fields;
		uint32_t fields_n;
	} rows[] = {
		{"uid or gid 0", 0, 1000, "/h", "", "", "", 0},
		{"uid or gid 0", 1000, 0, "/h", "", "", "", 0},
		{"below uid_min", 499, 1000, "/h", "", "", "", 0},
		{"below gid_min", 1000, 7, "/h", "", "", "", 0},
		{"no storage section", 1000, 1000, "/h", "small", "", "", 0},
		{"home is not", 1000, 1000, "h", "", "", "", 0},
		{"control", 1000, 1000, "/h\n", "", "", "", 0},
		{"canonical", 1000, 1000, "/h", "", "../x", "", 0},
		{"canonical", 1000, 1000, "/h", "", "a/b", "", 0},
		{"fields", 1000, 1000, "/h", "", "", "a\0b", 3},
		{"fields", 1000, 1000, "/h", "", "", "a\0", 2},
		{"fields", 1000, 1000, "/h", "", "", "\0b\0", 3},
	};
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_pool_answer a;

		logged[0] = 0;
		begin(gate, i + 1, "tim", "pw");
		a = good_answer(asked(pool));
		a.uid = rows[i].uid;
		a.gid = rows[i].gid;
		a.home = rows[i].home;
		a.storage = rows[i].storage;
		a.user = rows[i].user;
		a.fields = (struct ipc_bytes){
		    (const uint8_t *)rows[i].fields, rows[i].fields_n};
		answer(pool, &a);
		expect_no(gate, i + 1, CULVER_E_TEMP);
		assert_non_null(strstr(logged, rows[i].why));
		silent(t.master, R_MASTER);
	}
	close(gate);
	close(pool);
}

/* The login SERIAL of NAME, whose uid is UID: does it get a grant? */
static _Bool
is_granted(int gate, int pool, uint64_t serial, const char *name, uint32_t uid)
{
	struct ipc_pool_answer a;

	logged[0] = 0;
	begin(gate, serial, name, "pw");
	a = good_answer(asked(pool));
	a.uid = uid;
	answer(pool, &a);
	if (ipc_recv(t.master, &in, R_AUTH, R_MASTER, P_RUN) == IPC_GOT) {
		assert_string_equal(in.m.grant.user, name);
		expect(gate, R_GATE, IPC_AUTH_YES);
		return 1;
	}
	expect_no(gate, serial, CULVER_E_TEMP);
	return 0;
}

/* As on a kernel without Landlock: the first user of a uid has it. */
static void
test_one_user_a_uid(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	uint64_t serial = 0;
	char name[16];

	(void)state;
	assert_true(is_granted(gate, pool, ++serial, "tim", 61001));
	assert_true(is_granted(gate, pool, ++serial, "tom", 61001));
	t.coord->setup.one_user = 1;
	assert_true(is_granted(gate, pool, ++serial, "tim", 61001));
	assert_false(is_granted(gate, pool, ++serial, "tom", 61001));
	assert_non_null(strstr(logged, "uid 61001 is user tim's, too"));
	assert_non_null(strstr(logged, "shared_uid"));
	assert_true(is_granted(gate, pool, ++serial, "tim", 61001));
	/* and many, so that the table grows */
	for (uint32_t i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		assert_true(is_granted(gate, pool, ++serial, name, 62000 + i));
	}
	assert_true(is_granted(gate, pool, ++serial, "user7", 62007));
	assert_false(is_granted(gate, pool, ++serial, "user8", 62007));
	assert_false(is_granted(gate, pool, ++serial, "tom", 61001));
	close(gate);
	close(pool);
}

static void
test_master_full(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);
	struct ipc_ready junk = {.status = 0};

	(void)state;
	while (ipc_send(t.coord_end, IPC_READY, &junk, NULL, 0) == CULVER_OK)
		;
	begin(gate, 1, "tim", "pw");
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_no(gate, 1, CULVER_E_TEMP);
	assert_non_null(strstr(logged, "master does not take"));
	assert_false(t.gone);
	close(gate);
	close(pool);
}

/* --- the chain ----------------------------------------------------------- */

static void
test_chain(void **state)
{
	int gate, pool[3];

	(void)state;
	section(1, "second", CULVER_AU_VERIFY | CULVER_AU_USER);
	section(2, "third", CULVER_AU_VERIFY | CULVER_AU_USER);
	gate = add_gate(1);
	for (unsigned i = 0; i < 3; i++)
		pool[i] = add_pool(i);
	/* unknown, not mine, known */
	begin(gate, 1, "tim", "pw");
	verdict(pool[0], CULVER_E_NOUSER, 0);
	verdict(pool[1], CULVER_E_DECLINE, 0);
	verdict(pool[2], CULVER_OK, CULVER_OK);
	expect_yes(gate, 1);
	/* known by the first: the others are not asked */
	begin(gate, 2, "tim", "pw");
	verdict(pool[0], CULVER_OK, CULVER_OK);
	expect_yes(gate, 2);
	silent(pool[1], R_POOL);
	/* a wrong password ends it, and so does a failure */
	begin(gate, 3, "a", "pw");
	verdict(pool[0], CULVER_E_AUTH, 0);
	expect_no(gate, 3, CULVER_E_AUTH);
	begin_from(gate, 4, "b", "pw", "192.0.2.4");
	verdict(pool[0], CULVER_E_NOUSER, 0);
	verdict(pool[1], CULVER_E_TEMP, 0);
	assert_int_equal(expect_no(gate, 4, CULVER_E_TEMP), 0);
	assert_non_null(strstr(logged, "second: disk on fire"));
	begin_from(gate, 5, "c", "pw", "192.0.2.5");
	verdict(pool[0], CULVER_E_CORRUPT, 0);
	expect_no(gate, 5, CULVER_E_PERM);
	begin_from(gate, 6, "d", "pw", "192.0.2.6");
	verdict(pool[0], -12345, 0);
	expect_no(gate, 6, CULVER_E_TEMP);
	begin_from(gate, 7, "e", "pw", "192.0.2.7");
	verdict(pool[0], CULVER_E_DELAY, 0);
	expect_no(gate, 7, CULVER_E_DELAY);
	silent(pool[2], R_POOL);
	/* nobody knows him: as a wrong password */
	begin_from(gate, 8, "f", "pw", "192.0.2.8");
	for (unsigned i = 0; i < 3; i++)
		verdict(pool[i], CULVER_E_NOUSER, 0);
	assert_int_equal(expect_no(gate, 8, CULVER_E_AUTH), t.now + S);
	close(gate);
	for (unsigned i = 0; i < 3; i++)
		close(pool[i]);
}

static void
test_reasons(void **state)
{
	static const struct {
		culver_status st;
		const char *reason;
	} rows[] = {
		{CULVER_E_AUTH, "reason=bad-password"},
		{CULVER_E_NOUSER, "reason=unknown-user"},
		{CULVER_E_DISABLED, "reason=disabled"},
		{CULVER_E_EXPIRED, "reason=expired"},
	};
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[128], user[] = "user0", remote[] = "192.0.2.0";

		user[4] = (char)('0' + i);
		remote[8] = (char)('0' + i);
		begin_from(gate, i + 1, user, "hunter2", remote);
		verdict(pool, rows[i].st, 0);
		/* the client cannot tell one from another */
		assert_int_equal(expect_no(gate, i + 1, CULVER_E_AUTH),
		    t.now + S);
		snprintf(line, sizeof(line), "auth-failed user=%s remote=%s "
		    "mech=USER %s\n", user, remote, rows[i].reason);
		assert_non_null(strstr(logged, line));
	}
	assert_null(strstr(logged, "hunter2"));
	close(gate);
	close(pool);
}

/* A section that knows passwords only: the next one that can says the rest,
 * about the name that the first one gave. */
static void
test_userdb(void **state)
{
	int gate, pool[3];
	struct ipc_pool_answer a;

	(void)state;
	section(0, "static", CULVER_AU_USER);
	section(1, "pam", CULVER_AU_VERIFY);
	section(2, "sql", CULVER_AU_USER);
	gate = add_gate(1);
	for (unsigned i = 0; i < 3; i++)
		pool[i] = add_pool(i);
	begin(gate, 1, "Tim", "pw");
	a = good_answer(asked(pool[1]));
	assert_int_equal(in.m.pool_login.want, IPC_WANT_VERIFY);
	a.lookup = (uint32_t)CULVER_E_TEMP;
	a.user = "tim";
	answer(pool[1], &a);
	a = good_answer(asked(pool[2]));
	assert_int_equal(in.m.pool_login.want, IPC_WANT_USER);
	assert_int_equal(in.m.pool_login.password.n, 0);
	assert_string_equal(in.m.pool_login.user, "tim");
	a.verify = (uint32_t)CULVER_E_TEMP;
	a.lookup = (uint32_t)CULVER_E_NOUSER;
	answer(pool[2], &a);
	verdict(pool[0], CULVER_E_TEMP, CULVER_OK);
	expect_yes(gate, 1);
	/* nobody knows where his mail is: that is ours to mend */
	begin(gate, 2, "tim", "pw");
	verdict(pool[1], CULVER_OK, 0);
	verdict(pool[2], 0, CULVER_E_NOUSER);
	verdict(pool[0], 0, CULVER_E_DECLINE);
	expect_no(gate, 2, CULVER_E_TEMP);
	begin(gate, 3, "tim", "pw");
	verdict(pool[1], CULVER_OK, 0);
	verdict(pool[2], 0, CULVER_E_TEMP);
	expect_no(gate, 3, CULVER_E_TEMP);
	silent(pool[0], R_POOL);
	close(gate);
	for (unsigned i = 0; i < 3; i++)
		close(pool[i]);
}

/* --- SASL ---------------------------------------------------------------- */

static void
test_sasl(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	begin_mech(gate, 1, "PLAIN", "\0tim\0pw", 7);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 1);
	begin_mech(gate, 2, "PLAIN", NULL, 0);
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	assert_int_equal(in.m.auth_challenge.serial, 2);
	assert_int_equal(in.m.auth_challenge.data.n, 0);
	cont(gate, 2, "\0tim\0pw", 7);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 2);
	begin_mech(gate, 3, "LOGIN", NULL, 0);
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	assert_memory_equal(in.m.auth_challenge.data.p, "Username:", 9);
	cont(gate, 3, "tim", 3);
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	assert_memory_equal(in.m.auth_challenge.data.p, "Password:", 9);
	cont(gate, 3, "pw", 2);
	asked(pool);
	assert_string_equal(in.m.pool_login.user, "tim");
	assert_memory_equal(in.m.pool_login.password.p, "pw", 2);
	cancel(gate, 3);
	begin_mech(gate, 4, "PLAIN", "root\0tim\0pw", 11);
	expect_no(gate, 4, CULVER_E_AUTH);
	assert_non_null(strstr(logged, "reason=other-authzid"));
	begin_mech(gate, 5, "PLAIN", "nonsense", 8);
	expect_no(gate, 5, CULVER_E_AUTH);
	begin(gate, 6, "../etc", "pw");
	expect_no(gate, 6, CULVER_E_AUTH);
	assert_non_null(strstr(logged, "user=../etc remote=192.0.2.1 "
	    "mech=USER reason=bad-name"));
	begin(gate, 7, "a\" reason=x", "pw");
	silent(gate, R_GATE);
	close(gate);
	close(pool);
}

/* A client that does not go on, and whose gate's word of that was lost, keeps
 * nothing here for ever; if it does go on, it hears that it was too late. */
static void
test_sasl_has_a_deadline(void **state)
{
	int gate = add_gate(1), pool = add_pool(0);

	(void)state;
	for (uint64_t serial = 1; serial <= 3; serial++) {
		begin_mech(gate, serial, "LOGIN", NULL, 0);
		expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	}
	wait_until(t.now + SASL_TIME / 2);
	cont(gate, 2, "tim", 3);
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	cancel(gate, 3);
	assert_int_equal(LIST_FIRST(&t.coord->gates)->n_jobs, 2);
	wait_until(t.now + SASL_TIME / 2);
	assert_int_equal(LIST_FIRST(&t.coord->gates)->n_jobs, 1);
	silent(gate, R_GATE);
	cont(gate, 1, "tim", 3);
	expect_no(gate, 1, CULVER_E_TEMP);
	cont(gate, 2, "pw", 2);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_yes(gate, 2);
	begin_mech(gate, 4, "PLAIN", NULL, 0);
	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	wait_until(t.now + SASL_TIME);
	assert_int_equal(LIST_FIRST(&t.coord->gates)->n_jobs, 0);
	close(gate);
	close(pool);
}

static void
test_user_case(void **state)
{
	int gate, pool;

	(void)state;
	t.conf.user_case = 1;
	gate = add_gate(1);
	pool = add_pool(0);
	begin(gate, 1, "TIM@Example.ORG", "pw");
	asked(pool);
	assert_string_equal(in.m.pool_login.user, "tim@example.org");
	close(gate);
	close(pool);
}

/* What lmtp is told of a user: what is no answer passes. */
static void
test_delivery(void **state)
{
	static const struct {
		culver_status said, told;
	} rows[] = {
		{CULVER_OK, CULVER_OK}, {CULVER_E_NOUSER, CULVER_E_NOUSER},
		{CULVER_E_DECLINE, CULVER_E_NOUSER},
		{CULVER_E_DISABLED, CULVER_E_DISABLED},
		{CULVER_E_TEMP, CULVER_E_TEMP}, {CULVER_E_PERM, CULVER_E_TEMP},
		{CULVER_E_CORRUPT, CULVER_E_TEMP},
		{CULVER_E_CONFIG, CULVER_E_TEMP},
	};
	int lmtp = add_lmtp(9), pool = add_pool(0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_auth_user m = {.serial = i + 1, .want_grant = 1,
		    .user = "tim", .remote = "unix"};

		assert_int_equal(ipc_send(lmtp, IPC_AUTH_USER, &m, NULL, 0),
		    CULVER_OK);
		pump();
		verdict(pool, CULVER_OK, rows[i].said);
		if (rows[i].said == CULVER_OK) {
			expect(t.master, R_MASTER, IPC_GRANT);
			assert_int_equal(in.m.grant.kind, IPC_GRANT_DELIVERY);
		}
		silent(t.master, R_MASTER);
		expect(lmtp, R_LMTP, IPC_AUTH_FOUND);
		assert_int_equal(in.m.auth_found.serial, i + 1);
		assert_int_equal((culver_status)in.m.auth_found.status,
		    rows[i].told);
	}
	close(lmtp);
	close(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_grant), T(test_bad_users), T(test_one_user_a_uid),
		T(test_master_full), T(test_chain), T(test_reasons),
		T(test_userdb), T(test_sasl), T(test_sasl_has_a_deadline),
		T(test_user_case), T(test_delivery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
