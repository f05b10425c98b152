/*
 * test_counts.c - numbers that several processes keep together: what each has
 * and what is left of one that died or went mad.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/counts.h"

static const uint64_t key[2] = {1, 2}, other[2] = {2, 1};

static void
test_sum(void **state)
{
	struct counts a, b, c;
	int fd = counts_make();

	(void)state;
	assert_true(fd >= 0);
	assert_true(counts_open(&a, fd, 1) && counts_open(&b, fd, 2) &&
	    counts_open(&c, fd, 3));
	assert_true(counts_set(&a, key, 3) && counts_set(&b, key, 4));
	assert_true(counts_set(&b, other, 100));
	assert_int_equal(counts_others(&a, key), 4);
	assert_int_equal(counts_others(&b, key), 3);
	assert_int_equal(counts_others(&c, key), 7);
	assert_int_equal(counts_others(&c, other), 100);
	assert_true(counts_set(&a, key, 0));
	assert_int_equal(counts_others(&c, key), 4);
	counts_close(&a);
	counts_close(&b);
	counts_close(&c);
	close(fd);
}

/* A dead one's share ends, and the next one begins with nothing. */
static void
test_drop(void **state)
{
	struct counts all, a, b, next;
	int fd = counts_make(), part;

	(void)state;
	assert_true(counts_open(&all, fd, 0));
	assert_int_equal(all.part, -1);
	assert_true(counts_open(&a, fd, 1) && counts_open(&b, fd, 2));
	assert_true(counts_set(&a, key, 7) && counts_set(&b, key, 1));
	part = a.part;
	counts_close(&a);
	assert_int_equal(counts_others(&b, key), 7);
	counts_drop(&all, 1);
	assert_int_equal(counts_others(&b, key), 0);
	assert_true(counts_open(&next, fd, 3));
	assert_int_equal(next.part, part);
	assert_int_equal(counts_others(&b, key), 0);
	assert_int_equal(counts_others(&next, key), 1);
	counts_drop(&all, 9);		/* there was none */
	counts_close(&b);
	counts_close(&next);
	counts_close(&all);
	close(fd);
}

/* A set is full: others are not told, and it is said. */
static void
test_no_room(void **state)
{
	struct counts a, b;
	int fd = counts_make(), full = 0;

	(void)state;
	assert_true(counts_open(&a, fd, 1) && counts_open(&b, fd, 2));
	for (uint64_t i = 0; i < 20000; i++) {
		const uint64_t k[2] = {i, 2};

		if (!counts_set(&a, k, 1)) {
			full++;
			assert_int_equal(counts_others(&b, k), 0);
			assert_true(counts_set(&a, k, 0));
		} else {
			assert_int_equal(counts_others(&b, k), 1);
		}
	}
	assert_true(full > 10000);
	for (uint64_t i = 0; i < 20000; i++) {
		const uint64_t k[2] = {i, 2};

		assert_true(counts_set(&a, k, 0));
		assert_int_equal(counts_others(&b, k), 0);
	}
	counts_close(&a);
	counts_close(&b);
	close(fd);
}

static void
test_no_part_left(void **state)
{
	static struct counts c[513];
	int fd = counts_make();

	(void)state;
	for (unsigned i = 0; i < 513; i++)
		assert_true(counts_open(&c[i], fd, i + 1));
	assert_true(c[511].part >= 0);
	assert_int_equal(c[512].part, -1);
	assert_true(counts_set(&c[0], key, 5));
	assert_int_equal(counts_others(&c[512], key), 5);
	assert_false(counts_set(&c[512], key, 1));
	assert_true(counts_set(&c[512], key, 0));
	for (unsigned i = 0; i < 513; i++)
		counts_close(&c[i]);
	close(fd);
}

static void
test_wrong_memory(void **state)
{
	struct counts c;
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_false(counts_open(&c, -1, 1));
	assert_true(counts_set(&c, key, 1));	/* nobody is there to tell */
	assert_int_equal(counts_others(&c, key), 0);
	assert_false(counts_open(&c, fd, 1));
	assert_int_equal(ftruncate(fd, 1 << 26), 0);
	assert_false(counts_open(&c, fd, 1));	/* it could shrink */
	close(fd);
	fd = counts_make();
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	close(fd);
}

/* Whatever is written there, others only count wrong. */
static void
test_spoilt(void **state)
{
	struct counts a, all;
	int fd = counts_make();
	struct stat st;
	uint8_t *p;

	(void)state;
	assert_true(counts_open(&all, fd, 0) && counts_open(&a, fd, 1));
	assert_int_equal(fstat(fd, &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	srand(1);
	for (int round = 0; round < 2; round++) {
		for (off_t i = 0; i < st.st_size; i++)
			p[i] = round == 0 ? 0xff : (uint8_t)rand();
		counts_set(&a, key, 1);
		(void)counts_others(&a, key);
		counts_set(&a, key, 0);
		counts_drop(&all, 1);
		counts_drop(&all, UINT32_MAX);
	}
	munmap(p, (size_t)st.st_size);
	counts_close(&a);
	counts_close(&all);
	close(fd);
}

/* Two processes at once: a limit of both is never passed. */
static void
test_together(void **state)
{
	enum { ROUNDS = 20000, LIMIT = 1 };
	struct counts a;
	int fd = counts_make(), status, over[2];
	uint32_t *held = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(held, MAP_FAILED);
	assert_int_equal(pipe(over), 0);
	pid = fork();
	if (!counts_open(&a, fd, pid == 0 ? 1 : 2))
		_exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		counts_set(&a, key, 1);
		if (1 + counts_others(&a, key) <= LIMIT) {
			if (__atomic_add_fetch(held, 1, __ATOMIC_SEQ_CST) >
			    LIMIT)
				(void)!write(over[1], "x", 1);
			__atomic_sub_fetch(held, 1, __ATOMIC_SEQ_CST);
		}
		counts_set(&a, key, 0);
	}
	counts_close(&a);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(over[1]);
	assert_int_equal(read(over[0], &status, 1), 0);
	close(over[0]);
	close(fd);
	munmap(held, 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_no_part_left),
		cmocka_unit_test(test_wrong_memory),
		cmocka_unit_test(test_spoilt),
		cmocka_unit_test(test_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
