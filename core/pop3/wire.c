/*
 * wire.c - see wire.h.  Runs in worker on octets of a mailbox.
 *
 * Nearly all of a message goes through put_blocks() and count_bare(), which
 * look at many octets at once; what is left at the ends of a piece, and TOP,
 * through plain code that a line at a time is enough for.
 */
#include "config.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/pop3/wire.h"

enum {
	BLOCK = 32,
	BLOCK_ROOM = BLOCK + 4	/* CR, LF and two dots behind it */
};

void
wire_start(struct wire *w)
{
	*w = (struct wire){ .octets = 0 };
}

void
wire_start_top(struct wire *w, uint64_t lines)
{
	*w = (struct wire){ .top = true, .lines = lines };
}

/* A line has ended: does TOP want another one? */
static void
line_done(struct wire *w, bool blank)
{
	if (!w->body)
		w->body = blank;
	else
		w->lines--;
	w->complete = w->body && w->lines == 0;
}

/* The octets of a line before its LF: bulk copy, dot doubled. */
static size_t
put_run(struct wire *w, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t stuffed = 0;

	if (w->column == 0 && in[0] == '.') {
		out[0] = '.';
		stuffed = 1;
	}
	memcpy(out + stuffed, in, n);
	w->cr = in[n - 1] == '\r';
	w->column = (size_t)w->column + n > 1 ? 2 : 1;
	w->octets += n;
	return stuffed + n;
}

static size_t
put_lf(struct wire *w, uint8_t *out)
{
	size_t o = 0;

	if (!w->cr)
		out[o++] = '\r';
	out[o++] = '\n';
	w->octets += o;
	if (w->top)
		line_done(w, w->column == 0 || (w->column == 1 && w->cr));
	w->column = 0;
	w->cr = false;
	return o;
}

#ifdef __SSE2__
/* Copy BLOCK octets; where the first LF of them is, or BLOCK. */
static unsigned
copy_block(const uint8_t *in, uint8_t *out)
{
	const __m128i lf = _mm_set1_epi8('\n');
	__m128i a = _mm_loadu_si128((const __m128i *)(const void *)in);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(in + 16));
	unsigned found;

	_mm_storeu_si128((__m128i *)(void *)out, a);
	_mm_storeu_si128((__m128i *)(void *)(out + 16), b);
	found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, lf)) |
	    (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(b, lf)) << 16;
	return found != 0 ? (unsigned)__builtin_ctz(found) : BLOCK;
}
#else
static unsigned
copy_block(const uint8_t *in, uint8_t *out)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t w;
	unsigned i;

	memcpy(out, in, BLOCK);
	for (i = 0; i < BLOCK; i += sizeof(w)) {
		memcpy(&w, in + i, sizeof(w));
		w = le64toh(w) ^ '\n' * ones;
		/* the lowest high bit belongs to the first octet of zero */
		w = (w - ones) & ~w & 0x80 * ones;
		if (w != 0)
			return i + (unsigned)__builtin_ctzll(w) / 8;
	}
	return BLOCK;
}
#endif

/*
 * Encode IN in whole blocks: each is copied, and again from behind its first
 * LF.  Leaves the last octets of IN and the last room of OUT.
 */
static size_t
put_blocks(struct wire *w, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t cap)
{
	size_t line = 0, i = 0, o = 0, dots = 0, column = w->column;
	bool dot = column == 0 && in[0] == '.';

	for (;;) {
		unsigned k;

		out[o] = out[o + 1] = '.';
		o += dot ? 2 : 0;
		i += dot;
		dots += dot;
		dot = false;
		if (n - i <= BLOCK || cap - o < BLOCK_ROOM)
			break;
		k = copy_block(in + i, out + o);
		i += k;
		o += k;
		if (k == BLOCK)
			continue;
		out[o] = '\r';
		o += i > 0 ? in[i - 1] != '\r' : !w->cr;
		out[o++] = '\n';
		line = ++i;
		column = 0;
		dot = in[i] == '.';
	}
	if (i > 0)
		w->cr = in[i - 1] == '\r';
	column += i - line;
	w->column = column < 2 ? (uint8_t)column : 2;
	w->octets += o - dots;
	*used = i;
	return o;
}

size_t
wire_put(struct wire *w, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t cap)
{
	size_t i = 0, o = 0;

	if (n > BLOCK && cap >= BLOCK_ROOM && !w->top)
		o = put_blocks(w, in, n, &i, out, cap);
	while (i < n && !w->complete && cap - o >= WIRE_ROOM) {
		const uint8_t *lf = memchr(in + i, '\n', n - i);
		size_t run = lf != NULL ? (size_t)(lf - in) - i : n - i;

		if (run > 0) {
			/* one less, in case a dot is doubled */
			if (run > cap - o - 1) {
				run = cap - o - 1;
				lf = NULL;
			}
			o += put_run(w, in + i, run, out + o);
			i += run;
		}
		if (lf == NULL || cap - o < WIRE_ROOM)
			continue;
		o += put_lf(w, out + o);
		i++;
	}
	*used = i;
	return o;
}

size_t
wire_end(struct wire *w, uint8_t *out)
{
	size_t o = 0;

	if (w->column > 0) {
		out[o++] = '\r';
		out[o++] = '\n';
		w->octets += 2;
		w->column = 0;
		w->cr = false;
	}
	out[o++] = '.';
	out[o++] = '\r';
	out[o++] = '\n';
	return o;
}

void
wire_count_start(struct wire_count *c)
{
	*c = (struct wire_count){ .octets = 0 };
}

/* How many of N octets are an LF behind something else than a CR; P[-1] is
 * there, too. */
static uint64_t
count_bare(const uint8_t *p, size_t n)
{
	typedef uint8_t many __attribute__((vector_size(16)));
	enum { ROUNDS = 255 };	/* as many as an octet can count */
	uint64_t total = 0;
	many lf, cr, now, before;
	size_t i, rounds;

	memset(&lf, '\n', sizeof(lf));
	memset(&cr, '\r', sizeof(cr));
	while ((rounds = n / sizeof(now)) > 0) {
		many sum = { 0 };

		if (rounds > ROUNDS)
			rounds = ROUNDS;
		n -= rounds * sizeof(now);
		for (; rounds > 0; rounds--, p += sizeof(now)) {
			memcpy(&now, p, sizeof(now));
			memcpy(&before, p - 1, sizeof(before));
			/* true is -1; "before != cr" takes one step more */
			sum -= (many)((now == lf) & ~(before == cr));
		}
		for (i = 0; i < sizeof(sum); i++)
			total += sum[i];
	}
	for (; n > 0; p++, n--)
		total += *p == '\n' && p[-1] != '\r';
	return total;
}

void
wire_count_add(struct wire_count *c, const uint8_t *in, size_t n)
{
	if (n == 0)
		return;
	c->octets += n + (in[0] == '\n' && !c->cr);
	c->octets += count_bare(in + 1, n - 1);
	c->cr = in[n - 1] == '\r';
	c->open = in[n - 1] != '\n';
}

uint64_t
wire_count_end(struct wire_count *c)
{
	if (c->open)
		c->octets += 2;
	return c->octets;
}
