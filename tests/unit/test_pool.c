/*
 * test_pool.c - what a pool process makes of a plugin's answers, good and bad.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <culver/util.h>

#include "core/auth/pool.h"
#include "core/base/clock.h"
#include "core/plugin/host.h"

static struct {
	culver_status verify, lookup;
	const char *error;
	struct culver_auth_ok ok;
	struct culver_user user;
	unsigned verified, looked;
	char seen_user[256], seen_password[64];
	const char *password_at;
} plug;

static culver_status
plug_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	(void)au;
	plug.verified++;
	plug.password_at = password->p;
	strncpy(plug.seen_password, password->p,
	    sizeof(plug.seen_password) - 1);
	assert_int_equal(strlen(password->p), password->n);
	strncpy(plug.seen_user, rq->user, sizeof(plug.seen_user) - 1);
	*ok = plug.ok;
	if (plug.error != NULL)
		return culver_fail(call, plug.verify, 2, "%s", plug.error);
	return plug.verify;
}

static culver_status
plug_lookup(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	(void)au;
	(void)call;
	plug.looked++;
	strncpy(plug.seen_user, rq->user, sizeof(plug.seen_user) - 1);
	*out = plug.user;
	return plug.lookup;
}

static const struct culver_auth_ops ops = {.size = sizeof(ops),
	.verify_plain = plug_verify, .lookup_user = plug_lookup};
static struct pool_run run;
static struct ipc_pool_login login;
static struct ipc_pool_answer out;

static int
setup(void **state)
{
	(void)state;
	memset(&plug, 0, sizeof(plug));
	plug.user = (struct culver_user){.size = sizeof(plug.user),
	    .uid = 1001, .gid = 1002, .name = "tim", .home = "/home/tim"};
	memset(&run, 0, sizeof(run));
	run.ops = &ops;
	run.caps = CULVER_AU_VERIFY | CULVER_AU_USER;
	run.arena = arena_new(POOL_ARENA);
	assert_non_null(run.arena);
	login = (struct ipc_pool_login){.id = 9, .deadline = UINT64_MAX,
	    .want = IPC_WANT_VERIFY | IPC_WANT_USER, .user = "Tim",
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.2",
	    .session = "1", .password = {(const uint8_t *)"sesame!!", 6}};
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(&run.arena);
	return 0;
}

static void
test_good(void **state)
{
	const struct culver_field f[] = {{"quota", "1"}, {"flag", ""}};

	(void)state;
	plug.user.fields = f;
	plug.user.n_fields = 2;
	plug.user.location = "~/Mail";
	plug.user.storage = "big";
	plug.ok.expire_days = 3;
	plug.ok.login_delay = 4;
	pool_answer(&run, &login, &out);
	assert_int_equal(out.id, 9);
	assert_int_equal(out.verify, CULVER_OK);
	assert_int_equal(out.lookup, CULVER_OK);
	assert_int_equal(out.uid, 1001);
	assert_int_equal(out.gid, 1002);
	assert_string_equal(out.user, "tim");
	assert_string_equal(out.location, "~/Mail");
	assert_string_equal(out.storage, "big");
	assert_int_equal(out.expire_days, 3);
	assert_int_equal(out.login_delay, 4);
	assert_int_equal(out.fields.n, 14);
	assert_memory_equal(out.fields.p, "quota\0001\0flag\0\0", 14);
	/* exactly the password, and gone when the call is over */
	assert_string_equal(plug.seen_password, "sesame");
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(plug.password_at[i], 0);
	pool_clean(&run);
}

static void
test_wants(void **state)
{
	(void)state;
	plug.verify = CULVER_E_AUTH;
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_E_AUTH);
	assert_int_equal(plug.looked, 0);
	/* the name that verify gave is the one that is looked up */
	plug.verify = CULVER_OK;
	plug.ok.user = "canonical";
	pool_answer(&run, &login, &out);
	assert_string_equal(plug.seen_user, "canonical");
	login.want = IPC_WANT_USER;
	plug.verified = 0;
	pool_answer(&run, &login, &out);
	assert_int_equal(plug.verified, 0);
	assert_string_equal(plug.seen_user, "Tim");
	assert_int_equal(out.lookup, CULVER_OK);
	/* what the plugin cannot is not called */
	run.caps = 0;
	login.want = IPC_WANT_VERIFY | IPC_WANT_USER;
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_E_DECLINE);
	assert_int_equal(plug.verified, 0);
}

static void
test_failures(void **state)
{
	(void)state;
	plug.verify = CULVER_E_TEMP;
	plug.error = "cannot open\nusers";
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_E_TEMP);
	assert_non_null(strstr(out.error, "cannot open\\x0ausers: No such"));
	/* statuses that no auth plugin may give */
	plug.error = NULL;
	for (culver_status st = -40; st < 10; st++) {
		plug.verify = st;
		pool_answer(&run, &login, &out);
		if (st > 0 || st < CULVER_E_DECLINE ||
		    (st < CULVER_E_CONFIG && st > CULVER_E_AUTH))
			assert_int_equal((culver_status)out.verify,
			    CULVER_E_TEMP);
		else
			assert_int_equal((culver_status)out.verify, st);
	}
	/* too late: not even begun */
	plug.verified = 0;
	login.deadline = clock_now();
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_E_TEMP);
	assert_int_equal(plug.verified, 0);
}

static char *
repeat(char c, size_t n)
{
	char *s = malloc(n + 1);

	assert_non_null(s);
	memset(s, c, n);
	s[n] = 0;
	return s;
}

static void
refused(void)
{
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_OK);
	assert_int_equal((culver_status)out.lookup, CULVER_E_TEMP);
	assert_int_equal(out.uid, 0);
	assert_true(out.error[0] != 0);
	pool_clean(&run);
	plug.user = (struct culver_user){.uid = 1001, .gid = 1002,
	    .name = "tim", .home = "/home/tim"};
}

static void
test_evil(void **state)
{
	char *max = repeat('x', 4095), *more = repeat('x', 4096);
	char *name = repeat('x', 256), *storage = repeat('x', 64);
	struct culver_field f[2] = {{"a", "b"}, {"c", more}};
	struct culver_field empty = {"", "b"}, null = {NULL, NULL};
	struct culver_field control = {"a", "b\n"};

	(void)state;
	plug.user.home = more;
	refused();
	plug.user.location = more;
	refused();
	plug.user.name = name;
	refused();
	plug.user.storage = storage;
	refused();
	plug.user.home = "/home/\x01";
	refused();
	plug.user.uid = 0;
	refused();
	plug.user.gid = 0;
	refused();
	plug.user.uid = UINT32_MAX;
	refused();
	plug.user.n_fields = 1000000;
	plug.user.fields = f;
	refused();
	plug.user.n_fields = 1;
	plug.user.fields = NULL;
	refused();
	plug.user.n_fields = 2;
	plug.user.fields = f;
	refused();
	plug.user.n_fields = 1;
	plug.user.fields = &empty;
	refused();
	plug.user.n_fields = 1;
	plug.user.fields = &null;
	refused();
	plug.user.n_fields = 1;
	plug.user.fields = &control;
	refused();
	plug.user.home = max;		/* just fits */
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.lookup, CULVER_OK);
	plug.ok.user = name;
	pool_answer(&run, &login, &out);
	assert_int_equal((culver_status)out.verify, CULVER_E_TEMP);
	free(max);
	free(more);
	free(name);
	free(storage);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good), T(test_wants), T(test_failures), T(test_evil),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
