/*
 * quote.c - a client's word in a log line, which it cannot forge.
 *
 * Runs in a pool process as the auth user.  The rules are those of the core's
 * own lines (core/base/kv.c), so that both look alike.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/common/quote.h"

#define PLAIN	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789._:@/+-%~*"

const char *
quote(struct quoted *out, const char *text)
{
	size_t len = strlen(text), n = 0;

	if (len > 0 && len < sizeof(out->text) && strspn(text, PLAIN) == len) {
		memcpy(out->text, text, len + 1);
		return out->text;
	}
	out->text[n++] = '"';
	for (size_t i = 0; i < len && n + 6 <= sizeof(out->text); i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			n += (size_t)snprintf(out->text + n, 5, "\\x%02x", c);
		else
			out->text[n++] = (char)c;
	}
	out->text[n++] = '"';
	out->text[n] = 0;
	return out->text;
}
