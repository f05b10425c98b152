/*
 * test_passwdfile_file.c - the passwd-file plugin through its own operations:
 * the fields of users, changes of the file, files that are not whole.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/pwtest.h"

/* Rules as Dovecot writes them. */
static void
test_quota(void **state)
{
	static const struct {
		const char *rule;
		uint64_t octets, messages;
		_Bool bad;
	} t[] = {
		{ "*:storage=1G:messages=1000", 1 << 30, 1000, 0 },
		{ "*:messages=7", 0, 7, 0 },
		{ "INBOX:storage=5", 5 * 1024, 0, 0 },
		{ "*:bytes=10", 10, 0, 0 },
		{ "*:storage=3MB", 3 << 20, 0, 0 },
		{ "*:bytes=2k", 2048, 0, 0 },
		{ "*", 0, 0, 0 },
		{ "*:storage=0", 0, 0, 0 },
		{ "Trash:storage=+10%", 0, 0, 0 },
		{ "*:storage=", 0, 0, 1 }, { "*:storage=1X", 0, 0, 1 },
		{ "*:storage", 0, 0, 1 }, { "*:storage=-1", 0, 0, 1 },
		{ "*:messages=1k", 0, 0, 1 }, { "*:ignore", 0, 0, 1 },
		{ "*:storage=99999999999999999999T", 0, 0, 1 },
		{ "", 0, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct culver_user u = { .quota_octets = 0 };
		struct span rule = { t[i].rule, strlen(t[i].rule) };

		if (quota_parse(rule, &u) == t[i].bad)
			fail_msg("%s", t[i].rule);
		if (t[i].bad)
			continue;
		assert_int_equal(u.quota_octets, t[i].octets);
		assert_int_equal(u.quota_messages, t[i].messages);
	}
}

static void
test_user(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	pwtest_users(s, "# comment\n"
	    "\n"
	    "full@x.org:{PLAIN}p:1001:1002:G E C O S:/home/full:/bin/sh:"
	    "userdb_mail=maildir:~/Maildir storage=big "
	    "userdb_quota_rule=*:storage=1G flag\n"
	    ":skipped\n"
	    "old:{PLAIN}p:1001:1002::/home/old:/bin/sh::/var/mail/old\n"
	    "crlf:{PLAIN}p:1001:1002::/home/crlf\r\n"
	    "none:{PLAIN}p\n"
	    "some:{PLAIN}p:1001\n"
	    "over:{PLAIN}p:1:1::/h::userdb_uid=7 userdb_gid=8 "
	    "userdb_home=/home/o\n"
	    "opts:{PLAIN}p:1:1::/h::mail=maildir:/m:INDEX=/i\n"
	    "bad:{PLAIN}p:1:1::/h::mail=mdbox:~/m\n");
	assert_int_equal(authtest_lookup(s, "full@x.org", &u), CULVER_OK);
	assert_int_equal(u.uid, 1001);
	assert_int_equal(u.gid, 1002);
	assert_string_equal(u.home, "/home/full");
	assert_string_equal(u.location, "~/Maildir");
	assert_string_equal(u.storage, "big");
	assert_string_equal(u.name, "full@x.org");
	assert_int_equal(u.n_fields, 2);
	assert_string_equal(u.fields[0].name, "quota_rule");
	assert_string_equal(u.fields[0].value, "*:storage=1G");
	assert_string_equal(u.fields[1].name, "flag");
	assert_string_equal(u.fields[1].value, "");
	assert_int_equal(u.quota_octets, UINT64_C(1) << 30);
	assert_int_equal(u.quota_messages, 0);
	assert_int_equal(authtest_lookup(s, "old", &u), CULVER_OK);
	assert_string_equal(u.location, "/var/mail/old");
	assert_int_equal(authtest_lookup(s, "crlf", &u), CULVER_OK);
	assert_string_equal(u.home, "/home/crlf");
	assert_int_equal(authtest_verify(s, "crlf", "p"), CULVER_OK);
	assert_int_equal(authtest_lookup(s, "none", &u), CULVER_E_DECLINE);
	assert_int_equal(authtest_lookup(s, "some", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "over", &u), CULVER_OK);
	assert_int_equal(u.uid, 7);
	assert_int_equal(u.gid, 8);
	assert_string_equal(u.home, "/home/o");
	assert_int_equal(authtest_lookup(s, "opts", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "bad", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "nobody", &u), CULVER_E_NOUSER);
	assert_int_equal(authtest_lookup(s, "# comment", &u), CULVER_E_NOUSER);
	assert_int_equal(authtest_lookup(s, "skipped", &u), CULVER_E_NOUSER);
}

static void
test_virtual_site(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	s->v[3].u.i = 5000;
	s->v[4].u.i = 5001;
	s->v[5].u.s = authtest_str("/srv/%{domain}/%{name}/%u%%");
	pwtest_users(s, "a@x.org:{PLAIN}p\nb:{PLAIN}p\nc@..:{PLAIN}p\n"
	    "d@y:{PLAIN}p:::::/own\ne@y:{PLAIN}p:::g:/own\n");
	assert_int_equal(authtest_lookup(s, "a@x.org", &u), CULVER_OK);
	assert_int_equal(u.uid, 5000);
	assert_int_equal(u.gid, 5001);
	assert_string_equal(u.home, "/srv/x.org/a/a@x.org%");
	assert_int_equal(authtest_lookup(s, "e@y", &u), CULVER_OK);
	assert_string_equal(u.home, "/own");
	/* no domain, and one that would climb out */
	assert_int_equal(authtest_lookup(s, "b", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "c@..", &u), CULVER_E_TEMP);
}

static void
test_malformed_lines(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	pwtest_users(s, "good:{PLAIN}p:1:1::/h\n"
	    "root:{PLAIN}p:0:0::/root\n"
	    "word:{PLAIN}p:many:1::/h\n"
	    "rel:{PLAIN}p:1:1::home\n"
	    "huge:{PLAIN}p:4294967296:1::/h\n"
	    "good:{PLAIN}other:1:1::/h\n");
	assert_int_equal(authtest_verify(s, "good", "p"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "good", "other"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "root", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "root", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "word", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "rel", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "huge", "p"), CULVER_E_TEMP);
	for (int nr = 2; nr <= 6; nr++) {
		char mark[32];
		const char *at;

		snprintf(mark, sizeof(mark), "/users:%d: ", nr);
		at = strstr(s->host.log, mark);
		assert_non_null(at);
		assert_null(strstr(at + 1, mark));	/* once */
	}
}

static void
test_reload(void **state)
{
	struct authtest *s = *state;

	pwtest_users(s, "a:{PLAIN}one\n");
	assert_int_equal(authtest_verify(s, "a", "one"), CULVER_OK);
	pwtest_users(s, "a:{PLAIN}two\nb:{PLAIN}new\n");
	assert_int_equal(authtest_verify(s, "a", "one"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "a", "two"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "b", "new"), CULVER_OK);
	pwtest_users(s, "b:{PLAIN}new\n");
	assert_int_equal(authtest_verify(s, "a", "two"), CULVER_E_NOUSER);
}

/* A change in place that leaves every stamp as it was (the clock of a file
 * system ticks slowly) is seen when the stamps are old enough to be read
 * again; until then nobody is told that a user is unknown. */
static void
test_racy_stamp(void **state)
{
	struct authtest *s = *state;
	struct pwfile f = {.host = &s->host.host, .path = s->path,
	    .scheme = {"CRYPT", 5}};
	static struct pwline line;
	uint64_t tag = UINT64_C(1) << 63;
	size_t i = 0;

	pwtest_write(s, "a:1\n", 4);
	assert_int_equal(pwfile_find(&f, "a", &line, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_true(f.ix->racy);
	/* as if the file had changed since without a trace: what stands there
	 * belongs elsewhere */
	while (f.ix->slot[i] == 0)
		i++;
	f.ix->slot[i] ^= tag;
	assert_int_equal(pwfile_find(&f, "a", &line, fakehost_call(&s->host)),
	    CULVER_E_NOUSER);
	s->host.clock += UINT64_C(2000000001);
	assert_int_equal(pwfile_find(&f, "a", &line, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_int_equal(line.nr, 1);
	assert_int_equal(line.n, 3);
	pwfile_unload(&f);
}

static void
test_not_whole(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	pwtest_users(s, "a:{PLAIN}p:1:1::/h\n");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_OK);
	/* half a line: a user who is not there yet is not unknown */
	pwtest_users(s, "a:{PLAIN}p:1:1::/h\nb:{PLA");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "nobody", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "nobody", &u), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "no newline"));
	pwtest_users(s, "");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "empty"));
	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, s->path));
	assert_int_equal(mkdir(s->path, 0700), 0);
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	assert_int_equal(rmdir(s->path), 0);
	/* and when it is whole again, all is well */
	pwtest_users(s, "# nobody\n");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_NOUSER);
	pwtest_users(s, "a:{PLAIN}p:1:1::/h\n");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_OK);
}

static void
test_missing_at_start(void **state)
{
	struct authtest *s = *state;

	authtest_start(s);
	assert_non_null(strstr(s->host.log, s->path));
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	pwtest_users(s, "a:{PLAIN}p\n");
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_OK);
}

static void
test_paths(void **state)
{
	struct authtest *s = *state;
	struct culver_path out[4];
	uint32_t n = 0;

	pwtest_users(s, "a:{PLAIN}p\n");
	assert_int_equal(s->ops->paths(s->au, out, 4, &n,
	    fakehost_call(&s->host)), CULVER_OK);
	assert_true(n >= 1);
	assert_string_equal(out[0].path, s->dir);
	assert_int_equal(out[0].access, CULVER_PATH_READ | CULVER_PATH_DIR);
}

static void
test_many(void **state)
{
	enum { N = 20000 };
	struct authtest *s = *state;
	char *text = malloc(N * 32), name[32];
	size_t n = 0;

	assert_non_null(text);
	for (int i = 0; i < N; i++)
		n += (size_t)snprintf(text + n, 32, "user%d:{PLAIN}p%d\n",
		    i, i);
	pwtest_write(s, text, n);
	free(text);
	authtest_start(s);
	for (int i = 0; i < N; i++) {
		char pw[32];

		snprintf(name, sizeof(name), "user%d", i);
		snprintf(pw, sizeof(pw), "p%d", i);
		assert_int_equal(authtest_verify(s, name, pw), CULVER_OK);
	}
	assert_int_equal(authtest_verify(s, "user", "p"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "user20000", "p"), CULVER_E_NOUSER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_quota), T(test_user), T(test_virtual_site),
		T(test_malformed_lines), T(test_reload), T(test_racy_stamp),
		T(test_not_whole), T(test_missing_at_start), T(test_paths),
		T(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
