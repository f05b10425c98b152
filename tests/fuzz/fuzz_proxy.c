/*
 * fuzz_proxy.c - hostile octets for the PROXY header.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  However the input is cut, the
 * answer must be the same, and MORE never for what is already long enough.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/gate/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("PROXY "), W("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), W("TCP4 "),
	W("PROXY TCP6 2001:db8::1 ::1 65535 110\r\n"), W("TCP6 "),
	W("PROXY UNKNOWN\r\n"), W("UNKNOWN "), W("192.0.2.1 "), W("::ffff:"),
	W("65536"), W(" "), W("\r"), W("\n"), W("\r\n"), W("\0"), W("0"),
	W(V2), W(V2 "\x21\x11\0\x0c"), W(V2 "\x21\x21\0\x24"),
	W(V2 "\x20\0\0\0"), W(V2 "\x21\x31\0\xd8"), W(V2 "\x21\0\x0f\xf0"),
	W("\xc0\0\2\1\xc0\0\2\2\1\2\3\4"), W("\x20\0\5\1\0\0\0\0"),
	W("\x03\0\4abcd"), W("\x20\0\0"), W("\xff\xff"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum proxy_result all, now = PROXY_MORE;
	struct proxy_said said, part;
	size_t at;

	all = proxy_parse(data, n, &said);
	for (at = 0; at <= n && now == PROXY_MORE; at++) {
		uint8_t *exact = malloc(at + 1);

		CHECK(exact != NULL);
		memcpy(exact, data, at);
		now = proxy_parse(exact, at, &part);
		free(exact);
	}
	CHECK(now == all);
	CHECK(all != PROXY_MORE || n < PROXY_MAX);
	if (all != PROXY_GOT)
		return 0;
	CHECK(part.used == at - 1 && part.used == said.used &&
	    said.used <= PROXY_MAX && said.used <= n);
	CHECK(part.family == said.family && part.tls == said.tls &&
	    memcmp(part.client, said.client, sizeof(part.client)) == 0);
	CHECK(said.family == AF_INET || said.family == AF_INET6 ||
	    said.family == AF_UNSPEC);
	return 0;
}
