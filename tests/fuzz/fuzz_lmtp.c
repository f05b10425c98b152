/*
 * fuzz_lmtp.c - hostile octets for an LMTP session.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  It does not only look for
 * crashes: however the input is cut, replies and messages must be the same,
 * and no message has a line end that is not CRLF.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lmtpkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("LHLO x\r\n"), W("MAIL FROM:<a@b>\r\n"), W("RCPT TO:<user@x>\r\n"),
	W("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<user>\r\nDATA\r\n"),
	W("DATA\r\n"), W("BDAT 3\r\n"), W("BDAT 4 LAST\r\n"), W("RSET\r\n"),
	W("\r\n.\r\n"), W("\n.\n"), W("\r.\r"), W("\r\n.\n"), W("\n.\r\n"),
	W("."), W("\r"), W("\n"), W("\r\n"), W("\0"), W("\xff"), W(" "),
	W("MAIL FROM:<\"\\"), W("RCPT TO:<@a:"), W(" SIZE=1"), W(" SMTPUTF8"),
	W("RCPT TO:<no>\r\n"), W("QUIT\r\n"), W("18446744073709551616"),
	W("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

/* Replies are lines that begin with a code. */
static void
check_replies(const struct kit_result *r)
{
	const char *p = r->replies, *end;

	for (; *p != 0; p = end + 2) {
		end = strstr(p, "\r\n");
		CHECK(end != NULL && end - p > 4 && end - p < 500);
		CHECK(p[0] >= '2' && p[0] <= '5' && (p[3] == ' ' ||
		    p[3] == '-'));
	}
}

static void
check_text(const struct kit_result *r)
{
	for (size_t i = 0; i < r->n_text; i++)
		CHECK(r->text[i] != '\n' || (i > 0 && r->text[i - 1] == '\r'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct kit_result a, b;
	static const size_t steps[] = {1, 3, 0};

	kit_serve(data, n, n + 1, 4096, &a);
	check_replies(&a);
	check_text(&a);
	for (size_t i = 0; i < 3; i++) {
		kit_serve(data, n, steps[i], 4096, &b);
		CHECK(strcmp(a.replies, b.replies) == 0);
		CHECK(a.n_text == b.n_text && a.messages == b.messages &&
		    memcmp(a.text, b.text, a.n_text) == 0);
	}
	return 0;
}
