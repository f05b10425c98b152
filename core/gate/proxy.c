/*
 * proxy.c - see proxy.h.  Runs in gate; pure functions over octets.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/gate/proxy.h"

static const uint8_t signature[PROXY_SIGNATURE] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char word[] = "PROXY ";

enum {
	WORD = sizeof(word) - 1,
	HEAD = PROXY_SIGNATURE + 4,
	TLV_HEAD = 3,
	TLV_SSL = 0x20,		/* PP2_TYPE_SSL */
	TLV_SSL_HEAD = 5,	/* what the client has, and a verdict */
	CLIENT_SSL = 1		/* PP2_CLIENT_SSL */
};

/* --- version 1: one line of text -------------------------------------------- */

/* The next word of the line, of less than SIZE characters: up to a space, or
 * to END.  False: there is none, or more than that. */
static bool
next_word(const char **at, const char *end, char *out, size_t size)
{
	const char *space = memchr(*at, ' ', (size_t)(end - *at));
	size_t n = (size_t)((space != NULL ? space : end) - *at);

	if (n == 0 || n >= size)
		return false;
	memcpy(out, *at, n);
	out[n] = 0;
	*at = space != NULL ? space + 1 : end;
	return true;
}

/* A decimal number up to 65535 without leading zeros. */
static bool
is_port(const char *s)
{
	size_t n = strspn(s, "0123456789");
	unsigned v = 0;

	if (n == 0 || n > 5 || s[n] != 0 || (n > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (unsigned)(s[i] - '0');
	return v <= 65535;
}

static bool
line_parse(const char *at, const char *end, struct proxy_said *out)
{
	char kind[8], from[64], to[64], from_port[8], to_port[8];

	for (const char *p = at; p < end; p++)
		if (*p < 0x20 || *p > 0x7e)
			return false;
	if (!next_word(&at, end, kind, sizeof(kind)))
		return false;
	if (strcmp(kind, "UNKNOWN") == 0)
		return true;
	if (strcmp(kind, "TCP4") != 0 && strcmp(kind, "TCP6") != 0)
		return false;
	out->family = kind[3] == '4' ? AF_INET : AF_INET6;
	return end[-1] != ' ' && next_word(&at, end, from, sizeof(from)) &&
	    next_word(&at, end, to, sizeof(to)) &&
	    next_word(&at, end, from_port, sizeof(from_port)) &&
	    next_word(&at, end, to_port, sizeof(to_port)) && at == end &&
	    is_port(from_port) && is_port(to_port) &&
	    inet_pton(out->family, from, out->client) == 1 &&
	    inet_pton(out->family, to, out->server) == 1;
}

static enum proxy_result
v1_parse(const uint8_t *p, size_t n, struct proxy_said *out)
{
	size_t most = n < PROXY_V1_MAX ? n : PROXY_V1_MAX;
	const uint8_t *end = memmem(p, most, "\r\n", 2);

	if (end == NULL)
		return n < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD;
	out->used = (size_t)(end - p) + 2;
	return line_parse((const char *)p + WORD, (const char *)end, out) ?
	    PROXY_GOT : PROXY_BAD;
}

/* --- version 2: binary ------------------------------------------------------ */

/* What follows the addresses: type, length, value. */
static bool
tlvs_parse(const uint8_t *p, size_t n, struct proxy_said *out)
{
	while (n > 0) {
		size_t len;

		if (n < TLV_HEAD)
			return false;
		len = (size_t)p[1] << 8 | p[2];
		if (len > n - TLV_HEAD)
			return false;
		if (p[0] == TLV_SSL) {
			if (len < TLV_SSL_HEAD)
				return false;
			out->tls = (p[TLV_HEAD] & CLIENT_SSL) != 0;
		}
		p += TLV_HEAD + len;
		n -= TLV_HEAD + len;
	}
	return true;
}

/* The N octets behind the head; FAMILY is address family and protocol. */
static bool
client_parse(uint8_t family, const uint8_t *p, size_t n,
    struct proxy_said *out)
{
	size_t addresses, one = 0;

	switch (family) {
	case 0x00:		/* not specified */
		addresses = 0;
		break;
	case 0x11:		/* TCP over IPv4: two addresses, two ports */
		out->family = AF_INET;
		one = 4;
		addresses = 12;
		break;
	case 0x21:
		out->family = AF_INET6;
		one = 16;
		addresses = 36;
		break;
	case 0x31:		/* a Unix socket of the proxy's */
		addresses = 216;
		break;
	default:		/* no stream, or not defined */
		return false;
	}
	if (n < addresses)
		return false;
	memcpy(out->client, p, one);
	memcpy(out->server, p + one, one);
	return tlvs_parse(p + addresses, n - addresses, out);
}

static enum proxy_result
v2_parse(const uint8_t *p, size_t n, struct proxy_said *out)
{
	size_t len;

	if (n < HEAD)
		return PROXY_MORE;
	if (p[12] != 0x20 && p[12] != 0x21)
		return PROXY_BAD;
	len = (size_t)p[14] << 8 | p[15];
	if (len > PROXY_MAX - HEAD)
		return PROXY_BAD;
	if (n < HEAD + len)
		return PROXY_MORE;
	out->used = HEAD + len;
	/* LOCAL: the proxy speaks for itself; the rest is to be skipped */
	if (p[12] == 0x20)
		return PROXY_GOT;
	return client_parse(p[13], p + HEAD, len, out) ? PROXY_GOT :
	    PROXY_BAD;
}

static bool
begins(const uint8_t *p, size_t n, const void *with, size_t size)
{
	return memcmp(p, with, n < size ? n : size) == 0;
}

enum proxy_result
proxy_parse(const uint8_t *p, size_t n, struct proxy_said *out)
{
	*out = (struct proxy_said){.family = AF_UNSPEC};
	if (begins(p, n, word, WORD))
		return v1_parse(p, n, out);
	if (begins(p, n, signature, PROXY_SIGNATURE))
		return v2_parse(p, n, out);
	return PROXY_BAD;
}

_Bool
proxy_resembles(const uint8_t *p, size_t n)
{
	return n >= WORD - 1 && (begins(p, n, word, WORD) ||
	    begins(p, n, signature, PROXY_SIGNATURE));
}
