/*
 * test_exec.c - the plugin that asks a program, with shell scripts as
 * programs: answers, hostile answers, programs that die, hang or are loud.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "plugins/auth_exec/exec.h"
#include "tests/unit/fakehost.h"

extern const struct culver_plugin auth_exec_LTX_culver_plugin;

#define HELLO "read -r l; printf 'hello\\tversion=1\\tcan=verify,user\\n';"
#define NEXT "read -r l; "
/* $1 to the request's field $2 */
#define FIELD "field() { v=${l#*\t$1=}; echo \"${v%%\t*}\"; }; "

struct exectest {
	struct culver_str program[3];
	struct culver_value v[N_OPTIONS];
	struct culver_values vals;
	struct fakehost host;
	const struct culver_auth_ops *ops;
	struct culver_auth *au;
	struct culver_auth_ok ok;
};

static struct culver_str
str(const char *text)
{
	return (struct culver_str){text, strlen(text)};
}

static int
setup(void **state)
{
	struct exectest *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->program[0] = str("/bin/sh");
	t->program[1] = str("-c");
	t->v[OPT_PROGRAM].u.list.v = t->program;
	t->v[OPT_PROGRAM].u.list.n = 3;
	t->v[OPT_TIMEOUT].u.i = 60000000000;
	t->v[OPT_SCHEME].u.s = str("PLAIN");
	t->vals = (struct culver_values){.size = sizeof(t->vals),
	    .n = N_OPTIONS, .v = t->v};
	t->ops = auth_exec_LTX_culver_plugin.ops.auth;
	fakehost_init(&t->host);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct exectest *t = *state;

	t->ops->destroy(t->au);
	fakehost_free(&t->host);
	free(t);
	return 0;
}

static void
start(struct exectest *t, const char *script)
{
	uint32_t bad;

	t->ops->destroy(t->au);
	t->program[2] = str(script);
	assert_int_equal(auth_exec_LTX_culver_plugin.check_options(
	    &t->host.host, &t->vals, &bad, fakehost_call(&t->host)),
	    CULVER_OK);
	assert_int_equal(t->ops->create(&t->au, &t->host.host, &t->vals,
	    fakehost_call(&t->host)), CULVER_OK);
}

static struct culver_auth_req
request(const char *user)
{
	return (struct culver_auth_req){.size =
	    sizeof(struct culver_auth_req), .user = user, .service = "pop3",
	    .remote = "192.0.2.1", .local = "192.0.2.2", .session = "7"};
}

static culver_status
verify(struct exectest *t, const char *user, const char *pw)
{
	struct culver_auth_req rq = request(user);
	struct culver_str p = str(pw);

	t->ok = (struct culver_auth_ok){.size = sizeof(t->ok)};
	return t->ops->verify_plain(t->au, &rq, &p, &t->ok,
	    fakehost_call(&t->host));
}

static culver_status
lookup(struct exectest *t, const char *user, struct culver_user *out)
{
	struct culver_auth_req rq = request(user);

	*out = (struct culver_user){.size = sizeof(*out)};
	return t->ops->lookup_user(t->au, &rq, out, fakehost_call(&t->host));
}

/* The script fails the first request, for the reason WHY. */
static void
fails(struct exectest *t, const char *script, const char *why)
{
	start(t, script);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	if (strstr(t->host.err.text, why) == NULL)
		fail_msg("%s: said \"%s\", wanted \"%s\"", script,
		    t->host.err.text, why);
	assert_int_equal(t->au->bridge.program.pid, 0);
}

static void
test_outcomes(void **state)
{
	static const struct { const char *word; culver_status st; } words[] = {
		{"ok", CULVER_OK}, {"wrong", CULVER_E_AUTH},
		{"unknown", CULVER_E_NOUSER}, {"disabled", CULVER_E_DISABLED},
		{"expired", CULVER_E_EXPIRED}, {"delay", CULVER_E_DELAY},
		{"pass", CULVER_E_DECLINE}, {"temp", CULVER_E_TEMP},
	};
	struct exectest *t = *state;

	/* the user's name is the answer */
	start(t, FIELD HELLO "while " NEXT "do printf '%s\\tid=%s\\terror=why "
	    "%%25d\\n' \"$(field user)\" \"$(field id)\"; done");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(verify(t, words[i].word, "pw"), words[i].st);
	assert_non_null(strstr(t->host.err.text, "why %d"));
	assert_int_equal(t->au->bridge.backoff.failures, 0);
}

static void
test_data_comes_along_or_is_asked_for(void **state)
{
	struct exectest *t = *state;
	struct culver_user u;

	start(t, HELLO NEXT "printf 'ok\\tid=1\\tuser=anna%%40x\\tlogin_delay="
	    "60\\texpire_days=3\\tuserdb_uid=7\\tuserdb_gid=8\\t"
	    "userdb_home=/h m\\n';" NEXT "printf 'ok\\tid=2\\tuid=9\\tgid=9\\t"
	    "quota_rule=*:bytes=77\\tmore=%%C3%%A4\\n';" NEXT);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
	assert_string_equal(t->ok.user, "anna@x");
	assert_int_equal(t->ok.login_delay, UINT64_C(60000000000));
	assert_int_equal(t->ok.expire_days, 3);
	assert_int_equal(lookup(t, "anna@x", &u), CULVER_OK);
	assert_int_equal(u.uid, 7);
	assert_string_equal(u.home, "/h m");
	/* it is good for one lookup; another one is asked */
	assert_int_equal(lookup(t, "anna@x", &u), CULVER_OK);
	assert_int_equal(u.uid, 9);
	assert_int_equal(u.quota_octets, 77);
	assert_string_equal(u.fields[1].value, "\xc3\xa4");
}

static void
test_a_checker_leaves_users_to_the_options(void **state)
{
	struct exectest *t = *state;
	struct culver_user u;

	t->v[OPT_UID].u.i = t->v[OPT_GID].u.i = 5000;
	t->v[OPT_HOME].u.s = str("/srv/%{user}");
	start(t, "read -r l; printf 'hello\\tversion=1\\tcan=verify\\n';"
	    NEXT "printf 'ok\\tid=1\\n';" NEXT);
	assert_int_equal(lookup(t, "anna", &u), CULVER_E_DECLINE);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
	assert_int_equal(lookup(t, "bert", &u), CULVER_E_DECLINE);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	start(t, "read -r l; printf 'hello\\tversion=1\\tcan=verify\\n';"
	    NEXT "printf 'ok\\tid=1\\n';" NEXT);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
	assert_int_equal(lookup(t, "anna", &u), CULVER_OK);
	assert_int_equal(u.uid, 5000);
	assert_string_equal(u.home, "/srv/anna");
}

static void
test_stored_passwords(void **state)
{
	struct exectest *t = *state;
	struct culver_auth_req rq = request("anna");
	struct culver_cred c = {.size = sizeof(c), .form = CULVER_CRED_PLAIN};

	start(t, FIELD "read -r l; printf 'hello\\tversion=1\\tcan=creds\\n';"
	    "while " NEXT "do test $(field user) = anna && printf 'ok\\tid=%s"
	    "\\tpassword={PLAIN}p w\\n' $(field id) || printf 'unknown\\t"
	    "id=%s\\n' $(field id); done");
	assert_int_equal(verify(t, "anna", "p w"), CULVER_OK);
	assert_int_equal(verify(t, "anna", "p w "), CULVER_E_AUTH);
	assert_int_equal(verify(t, "anna", ""), CULVER_E_AUTH);
	assert_int_equal(verify(t, "bert", "p w"), CULVER_E_NOUSER);
	assert_int_equal(t->ops->lookup_creds(t->au, &rq, &c, &t->ok,
	    fakehost_call(&t->host)), CULVER_OK);
	assert_string_equal(c.secret.p, "p w");
}

static void
test_hostile_answers(void **state)
{
	static const struct { const char *answer, *why; } list[] = {
		{"printf 'ok\\tid=1'; exit", "ended with status 0"},
		{"printf 'ok\\tid=1\\n\\n'; " NEXT, "more than one line"},
		{"printf 'ok\\tid=1\\nok\\tid=2\\n'; " NEXT, "more than one"},
		{"printf '\\n'; " NEXT, "does not begin with a word"},
		{"printf 'ok\\tid=2\\n'; " NEXT, "another id"},
		{"printf 'ok\\tid=01\\n'; " NEXT, "another id"},
		{"printf 'ok\\tid=\\n'; " NEXT, "another id"},
		{"printf 'ok\\n'; " NEXT, "another id"},
		{"printf 'OK\\tid=1\\n'; " NEXT, "does not begin with a word"},
		{"printf 'okay\\tid=1\\n'; " NEXT, "does not have"},
		{"printf 'ok\\tid=1\\r\\n'; " NEXT, "control octets"},
		{"printf 'ok\\tid=1\\tx=a\\0b\\n'; " NEXT, "control octets"},
		{"printf 'ok\\tid=1\\tx=%%00\\n'; " NEXT, "control octets"},
		{"printf 'ok\\tid=1\\tx=%%0Auid=0\\n'; " NEXT,
		    "control octets"},
		{"printf 'ok\\tid=1\\tx=%%4\\n'; " NEXT, "two digits"},
		{"printf 'ok\\tid=1\\tx=%%zz\\n'; " NEXT, "two digits"},
		{"printf 'ok\\tid=1\\tx=1\\tx=2\\n'; " NEXT, "twice"},
		{"printf 'ok\\tid=1\\tid=1\\n'; " NEXT, "twice"},
		{"printf 'ok\\tid=1\\tx\\n'; " NEXT, "without ="},
		{"printf 'ok\\tid=1\\t\\n'; " NEXT, "without ="},
		{"printf 'ok\\tid=1\\t=x\\n'; " NEXT, "name is not one"},
		{"printf 'ok\\tid=1\\tlogin_delay=-1\\n'; " NEXT,
		    "not a number"},
		{"printf 'ok\\tid=1\\tx='; head -c 70000 /dev/zero | "
		    "tr '\\0' x; " NEXT, "too long"},
		{"cat /dev/zero", "control octets"},
		{"yes", "more than one line"},
		{"kill -9 $$", "was ended by signal 9"},
		{"exit 3", "ended with status 3"},
		{"exec >&- <&-; sleep 1000", "was killed"},
	};
	struct exectest *t = *state;
	char script[600];

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		snprintf(script, sizeof(script), "%s%s%s", HELLO, NEXT,
		    list[i].answer);
		fails(t, script, strncmp(list[i].answer, "cat", 3) == 0 ?
		    "too long" : list[i].why);
	}
}

static void
test_bad_beginnings(void **state)
{
	struct exectest *t = *state;

	fails(t, "echo starting...;" NEXT NEXT, "does not begin with a word");
	fails(t, "printf 'ok\\tid=1\\n';" NEXT NEXT, "begin with hello");
	fails(t, NEXT "printf 'hello\\tversion=2\\tcan=verify\\n';" NEXT,
	    "no version 1");
	fails(t, NEXT "printf 'hello\\tcan=verify\\n';" NEXT, "no version 1");
	fails(t, NEXT "printf 'hello\\tversion=1\\tcan=fly\\n';" NEXT,
	    "can nothing");
	fails(t, "exit 4", "ended with status 4");
	t->program[0] = str("/bin/nothing-here");
	fails(t, "", "cannot run /bin/nothing-here");
}

static void
test_a_program_that_hangs_is_killed(void **state)
{
	struct exectest *t = *state;
	pid_t group;

	t->v[OPT_TIMEOUT].u.i = 200000000;
	fails(t, "sleep 1000", "did not answer in time");
	fails(t, "trap '' TERM INT HUP;" HELLO "sleep 1000 & sleep 1000; wait",
	    "did not answer in time");
	/* at the end, too, with what it started */
	t->v[OPT_TIMEOUT].u.i = 60000000000;
	start(t, "trap '' TERM;" HELLO NEXT "printf 'ok\\tid=1\\n';"
	    "sleep 1000 & while :; do wait; done");
	assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
	group = t->au->bridge.program.pid;
	assert_int_equal(kill(-group, 0), 0);
	t->ops->destroy(t->au);
	t->au = NULL;
	/* nobody of it is left but what init has not reaped yet */
	for (unsigned i = 0; i < 1000 && kill(-group, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill(-group, 0), -1);
}

static void
test_restarts_take_longer_each_time(void **state)
{
	struct exectest *t = *state;
	const uint64_t ms[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000,
	    10000};
	struct bridge *b;

	start(t, "exit 1");
	b = &t->au->bridge;
	t->host.clock = 1;
	for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
		assert_int_equal(b->backoff.failures, i + 1);
		assert_int_equal(b->backoff.not_before - t->host.clock,
		    ms[i] * PROGRAM_MS);
		if (ms[i] == 0)
			continue;
		t->host.clock = b->backoff.not_before - 1;
		assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
		assert_int_equal(b->backoff.failures, i + 1);
		t->host.clock++;
	}
	assert_non_null(strstr(t->host.err.text, "ended with status 1"));
}

static void
test_it_may_end_between_requests(void **state)
{
	struct exectest *t = *state;
	unsigned ids = 0;

	start(t, FIELD HELLO NEXT "printf 'ok\\tid=%s\\n' $(field id)");
	while (ids++ < 3) {
		assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
		program_wait(&t->au->bridge.program, UINT64_MAX);
	}
	assert_int_equal(t->au->bridge.id, 3);
	assert_int_equal(t->au->bridge.backoff.failures, 0);
}

static void
test_it_may_not_speak_between_requests(void **state)
{
	struct exectest *t = *state;

	char c[8];	/* octets of the second answer */

	start(t, "trap \"printf 'ok\\tid=2\\n'\" USR1;" HELLO NEXT
	    "printf 'ok\\tid=1\\n'; while :; do sleep 1000 & wait; done");
	assert_int_equal(verify(t, "anna", "pw"), CULVER_OK);
	kill(t->au->bridge.program.pid, SIGUSR1);
	assert_int_equal(recv(t->au->bridge.fd, c, sizeof(c), MSG_PEEK |
	    MSG_WAITALL), sizeof(c));
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(t->host.err.text, "without being asked"));
}

static void
test_standard_error_goes_to_the_log(void **state)
{
	struct exectest *t = *state;

	start(t, "i=0; while [ $i -lt 60 ]; do echo line $i >&2; i=$((i+1));"
	    "done; head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2;"
	    HELLO "while " NEXT "do exit 5; done");
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	assert_int_equal(t->host.logged, PROGRAM_MAX_LINES);
	assert_non_null(strstr(t->host.log, "/bin/sh: line 0\n"));
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(t->host.log, "11 more lines"));
}

static void
test_its_surroundings_are_clean(void **state)
{
	struct exectest *t = *state;
	int fd = open("/dev/null", O_RDONLY);	/* no O_CLOEXEC */

	assert_true(fd >= 0);
	setenv("CULVER_TEST_SECRET", "1", 1);
	start(t, "env >&2; for f in /proc/self/fd/*; do [ -e $f ] && "
	    "echo fd ${f##*/} >&2; done; "
	    HELLO NEXT);
	assert_int_equal(verify(t, "anna", "pw"), CULVER_E_TEMP);
	assert_null(strstr(t->host.log, "CULVER_TEST_SECRET"));
	assert_non_null(strstr(t->host.log, "PATH=/usr/local/bin"));
	assert_non_null(strstr(t->host.log, "fd 2\n"));
	assert_null(strstr(t->host.log, "fd 3\n"));
	unsetenv("CULVER_TEST_SECRET");
	close(fd);
}

static void
test_what_is_too_long_is_refused(void **state)
{
	struct exectest *t = *state;
	char *name = malloc(65537);
	struct culver_user u;

	assert_non_null(name);
	memset(name, 'x', 65536);
	name[65536] = 0;
	start(t, FIELD HELLO "while " NEXT "do printf 'wrong\\tid=%s\\n' "
	    "$(field id); done");
	assert_int_equal(verify(t, name, "pw"), CULVER_E_NOUSER);
	assert_int_equal(lookup(t, name, &u), CULVER_E_NOUSER);
	assert_int_equal(verify(t, "anna", name), CULVER_E_AUTH);
	memset(name, 0xff, EXEC_PASSWORD);	/* three octets for each */
	name[EXEC_PASSWORD] = 0;
	assert_int_equal(verify(t, "anna", name), CULVER_E_AUTH);
	free(name);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_outcomes), T(test_data_comes_along_or_is_asked_for),
		T(test_a_checker_leaves_users_to_the_options),
		T(test_stored_passwords), T(test_hostile_answers),
		T(test_bad_beginnings),
		T(test_a_program_that_hangs_is_killed),
		T(test_restarts_take_longer_each_time),
		T(test_it_may_end_between_requests),
		T(test_it_may_not_speak_between_requests),
		T(test_standard_error_goes_to_the_log),
		T(test_its_surroundings_are_clean),
		T(test_what_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
