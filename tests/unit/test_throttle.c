/*
 * test_throttle.c - how many guesses a second get through, and who has to
 * wait for whom.  Time is a number here.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/auth/throttle.h"
#include "core/auth/user.h"
#include "core/base/clock.h"

#define S NS_PER_S

static struct throttle *t;
static const uint8_t secret[THROTTLE_KEY] = "0123456789abcde";

static int
setup(void **state)
{
	(void)state;
	t = throttle_new(1 * S, 15 * S, 4096, secret, -1);
	assert_non_null(t);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	throttle_destroy(&t);
	return 0;
}

static uint64_t
ask(const char *remote, const char *user, uint64_t now)
{
	struct throttle_key k = throttle_key(t, remote, user);
	enum throttle_lane lane;

	return throttle_ask(t, &k, now, &lane);
}

/* One whole wrong attempt at NOW, which must be its slot. */
static uint64_t
wrong(const char *remote, const char *user, uint64_t now)
{
	struct throttle_key k = throttle_key(t, remote, user);
	struct throttle_slot s;

	assert_true(ask(remote, user, now) <= now);
	s = throttle_begin(t, &k, now);
	return throttle_failed(t, &k, &s, now);
}

static int
is_known(const char *remote, const char *user, uint64_t now)
{
	struct throttle_key k = throttle_key(t, remote, user);
	enum throttle_lane lane;

	throttle_ask(t, &k, now, &lane);
	return lane == LANE_KNOWN;
}

static void
right(const char *remote, const char *user, uint64_t now)
{
	struct throttle_key k = throttle_key(t, remote, user);
	struct throttle_slot s;

	assert_true(ask(remote, user, now) <= now);
	s = throttle_begin(t, &k, now);
	throttle_passed(t, &k, &s, now);
}

/* The delay doubles up to its limit. */
static void
test_doubling(void **state)
{
	static const unsigned want[] = {1, 2, 4, 8, 15, 15, 15};
	uint64_t now = 100 * S, at;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		at = wrong("192.0.2.1", "tim", now);
		assert_int_equal(at - now, want[i] * S);
		assert_int_equal(ask("192.0.2.1", "tim", now), at);
		/* another user from there waits just as long */
		assert_int_equal(ask("192.0.2.1", "tom", now), at);
		now = at;
	}
}

/* Attempts that run at the same time get one slot after another. */
static void
test_parallel(void **state)
{
	struct throttle_key k = throttle_key(t, "192.0.2.1", "tim");
	struct throttle_slot a = throttle_begin(t, &k, 100 * S);
	struct throttle_slot b = throttle_begin(t, &k, 100 * S);
	struct throttle_slot c = throttle_begin(t, &k, 100 * S);

	(void)state;
	assert_int_equal(throttle_failed(t, &k, &a, 100 * S), 101 * S);
	assert_int_equal(throttle_failed(t, &k, &b, 100 * S), 103 * S);
	assert_int_equal(throttle_failed(t, &k, &c, 100 * S), 107 * S);
	/* from now on only one at a time: the slot is taken at once */
	assert_int_equal(ask("192.0.2.1", "tim", 100 * S), 107 * S);
	a = throttle_begin(t, &k, 107 * S);
	assert_int_equal(ask("192.0.2.1", "tim", 107 * S), 115 * S);
	assert_int_equal(throttle_failed(t, &k, &a, 108 * S), 115 * S);
}

/* Whatever a client does, no more than 4 guesses in the first 10 seconds and
 * one every 15 from then on. */
static void
test_rate(void **state)
{
	unsigned guesses = 0;

	(void)state;
	for (uint64_t now = 100 * S; now < 3700 * S; now += S / 10)
		if (ask("192.0.2.1", "tim", now) <= now) {
			wrong("192.0.2.1", "tim", now);
			guesses++;
		}
	assert_in_range(guesses, 4 + 3570 / 15, 4 + 3600 / 15);
}

/* Pauses do not pay: after a pause that is forgotten, the rate is not higher
 * than without it. */
static void
test_pauses(void **state)
{
	unsigned guesses = 0;
	uint64_t now = 100 * S;

	(void)state;
	while (now < 3700 * S) {
		for (int i = 0; i < 5; i++) {
			now = wrong("192.0.2.1", "tim", now);
			guesses++;
		}
		now += 61 * S;
	}
	assert_in_range(guesses, 1, 4 + 3600 / 15);
}

/* A thousand clean addresses at one user: one guess a second. */
static void
test_many_addresses(void **state)
{
	char remote[32];
	unsigned guesses = 0, next = 0;

	(void)state;
	for (uint64_t now = 100 * S; now < 400 * S; now += S / 20) {
		snprintf(remote, sizeof(remote), "198.51.%u.%u",
		    next / 250 % 250, next % 250);
		next++;
		if (ask(remote, "tim", now) <= now) {
			wrong(remote, "tim", now);
			guesses++;
		}
	}
	assert_in_range(guesses, 2, 302);
}

/* Somebody else's guesses cost the user at most failure_delay. */
static void
test_not_locked_out(void **state)
{
	uint64_t now = 100 * S;

	(void)state;
	for (int i = 0; i < 20; i++)
		now = wrong("192.0.2.1", "tim", now);
	assert_true(ask("203.0.113.9", "tim", now) <= now + S);
	assert_true(ask("203.0.113.9", "tom", now) <= now);
	/* and nothing once he was there */
	right("203.0.113.9", "tim", now + S);
	for (int i = 0; i < 20; i++) {
		now = wrong("192.0.2.1", "tim", now + 60 * S);
		assert_true(ask("203.0.113.9", "tim", now) <= now);
	}
}

/* Many users behind one address: whoever was there before does not wait for
 * one who mistypes, but for his own mistakes he does. */
static void
test_shared_address(void **state)
{
	uint64_t now = 100 * S, at;

	(void)state;
	right("192.0.2.1", "good", now);
	at = wrong("192.0.2.1", "bad", now);
	assert_int_equal(ask("192.0.2.1", "new", now), at);
	assert_true(ask("192.0.2.1", "good", now) <= now);
	at = wrong("192.0.2.1", "good", now);
	assert_int_equal(ask("192.0.2.1", "good", now), at);
	at = wrong("192.0.2.1", "good", at);
	assert_int_equal(ask("192.0.2.1", "good", at - 1), at);
	/* right at last: cleared */
	right("192.0.2.1", "good", at);
	assert_true(ask("192.0.2.1", "good", at) <= at);
}

/* A known pair is no licence to guess for ever. */
static void
test_known_pair_ends(void **state)
{
	uint64_t now = 100 * S, at;

	(void)state;
	right("192.0.2.1", "tim", now);
	for (int i = 0; i < 10; i++) {
		at = ask("192.0.2.1", "tim", now);
		now = at > now ? at : now;
		wrong("192.0.2.1", "tim", now);
	}
	/* now the address's own slots count */
	assert_int_equal(ask("192.0.2.1", "tim", now),
	    ask("192.0.2.1", "other", now));
}

/* Own successes in between do not wash off guesses at others. */
static void
test_own_account(void **state)
{
	uint64_t now = 100 * S, before = now;

	(void)state;
	for (int i = 0; i < 8; i++) {
		right("192.0.2.1", "mine", now);
		before = now;
		now = wrong("192.0.2.1", "yours", now);
	}
	assert_int_equal(now - before, 15 * S);
}

/* A right password gives its slot back: others behind the same address do
 * not wait for it. */
static void
test_give_back(void **state)
{
	struct throttle_key k = throttle_key(t, "192.0.2.1", "tom");
	uint64_t now = wrong("192.0.2.1", "tim", 100 * S);
	struct throttle_slot s = throttle_begin(t, &k, now);

	(void)state;
	assert_true(ask("192.0.2.1", "joe", now) > now);
	assert_true(throttle_passed(t, &k, &s, now));
	assert_true(ask("192.0.2.1", "joe", now) <= now);
}

/* Right passwords never wait, however many at once. */
static void
test_right_passwords(void **state)
{
	struct throttle_key k = throttle_key(t, "192.0.2.1", "tim");
	struct throttle_slot s[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(ask("192.0.2.1", "tim", S) <= S);
		s[i] = throttle_begin(t, &k, S);
	}
	for (int i = 0; i < 100; i++)
		assert_false(throttle_passed(t, &k, &s[i], S));
}

static void
test_addresses(void **state)
{
	uint64_t at;

	(void)state;
	at = wrong("2001:db8:1:2::1", "a", 100 * S);
	assert_int_equal(ask("2001:db8:1:2:ffff::9", "b", 100 * S), at);
	assert_int_equal(ask("2001:db8:1:3::1", "b", 100 * S), 0);
	at = wrong("192.0.2.1", "c", 100 * S);
	assert_int_equal(ask("::ffff:192.0.2.1", "d", 100 * S), at);
	assert_int_equal(ask("192.0.2.2", "d", 100 * S), 0);
	at = wrong("unix", "e", 100 * S);
	assert_int_equal(ask("unix", "f", 100 * S), at);
}

/* More addresses than there is room for: the tables stay as they are, and
 * whoever guesses at one user stays slow. */
static void
test_flood(void **state)
{
	uint64_t now = 100 * S;
	char remote[32], user[32];

	(void)state;
	for (int i = 0; i < 6; i++)
		now = wrong("192.0.2.1", "tim", now);
	now -= 1;
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(remote, sizeof(remote), "10.%u.%u.%u", i >> 16,
		    i >> 8 & 255, i & 255);
		snprintf(user, sizeof(user), "u%u", i);
		wrong(remote, user, now - 10 * S);
	}
	assert_true(ask("192.0.2.1", "tim", now) > now);
}

/* A coordinator's successor goes on where it was, also while both live. */
static void
test_memory(void **state)
{
	static const uint8_t other[THROTTLE_KEY] = "other";
	struct throttle *first = t, *second;
	int fd = memfd_create("memory", MFD_CLOEXEC);
	uint64_t now = 100 * S;

	(void)state;
	assert_true(fd >= 0);
	first = throttle_new(1 * S, 15 * S, 4096, secret, fd);
	second = throttle_new(1 * S, 15 * S, 4096, other, fd);
	assert_true(first != NULL && second != NULL);
	throttle_destroy(&t);
	t = first;
	right("192.0.2.7", "jane", now);
	assert_int_equal(wrong("192.0.2.1", "tim", now), now + 1 * S);
	assert_int_equal(wrong("192.0.2.1", "tim", now + S), now + 3 * S);
	t = second;
	assert_int_equal(ask("192.0.2.1", "tim", now + S), now + 3 * S);
	throttle_destroy(&first);
	assert_int_equal(wrong("192.0.2.1", "tim", now + 3 * S), now + 7 * S);
	assert_true(is_known("192.0.2.7", "jane", now));
	/* another version has tables of its own, and leaves these alone */
	first = throttle_new(1 * S, 15 * S, 64, secret, fd);
	assert_non_null(first);
	t = first;
	assert_int_equal(ask("192.0.2.1", "tim", now + 3 * S), 0);
	assert_false(is_known("192.0.2.7", "jane", now));
	t = second;
	assert_int_equal(ask("192.0.2.1", "tim", now + 3 * S), now + 7 * S);
	throttle_destroy(&first);
	close(fd);
}

/* What one that went mad left in it keeps nobody out for ever. */
static void
test_memory_is_not_believed(void **state)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	uint64_t now = 100 * S, *p;
	struct stat st;

	(void)state;
	throttle_destroy(&t);
	t = throttle_new(1 * S, 15 * S, 64, secret, fd);
	assert_non_null(t);
	right("192.0.2.1", "jane", now);
	wrong("192.0.2.1", "tim", now);
	assert_int_equal(fstat(fd, &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	assert_true(p != MAP_FAILED);
	for (size_t i = 4; i < (size_t)st.st_size / 8; i++)
		if (p[i] >= now && p[i] < now + 100 * S)
			p[i] = UINT64_MAX / 2;		/* a slot */
	assert_int_equal(ask("192.0.2.1", "tim", now), 0);
	assert_int_equal(ask("192.0.2.1", "jane", now), 0);
	wrong("192.0.2.1", "tim", now);
	memset(p + 4, 0xff, (size_t)st.st_size - 32);
	assert_int_equal(ask("192.0.2.1", "tim", now), 0);
	wrong("192.0.2.1", "tim", now);
	munmap(p, (size_t)st.st_size);
	close(fd);
}

static void
test_off(void **state)
{
	struct throttle_key k;
	struct throttle_slot s;

	(void)state;
	throttle_destroy(&t);
	t = throttle_new(0, 15 * S, 64, secret, -1);
	assert_non_null(t);
	k = throttle_key(t, "192.0.2.1", "tim");
	for (int i = 0; i < 100; i++) {
		assert_true(ask("192.0.2.1", "tim", S) <= S);
		s = throttle_begin(t, &k, S);
		assert_int_equal(throttle_failed(t, &k, &s, S), 0);
	}
}

static void
test_names(void **state)
{
	static const char *const good[] = {"a", "tim@example.org", "a b",
	    "J\xc3\xb6rg", "a.b", "-", "\xf0\x9f\x95\x8a", "a\\b", "~"};
	static const char *const bad[] = {"", ".", "..", ".a", "a/b", "/",
	    "a\nb", "a\tb", "\x7f", "\xff", "\xc3", "a\xc3", "\xc0\xaf",
	    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\xaf", "\xc2\x85",
	    "\xf0\x80\x80\xaf"};
	char out[USER_MAX + 1], name[USER_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(user_check(good[i], 0, out));
		assert_string_equal(out, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(user_check(bad[i], 0, out));
	assert_true(user_check("Tim@EXAMPLE.org", 1, out));
	assert_string_equal(out, "tim@example.org");
	for (int i = 0; i < USER_MAX + 1; i++)
		name[i] = 'x';
	name[USER_MAX + 1] = 0;
	assert_false(user_check(name, 0, out));
	name[USER_MAX] = 0;
	assert_true(user_check(name, 0, out));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_doubling), T(test_parallel), T(test_rate),
		T(test_pauses), T(test_many_addresses),
		T(test_not_locked_out), T(test_shared_address),
		T(test_known_pair_ends), T(test_own_account),
		T(test_give_back), T(test_right_passwords),
		T(test_addresses), T(test_flood), T(test_off), T(test_names),
		T(test_memory), T(test_memory_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
