/*
 * test_cache.c - what the coordinator's cache keeps, gives and forgets, as it
 * fills up and goes round.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/auth/cache.h"

enum { SIZE = 1 << 16, MOST = 3000 };

static struct cache *c;

static int
setup(void **state)
{
	(void)state;
	c = cache_new(SIZE);
	assert_non_null(c);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cache_destroy(&c);
	assert_null(c);
	return 0;
}

static struct cache_key
key(uint32_t section, const char *user, const char *password,
    const char *remote)
{
	const struct cache_ask ask = {.section = section, .user = user,
	    .service = "pop3", .remote = remote, .local = "",
	    .password = (const uint8_t *)password,
	    .n = password != NULL ? strlen(password) : 0};
	struct cache_key k;

	assert_true(cache_key(c, &ask, &k));
	return k;
}

static void
put(const struct cache_key *k, culver_status st, const char *data)
{
	cache_put(c, k, st, "canonical", data, strlen(data), 7);
}

/* What is kept of K; "": nothing. */
static const char *
got(const struct cache_key *k)
{
	static char text[64];
	struct cache_found f;

	if (!cache_find(c, k, &f))
		return "";
	assert_int_equal(f.at, 7);
	snprintf(text, sizeof(text), "%d %.*s", (int)f.status, (int)f.n,
	    (const char *)f.p);
	return text;
}

static void
test_what_an_answer_depends_on(void **state)
{
	struct cache_key a = key(0, "tim", "pw", "192.0.2.1");
	const struct cache_key others[] = {
		key(1, "tim", "pw", "192.0.2.1"),
		key(0, "tom", "pw", "192.0.2.1"),
		key(0, "tim", "pW", "192.0.2.1"),
		key(0, "tim", "", "192.0.2.1"),
		key(0, "tim", "pw", "192.0.2.2"),
		key(0, "tim", NULL, "192.0.2.1"),
		key(0, "timpop3", "pw", "192.0.2.1"),
	};

	(void)state;
	put(&a, CULVER_OK, "x");
	assert_string_equal(got(&a), "0 x");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_string_equal(got(&others[i]), "");
	/* another password takes its place */
	put(&others[2], CULVER_OK, "y");
	assert_string_equal(got(&a), "");
	assert_string_equal(got(&others[2]), "0 y");
	/* that there is no such user is so with every password */
	put(&a, CULVER_E_NOUSER, "z");
	assert_string_equal(got(&a), "-21 z");
	assert_string_equal(got(&others[2]), "-21 z");
}

/* What two caches have of one password has nothing in common. */
static void
test_every_key_is_another(void **state)
{
	const struct cache_ask ask = {.user = "tim", .service = "pop3",
	    .remote = "", .local = "", .password = (const uint8_t *)"pw",
	    .n = 2};
	struct cache *other = cache_new(65536);
	struct cache_key a, b;

	(void)state;
	assert_non_null(other);
	assert_true(cache_key(c, &ask, &a));
	assert_true(cache_key(other, &ask, &b));
	assert_memory_not_equal(a.password, b.password, sizeof(a.password));
	assert_memory_not_equal(a.ask, b.ask, sizeof(a.ask));
	assert_int_not_equal(a.user, b.user);
	assert_true(cache_key(c, &ask, &b));
	assert_memory_equal(a.password, b.password, sizeof(a.password));
	cache_destroy(&other);
}

static void
test_forget(void **state)
{
	struct cache_key a = key(0, "tim", "pw", "192.0.2.1");
	struct cache_key b = key(0, "tim", "pw", "192.0.2.2");
	struct cache_key old = key(0, "tim", "old", "192.0.2.3");
	struct cache_key user = key(0, "tim", NULL, "192.0.2.1");
	struct cache_key second = key(1, "tim", "old", "192.0.2.3");

	(void)state;
	put(&a, CULVER_OK, "a");
	put(&b, CULVER_OK, "b");
	put(&old, CULVER_OK, "c");
	put(&user, CULVER_OK, "d");
	put(&second, CULVER_OK, "e");
	cache_forget(c, &a, 0, 1);	/* "pw" is right now */
	assert_string_equal(got(&old), "");
	assert_string_equal(got(&b), "0 b");
	assert_string_equal(got(&second), "0 e");
	cache_forget(c, &a, 1, 0);	/* and wrong now */
	assert_string_equal(got(&a), "");
	assert_string_equal(got(&b), "");
	assert_string_equal(got(&user), "0 d");
	/* by either name, of all sections */
	cache_flush(c, "tom");
	assert_string_equal(got(&user), "0 d");
	cache_flush(c, "tim");
	assert_string_equal(got(&user), "");
	assert_string_equal(got(&second), "");
	put(&a, CULVER_OK, "a");
	cache_flush(c, "canonical");
	assert_string_equal(got(&a), "");
	put(&a, CULVER_OK, "a");
	put(&b, CULVER_OK, "b");
	cache_flush(c, NULL);
	assert_string_equal(got(&a), "");
	assert_string_equal(got(&b), "");
}

/* However it fills: what was put last is there, whole; what is there is what
 * was put. */
static void
test_round_and_round(void **state)
{
	static uint8_t data[MOST], large[SIZE / 3];
	static size_t size[97];
	struct cache_found f;
	struct cache_key k;
	char name[16];
	unsigned hits = 0;

	(void)state;
	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned who = (unsigned)random() % 97;
		size_t n = (size_t)random() % MOST;

		snprintf(name, sizeof(name), "user%u", who);
		k = key(0, name, "pw", "");
		if (random() % 50 == 0)
			cache_flush(c, name);
		if (random() % 2000 == 0)
			cache_flush(c, NULL);
		if (cache_find(c, &k, &f)) {
			hits++;
			assert_int_equal(f.n, size[who]);
			for (size_t j = 0; j < f.n; j++)
				assert_int_equal(f.p[j], (uint8_t)(f.n + who));
		}
		memset(data, (int)(n + who), n);
		cache_put(c, &k, CULVER_OK, name, data, n, i);
		size[who] = n;
		assert_true(cache_find(c, &k, &f));
		assert_int_equal(f.n, n);
	}
	assert_true(hits > 1000);
	/* what is larger than a quarter is not kept, nor what was before */
	cache_put(c, &k, CULVER_OK, name, data, MOST, 1);
	assert_true(cache_find(c, &k, &f));
	cache_put(c, &k, CULVER_OK, name, large, sizeof(large), 1);
	assert_false(cache_find(c, &k, &f));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_an_answer_depends_on),
		T(test_every_key_is_another), T(test_forget),
		T(test_round_and_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
