/*
 * base64.c - strict base64 on top of OpenSSL's, which takes white space and
 * ignores stray bits: whatever does not encode to itself again is refused.
 *
 * Runs in gate and auth on octets of clients; they are credentials, so what was
 * written on the way is wiped.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/pop3/line.h"
#include "core/sasl/base64.h"

size_t
base64_encode(const uint8_t *p, size_t n, char *out)
{
	return (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}

_Bool
base64_decode(const uint8_t *p, size_t n, uint8_t *out, size_t cap,
    size_t *out_n)
{
	uint8_t data[POP3_AUTH_MAX];
	char again[BASE64_ROOM(POP3_AUTH_MAX)];
	size_t len = n / 4 * 3;
	bool ok = n % 4 == 0 && n <= POP3_AUTH_MAX;

	*out_n = 0;
	if (n == 0)
		return 1;
	ok = ok && EVP_DecodeBlock(data, p, (int)n) == (int)len;
	if (ok && p[n - 1] == '=')
		len -= p[n - 2] == '=' ? 2 : 1;
	ok = ok && len <= cap && base64_encode(data, len, again) == n &&
	    memcmp(again, p, n) == 0;
	if (ok) {
		memcpy(out, data, len);
		*out_n = len;
	}
	explicit_bzero(data, sizeof(data));
	explicit_bzero(again, sizeof(again));
	return ok;
}
