/*
 * json.c - see json.h.
 *
 * Runs in the log role and in culverctl.  Trusts no octet.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "core/base/json.h"

/* Octets of the UTF-8 sequence at S, before END, and what it stands for; 0 if
 * it is none. */
static unsigned
utf8_read(const unsigned char *s, const unsigned char *end, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
	    s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
	    s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	if (n == 0 || (size_t)(end - s) < n)
		return 0;
	*c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	return *c < least[n] || *c > 0x10ffff ||
	    (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

_Bool
json_is_utf8(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	unsigned k;
	uint32_t c;

	for (; p < end; p += k)
		if ((k = utf8_read(p, end, &c)) == 0)
			return 0;
	return 1;
}

static _Bool
is_hidden(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	    (c >= 0x200b && c < 0x2010) || (c >= 0x2028 && c < 0x202f) ||
	    (c >= 0x2060 && c < 0x2070) || c == 0x61c || c == 0xfeff;
}

size_t
json_char(char out[JSON_CHAR], const char **s, const char *end, _Bool utf8)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t c = *p;
	unsigned n = 1;

	if (utf8)
		n = utf8_read(p, (const unsigned char *)end, &c);
	if (n == 0) {			/* the caller was wrong */
		c = *p;
		n = 1;
		utf8 = 0;
	}
	*s += n;
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (is_hidden(c) || (c >= 0x80 && !utf8)) {
		out[0] = '\\';
		out[1] = 'u';
		for (int i = 0; i < 4; i++)
			out[2 + i] = hex[c >> (12 - 4 * i) & 15];
		return 6;
	}
	memcpy(out, p, n);
	return n;
}
