/*
 * test_wire.c - messages on the wire: encoder and counter of core/pop3,
 * against a slow reference that looks at one octet at a time.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pop3/wire.h"

struct bytes {
	const char *p;
	size_t n;
};
#define B(s) { s, sizeof(s) - 1 }

/* What is stored, and what must go out before the final dot. */
static const struct { struct bytes in, out; } corpus[] = {
	{ B(""), B("") },
	{ B("\n"), B("\r\n") },
	{ B("\r\n"), B("\r\n") },
	{ B("\r"), B("\r\r\n") },
	{ B("\r\r\n"), B("\r\r\n") },
	{ B("\r\n\n\r\n"), B("\r\n\r\n\r\n") },
	{ B("a"), B("a\r\n") },
	{ B("a: b\n\nbody\n"), B("a: b\r\n\r\nbody\r\n") },
	{ B("a: b\r\n\r\nbody\r\n"), B("a: b\r\n\r\nbody\r\n") },
	{ B("a: b\n\r\nbody\r\nmixed\n"), B("a: b\r\n\r\nbody\r\nmixed\r\n") },
	{ B("no end"), B("no end\r\n") },
	{ B("no end\r"), B("no end\r\r\n") },
	{ B("bare\rcr\n"), B("bare\rcr\r\n") },
	{ B("nul\0\0x\n\0"), B("nul\0\0x\r\n\0\r\n") },
	{ B("\xff\xfe\x80\n"), B("\xff\xfe\x80\r\n") },
	{ B("."), B("..\r\n") },
	{ B(".\n"), B("..\r\n") },
	{ B(".\r\n"), B("..\r\n") },
	{ B("..\n...\n"), B("...\r\n....\r\n") },
	{ B("x\n.\ny\n.z\n"), B("x\r\n..\r\ny\r\n..z\r\n") },
	{ B("x\r\n.\r\ny"), B("x\r\n..\r\ny\r\n") },
	{ B("x\r.\ny"), B("x\r.\r\ny\r\n") },
	{ B("\r.\n.\r"), B("\r.\r\n..\r\r\n") },
};

/* Encode IN, given in pieces that end at the N_CUT offsets of CUT and with
 * ROOM octets of output a call, into OUT. */
static size_t
encode(struct wire *w, const uint8_t *in, size_t n, size_t step, size_t room,
    uint8_t *out)
{
	size_t at = 0, o = 0;

	while (at < n && !w->complete) {
		size_t piece = n - at < step ? n - at : step;
		size_t done = 0;

		while (done < piece && !w->complete) {
			uint8_t *tmp = malloc(room);	/* exact: ASan sees */
			size_t used, put;

			assert_non_null(tmp);
			put = wire_put(w, in + at + done, piece - done, &used,
			    tmp, room);
			assert_true(put <= room);
			assert_true(used > 0);
			memcpy(out + o, tmp, put);
			free(tmp);
			o += put;
			done += used;
		}
		at += done;
	}
	return o + wire_end(w, out + o);
}

static uint64_t
count(const uint8_t *in, size_t n, size_t step)
{
	struct wire_count c;
	size_t at;

	wire_count_start(&c);
	for (at = 0; at < n; at += step)
		wire_count_add(&c, in + at, n - at < step ? n - at : step);
	return wire_count_end(&c);
}

/* One octet at a time, written from the rules and not from the code. */
static size_t
reference(const uint8_t *in, size_t n, uint8_t *out, uint64_t *octets)
{
	bool begin = true;
	size_t i, o = 0;

	*octets = 0;
	for (i = 0; i < n; i++) {
		if (begin && in[i] == '.')
			out[o++] = '.';
		begin = in[i] == '\n';
		if (begin && (i == 0 || in[i - 1] != '\r')) {
			out[o++] = '\r';
			++*octets;
		}
		out[o++] = in[i];
		++*octets;
	}
	if (!begin) {
		memcpy(out + o, "\r\n", 2);
		o += 2;
		*octets += 2;
	}
	memcpy(out + o, ".\r\n", 3);
	return o + 3;
}

/* All ways to cut a small message give WANTED. */
static void
check_all_cuts(const uint8_t *in, size_t n, const uint8_t *wanted, size_t wn)
{
	uint8_t out[256];
	uint64_t octets = 0;
	size_t step, room, i;

	for (step = 1; step <= n + 1; step++)
		for (room = WIRE_ROOM; room <= 9; room++) {
			struct wire w;

			wire_start(&w);
			assert_int_equal(encode(&w, in, n, step, room, out),
			    wn + 3);
			assert_memory_equal(out, wanted, wn);
			assert_memory_equal(out + wn, ".\r\n", 3);
			octets = w.octets;
			assert_true(count(in, n, step) == octets);
		}
	for (i = 0, step = wn; i < wn; i++)	/* less the doubled dots */
		if (wanted[i] == '.' && (i == 0 || wanted[i - 1] == '\n'))
			step--;
	assert_true(octets == step);
}

static void
corpus_at_every_cut(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++)
		check_all_cuts((const uint8_t *)corpus[i].in.p, corpus[i].in.n,
		    (const uint8_t *)corpus[i].out.p, corpus[i].out.n);
}

/* Every message of up to seven octets out of CR, LF, dot, NUL and a letter. */
static void
all_short_messages(void **state)
{
	static const char set[5] = { '\r', '\n', '.', '\0', 'a' };
	uint8_t in[7], want[64], out[64];
	unsigned n, total, v, i, k;

	(void)state;
	for (n = 0, total = 1; n <= 7; n++, total *= 5)
		for (k = 0; k < total; k++) {
			uint64_t octets;
			struct wire w;
			size_t wn;

			for (i = 0, v = k; i < n; i++, v /= 5)
				in[i] = (uint8_t)set[v % 5];
			wn = reference(in, n, want, &octets);
			wire_start(&w);
			assert_int_equal(encode(&w, in, n, 1 + k % 7,
			    2 + k % 5, out), wn);
			assert_memory_equal(out, want, wn);
			assert_true(w.octets == octets);
			assert_true(count(in, n, 1 + k % 3) == octets);
		}
}

static void
megabyte_line(void **state)
{
	size_t n = 1 << 20, wn, step;
	uint8_t *in = malloc(n), *out = malloc(2 * n), *want = malloc(2 * n);
	uint64_t octets;

	(void)state;
	memset(in, 'x', n);
	in[0] = '.';
	in[n / 2] = '\r';
	in[n / 2 + 1] = '.';
	wn = reference(in, n, want, &octets);
	for (step = 4095; step < n * 4; step *= 3) {
		struct wire w;

		wire_start(&w);
		assert_int_equal(encode(&w, in, n, step, 65536, out), wn);
		assert_memory_equal(out, want, wn);
		assert_true(w.octets == octets);
		assert_true(count(in, n, step) == octets);
	}
	free(in);
	free(out);
	free(want);
}

/* IN as a whole, in pieces of STEP and with ROOM for each, and counted. */
static void
check_against_reference(const uint8_t *in, size_t n, size_t step, size_t room)
{
	uint8_t want[2048], out[2048];
	uint64_t octets;
	size_t wn = reference(in, n, want, &octets);
	struct wire w;

	wire_start(&w);
	assert_int_equal(encode(&w, in, n, step, room, out), wn);
	assert_memory_equal(out, want, wn);
	assert_true(w.octets == octets);
	assert_true(count(in, n, step) == octets);
}

/* Blocks are 16 or 32 octets: what is special stands at every place of one,
 * of the next, and at every alignment, with nothing behind the message. */
static void
patterns_at_every_place(void **state)
{
	static const struct bytes pattern[] = { B("\n"), B("\r\n"), B("\r"),
		B("\n."), B("\r\n."), B("\n.\n"), B("\n\n"), B("\n\r\n"),
		B("\r\r\n"), B("\r."), B("\n.\r\n.."), B("\0\n") };
	enum { LEN = 140 };
	size_t i, at, align;

	(void)state;
	for (i = 0; i < sizeof(pattern) / sizeof(pattern[0]); i++)
		for (at = 0; at + pattern[i].n <= LEN; at++)
			for (align = 0; align < 16; align++) {
				uint8_t *block = malloc(align + LEN);
				uint8_t *in = block + align;

				memset(in, at % 3 == 0 ? '.' : 'x', LEN);
				memcpy(in + at, pattern[i].p, pattern[i].n);
				check_against_reference(in, LEN, LEN, 500);
				check_against_reference(in, LEN, LEN,
				    36 + align);
				check_against_reference(in, LEN, 33 + align,
				    40);
				free(block);
			}
}

static void
lines_of_every_length(void **state)
{
	static const struct bytes end[] = { B("\n"), B("\r\n") };
	size_t len, e, room;
	uint8_t in[600];

	(void)state;
	for (len = 0; len <= 100; len++)
		for (e = 0; e < 2; e++) {
			size_t n = 0;

			while (n < 400) {
				memset(in + n, 'x', len);
				in[n] = n % 2 == 0 ? '.' : 'x';
				n += len;
				memcpy(in + n, end[e].p, end[e].n);
				n += end[e].n;
			}
			for (room = 34; room < 80; room++)
				check_against_reference(in, n, n, room);
		}
}

static void
random_messages(void **state)
{
	static const char set[] = "\n\r\n..xxxxxx";
	uint64_t seed = 1;
	uint8_t in[500];
	unsigned i, k;

	(void)state;
	for (k = 0; k < 5000; k++) {
		size_t n = k % sizeof(in);

		for (i = 0; i < n; i++) {
			seed = seed * 6364136223846793005u + 1;
			/* from many line ends to few */
			in[i] = (uint8_t)(seed >> 59 <= k % 32 ? 'y' :
			    set[(seed >> 40) % (sizeof(set) - 1)]);
		}
		check_against_reference(in, n, 1 + seed % 300, 2 + k % 200);
	}
}

/* --- TOP ----------------------------------------------------------------- */

static const struct {
	struct bytes in;
	uint64_t lines;
	struct bytes out;
} tops[] = {
	{ B("h: 1\n\na\nb\nc\n"), 0, B("h: 1\r\n\r\n") },
	{ B("h: 1\n\na\nb\nc\n"), 1, B("h: 1\r\n\r\na\r\n") },
	{ B("h: 1\r\n\r\na\r\nb\r\nc\r\n"), 2, B("h: 1\r\n\r\na\r\nb\r\n") },
	{ B("h: 1\n\na\nb\nc"), 3, B("h: 1\r\n\r\na\r\nb\r\nc\r\n") },
	{ B("h: 1\n\na\nb"), UINT64_MAX, B("h: 1\r\n\r\na\r\nb\r\n") },
	{ B("h: 1\n\n\n\n\n"), 1, B("h: 1\r\n\r\n\r\n") },
	{ B("\nbody\n"), 0, B("\r\n") },
	{ B("\r\nbody\n"), 0, B("\r\n") },
	{ B("h: 1\nh: 2\n"), 0, B("h: 1\r\nh: 2\r\n") },
	{ B("h: 1"), 5, B("h: 1\r\n") },
	{ B("h: 1\n\r\r\nx\n\ny\n"), 0, B("h: 1\r\n\r\r\nx\r\n\r\n") },
	{ B("h\n\n.\n..\n"), 1, B("h\r\n\r\n..\r\n") },
	{ B(""), 0, B("") },
};

static void
top_is_a_prefix(void **state)
{
	uint8_t out[256];
	size_t i, step, room;

	(void)state;
	for (i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
		for (step = 1; step < 20; step++)
			for (room = WIRE_ROOM; room < 9; room++) {
				struct wire w;
				size_t n;

				wire_start_top(&w, tops[i].lines);
				n = encode(&w, (const uint8_t *)tops[i].in.p,
				    tops[i].in.n, step, room, out);
				assert_int_equal(n, tops[i].out.n + 3);
				assert_memory_equal(out, tops[i].out.p, n - 3);
				assert_memory_equal(out + n - 3, ".\r\n", 3);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(corpus_at_every_cut),
		cmocka_unit_test(all_short_messages),
		cmocka_unit_test(megabyte_line),
		cmocka_unit_test(patterns_at_every_place),
		cmocka_unit_test(lines_of_every_length),
		cmocka_unit_test(random_messages),
		cmocka_unit_test(top_is_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
