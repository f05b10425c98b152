/*
 * line.c - see line.h.  Runs in gate and worker on octets of the network.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "core/pop3/line.h"

/* May the line that begins at BUF be longer than RFC 2449 says?  Decided from
 * its first octets only, so that it does not depend on how much is there. */
static size_t
line_max(const struct pop3_splitter *s, const uint8_t *buf, size_t n)
{
	if (s->sasl || (n >= 5 && (buf[0] | 0x20) == 'a' &&
	    strncasecmp((const char *)buf, "AUTH ", 5) == 0))
		return POP3_AUTH_MAX;
	return POP3_LINE_MAX;
}

/* Drop octets of a line that was found too long. */
static enum pop3_split
drop(struct pop3_splitter *s, const uint8_t *lf, size_t n,
    struct pop3_line *out)
{
	out->used = n;
	s->dropped += n;
	if (s->dropped > POP3_FLOOD_MAX)
		return POP3_FLOOD;
	if (lf == NULL)
		return POP3_MORE;
	s->dropped = 0;
	return POP3_LONG;
}

enum pop3_split
pop3_split(struct pop3_splitter *s, const uint8_t *buf, size_t n,
    struct pop3_line *out)
{
	const uint8_t *lf;
	size_t len, max;

	*out = (struct pop3_line){ .p = buf };
	if (n == 0)
		return POP3_MORE;
	max = line_max(s, buf, n);
	lf = memchr(buf, '\n', n);
	len = lf != NULL ? (size_t)(lf - buf) + 1 : n;
	if (s->dropped > 0)
		return drop(s, lf, len, out);
	if (len > max || (lf == NULL && len == max))
		return drop(s, lf, len, out);
	if (lf == NULL)
		return POP3_MORE;
	out->used = len;
	out->n = len - 1;
	if (out->n > 0 && buf[out->n - 1] == '\r')
		out->n--;
	return POP3_GOT;
}
