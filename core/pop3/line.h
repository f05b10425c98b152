/*
 * line.h - cut what a client sent into lines.
 *
 * Runs in gate (commands and SASL responses) and worker.  Every octet comes
 * from the network.  Nothing here keeps data: the caller owns the buffer, may
 * have only peeked at it, and drops what `used` says.
 */
#ifndef POP3_LINE_H
#define POP3_LINE_H

#include <stddef.h>
#include <stdint.h>

enum {
	POP3_LINE_MAX = 255,		/* RFC 2449 4: line end included */
	POP3_AUTH_MAX = 12288,		/* RFC 5034 4: AUTH and its responses */
	POP3_FLOOD_MAX = 65536		/* of one line, before it is a flood */
};

enum pop3_split {
	POP3_MORE,	/* no whole line yet: what has not ended is not run */
	POP3_GOT,	/* a line */
	POP3_LONG,	/* a line that was too long has ended: answer -ERR */
	POP3_FLOOD	/* it does not end: close the connection */
};

struct pop3_splitter {
	uint64_t dropped;	/* octets of the too long line so far */
	_Bool sasl;		/* set by the caller: the line is a response */
};
#define POP3_SPLITTER_INIT { .dropped = 0, .sasl = 0 }

struct pop3_line {
	const uint8_t *p;	/* in the caller's buffer, without line end */
	size_t n;
	size_t used;		/* octets to drop, for every result */
};

/*
 * Look for one line in the N octets at BUF, which follow what was dropped
 * before.  It ends in LF or CRLF.  A line may have POP3_LINE_MAX octets, or
 * POP3_AUTH_MAX if it begins with "AUTH " or is a response; a buffer of
 * POP3_AUTH_MAX always makes progress.  The same octets give the same lines
 * however they are cut into calls.
 */
enum pop3_split pop3_split(struct pop3_splitter *s, const uint8_t *buf,
    size_t n, struct pop3_line *out);

#endif /* POP3_LINE_H */
