/*
 * test_filter_pack.c - a packed filter decides as libseccomp's does: for every
 * call, on every machine, whatever its arguments are, asked of an interpreter
 * that knows nothing of how it was packed; and what is no such program is
 * left alone.
 *
 * There is nothing to test in a build without filters.
 */
#include "config.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <culver/plugin.h>

#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/config/filter_pack.h"

struct program {
	struct sock_filter code[CONF_MAX_FILTER];
	size_t n;
};

enum { NOTHING = -1 };		/* no program: it does not end */

/* What P decides, as the kernel would. */
static int64_t
decide(const struct program *p, const struct seccomp_data *d)
{
	uint32_t a = 0, x = 0, word;

	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *c = &p->code[i];
		_Bool yes = 0;

		switch (c->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (c->k > sizeof(*d) - 4 || c->k % 4 != 0)
				return NOTHING;
			memcpy(&word, (const char *)d + c->k, 4);
			a = word;
			continue;
		case BPF_LD | BPF_IMM:
			a = c->k;
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= c->k;
			continue;
		case BPF_ALU | BPF_RSH | BPF_X:
			a = x < 32 ? a >> x : 0;
			continue;
		case BPF_MISC | BPF_TAX:
			x = a;
			continue;
		case BPF_RET | BPF_K:
			return c->k;
		case BPF_JMP | BPF_JA:
			i += c->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == c->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > c->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= c->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & c->k) != 0;
			break;
		default:
			return NOTHING;
		}
		i += yes ? c->jt : c->jf;
	}
	return NOTHING;
}

/* Something that P compares with, or a little more or less of it, or
 * anything. */
static uint64_t
argument(const struct program *p)
{
	uint64_t low = p->code[(size_t)random() % p->n].k;

	switch (random() % 8) {
	case 0:
		return (uint64_t)random() << 33 ^ (uint64_t)random();
	case 1:
		return low | UINT64_C(1) << 32;
	case 2:
		return low + 1;
	case 3:
		return 0;
	default:
		return low;
	}
}

static void
agree_on(const struct program *a, const struct program *b,
    struct seccomp_data *d)
{
	int64_t want = decide(a, d), got;

	if (want == NOTHING)
		return;
	got = decide(b, d);
	if (got != want)
		fail_msg("call %d of %#x (%#llx, %#llx, %#llx, %#llx): %#llx, "
		    "not %#llx", d->nr, d->arch,
		    (unsigned long long)d->args[0],
		    (unsigned long long)d->args[1],
		    (unsigned long long)d->args[2],
		    (unsigned long long)d->args[3],
		    (unsigned long long)got, (unsigned long long)want);
}

static void
agree(const struct program *a, const struct program *b, int tries)
{
	static const uint32_t arch[] = {AUDIT_ARCH_X86_64,
	    AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, 0, 0xffffffff};
	static const uint32_t large[] = {0x3fffffff, 0x40000000, 0x40000001,
	    0x40000208, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	struct seccomp_data d = {0};

	for (size_t m = 0; m < sizeof(arch) / sizeof(arch[0]); m++)
		for (uint32_t nr = 0; nr < 1024 + 8; nr++)
			for (int i = 0; i < tries; i++) {
				d.arch = arch[m];
				d.nr = (int)(nr < 1024 ? nr :
				    large[nr - 1024]);
				for (int k = 0; k < 6; k++)
					d.args[k] = argument(a);
				agree_on(a, b, &d);
			}
}

static const struct {
	enum filter_kind kind;
	uint64_t needs;
} kinds[] = {
	{FILTER_CONFIG, 0}, {FILTER_CERTCHECK, 0}, {FILTER_GATE, 0},
	{FILTER_AUTH, 0}, {FILTER_LOG, 0}, {FILTER_MANAGER, 0},
	{FILTER_LMTP, 0}, {FILTER_METRICS, 0}, {FILTER_POOL, 0},
	{FILTER_POOL, CULVER_NEED_THREADS}, {FILTER_POOL, CULVER_NEED_NET},
	{FILTER_POOL, CULVER_NEED_EXEC},
	{FILTER_POOL, CULVER_NEED_EXEC | CULVER_NEED_NET},
};

static void
a_packed_filter_decides_the_same(void **state)
{
	static struct program was, is;

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		was.n = filter_compile(kinds[i].kind, kinds[i].needs, was.code);
		assert_true(was.n > 0);
		is.n = filter_pack(was.code, was.n, is.code, CONF_MAX_FILTER);
		assert_in_range(is.n, 1, was.n);
		agree(&was, &is, 20);
	}
}

static void
a_workers_filter_is_packed(void **state)
{
	static struct program pool, worker, locker;

	(void)state;
	pool.n = filter_compile(FILTER_POOL, 0, pool.code);
	worker.n = filter_compile(FILTER_WORKER, 0, worker.code);
	locker.n = filter_compile(FILTER_LOCKER, 0, locker.code);
	assert_in_range(worker.n, 1, pool.n * 3 / 4);
	assert_in_range(locker.n, 1, pool.n * 3 / 4);
	assert_int_equal(filter_pack(worker.code, worker.n, pool.code,
	    CONF_MAX_FILTER), 0);
}

/* It is no input of anybody's; but a newer library may do other things. */
static void
other_programs_are_left_alone(void **state)
{
	static struct program was, broken, is;

	(void)state;
	srandom(2);
	was.n = filter_compile(FILTER_POOL, CULVER_NEED_NET, was.code);
	for (size_t n = 0; n < was.n; n++) {
		broken = was;
		broken.n = n;
		is.n = filter_pack(broken.code, n, is.code, CONF_MAX_FILTER);
		if (is.n > 0)
			agree(&broken, &is, 1);
	}
	for (int i = 0; i < 2000; i++) {
		struct sock_filter *c;

		broken = was;
		c = &broken.code[(size_t)random() % was.n];
		switch (random() % 4) {
		case 0:
			c->code = (uint16_t)random();
			break;
		case 1:
			c->k = (uint32_t)random() % 600;
			break;
		case 2:
			c->jt = (uint8_t)random();
			break;
		default:
			c->jf = (uint8_t)random();
		}
		is.n = filter_pack(broken.code, broken.n, is.code,
		    CONF_MAX_FILTER);
		if (is.n > 0)
			agree(&broken, &is, 1);
	}
	for (size_t cap = 0; cap < 100; cap += 9)
		assert_int_equal(filter_pack(was.code, was.n, is.code, cap), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_packed_filter_decides_the_same),
	    cmocka_unit_test(a_workers_filter_is_packed),
	    cmocka_unit_test(other_programs_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
