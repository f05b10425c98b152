/*
 * fuzz_http.c - hostile octets for the HTTP of the metrics role.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  However the input is cut, the
 * answer must be the same.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("GET /metrics HTTP/1.1\r\n"), W("Host: x\r\n"), W("\r\n"),
	W("GET "), W("HEAD "), W("/"), W("/metrics"), W(" HTTP/1.1"),
	W(" HTTP/1.0\r\n"), W("?x=1"), W("POST "), W(":"), W(" "), W("\r"),
	W("\n"), W("\0"), W("\t"), W("\r\n\r\n"), W("HTTP/2.0"), W("\xff"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum http_what now = HTTP_MORE, all;
	char head[HTTP_HEAD_MAX];
	size_t whole = 0;

	if (n > HTTP_REQUEST_MAX)
		n = HTTP_REQUEST_MAX;
	all = http_read((const char *)data, n);
	for (; whole <= n && now == HTTP_MORE; whole++) {
		char *exact = malloc(whole + 1);

		CHECK(exact != NULL);
		memcpy(exact, data, whole);
		now = http_read(exact, whole);
		free(exact);
	}
	CHECK(now == all);
	if (now == HTTP_MORE)
		return 0;
	CHECK(now >= HTTP_GET && now <= HTTP_VERSION);
	CHECK(http_head(head, now, n, 0) < HTTP_HEAD_MAX);
	if (now == HTTP_GET)
		CHECK(n > 4 && memcmp(data, "GET /", 5) == 0);
	return 0;
}
