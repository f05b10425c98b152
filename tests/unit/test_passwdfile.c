/*
 * test_passwdfile.c - the passwd-file plugin through its own operations:
 * schemes, weak ones, locked users, what unknown ones cost, its options.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/pwtest.h"

/* crypt(3) at the lowest cost, so that the tests stay quick */
#define SHA512 "$6$rounds=1000$culver$"

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
	struct authtest *s = *state;
	char text[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "u:%s%s\nother:{PLAIN}x\n",
		    rows[i].tag, pwtest_crypt(rows[i].setting, "right"));
		pwtest_users(s, text);
		s->host.log[0] = 0;
		assert_int_equal(authtest_verify(s, "u", "right"),
		    rows[i].right);
		if (rows[i].right == CULVER_OK)
			assert_int_equal(authtest_verify(s, "u", "wrong"),
			    CULVER_E_AUTH);
		if (rows[i].right == CULVER_E_DISABLED) {
			assert_non_null(strstr(s->host.log, "user u "));
			assert_non_null(strstr(s->host.log, "-CRYPT is weak"));
		}
		if (rows[i].right == CULVER_E_TEMP)
			assert_non_null(strstr(s->host.err.text, ":1: "));
	}
}

static void
test_weak_by_name(void **state)
{
	struct authtest *s = *state;
	char text[512];

	s->weak[0] = authtest_str("md5-crypt");
	s->v[2].u.list.v = s->weak;
	s->v[2].u.list.n = 1;
	snprintf(text, sizeof(text), "m:%s\n",
	    pwtest_crypt("$1$culver$", "right"));
	snprintf(text + strlen(text), 100, "d:%s\n",
	    pwtest_crypt("cu", "right"));
	pwtest_users(s, text);
	assert_int_equal(authtest_verify(s, "m", "right"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "m", "wrong"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "d", "right"), CULVER_E_DISABLED);
}

static void
test_plain(void **state)
{
	struct authtest *s = *state;

	pwtest_users(s, "a:{PLAIN}secret\nb:{CLEAR}!x y\nc:{plain}\nd:secret\n"
	    "e:{PLAIN}*\n");
	assert_int_equal(authtest_verify(s, "a", "secret"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "a", "secre"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "a", "secrets"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "a", "secretsecret"),
	    CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "a", ""), CULVER_E_AUTH);
	assert_int_equal(authtest_verify_n(s, "a", "secret\0", 7),
	    CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "b", "!x y"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "c", ""), CULVER_E_DISABLED);
	assert_int_equal(authtest_verify(s, "e", "*"), CULVER_OK);
	/* without a scheme it is crypt(3)'s, which this is not */
	assert_int_equal(authtest_verify(s, "d", "secret"), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "A", "secret"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "nobody", "secret"),
	    CULVER_E_NOUSER);
}

static void
test_default_scheme(void **state)
{
	struct authtest *s = *state;

	s->v[1].u.s = authtest_str("plain");
	pwtest_users(s, "a:secret\nb:*\nc:!\nd:\n");
	assert_int_equal(authtest_verify(s, "a", "secret"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "b", "*"), CULVER_E_DISABLED);
	assert_int_equal(authtest_verify(s, "c", "!"), CULVER_E_DISABLED);
	assert_int_equal(authtest_verify(s, "d", ""), CULVER_E_DISABLED);
}

static void
test_locked(void **state)
{
	struct authtest *s = *state;
	char text[1024];

	snprintf(text, sizeof(text), "a:!%s\nb:*\nc:\nd\ne:x\n"
	    "f:{CRYPT}!%s\n", pwtest_crypt(SHA512, "right"),
	    pwtest_crypt(SHA512, "right"));
	snprintf(text + strlen(text), 200, "g:%s::::::nologin\n",
	    pwtest_crypt(SHA512, "right"));
	snprintf(text + strlen(text), 200, "h:%s::::::nologin=y mail=/x\n",
	    pwtest_crypt(SHA512, "right"));
	snprintf(text + strlen(text), 200, "i:%s::::::allow_nets=10.0.0.0/8\n",
	    pwtest_crypt(SHA512, "right"));
	pwtest_users(s, text);
	for (const char *u = "abcdefghi"; *u != 0; u++) {
		char name[2] = {*u, 0};

		assert_int_equal(authtest_verify(s, name, "right"),
		    CULVER_E_DISABLED);
		assert_int_equal(authtest_verify(s, name, "wrong"),
		    CULVER_E_DISABLED);
	}
	assert_non_null(strstr(s->host.log, "user i is refused: the field "
	    "allow_nets"));
}

static void
test_long_password(void **state)
{
	struct authtest *s = *state;
	static char pw[5000];
	char text[300];

	memset(pw, 'p', sizeof(pw) - 1);
	snprintf(text, sizeof(text), "u:%s\n", pwtest_crypt(SHA512, "right"));
	pwtest_users(s, text);
	assert_int_equal(authtest_verify(s, "u", pw), CULVER_E_AUTH);
	assert_int_equal(authtest_verify_n(s, "u", "right\0x", 7),
	    CULVER_E_AUTH);
	assert_int_equal(authtest_verify_n(s, "u", "right\0", 6),
	    CULVER_E_AUTH);
}

/* What a wrong password of an unknown user costs: that of most users. */
static void
test_dummy(void **state)
{
	struct authtest *s = *state;
	struct pwfile f = {.host = &s->host.host, .path = s->path,
	    .scheme = {"CRYPT", 5}};
	char text[1024];

	snprintf(text, sizeof(text), "a:{PLAIN}p\nb:!%s\n",
	    pwtest_crypt("$5$rounds=1000$culver$", "p"));
	snprintf(text + strlen(text), 200, "c:%s\n",
	    pwtest_crypt("$6$rounds=1000$culver$", "p"));
	snprintf(text + strlen(text), 200, "d:%s\n",
	    pwtest_crypt("$6$rounds=2000$one$", "p"));
	snprintf(text + strlen(text), 200, "e:%s\n",
	    pwtest_crypt("$6$rounds=2000$two$", "q"));
	pwtest_write(s, text, strlen(text));
	assert_int_equal(pwfile_refresh(&f, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_string_equal(f.costs.method->name, "SHA512-CRYPT");
	assert_non_null(strstr(f.costs.hash, "$6$rounds=2000$one$"));
	pwtest_write(s, "# none\n", 7);
	assert_int_equal(pwfile_refresh(&f, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_string_equal(f.costs.method->name, "YESCRYPT");
	f.scheme = (struct span){"BLF-CRYPT", 9};
	pwfile_unload(&f);
	assert_int_equal(pwfile_refresh(&f, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_string_equal(f.costs.method->name, "BLF-CRYPT");
	pwfile_unload(&f);
}

/* The settings that stand in for a hash must be ones that crypt(3) takes, or
 * an unknown user would cost nothing. */
static void
test_dummy_settings(void **state)
{
	static const char *const names[] = {"YESCRYPT", "SHA512-CRYPT",
	    "SHA256-CRYPT", "BLF-CRYPT", "SCRYPT", "MD5-CRYPT", "DES-CRYPT",
	    "PBKDF2", "SHA256", "SSHA256", "SHA512", "SSHA512",
	    "SCRAM-SHA-256", "SCRAM-SHA-1",
#ifdef WITH_ARGON2
	    "ARGON2I", "ARGON2ID",
#endif
	    };
	struct culver_str pw = authtest_str("p");
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

static culver_status
check(struct authtest *s, uint32_t *bad)
{
	return auth_passwdfile_LTX_culver_plugin.check_options(&s->host.host,
	    &s->vals, bad, fakehost_call(&s->host));
}

static void
test_options(void **state)
{
	struct authtest *s = *state;
	uint32_t bad = 99;

	assert_int_equal(check(s, &bad), CULVER_OK);
	s->v[1].u.s = authtest_str("ROT13");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 1);
	s->v[1].u.s = authtest_str("blf-crypt");
	s->weak[0] = authtest_str("DES-CRYPT");
	s->weak[1] = authtest_str("PLAIN");
	s->v[2].u.list.v = s->weak;
	s->v[2].u.list.n = 2;
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 2);
	s->v[2].u.list.n = 1;
	s->v[3].u.i = 500;
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	s->v[4].u.i = 500;
	assert_int_equal(check(s, &bad), CULVER_OK);
	s->v[5].u.s = authtest_str("/srv/%{mail}");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	assert_int_equal(bad, 5);
	s->v[5].u.s = authtest_str("srv/%u");
	assert_int_equal(check(s, &bad), CULVER_E_CONFIG);
	s->v[5].u.s = authtest_str("/srv/%{domain}/%{name}");
	assert_int_equal(check(s, &bad), CULVER_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_schemes), T(test_weak_by_name), T(test_plain),
		T(test_default_scheme), T(test_locked),
		T(test_long_password), T(test_dummy), T(test_dummy_settings),
		T(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
