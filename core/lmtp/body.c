/*
 * body.c - the text of a message: line ends, and the dots of DATA.
 *
 * Runs in lmtp.  The one place that decides where a message ends.
 */
#include "config.h"

#include "core/lmtp/proto.h"

void
lmtp_body_start(struct lmtp_body *b, _Bool dots)
{
	*b = (struct lmtp_body){.dots = dots,
	    .at = dots ? LMTP_AT_LINE : LMTP_AT_MIDDLE};
}

struct sink {
	struct lmtp_body *b;
	uint8_t *p;
};

static void
put(struct sink *o, uint8_t c)
{
	*o->p++ = c;
	o->b->last = c;
	o->b->some = 1;
}

static void
put_line_end(struct sink *o)
{
	put(o, '\r');
	put(o, '\n');
}

/* C comes where nothing is held back. */
static void
plain(struct sink *o, uint8_t c)
{
	o->b->at = LMTP_AT_MIDDLE;
	if (c == '\r')
		o->b->at = LMTP_AT_CR;
	else if (c == '\n')
		put_line_end(o);	/* begins no line: see proto.h */
	else
		put(o, c);
}

/* C comes behind a CR that was held back. */
static void
behind_cr(struct sink *o, uint8_t c)
{
	if (c == '\n') {
		put_line_end(o);
		o->b->at = o->b->dots ? LMTP_AT_LINE : LMTP_AT_MIDDLE;
		return;
	}
	put(o, '\r');
	plain(o, c);
}

size_t
lmtp_body_add(struct lmtp_body *b, const uint8_t *in, size_t n, uint8_t *out,
    size_t *out_n)
{
	struct sink o = {b, out};
	size_t i = 0;

	while (i < n && !b->ended) {
		uint8_t c = in[i++];

		switch (b->at) {
		case LMTP_AT_LINE:
			if (c == '.')
				b->at = LMTP_AT_DOT;
			else
				plain(&o, c);
			break;
		case LMTP_AT_DOT:		/* the dot itself is dropped */
			if (c == '\r')
				b->at = LMTP_AT_DOT_CR;
			else
				plain(&o, c);
			break;
		case LMTP_AT_DOT_CR:
			if (c == '\n')
				b->ended = 1;
			else
				behind_cr(&o, c);
			break;
		case LMTP_AT_MIDDLE:
			plain(&o, c);
			break;
		case LMTP_AT_CR:
			behind_cr(&o, c);
		}
	}
	*out_n = (size_t)(o.p - out);
	return i;
}

size_t
lmtp_body_end(struct lmtp_body *b, uint8_t *out)
{
	struct sink o = {b, out};

	if (b->at == LMTP_AT_CR)
		put(&o, '\r');
	if (b->some && b->last != '\n')
		put_line_end(&o);
	b->ended = 1;
	return (size_t)(o.p - out);
}
