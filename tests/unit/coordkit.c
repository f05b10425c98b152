/*
 * coordkit.c - an auth coordinator in this process, for tests.
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

#include "core/base/log.h"
#include "tests/unit/coordkit.h"

struct coord_kit t;
char logged[65536];
struct ipc_in in;

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

void
pump(void)
{
	for (int i = 0; i < 8; i++)
		assert_true(loop_once(t.loop));
}

void
wait_until(uint64_t at)
{
	t.now = at;
	coord_tick(t.coord);
	pump();
}

void
section(unsigned i, const char *name, uint64_t caps)
{
	snprintf(t.conf.section[i].name, sizeof(t.conf.section[i].name), "%s",
	    name);
	t.conf.section[i].caps = caps;
	t.conf.section[i].on_wrong = CONF_THEN_STOP;
	t.conf.section[i].on_failure = CONF_THEN_TEMP;
	t.conf.section[i].user_data = CONF_NO_SECTION;
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

int
coord_kit_setup(void **state)
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
	t.conf.mechs = UINT32_MAX;
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

int
coord_kit_teardown(void **state)
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

int
add_gate(uint32_t id)
{
	struct ipc_auth_gate m = {.gate = id};

	return add(IPC_AUTH_GATE, &m);
}

int
add_lmtp(uint32_t id)
{
	struct ipc_auth_gate m = {.gate = id, .lmtp = 1};

	return add(IPC_AUTH_GATE, &m);
}

int
add_pool(uint32_t n)
{
	struct ipc_auth_pool m = {.section = n, .instance = n};

	return add(IPC_AUTH_POOL, &m);
}

void
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

void
begin(int gate, uint64_t serial, const char *user, const char *pw)
{
	begin_from(gate, serial, user, pw, "192.0.2.1");
}

void
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

void
cont(int gate, uint64_t serial, const void *data, uint32_t n)
{
	struct ipc_auth_cont m = {.serial = serial, .data = {data, n}};

	assert_int_equal(ipc_send(gate, IPC_AUTH_CONT, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

void
cancel(int gate, uint64_t serial)
{
	struct ipc_auth_cancel m = {.serial = serial};

	assert_int_equal(ipc_send(gate, IPC_AUTH_CANCEL, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

void
expect(int fd, enum ipc_role to, enum ipc_type type)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_GOT);
	assert_int_equal(in.type, type);
}

void
silent(int fd, enum ipc_role to)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_AGAIN);
}

void
closed(int fd, enum ipc_role to)
{
	ipc_done(&in);
	assert_int_equal(ipc_recv(fd, &in, R_AUTH, to, P_RUN), IPC_EOF);
}

uint64_t
expect_no(int gate, uint64_t serial, culver_status status)
{
	expect(gate, R_GATE, IPC_AUTH_NO);
	assert_int_equal(in.m.auth_no.serial, serial);
	assert_int_equal((culver_status)in.m.auth_no.status, status);
	return in.m.auth_no.not_before;
}

struct ipc_pool_answer
good_answer(uint64_t id)
{
	return (struct ipc_pool_answer){.id = id, .uid = 1001, .gid = 1002,
	    .home = "/home/tim", .expire_days = 7, .login_delay = 11,
	    .quota_octets = 22, .quota_messages = 33};
}

void
answer(int pool, const struct ipc_pool_answer *a)
{
	assert_int_equal(ipc_send(pool, IPC_POOL_ANSWER, a, NULL, 0),
	    CULVER_OK);
	pump();
}

uint64_t
asked(int pool)
{
	expect(pool, R_POOL, IPC_POOL_LOGIN);
	return in.m.pool_login.id;
}

void
verdict(int pool, culver_status v, culver_status l)
{
	struct ipc_pool_answer a = good_answer(asked(pool));

	a.verify = (uint32_t)v;
	a.lookup = (uint32_t)l;
	a.error = v == CULVER_E_TEMP || l == CULVER_E_TEMP ? "disk on fire" :
	    "";
	answer(pool, &a);
}

void
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
