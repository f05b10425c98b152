/*
 * wire.h - a message as it goes over the wire, and its size.
 *
 * Runs in worker, and in storage plugins' tests.  Message octets are hostile.
 * Rules (RFC 1939 3 and 11, RFC 5322 2.1): every LF ends a line and goes out
 * as CRLF, whether a CR stood before it or not; a CR elsewhere is an octet
 * like any other, NUL and 8-bit ones too; a last line without an end gets
 * one; a dot at the beginning of a line, the first octet of the message
 * included, is doubled.  Sizes count all that is sent but the doubled dots
 * and the final ".".  An empty message has no line and 0 octets.
 */
#ifndef POP3_WIRE_H
#define POP3_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum {
	WIRE_ROOM = 2,		/* least room that makes progress */
	WIRE_END_MAX = 5	/* CRLF, dot, CRLF */
};

struct wire {
	uint64_t octets;	/* sent so far, without doubled dots */
	uint64_t lines;		/* TOP: body lines still wanted */
	uint8_t column;		/* octets of this line, at most 2 */
	_Bool cr;		/* the last octet was a CR */
	_Bool top;		/* stop after header and `lines` */
	_Bool body;		/* TOP: the blank line was seen */
	_Bool complete;		/* TOP: the rest is not wanted */
};

/* Begin a message; TOP sends its header, the blank line and LINES lines. */
void wire_start(struct wire *w);
void wire_start_top(struct wire *w, uint64_t lines);

/*
 * Encode octets of IN (N of them) into OUT (CAP octets of room); *used says
 * how many were taken.  Returns octets written.  Takes all unless the room
 * ends (CAP >= WIRE_ROOM always takes some) or w->complete is set.  The
 * result does not depend on how a message is cut into calls.
 */
size_t wire_put(struct wire *w, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t cap);

/* The end of a message: what a last line lacks, and the final dot.  OUT has
 * room for WIRE_END_MAX; returns octets written. */
size_t wire_end(struct wire *w, uint8_t *out);

/* Octets of a message without encoding it: the same rules, faster. */
struct wire_count {
	uint64_t octets;
	_Bool cr, open;		/* open: the last line has no end */
};

void wire_count_start(struct wire_count *c);
void wire_count_add(struct wire_count *c, const uint8_t *in, size_t n);

/* The size; nothing may be added after it. */
uint64_t wire_count_end(struct wire_count *c);

#endif /* POP3_WIRE_H */
