/*
 * kv.c - key=value pairs for log lines that no value can forge.
 */
#include "config.h"

#include <stdio.h>
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

void
kv_text(struct kv *kv, const char *key, const char *value)
{
	char pair[sizeof(kv->buf)];
	size_t len = strlen(value), n;
	_Bool quote = len == 0;

	for (size_t i = 0; i < len && !quote; i++)
		quote = !plain((unsigned char)value[i]);
	n = (size_t)snprintf(pair, sizeof(pair), " %s=%s", key,
	    quote ? "\"" : "");
	if (n >= sizeof(pair) - 8)
		return;
	for (size_t i = 0; i < len && n < sizeof(pair) - 8; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			n += (size_t)snprintf(pair + n, 5, "\\x%02x", c);
		else
			pair[n++] = (char)c;
	}
	if (quote)
		pair[n++] = '"';
	kv_append(kv, pair, n);
}

void
kv_u64(struct kv *kv, const char *key, uint64_t value)
{
	char pair[96];
	int n = snprintf(pair, sizeof(pair), " %s=%llu", key,
	    (unsigned long long)value);

	if (n > 0 && (size_t)n < sizeof(pair))
		kv_append(kv, pair, (size_t)n);
}
