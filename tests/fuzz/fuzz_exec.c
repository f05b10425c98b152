/*
 * fuzz_exec.c - what a program might answer to the auth plugin exec, and what
 * a client might have put into a request.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  No value that is taken has a
 * control octet, and every request is one line that reads as it was meant.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_exec/exec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("\t"), W("="), W("%"), W("%00"), W("%0A"), W("%41"), W("%C3%A4"),
	W("%zz"), W("%4"), W("ok"), W("ok\tid=1"), W("\tid=1"), W("\tuser=x"),
	W("\tuid=0"), W("\n"), W("\r"), W("\0"), W("hello\tversion=1"),
	W("\tcan=verify,user"), W("\xff"), W("\x7f"), W("A"), W("_"),
	W("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static void
answer(const uint8_t *data, size_t n)
{
	char *line = malloc(n + 1);	/* exact, so that sanitizers see */
	struct exec_line l;
	const char *why;

	CHECK(line != NULL);
	if (n > 0)
		memcpy(line, data, n);
	if (exec_parse(line, n, &l, &why)) {
		CHECK(l.n <= EXEC_FIELDS && l.word.n > 0);
		for (unsigned i = 0; i < l.n; i++) {
			const struct exec_field *f = &l.field[i];

			CHECK(strlen(f->name.p) == f->name.n);
			CHECK(strlen(f->value.p) == f->value.n);
			CHECK(exec_get(&l, f->name.p).p == f->value.p);
			for (size_t k = 0; k < f->value.n; k++)
				CHECK((unsigned char)f->value.p[k] >= 0x20 &&
				    f->value.p[k] != 0x7f);
		}
	} else {
		CHECK(why != NULL);
	}
	free(line);
}

static void
request(const uint8_t *data, size_t n)
{
	static char buf[EXEC_LINE];
	struct exec_out o = {.p = buf, .cap = sizeof(buf)};
	char *value;

	exec_begin(&o, "verify");
	exec_put(&o, "user", (const char *)data, n);
	exec_number(&o, "id", n);
	exec_end(&o);
	if (o.full)
		return;
	CHECK(memchr(o.p, '\n', o.n) == o.p + o.n - 1);
	CHECK(memcmp(o.p, "verify\tuser=", 12) == 0);
	value = o.p + 12;
	for (size_t i = 0; i < n; i++) {
		char hex[3] = {value[1], value[2], 0};

		CHECK(*value > 0x20 && *value < 0x7f);
		CHECK((*value == '%' ? strtoul(hex, NULL, 16) :
		    (unsigned char)*value) == data[i]);
		value += *value == '%' ? 3 : 1;
	}
	CHECK(memcmp(value, "\tid=", 4) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	answer(data, n);
	request(data, n);
	return 0;
}
