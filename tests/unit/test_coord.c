/*
 * test_coord.c - the auth coordinator over real channels, with a master,
 * gates and pools that the tests play, and a clock that they set.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

#define S NS_PER_S
#define GENERATION 0xabcdefu

static struct {
	struct loop *loop;
	struct loop_io awake;		/* always readable: never block */
	struct conf_auth conf;
	struct coord *coord;
	int master, coord_end;
	_Bool gone;
	uint64_t now;
} t;

static char logged[65536];

static void
log_sink_(int level, const char *text)
{
	size_t n = strlen(logged);

	(void)level;
	snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static uint64_t
now(void)
{
	return t.now;
}

static void
gone(void *ctx)
{
	(void)ctx;
	t.gone = 1;
}

static void
awake(struct loop_io *io, unsigned events)
{
	(void)io;
	(void)events;
}

/* Let the coordinator handle everything that was sent. */
static void
pump(void)
{
	for (int i = 0; i < 8; i++)
		assert_true(loop_once(t.loop));
}

static void
wait_until(uint64_t at)
{
	t.now = at;
	coord_tick(t.coord);
	pump();
}

static void
section(unsigned i, const char *name, uint64_t caps)
{
	snprintf(t.conf.section[i].name, sizeof(t.conf.section[i].name), "%s",
	    name);
	t.conf.section[i].caps = caps;
	if (t.conf.n_section <= i)
		t.conf.n_section = i + 1;
}

static void
start(void)
{
	struct coord_setup setup = {.loop = t.loop, .master = t.coord_end,
	    .manager = t.coord_end,
	    .memory = -1, .generation = GENERATION, .conf = &t.conf, .now = now,
	    .gone = gone};

	t.coord = coord_new(&setup);
	assert_non_null(t.coord);
}

static int
setup(void **state)
{
	int pair[2];

	(void)state;
	memset(&t, 0, sizeof(t));
	/* far from the real time, so that the loop's timers never fire */
	t.now = clock_now() + 1000000 * S;
	t.loop = loop_new();
	assert_non_null(t.loop);
	t.awake.fd = eventfd(1, EFD_CLOEXEC);
	t.awake.ready = awake;
	assert_true(loop_watch(t.loop, &t.awake, LOOP_READ));
	assert_true(ipc_pair(pair));
	t.master = pair[0];
	t.coord_end = pair[1];
	t.conf.failure_delay = 1 * S;
	t.conf.failure_delay_max = 15 * S;
	t.conf.uid_min = 500;
	t.conf.gid_min = 8;
	t.conf.n_storage = 2;
	strncpy(t.conf.storage[0], "maildir", CONF_NAME - 1);
	strncpy(t.conf.storage[1], "big", CONF_NAME - 1);
	section(0, "users", CULVER_AU_VERIFY | CULVER_AU_USER);
	logged[0] = 0;
	log_set_sink(log_sink_);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	coord_destroy(&t.coord);
	loop_unwatch(t.loop, &t.awake);
	loop_destroy(&t.loop);
	close(t.awake.fd);
	close(t.coord_end);
	if (t.master >= 0)
		close(t.master);
	log_set_sink(NULL);
	return 0;
}

/* --- the other ends ------------------------------------------------------ */

static int
add(enum ipc_type type, const void *m)
{
	int pair[2];

	if (t.coord == NULL)
		start();
	assert_true(ipc_pair(pair));
	assert_int_equal(ipc_send(t.master, type, m, &pair[1], 1), CULVER_OK);
	close(pair[1]);
	pump();
	return pair[0];
}

static int
add_gate(uint32_t id)
{
	struct ipc_auth_gate m = {.gate = id};

	return add(IPC_AUTH_GATE, &m);
}

static int
add_pool(uint32_t n)
{
	struct ipc_auth_pool m = {.section = n, .instance = n};

	return add(IPC_AUTH_POOL, &m);
}

static void
begin_from(int gate, uint64_t serial, const char *user, const char *pw,
    const char *remote)
{
	char data[400];
	struct ipc_auth_begin m = {.serial = serial, .flags = IPC_TLS,
	    .mech = "USER", .service = "pop3", .remote = remote,
	    .local = "192.0.2.100", .data = {.p = (uint8_t *)data}};

	m.data.n = (uint32_t)snprintf(data, sizeof(data), "%s%c%s", user, 0,
	    pw);
	assert_int_equal(ipc_send(gate, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

static void
begin(int gate, uint64_t serial, const char *user, const char *pw)
{
	begin_from(gate, serial, user, pw, "192.0.2.1");
}

static void
begin_mech(int gate, uint64_t serial, const char *mech, const void *data,
    uint32_t n)
{
	struct ipc_auth_begin m = {.serial = serial, .mech = mech,
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.100",
	    .flags = data != NULL ? IPC_HAS_IR : 0, .data = {data, n}};

	assert_int_equal(ipc_send(gate, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

static void
cont(int gate, uint64_t serial, const void *data, uint32_t n)
{
	struct ipc_auth_cont m = {.serial = serial, .data = {data, n}};

	assert_int_equal(ipc_send(gate, IPC_AUTH_CONT, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

static void
cancel(int gate, uint64_t serial)
{
	struct ipc_auth_cancel m = {.serial = serial};

	assert_int_equal(ipc_send(gate, IPC_AUTH_CANCEL, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

static struct ipc_in in;

/* The next message on FD, which must be of TYPE. */
static void
expect(int fd, enum ipc_role to, enum ipc_type type)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_GOT);
	assert_int_equal(in.type, type);
}

static void
silent(int fd, enum ipc_role to)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_AGAIN);
}

static void
closed(int fd, enum ipc_role to)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_EOF);
}

/* AUTH_NO to SERIAL with STATUS; when it may be said. */
static uint64_t
expect_no(int gate, uint64_t serial, culver_status status)
{
	expect(gate, R_GATE, IPC_AUTH_NO);
	assert_int_equal(in.m.auth_no.serial, serial);
	assert_int_equal((culver_status)in.m.auth_no.status, status);
	return in.m.auth_no.not_before;
}

static struct ipc_pool_answer
good_answer(uint64_t id)
{
	return (struct ipc_pool_answer){.id = id, .uid = 1001, .gid = 1002,
	    .home = "/home/tim", .expire_days = 7, .login_delay = 11,
	    .quota_octets = 22, .quota_messages = 33};
}

static void
answer(int pool, const struct ipc_pool_answer *a)
{
	assert_int_equal(ipc_send(pool, IPC_POOL_ANSWER, a, NULL, 0),
	    CULVER_OK);
	pump();
}

/* The next login that the pool is asked about; its number. */
static uint64_t
asked(int pool)
{
	expect(pool, R_POOL, IPC_POOL_LOGIN);
	return in.m.pool_login.id;
}

/* Answer the next login with V for the password and L for the user. */
static void
verdict(int pool, culver_status v, culver_status l)
{
	struct ipc_pool_answer a = good_answer(asked(pool));

	a.verify = (uint32_t)v;
	a.lookup = (uint32_t)l;
	a.error = v == CULVER_E_TEMP || l == CULVER_E_TEMP ? "disk on fire" :
	    "";
	answer(pool, &a);
}

static void
expect_yes(int gate, uint64_t serial)
{
	uint64_t id;

	expect(t.master, R_MASTER, IPC_GRANT);
	id = in.m.grant.id;
	assert_int_equal(in.m.grant.serial, serial);
	expect(gate, R_GATE, IPC_AUTH_YES);
	assert_int_equal(in.m.auth_yes.serial, serial);
	assert_int_equal(in.m.auth_yes.grant, id);
}

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
		b.mech = "APOP";
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_grant), T(test_bad_users), T(test_one_user_a_uid),
		T(test_master_full),
		T(test_chain), T(test_reasons), T(test_userdb), T(test_sasl),
		T(test_sasl_has_a_deadline),
		T(test_user_case), T(test_slots), T(test_hang_up),
		T(test_cancel_waiting), T(test_too_many_waiting),
		T(test_malformed_flood_locks_nobody_out),
		T(test_known_first), T(test_log_rate),
		T(test_pool_death), T(test_deadline),
		T(test_bad_pool), T(test_bad_gate), T(test_two_gates),
		T(test_slow_gate), T(test_master_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
