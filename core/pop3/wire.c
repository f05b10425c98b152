/*
 * wire.c - see wire.h.  Runs in worker on octets of a mailbox.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "core/pop3/wire.h"

void
wire_start(struct wire *w)
{
	*w = (struct wire){ .octets = 0 };
}

void
wire_start_top(struct wire *w, uint64_t lines)
{
	*w = (struct wire){ .top = true, .lines = lines };
}

/* A line has ended: does TOP want another one? */
static void
line_done(struct wire *w, bool blank)
{
	if (!w->body)
		w->body = blank;
	else
		w->lines--;
	w->complete = w->body && w->lines == 0;
}

/* The octets of a line before its LF: bulk copy, dot doubled. */
static size_t
put_run(struct wire *w, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t stuffed = 0;

	if (w->column == 0 && in[0] == '.') {
		out[0] = '.';
		stuffed = 1;
	}
	memcpy(out + stuffed, in, n);
	w->cr = in[n - 1] == '\r';
	w->column = (size_t)w->column + n > 1 ? 2 : 1;
	w->octets += n;
	return stuffed + n;
}

static size_t
put_lf(struct wire *w, uint8_t *out)
{
	size_t o = 0;

	if (!w->cr)
		out[o++] = '\r';
	out[o++] = '\n';
	w->octets += o;
	if (w->top)
		line_done(w, w->column == 0 || (w->column == 1 && w->cr));
	w->column = 0;
	w->cr = false;
	return o;
}

size_t
wire_put(struct wire *w, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t cap)
{
	size_t i = 0, o = 0;

	while (i < n && !w->complete && cap - o >= WIRE_ROOM) {
		const uint8_t *lf = memchr(in + i, '\n', n - i);
		size_t run = lf != NULL ? (size_t)(lf - in) - i : n - i;

		if (run > 0) {
			/* one less, in case a dot is doubled */
			if (run > cap - o - 1) {
				run = cap - o - 1;
				lf = NULL;
			}
			o += put_run(w, in + i, run, out + o);
			i += run;
		}
		if (lf == NULL || cap - o < WIRE_ROOM)
			continue;
		o += put_lf(w, out + o);
		i++;
	}
	*used = i;
	return o;
}

size_t
wire_end(struct wire *w, uint8_t *out)
{
	size_t o = 0;

	if (w->column > 0) {
		out[o++] = '\r';
		out[o++] = '\n';
		w->octets += 2;
		w->column = 0;
		w->cr = false;
	}
	out[o++] = '.';
	out[o++] = '\r';
	out[o++] = '\n';
	return o;
}

void
wire_count_start(struct wire_count *c)
{
	*c = (struct wire_count){ .octets = 0 };
}

void
wire_count_add(struct wire_count *c, const uint8_t *in, size_t n)
{
	const uint8_t *p = in, *end = in + n;

	if (n == 0)
		return;
	c->octets += n;
	if (*p == '\n') {
		if (!c->cr)
			c->octets++;
		p++;
	}
	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		c->octets += p[-1] != '\r';
		p++;
	}
	c->cr = end[-1] == '\r';
	c->open = end[-1] != '\n';
}

uint64_t
wire_count_end(struct wire_count *c)
{
	if (c->open)
		c->octets += 2;
	return c->octets;
}
