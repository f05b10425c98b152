/*
 * fuzz_pop3.c - hostile octets for the line splitter, the command parser and
 * the wire encoder.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  It does not only look for
 * crashes: however the input is cut, lines and messages must be the same, and
 * a client must get back what was stored.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/pop3/command.h"
#include "core/pop3/line.h"
#include "core/pop3/reply.h"
#include "core/pop3/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("\r\n"), W("\n"), W("\r"), W("."), W("\r\n.\r\n"), W(" "), W("\0"),
	W("a"), W("QUIT\r\n"), W("USER "), W("PASS "), W("AUTH "), W("STLS\n"),
	W("AUTH PLAIN "), W("LIST "), W("RETR 1\r\n"), W("dele "), W("TOP 1 0"),
	W("UIDL"), W("CAPA\r\n"), W("4294967297"), W("0"), W("-1"), W("\xff"),
	W("18446744073709551616"), W("Subject: x\r\n\r\n"),
	W("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static void
parse(const uint8_t *p, size_t n, enum pop3_state state)
{
	struct pop3_command cmd;
	enum pop3_parsed r = pop3_parse(p, n, state, &cmd);
	const char *reply = pop3_parse_reply(r, state);
	unsigned i;

	CHECK(strlen(reply) <= POP3_REPLY_MAX);
	CHECK(pop3_verb_name(cmd.verb) != NULL);
	if (r != POP3_PARSED)
		return;
	CHECK(cmd.verb < POP3_N_VERBS && cmd.n_args <= 2);
	for (i = 0; i < cmd.n_args; i++) {
		CHECK(cmd.arg[i].p >= p && cmd.arg[i].n > 0);
		CHECK(cmd.arg[i].p + cmd.arg[i].n <= p + n);
	}
}

/* A sum over all lines and results when IN comes STEP octets at a time. */
static uint64_t
split(const uint8_t *in, size_t n, size_t step)
{
	struct pop3_splitter s = POP3_SPLITTER_INIT;
	size_t from = 0, to = 0;
	uint64_t sum = 1;

	for (;;) {
		/* what is behind TO has not arrived: a copy shows it to ASan */
		uint8_t *copy = malloc(to - from + 1);
		struct pop3_line l;
		enum pop3_split r;
		size_t i;

		CHECK(copy != NULL);
		memcpy(copy, in + from, to - from);
		r = pop3_split(&s, copy, to - from, &l);
		CHECK(l.used <= to - from);
		for (i = 0; r == POP3_GOT && i < l.n; i++)
			sum = sum * 31 + l.p[i];
		if (r != POP3_MORE)
			sum = sum * 31 + (uint64_t)r + l.n;
		if (r == POP3_GOT) {
			parse(l.p, l.n, POP3_AUTHORIZATION);
			parse(l.p, l.n, POP3_TRANSACTION);
		}
		free(copy);
		from += l.used;
		if (r == POP3_FLOOD || (r == POP3_MORE && to == n))
			return sum;
		if (r == POP3_MORE)
			to = n - to < step ? n : to + step;
	}
}

static size_t
encode(struct wire *w, const uint8_t *in, size_t n, size_t step, size_t room,
    uint8_t *out)
{
	size_t at = 0, o = 0, used;

	while (at < n && !w->complete) {
		o += wire_put(w, in + at, n - at < step ? n - at : step, &used,
		    out + o, room);
		CHECK(used > 0);
		at += used;
	}
	return o + wire_end(w, out + o);
}

/* What a client makes of it: octets of the message, or SIZE_MAX if it would
 * read on behind the end or stop before it. */
static size_t
decode(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t i = 0, o = 0;

	while (i < n) {
		const uint8_t *lf = memchr(in + i, '\n', n - i);
		size_t len;

		if (lf == NULL || lf == in + i || lf[-1] != '\r')
			return SIZE_MAX;
		len = (size_t)(lf - in) - i + 1;
		if (in[i] == '.') {
			if (len == 3)
				return i + len == n ? o : SIZE_MAX;
			i++;
			len--;
		}
		memcpy(out + o, in + i, len);
		o += len;
		i += len;
	}
	return SIZE_MAX;
}

static void
message(const uint8_t *in, size_t n, size_t step, size_t room)
{
	uint8_t *a = malloc(3 * n + 16), *b = malloc(3 * n + 16);
	struct wire_count c;
	struct wire w;
	size_t i, an, bn;

	CHECK(a != NULL && b != NULL);
	wire_start(&w);
	an = encode(&w, in, n, n, 3 * n + 8, a);
	wire_start(&w);
	bn = encode(&w, in, n, step, room, b);
	CHECK(an == bn && memcmp(a, b, an) == 0);
	wire_count_start(&c);
	for (i = 0; i < n; i += step)
		wire_count_add(&c, in + i, n - i < step ? n - i : step);
	CHECK(wire_count_end(&c) == w.octets);
	CHECK(decode(a, an, b) == w.octets);
	/* TOP is a prefix of RETR, but for its final dot */
	wire_start_top(&w, step);
	bn = encode(&w, in, n, step, room, b);
	CHECK(bn <= an && memcmp(a, b, bn - 3) == 0);
	free(a);
	free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t step, room;

	if (n < 2 || n > 200000)
		return 0;
	step = 1 + data[0];
	room = WIRE_ROOM + data[1] % 64;
	data += 2;
	n -= 2;
	CHECK(split(data, n, step) == split(data, n, POP3_AUTH_MAX));
	message(data, n, step, room);
	return 0;
}
