/*
 * test_passwdfile_hashes.c - the passwd-file plugin and hashes that Dovecot's
 * doveadm pw and the argon2 tool made, broken ones, and ones that would keep a
 * process busy or take the machine's memory.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/pwtest.h"

#define A2 "$argon2id$v=19$m=64,t=2,p=4$Y3VsdmVyY3VsdmVy$" \
	"tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68"
#define PB "$1$3X3/ZAs5k2MA6Htn$5000$6b249c2e8b9973ac07acc49973f314ad88ea4934"

/* All of them are of the password "tanstaaf". */
static const char *const good[] = {
	"{SHA256}2OZJiX4f3IEocTIetqYiu1a2GovhuIBYRxZR+uXBLKo=",
	"{SHA256.HEX}"
	    "d8e649897e1fdc812871321eb6a622bb56b61a8be1b88058471651fae5c12caa",
	"{sha256}"
	    "D8E649897E1FDC812871321EB6A622BB56B61A8BE1B88058471651FAE5C12CAA",
	"{SSHA256}C7fveTeRfsb9zUPToY3MhSyG5gKdfK+carFkP7czuK/XoKEk",
	"{SHA512}7k4B2Jp+VfRq9eIRUB9fGp9ZeNyZPWiiDRYSh7oJALW7dmzxjah/z/nf"
	    "+cj/MOzDknLTjla4zoq4EfWvmjU7oA==",
	"{SSHA512.b64}FZ1m5dtsT2PKaZXirFp/VqdoV5G0aR3K9QCma1Ks+P6Ci9yh0TWZ"
	    "ERL2vATDIPHezFZwird1K1PGBgJiG6ugH0Um3sE=",
	"{PBKDF2}" PB,
	"{SCRAM-SHA-256}4096,ASGk67lkWV1oUq9cfQal3g==,"
	    "8cvGN5Jlnbecp3024AB2i9pMB5LOehrZdQ3YDhuxtqM=,"
	    "uhreMszq7zTtJ8Unzth9tzBjTyVg9JNfNjJ9TAK5qwA=",
	"{SCRAM-SHA-1}4096,wB9uLBCcdFnXwx49EP1U1A==,"
	    "79wwENX+jZoUjKCQlDMB222+gLQ=,LkuF6Q48oUA7NCbKCZ5GOYEw5as=",
#ifdef WITH_ARGON2
	"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$tDkL7jlWTcjME9Wf5kvKyA$"
	    "UunRk59uBgi6MKQzemJRPkDbCWyDLexub/4JX9fGdaY",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$OsuZaeoZocNNO5Y7Y8DyXQ$"
	    "5k5jWEqfgmQfgshDvx0RTLntzWQvjNCmgKV7fL8q+L8",
	"{ARGON2ID}" A2,
	"{ARGON2I}$argon2i$v=16$m=32,t=3,p=1$Y3VsdmVyY3VsdmVy$"
	    "dZ55aThhNKxkG1fHhDv0MnGGBCzCwd6DqEYoTTOnKP0",
#endif
};

/* Not of the scheme that they claim, or of none that is known. */
static const char *const broken[] = {
	"{SHA256}", "{SHA256}x", "{SHA256}7k4B2Jp+",
	"{SHA256}C7fveTeRfsb9zUPToY3MhSyG5gKdfK+carFkP7czuK/XoKEk",
	"{SSHA256}2OZJiX4f3IEocTIetqYiu1a2GovhuIBYRxZR+uXBLKo=",
	"{SSHA512}C7fveTeRfsb9zUPToY3MhSyG5gKdfK+carFkP7czuK/XoKEk",
	"{SHA256.OCT}2OZJiX4f3IEocTIetqYiu1a2GovhuIBYRxZR+uXBLKo=",
	"{SHA256}2OZJiX4f3IEocTIetqYiu1a2GovhuIBYRxZR+uXBLKp=",
	"{PLAIN.HEX}7461",
	"{PBKDF2}" PB "0", "{PBKDF2}$1$$5000$6b249c2e8b9973ac",
	"{PBKDF2}$2$3X3/ZAs5k2MA6Htn$5000$6b249c2e8b9973ac07acc49973f314ad8"
	    "8ea4934",
	"{PBKDF2}$1$3X3/ZAs5k2MA6Htn$0$6b249c2e8b9973ac07acc49973f314ad88ea4"
	    "934",
	"{PBKDF2}$1$3X3/ZAs5k2MA6Htn$-5$6b249c2e8b9973ac07acc49973f314ad88ea"
	    "4934",
	"{ARGON2I}" A2, "{ARGON2ID}" A2 "=", "{ARGON2ID}" A2 "$",
	"{ARGON2ID}$argon2id$v=20$m=64,t=2,p=4$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
	"{ARGON2ID}$argon2id$v=19$m=31,t=2,p=4$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
	"{ARGON2ID}$argon2id$v=19$m=64,t=0,p=4$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
	"{ARGON2ID}$argon2id$v=19$t=2,m=64,p=4$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
};

/* Good, but to check them would take minutes or gigabytes. */
static const char *const costly[] = {
	"{CRYPT}$2b$31$culverculverculverculv.",
	"{CRYPT}$6$rounds=999999999$culver$",
	"{CRYPT}$5$rounds=99999999999999999999$culver$",
	"{CRYPT}$y$jJT$culverculver$", "{CRYPT}$y$j9T5$culver$",
	"{CRYPT}$y$jT9$culverculver$",
	"{CRYPT}$7$VU..../....culverculverculver$",
	"{CRYPT}$7$CU....zzzzzculverculverculver$",
	"{PBKDF2}$1$culver$999999999$6b249c2e8b9973ac07acc49973f314ad88ea4934",
#ifdef WITH_ARGON2
	"{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=100000,p=1$Y3VsdmVyY3VsdmVy$"
	    "tD9h8q6udI+bXFljmseqYD8NptWDBOMOKoTL+7bHx68",
#endif
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* The only user has the field HASH. */
static void
one(struct authtest *s, const char *hash)
{
	char text[512];

	snprintf(text, sizeof(text), "u:%s\n", hash);
	pwtest_users(s, text);
}

static void
test_good(void **state)
{
	struct authtest *s = *state;

	for (size_t i = 0; i < N(good); i++) {
		one(s, good[i]);
		if (authtest_verify(s, "u", "tanstaaf") != CULVER_OK)
			fail_msg("%s: %s", good[i], s->host.err.text);
		assert_int_equal(authtest_verify(s, "u", "tanstaa"),
		    CULVER_E_AUTH);
		assert_int_equal(authtest_verify(s, "u", ""), CULVER_E_AUTH);
		assert_int_equal(authtest_verify_n(s, "u", "tanstaaf\0", 9),
		    CULVER_E_AUTH);
	}
}

static void
test_broken(void **state)
{
	struct authtest *s = *state;

	for (size_t i = 0; i < N(broken); i++) {
		culver_status want = i == 0 ? CULVER_E_DISABLED :
		    CULVER_E_TEMP;

		one(s, broken[i]);
		if (authtest_verify(s, "u", "tanstaaf") != want)
			fail_msg("%s", broken[i]);
	}
}

/* Refused without an attempt: else this test would not end. */
static void
test_costly(void **state)
{
	struct authtest *s = *state;

	for (size_t i = 0; i < N(costly); i++) {
		one(s, costly[i]);
		s->host.err.text[0] = 0;
		if (authtest_verify(s, "u", "tanstaaf") != CULVER_E_TEMP ||
		    strstr(s->host.err.text, "too much") == NULL)
			fail_msg("%s: %s", costly[i], s->host.err.text);
		assert_non_null(strstr(s->host.err.text, "user u"));
	}
}

/* What crypt_gensalt(3) and the tools make by themselves can be borne, and
 * equal parameters cost the same. */
static void
test_costs(void **state)
{
	static const char *const usual[] = {"$y$j9T$culver$x", "$y$jDT$cu$x",
	    "$7$CU..../....culver$x", "$2b$12$culverculverculverculv.x",
	    "$6$culver$x", "$6$rounds=656000$culver$x", "$5$culver$x",
	    "$1$culver$x"};
	struct hash_cost a, b;
	struct hash h;

	(void)state;
	for (size_t i = 0; i < N(usual); i++) {
		h = hash_parse((struct span){usual[i], strlen(usual[i])},
		    (struct span){"CRYPT", 5});
		if (h.state != HASH_GOOD)
			fail_msg("%s", usual[i]);
	}
	a = hash_cost(method_find((struct span){"PBKDF2", 6}),
	    (struct span){PB, strlen(PB)});
	b = hash_cost(method_find((struct span){"PBKDF2", 6}),
	    (struct span){"$1$other$5000$0", 15});
	assert_int_equal(a.usec, b.usec);
	b = hash_cost(method_find((struct span){"PBKDF2", 6}),
	    (struct span){"$1$other$6000$0", 15});
	assert_int_not_equal(a.usec, b.usec);
}

static culver_status
quick(struct authtest *s, const char *user, const char *password)
{
	const struct culver_auth_req rq = {.size = sizeof(rq),
	    .flags = CULVER_RQ_QUICK, .user = user, .service = "pop3",
	    .remote = "", .local = "", .session = "1"};
	struct culver_auth_ok ok = {.size = sizeof(ok)};
	const struct culver_str pw = authtest_str(password);

	return s->ops->verify_plain(s->au, &rq, &pw, &ok,
	    fakehost_call(&s->host));
}

/* Where others wait, what takes long is put off, for unknown users as for most
 * of the file; what does not is answered. */
static void
test_quick(void **state)
{
	struct authtest *s = *state;
	char text[1024];

	snprintf(text, sizeof(text), "a:{PLAIN}p\nb:%s\nc:%s\nd:!\ne:%s\n",
	    "$2b$10$culverculverculverculv.", good[6],
	    "$2b$10$culverculverculverculv.");
	pwtest_users(s, text);
	assert_int_equal(quick(s, "a", "p"), CULVER_OK);
	assert_int_equal(quick(s, "a", "q"), CULVER_E_AUTH);
	assert_int_equal(quick(s, "b", "p"), CULVER_E_UNSUPPORTED);
	assert_int_equal(quick(s, "c", "tanstaaf"), CULVER_OK);
	assert_int_equal(quick(s, "d", "p"), CULVER_E_UNSUPPORTED);
	assert_int_equal(quick(s, "nobody", "p"), CULVER_E_UNSUPPORTED);
	pwtest_users(s, "a:{PLAIN}p\nd:!\n");
	assert_int_equal(quick(s, "d", "p"), CULVER_E_DISABLED);
	assert_int_equal(quick(s, "nobody", "p"), CULVER_E_NOUSER);
}

/* An unknown user costs what most do, whatever the scheme. */
static void
test_unknown(void **state)
{
	struct authtest *s = *state;
	char text[512];

	snprintf(text, sizeof(text), "a:{PLAIN}p\nb:%s\nc:%s\n", good[6],
	    good[6]);
	pwtest_users(s, text);
	assert_string_equal(s->au->check.costs->method->name, "PBKDF2");
	assert_string_equal(s->au->check.costs->hash, PB);
	assert_int_equal(authtest_verify(s, "nobody", "tanstaaf"),
	    CULVER_E_NOUSER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good), T(test_broken), T(test_costly), T(test_costs),
		T(test_quick), T(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
