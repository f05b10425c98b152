/*
 * test_passwdfile.c - the passwd-file plugin through its own operations:
 * format, schemes, weak ones, reloading, files that are not whole.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <culver/auth.h>
#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"

extern const struct culver_plugin auth_passwdfile_LTX_culver_plugin;
static const struct culver_auth_ops *ops;

/* --- a host -------------------------------------------------------------- */

static char logged[8192];
static uint64_t now_ns = 1;

struct culver_arena {
	struct culver_arena *next;
	max_align_t data[];
};
static struct culver_arena *chunks;

static void
host_log(const struct culver_host *h, int32_t level, const char *text)
{
	size_t n = strlen(logged);

	(void)h;
	(void)level;
	snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static void *
host_alloc(struct culver_arena *a, size_t n)
{
	struct culver_arena *c = calloc(1, sizeof(*c) + n);

	(void)a;
	assert_non_null(c);
	c->next = chunks;
	chunks = c;
	return c->data;
}

static uint64_t
host_now(const struct culver_host *h)
{
	(void)h;
	return now_ns;
}

static void
host_random(const struct culver_host *h, void *buf, size_t n)
{
	(void)h;
	assert_int_equal(getrandom(buf, n, 0), (ssize_t)n);
}

static void
host_wipe(void *buf, size_t n)
{
	explicit_bzero(buf, n);
}

static const struct culver_host host = {
	.size = sizeof(host), .log = host_log, .alloc = host_alloc,
	.now = host_now, .random = host_random, .wipe = host_wipe,
};

/* --- a section ----------------------------------------------------------- */

struct section {
	char dir[64], path[96];
	struct culver_value v[6];
	struct culver_values vals;
	struct culver_str weak[2];
	struct culver_error err;
	struct culver_call call;
	struct culver_auth *au;
};

static struct culver_str
str(const char *s)
{
	return (struct culver_str){s, strlen(s)};
}

static void
file_write(struct section *s, const char *text, size_t n)
{
	char tmp[128];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", s->path);
	f = fopen(tmp, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(tmp, s->path), 0);
}

static void
section_start(struct section *s)
{
	s->call.err = &s->err;
	s->call.deadline = UINT64_MAX;
	s->call.size = sizeof(s->call);
	assert_int_equal(ops->create(&s->au, &host, &s->vals, &s->call),
	    CULVER_OK);
}

static int
setup(void **state)
{
	struct section *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/culver-pf-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/users", s->dir);
	s->v[0].u.s = str(s->path);
	s->v[1].u.s = str("CRYPT");
	s->vals = (struct culver_values){.size = sizeof(s->vals), .n = 6,
	    .v = s->v};
	logged[0] = 0;
	ops = auth_passwdfile_LTX_culver_plugin.ops.auth;
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct section *s = *state;

	ops->destroy(s->au);
	unlink(s->path);
	rmdir(s->dir);
	while (chunks != NULL) {
		struct culver_arena *c = chunks;

		chunks = c->next;
		free(c);
	}
	free(s);
	return 0;
}

static void
users(struct section *s, const char *text)
{
	file_write(s, text, strlen(text));
	if (s->au == NULL)
		section_start(s);
}

static culver_status
verify_n(struct section *s, const char *user, const char *pw, size_t n)
{
	struct culver_auth_req rq = {.size = sizeof(rq), .user = user,
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.2",
	    .session = "1"};
	struct culver_auth_ok ok = {.size = sizeof(ok)};
	struct culver_str p = {pw, n};

	memset(&s->err, 0, sizeof(s->err));
	return ops->verify_plain(s->au, &rq, &p, &ok, &s->call);
}

static culver_status
verify(struct section *s, const char *user, const char *pw)
{
	return verify_n(s, user, pw, strlen(pw));
}

static culver_status
lookup(struct section *s, const char *user, struct culver_user *out)
{
	struct culver_auth_req rq = {.size = sizeof(rq), .user = user,
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.2",
	    .session = "1"};

	memset(&s->err, 0, sizeof(s->err));
	*out = (struct culver_user){.size = sizeof(*out)};
	return ops->lookup_user(s->au, &rq, out, &s->call);
}

/* --- tests --------------------------------------------------------------- */

/* crypt(3) at the lowest cost, so that the tests stay quick */
#define SHA512 "$6$rounds=1000$culver$"

static const char *
make(const char *setting, const char *pw)
{
	static struct crypt_data cd;
	const char *h = crypt_rn(pw, setting, &cd, sizeof(cd));

	assert_non_null(h);
	return h;
}

static void
test_schemes(void **state)
{
	static const struct {
		const char *tag, *setting;
		culver_status right;
	} rows[] = {
		{"", "$y$j75$culverculver", CULVER_OK},
		{"{CRYPT}", "$y$j75$culverculver", CULVER_OK},
		{"{YESCRYPT}", "$y$j75$culverculver", CULVER_OK},
		{"{sha512-crypt}", SHA512, CULVER_OK},
		{"{SHA256-CRYPT}", "$5$rounds=1000$culver$", CULVER_OK},
		{"{BLF-CRYPT}", "$2y$04$culverculverculverculv.", CULVER_OK},
		{"{CRYPT}", "$2b$04$culverculverculverculv.", CULVER_OK},
		{"{CRYPT}", "$2a$04$culverculverculverculv.", CULVER_OK},
		{"{MD5-CRYPT}", "$1$culver$", CULVER_E_DISABLED},
		{"{CRYPT}", "$1$culver$", CULVER_E_DISABLED},
		{"", "cu", CULVER_E_DISABLED},
		{"{BLF-CRYPT}", SHA512, CULVER_E_TEMP},
		{"{SSHA}", SHA512, CULVER_E_TEMP},
		{"{MD5}", SHA512, CULVER_E_TEMP},
	};
	struct section *s = *state;
	char text[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "u:%s%s\nother:{PLAIN}x\n",
		    rows[i].tag, make(rows[i].setting, "right"));
		users(s, text);
		logged[0] = 0;
		assert_int_equal(verify(s, "u", "right"), rows[i].right);
		if (rows[i].right == CULVER_OK)
			assert_int_equal(verify(s, "u", "wrong"),
			    CULVER_E_AUTH);
		if (rows[i].right == CULVER_E_DISABLED) {
			assert_non_null(strstr(logged, "user u "));
			assert_non_null(strstr(logged, "-CRYPT is weak"));
		}
		if (rows[i].right == CULVER_E_TEMP)
			assert_non_null(strstr(s->err.text, ":1: "));
	}
}

static void
test_weak_by_name(void **state)
{
	struct section *s = *state;
	char text[512];

	s->weak[0] = str("md5-crypt");
	s->v[2].u.list.v = s->weak;
	s->v[2].u.list.n = 1;
	snprintf(text, sizeof(text), "m:%s\n", make("$1$culver$", "right"));
	snprintf(text + strlen(text), 100, "d:%s\n", make("cu", "right"));
	users(s, text);
	assert_int_equal(verify(s, "m", "right"), CULVER_OK);
	assert_int_equal(verify(s, "m", "wrong"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "d", "right"), CULVER_E_DISABLED);
}

static void
test_plain(void **state)
{
	struct section *s = *state;

	users(s, "a:{PLAIN}secret\nb:{CLEAR}!x y\nc:{plain}\nd:secret\n"
	    "e:{PLAIN}*\n");
	assert_int_equal(verify(s, "a", "secret"), CULVER_OK);
	assert_int_equal(verify(s, "a", "secre"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "a", "secrets"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "a", "secretsecret"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "a", ""), CULVER_E_AUTH);
	assert_int_equal(verify_n(s, "a", "secret\0", 7), CULVER_E_AUTH);
	assert_int_equal(verify(s, "b", "!x y"), CULVER_OK);
	assert_int_equal(verify(s, "c", ""), CULVER_E_DISABLED);
	assert_int_equal(verify(s, "e", "*"), CULVER_OK);
	/* without a scheme it is crypt(3)'s, which this is not */
	assert_int_equal(verify(s, "d", "secret"), CULVER_E_TEMP);
	assert_int_equal(verify(s, "A", "secret"), CULVER_E_NOUSER);
	assert_int_equal(verify(s, "nobody", "secret"), CULVER_E_NOUSER);
}

static void
test_default_scheme(void **state)
{
	struct section *s = *state;

	s->v[1].u.s = str("plain");
	users(s, "a:secret\nb:*\nc:!\nd:\n");
	assert_int_equal(verify(s, "a", "secret"), CULVER_OK);
	assert_int_equal(verify(s, "b", "*"), CULVER_E_DISABLED);
	assert_int_equal(verify(s, "c", "!"), CULVER_E_DISABLED);
	assert_int_equal(verify(s, "d", ""), CULVER_E_DISABLED);
}

static void
test_locked(void **state)
{
	struct section *s = *state;
	char text[1024];

	snprintf(text, sizeof(text), "a:!%s\nb:*\nc:\nd\ne:x\n"
	    "f:{CRYPT}!%s\n", make(SHA512, "right"), make(SHA512, "right"));
	snprintf(text + strlen(text), 200, "g:%s::::::nologin\n",
	    make(SHA512, "right"));
	snprintf(text + strlen(text), 200, "h:%s::::::nologin=y mail=/x\n",
	    make(SHA512, "right"));
	snprintf(text + strlen(text), 200, "i:%s::::::allow_nets=10.0.0.0/8\n",
	    make(SHA512, "right"));
	users(s, text);
	for (const char *u = "abcdefghi"; *u != 0; u++) {
		char name[2] = {*u, 0};

		assert_int_equal(verify(s, name, "right"), CULVER_E_DISABLED);
		assert_int_equal(verify(s, name, "wrong"), CULVER_E_DISABLED);
	}
	assert_non_null(strstr(logged, "user i is refused: the field "
	    "allow_nets"));
}

static void
test_long_password(void **state)
{
	struct section *s = *state;
	static char pw[5000];
	char text[300];

	memset(pw, 'p', sizeof(pw) - 1);
	snprintf(text, sizeof(text), "u:%s\n", make(SHA512, "right"));
	users(s, text);
	assert_int_equal(verify(s, "u", pw), CULVER_E_AUTH);
	assert_int_equal(verify_n(s, "u", "right\0x", 7), CULVER_E_AUTH);
	assert_int_equal(verify_n(s, "u", "right\0", 6), CULVER_E_AUTH);
}

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
	struct section *s = *state;
	struct culver_user u;

	users(s, "# comment\n"
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
	assert_int_equal(lookup(s, "full@x.org", &u), CULVER_OK);
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
	assert_int_equal(lookup(s, "old", &u), CULVER_OK);
	assert_string_equal(u.location, "/var/mail/old");
	assert_int_equal(lookup(s, "crlf", &u), CULVER_OK);
	assert_string_equal(u.home, "/home/crlf");
	assert_int_equal(verify(s, "crlf", "p"), CULVER_OK);
	assert_int_equal(lookup(s, "none", &u), CULVER_E_DECLINE);
	assert_int_equal(lookup(s, "some", &u), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "over", &u), CULVER_OK);
	assert_int_equal(u.uid, 7);
	assert_int_equal(u.gid, 8);
	assert_string_equal(u.home, "/home/o");
	assert_int_equal(lookup(s, "opts", &u), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "bad", &u), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "nobody", &u), CULVER_E_NOUSER);
	assert_int_equal(lookup(s, "# comment", &u), CULVER_E_NOUSER);
	assert_int_equal(lookup(s, "skipped", &u), CULVER_E_NOUSER);
}

static void
test_virtual_site(void **state)
{
	struct section *s = *state;
	struct culver_user u;

	s->v[3].u.i = 5000;
	s->v[4].u.i = 5001;
	s->v[5].u.s = str("/srv/%{domain}/%{name}/%u%%");
	users(s, "a@x.org:{PLAIN}p\nb:{PLAIN}p\nc@..:{PLAIN}p\n"
	    "d@y:{PLAIN}p:::::/own\ne@y:{PLAIN}p:::g:/own\n");
	assert_int_equal(lookup(s, "a@x.org", &u), CULVER_OK);
	assert_int_equal(u.uid, 5000);
	assert_int_equal(u.gid, 5001);
	assert_string_equal(u.home, "/srv/x.org/a/a@x.org%");
	assert_int_equal(lookup(s, "e@y", &u), CULVER_OK);
	assert_string_equal(u.home, "/own");
	/* no domain, and one that would climb out */
	assert_int_equal(lookup(s, "b", &u), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "c@..", &u), CULVER_E_TEMP);
}

static void
test_malformed_lines(void **state)
{
	struct section *s = *state;
	struct culver_user u;

	users(s, "good:{PLAIN}p:1:1::/h\n"
	    "root:{PLAIN}p:0:0::/root\n"
	    "word:{PLAIN}p:many:1::/h\n"
	    "rel:{PLAIN}p:1:1::home\n"
	    "huge:{PLAIN}p:4294967296:1::/h\n"
	    "good:{PLAIN}other:1:1::/h\n");
	assert_int_equal(verify(s, "good", "p"), CULVER_OK);
	assert_int_equal(verify(s, "good", "other"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "root", "p"), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "root", &u), CULVER_E_TEMP);
	assert_int_equal(verify(s, "word", "p"), CULVER_E_TEMP);
	assert_int_equal(verify(s, "rel", "p"), CULVER_E_TEMP);
	assert_int_equal(verify(s, "huge", "p"), CULVER_E_TEMP);
	for (int nr = 2; nr <= 6; nr++) {
		char mark[16];
		const char *at;

		snprintf(mark, sizeof(mark), "/users:%d: ", nr);
		at = strstr(logged, mark);
		assert_non_null(at);
		assert_null(strstr(at + 1, mark));	/* once */
	}
}

static void
test_reload(void **state)
{
	struct section *s = *state;

	users(s, "a:{PLAIN}one\n");
	assert_int_equal(verify(s, "a", "one"), CULVER_OK);
	users(s, "a:{PLAIN}two\nb:{PLAIN}new\n");
	assert_int_equal(verify(s, "a", "one"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "a", "two"), CULVER_OK);
	assert_int_equal(verify(s, "b", "new"), CULVER_OK);
	users(s, "b:{PLAIN}new\n");
	assert_int_equal(verify(s, "a", "two"), CULVER_E_NOUSER);
}

/* A change in place that leaves every stamp as it was (the clock of a file
 * system ticks slowly) is seen when the stamps are old enough to be read
 * again. */
static void
test_racy_stamp(void **state)
{
	struct section *s = *state;
	struct pwfile f = {.host = &host, .path = s->path,
	    .scheme = {"CRYPT", 5}};
	struct culver_call call = {.err = &s->err};
	struct span line;
	uint32_t nr;

	file_write(s, "a:1\n", 4);
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_true(f.racy);
	/* as if the file had changed since without a trace */
	memcpy(f.text, "b:1\n", 4);
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_memory_equal(f.text, "b:1\n", 4);
	now_ns += UINT64_C(2000000001);
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_true(pwfile_find(&f, "a", &line, &nr));
	pwfile_unload(&f);
}

static void
test_not_whole(void **state)
{
	struct section *s = *state;
	struct culver_user u;

	users(s, "a:{PLAIN}p:1:1::/h\n");
	assert_int_equal(verify(s, "a", "p"), CULVER_OK);
	/* half a line: a user who is not there yet is not unknown */
	users(s, "a:{PLAIN}p:1:1::/h\nb:{PLA");
	assert_int_equal(verify(s, "a", "p"), CULVER_E_TEMP);
	assert_int_equal(verify(s, "nobody", "p"), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "nobody", &u), CULVER_E_TEMP);
	assert_non_null(strstr(s->err.text, "no newline"));
	users(s, "");
	assert_int_equal(verify(s, "a", "p"), CULVER_E_TEMP);
	assert_non_null(strstr(s->err.text, "empty"));
	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(verify(s, "a", "p"), CULVER_E_TEMP);
	assert_non_null(strstr(s->err.text, s->path));
	assert_int_equal(mkdir(s->path, 0700), 0);
	assert_int_equal(verify(s, "a", "p"), CULVER_E_TEMP);
	assert_int_equal(rmdir(s->path), 0);
	/* and when it is whole again, all is well */
	users(s, "# nobody\n");
	assert_int_equal(verify(s, "a", "p"), CULVER_E_NOUSER);
	users(s, "a:{PLAIN}p:1:1::/h\n");
	assert_int_equal(verify(s, "a", "p"), CULVER_OK);
}

static void
test_missing_at_start(void **state)
{
	struct section *s = *state;

	section_start(s);
	assert_non_null(strstr(logged, s->path));
	assert_int_equal(verify(s, "a", "p"), CULVER_E_TEMP);
	users(s, "a:{PLAIN}p\n");
	assert_int_equal(verify(s, "a", "p"), CULVER_OK);
}

static void
test_paths(void **state)
{
	struct section *s = *state;
	struct culver_path out[4];
	uint32_t n = 0;

	users(s, "a:{PLAIN}p\n");
	assert_int_equal(ops->paths(s->au, out, 4, &n, &s->call), CULVER_OK);
	assert_true(n >= 1);
	assert_string_equal(out[0].path, s->dir);
	assert_int_equal(out[0].access, CULVER_PATH_READ | CULVER_PATH_DIR);
}

/* What a wrong password of an unknown user costs: that of most users. */
static void
test_dummy(void **state)
{
	struct section *s = *state;
	struct pwfile f = {.host = &host, .path = s->path,
	    .scheme = {"CRYPT", 5}};
	struct culver_call call = {.err = &s->err};
	char text[1024];

	snprintf(text, sizeof(text), "a:{PLAIN}p\nb:!%s\n",
	    make("$5$rounds=1000$culver$", "p"));
	snprintf(text + strlen(text), 200, "c:%s\n",
	    make("$6$rounds=1000$culver$", "p"));
	snprintf(text + strlen(text), 200, "d:%s\n",
	    make("$6$rounds=2000$one$", "p"));
	snprintf(text + strlen(text), 200, "e:%s\n",
	    make("$6$rounds=2000$two$", "q"));
	file_write(s, text, strlen(text));
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_string_equal(f.dummy_method->name, "SHA512-CRYPT");
	assert_non_null(strstr(f.dummy, "$6$rounds=2000$one$"));
	file_write(s, "# none\n", 7);
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_string_equal(f.dummy_method->name, "YESCRYPT");
	f.scheme = (struct span){"BLF-CRYPT", 9};
	pwfile_unload(&f);
	assert_int_equal(pwfile_refresh(&f, &call), CULVER_OK);
	assert_string_equal(f.dummy_method->name, "BLF-CRYPT");
	pwfile_unload(&f);
}

/* The settings that stand in for a hash must be ones that crypt(3) takes, or
 * an unknown user would cost nothing. */
static void
test_dummy_settings(void **state)
{
	static const char *const names[] = {"YESCRYPT", "SHA512-CRYPT",
	    "SHA256-CRYPT", "BLF-CRYPT", "SCRYPT", "MD5-CRYPT", "DES-CRYPT"};
	struct culver_str pw = str("p");
	static struct crypt_data cd;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct method *m = method_find((struct span){names[i],
		    strlen(names[i])});

		assert_non_null(m);
		assert_int_equal(hash_verify(m, m->setting, &pw, &cd),
		    CULVER_E_AUTH);
	}
}

static void
test_many(void **state)
{
	enum { N = 20000 };
	struct section *s = *state;
	char *text = malloc(N * 32), name[32];
	size_t n = 0;

	assert_non_null(text);
	for (int i = 0; i < N; i++)
		n += (size_t)snprintf(text + n, 32, "user%d:{PLAIN}p%d\n",
		    i, i);
	file_write(s, text, n);
	free(text);
	section_start(s);
	for (int i = 0; i < N; i++) {
		char pw[32];

		snprintf(name, sizeof(name), "user%d", i);
		snprintf(pw, sizeof(pw), "p%d", i);
		assert_int_equal(verify(s, name, pw), CULVER_OK);
	}
	assert_int_equal(verify(s, "user", "p"), CULVER_E_NOUSER);
	assert_int_equal(verify(s, "user20000", "p"), CULVER_E_NOUSER);
}

static culver_status
check(struct section *s, uint32_t *bad)
{
	s->call.err = &s->err;
	return auth_passwdfile_LTX_culver_plugin.check_options(&host,
	    &s->vals, bad, &s->call);
}

static void
test_options(void **state)
{
	struct section *s = *state;
	uint32_t bad = 99;

	assert_int_equal(check(s, &bad), CULVER_OK);
	s->v[1].u.s = str("ROT13");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 1);
	s->v[1].u.s = str("blf-crypt");
	s->weak[0] = str("DES-CRYPT");
	s->weak[1] = str("PLAIN");
	s->v[2].u.list.v = s->weak;
	s->v[2].u.list.n = 2;
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 2);
	s->v[2].u.list.n = 1;
	s->v[3].u.i = 500;
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	s->v[4].u.i = 500;
	assert_int_equal(check(s, &bad), CULVER_OK);
	s->v[5].u.s = str("/srv/%{mail}");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 5);
	s->v[5].u.s = str("srv/%u");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	s->v[5].u.s = str("/srv/%{domain}/%{name}");
	assert_int_equal(check(s, &bad), CULVER_OK);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_schemes), T(test_weak_by_name), T(test_plain),
		T(test_default_scheme), T(test_locked), T(test_long_password),
		T(test_quota), T(test_user), T(test_virtual_site),
		T(test_malformed_lines),
		T(test_reload), T(test_racy_stamp), T(test_not_whole),
		T(test_missing_at_start), T(test_paths), T(test_dummy),
		T(test_dummy_settings), T(test_many), T(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
