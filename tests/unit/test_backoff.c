/*
 * test_backoff.c - how long plugins leave alone what failed.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/common/backoff.h"

#define MS 1000000ull

static void
test_each_pause_is_twice_the_last(void **state)
{
	const uint64_t ms[] = {100, 200, 400, 800, 1600, 3000, 3000};
	struct backoff b = {0};
	uint64_t now = 7;

	(void)state;
	for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		backoff_failed(&b, now, 0, 3000 * MS);
		assert_int_equal(b.failures, i + 1);
		assert_int_equal(b.not_before - now, ms[i] * MS);
		now = b.not_before;
	}
}

static void
test_the_first_may_cost_nothing(void **state)
{
	const uint64_t ms[] = {0, 0, 100, 150, 150};
	struct backoff b = {0};

	(void)state;
	for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		backoff_failed(&b, 7, 2, 150 * MS);
		assert_int_equal(b.not_before, 7 + ms[i] * MS);
	}
}

static void
test_success_forgets(void **state)
{
	struct backoff b = {0};

	(void)state;
	backoff_failed(&b, 7, 0, 3000 * MS);
	backoff_failed(&b, 7, 0, 3000 * MS);
	backoff_over(&b);
	assert_int_equal(b.failures, 0);
	assert_int_equal(b.not_before, 0);
	backoff_failed(&b, 7, 0, 3000 * MS);
	assert_int_equal(b.not_before, 7 + 100 * MS);
}

/* A server that is away for years. */
static void
test_pauses_never_shrink(void **state)
{
	struct backoff b = {0};
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		backoff_failed(&b, 0, 0, UINT64_MAX);
		assert_true(b.not_before >= last);
		last = b.not_before;
	}
	b.failures = UINT32_MAX;
	backoff_failed(&b, 0, 0, UINT64_MAX);
	assert_int_equal(b.not_before, last);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_pause_is_twice_the_last),
		cmocka_unit_test(test_the_first_may_cost_nothing),
		cmocka_unit_test(test_success_forgets),
		cmocka_unit_test(test_pauses_never_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
