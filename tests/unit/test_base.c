/*
 * test_base.c - the event loop's timers and events, and key=value lines.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/features.h"
#include "core/base/log.h"
#include "core/base/loop.h"

static struct loop *loop;
static unsigned fired[64], n_fired;
static struct loop_timer timers[64];

static void
due(struct loop_timer *t)
{
	fired[n_fired++] = (unsigned)(t - timers);
}

static void
timers_fire_in_the_order_of_their_times(void **state)
{
	uint64_t past = clock_now() - 1000;

	(void)state;
	loop = loop_new();
	n_fired = 0;
	for (unsigned i = 0; i < 64; i++) {
		timers[i].due = due;
		loop_timer_set(loop, &timers[i], past - (i * 37) % 64);
	}
	for (unsigned i = 0; i < 64; i += 3)
		loop_timer_clear(loop, &timers[i]);
	assert_true(loop_once(loop));
	assert_int_equal(n_fired, 64 - 22);
	for (unsigned i = 1; i < n_fired; i++)
		assert_true((fired[i - 1] * 37) % 64 > (fired[i] * 37) % 64);
	for (unsigned i = 0; i < 64; i++)
		loop_timer_clear(loop, &timers[i]);
	loop_destroy(&loop);
}

static uint64_t last;

static void
due_in_order(struct loop_timer *t)
{
	assert_true(t->at >= last);
	last = t->at;
	n_fired++;
}

/* Set, moved and cleared at random, some while others fire. */
static void
many_timers_fire_once_in_order(void **state)
{
	enum { N = 20000 };
	static struct loop_timer many[N];
	uint64_t past = clock_now() - (1 << 30), x = 88172645463325252u;
	unsigned n = 0;

	(void)state;
	loop = loop_new();
	for (unsigned round = 0; round < 5; round++) {
		n_fired = n = 0;
		last = 0;
		for (unsigned i = 0; i < 3 * N; i++) {
			struct loop_timer *t;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			t = &many[round == 0 ? i % N : x % N];
			t->due = due_in_order;
			if (x >> 62 == 0)
				loop_timer_clear(loop, t);
			else	/* in one round in order, as timeouts come */
				loop_timer_set(loop, t, round == 1 ? past + i :
				    past + (x >> 20) % 100000);
		}
		for (unsigned i = 0; i < N; i++)
			n += many[i].where != NULL;
		assert_true(loop_once(loop));
		assert_int_equal(n_fired, n);
		for (unsigned i = 0; i < N; i++)
			assert_null(many[i].where);
	}
	loop_destroy(&loop);
}

static struct loop_io ios[2];
static int seen;

/* Whichever comes first removes the other one. */
static void
on_ready(struct loop_io *io, unsigned events)
{
	assert_true(events & LOOP_READ);
	seen++;
	loop_unwatch(loop, io == &ios[0] ? &ios[1] : &ios[0]);
}

static void
a_removed_descriptor_gets_no_event_of_the_same_round(void **state)
{
	int a[2], b[2];

	(void)state;
	loop = loop_new();
	assert_true(pipe(a) == 0 && pipe(b) == 0);
	assert_true(write(a[1], "x", 1) == 1 && write(b[1], "x", 1) == 1);
	ios[0] = (struct loop_io){.fd = a[0], .ready = on_ready};
	ios[1] = (struct loop_io){.fd = b[0], .ready = on_ready};
	assert_true(loop_watch(loop, &ios[0], LOOP_READ));
	assert_true(loop_watch(loop, &ios[1], LOOP_READ));
	assert_true(loop_once(loop));
	assert_int_equal(seen, 1);
	loop_destroy(&loop);
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void
no_value_can_forge_a_pair(void **state)
{
	struct kv kv;

	(void)state;
	kv_start(&kv, "auth-failed");
	kv_text(&kv, "user", "x remote=192.0.2.1\r\n\"\\\xff");
	kv_text(&kv, "plain", "jane@example.org");
	kv_text(&kv, "empty", "");
	kv_u64(&kv, "n", UINT64_MAX);
	assert_string_equal(kv.buf, "auth-failed user=\"x remote=192.0.2.1"
	    "\\x0d\\x0a\\x22\\x5c\\xff\" plain=jane@example.org empty=\"\" "
	    "n=18446744073709551615");
}

static void
a_pair_too_long_for_the_line_is_left_out(void **state)
{
	static char huge[4000];
	struct kv kv;

	(void)state;
	memset(huge, 'a', sizeof(huge) - 1);
	kv_start(&kv, "event");
	for (int i = 0; i < 3; i++)
		kv_text(&kv, "huge", huge);
	kv_u64(&kv, "n", 1);
	assert_true(strlen(kv.buf) < sizeof(kv.buf));
}

/* Each Landlock ABI, also those that this kernel does not have. */
static void
what_each_landlock_lacks(void **state)
{
	static const unsigned came[] = {SANDBOX_LANDLOCK, SANDBOX_REFER,
	    SANDBOX_TRUNCATE, SANDBOX_NET, SANDBOX_IOCTL, SANDBOX_SCOPE};

	(void)state;
	for (int abi = 0; abi <= 8; abi++) {
		unsigned lacks = sandbox_lacks(abi);

		for (int i = 0; i < 6; i++)
			assert_int_equal((lacks & came[i]) != 0, abi < i + 1);
		assert_int_equal((lacks & SANDBOX_APART) != 0, abi < 2);
	}
}

static void
features_are_a_bit_each(void **state)
{
	unsigned all = 0;

	(void)state;
	for (unsigned i = 0; i < n_features; i++) {
		unsigned bit = features[i].part;

		assert_int_equal(bit & (bit - 1), 0);
		assert_int_equal(all & bit, 0);
		all |= bit;
		assert_true(strlen(features[i].name) <= 17);
		assert_true(strlen(features[i].since) <= 36);
		assert_non_null(features[i].without);
	}
	assert_int_equal(all & sandbox_lacks(0), sandbox_lacks(0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_the_order_of_their_times),
		cmocka_unit_test(many_timers_fire_once_in_order),
		cmocka_unit_test(
		    a_removed_descriptor_gets_no_event_of_the_same_round),
		cmocka_unit_test(no_value_can_forge_a_pair),
		cmocka_unit_test(what_each_landlock_lacks),
		cmocka_unit_test(features_are_a_bit_each),
		cmocka_unit_test(a_pair_too_long_for_the_line_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
