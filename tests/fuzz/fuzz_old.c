/*
 * fuzz_old.c - hostile octets as what Dovecot and Courier wrote about a
 * Maildir, and as a format of UIDLs.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  What is taken from such a file
 * is in order, each name once, and every UIDL is a legal one.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/common/format.h"
#include "plugins/storage_maildir/old.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("3 V1 N9 G60360a10c27e2c69ab0500000b6a8e49\n"), W("1 7 9\n"),
	W("3 V1 N9\n1 :a\n2 W3 P :b\n"), W("1 7 9\n1 a\n2 b:2,S\n"),
	W("/3 9 5\n"), W("/2 9 5\na 1 2:3\n"), W("/1 9\nb 1 2\n"), W("a 1\n"),
	W("/3 9 5\n1.a:2,S 1 2:3:0\n"), W("4294967294"), W("4294967296"),
	W("18446744073709551615"), W("18446744073709551616"), W("0"), W("1"),
	W("8"), W(" "), W(":"), W("\n"), W("/"), W("\0"), W(" :"), W(":2,S"),
	W(" P"), W(" O1 "), W(" Gg "), W(" W1"), W("\xff"), W("a"), W("-"),
	W("%08Xu%08Xv"), W("%{uid | hex(8)}"), W("%Mf"), W("%{"), W("}"),
	W("%"), W(" | md5"), W("%g"), W("X"), W("uidvalidity"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

/* Read TEXT as COURIER or Dovecot wrote it. */
static void
try_file(bool courier, const char *text, size_t n, const char *format)
{
	struct old_file o = { .text = malloc(n + 1) };
	char uid[PLUG_UID_MAX + 1];
	const char *wrong;
	size_t i;

	CHECK(o.text != NULL);
	memcpy(o.text, text, n);
	o.text[n] = '\0';
	wrong = courier ? old_courier_parse(&o, n) : old_dovecot_parse(&o, n);
	for (i = 0; wrong == NULL && i < o.n; i++) {
		const struct old_rec *r = &o.rec[i];

		CHECK(strpbrk(r->base, "/:\n") == NULL);
		CHECK(r->base + strlen(r->base) <= o.text + n);
		CHECK(i == 0 || md_order(o.rec[i - 1].base, r->base) < 0);
		CHECK(old_find(&o, r->base) == r);
		if (courier ? old_courier_uidl(r, uid) :
		    old_dovecot_uidl(&o, r, format, uid))
			CHECK(plug_uid_legal(uid, strlen(uid)));
		CHECK(old_courier_order(r->base, r->base) == 0);
	}
	old_free(&o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const unsigned have = PLUG_FMT_UID | PLUG_FMT_VALIDITY |
	    PLUG_FMT_NAME | PLUG_FMT_GUID;
	char *text = malloc(n + 1), *format;

	CHECK(text != NULL);
	memcpy(text, data, n);
	text[n] = '\0';
	/* what stands before the first line's end may be a format */
	format = strndup(text, strcspn(text, "\n"));
	CHECK(format != NULL);
	if (plug_format_uses(format, have) == 0) {
		free(format);
		format = strdup("%g-%f");
		CHECK(format != NULL);
	}
	try_file(false, text, n, format);
	try_file(true, text, n, format);
	free(format);
	free(text);
	return 0;
}
