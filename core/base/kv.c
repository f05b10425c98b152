/*
 * kv.c - key=value pairs for log lines that no value can forge.
 */
#include "config.h"

#include <string.h>

#include "core/base/log.h"

/* Does C need no quotes? */
static _Bool
plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != 0 && strchr("._:@/+-%~*", c));
}

/* Append N octets whole or not at all; a later pair may still fit. */
static void
kv_append(struct kv *kv, const char *s, size_t n)
{
	if (n >= sizeof(kv->buf) - kv->n)
		return;
	memcpy(kv->buf + kv->n, s, n);
	kv->n += n;
	kv->buf[kv->n] = 0;
}

void
kv_start(struct kv *kv, const char *event)
{
	kv->n = 0;
	kv->buf[0] = 0;
	kv_append(kv, event, strlen(event));
}

/* " KEY=" and then VALUE of N octets. */
static void
kv_pair(struct kv *kv, const char *key, const char *value, size_t n)
{
	size_t k = strlen(key);
	char *at = kv->buf + kv->n;

	if (k + 2 >= sizeof(kv->buf) - kv->n ||
	    n >= sizeof(kv->buf) - kv->n - k - 2)
		return;
	*at++ = ' ';
	memcpy(at, key, k);
	at[k] = '=';
	memcpy(at + k + 1, value, n);
	at[k + 1 + n] = 0;
	kv->n += k + n + 2;
}

void
kv_text(struct kv *kv, const char *key, const char *value)
{
	static const char hex[] = "0123456789abcdef";
	char text[sizeof(kv->buf)];
	size_t len = strlen(value), n = 0;
	_Bool quote = len == 0;

	for (size_t i = 0; i < len && !quote; i++)
		quote = !plain((unsigned char)value[i]);
	if (!quote) {
		kv_pair(kv, key, value, len);
		return;
	}
	text[n++] = '"';
	for (size_t i = 0; i < len && n < sizeof(text) - 8; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
			text[n++] = '\\';
			text[n++] = 'x';
			text[n++] = hex[c >> 4];
			text[n++] = hex[c & 15];
		} else {
			text[n++] = (char)c;
		}
	}
	text[n++] = '"';
	kv_pair(kv, key, text, n);
}

void
kv_u64(struct kv *kv, const char *key, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	kv_pair(kv, key, digits + n, sizeof(digits) - n);
}
