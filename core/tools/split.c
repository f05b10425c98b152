/*
 * split.c - cut imported files into messages; see split.h.
 *
 * Runs in a worker, as the mailbox's owner.  Works octet by octet, so that no
 * line is too long for it.
 */
#include "config.h"

#include <string.h>

#include "core/tools/split.h"

static const char from[] = "From ";
enum { FROM = sizeof(from) - 1 };

void
split_start(struct split *s, const struct split_ops *ops, void *arg,
    _Bool mbox)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->arg = arg;
	s->mbox = mbox;
	s->bol = 1;
	s->blank = 1;		/* the beginning is as good */
}

static culver_status
flush(struct split *s)
{
	size_t n = s->n;

	s->n = 0;
	return n > 0 ? s->ops->data(s->arg, s->buf, n) : CULVER_OK;
}

/* Octets of a message that is open, as they are. */
static culver_status
put(struct split *s, const char *p, size_t n)
{
	culver_status st = CULVER_OK;

	if (!s->open)
		return CULVER_E_CORRUPT;
	if (n > sizeof(s->buf) - s->n)
		st = flush(s);
	memcpy(s->buf + s->n, p, n);
	s->n += n;
	return st;
}

static culver_status
message_end(struct split *s)
{
	culver_status st = CULVER_OK;

	if (s->open && (st = flush(s)) == CULVER_OK)
		st = s->ops->end(s->arg);
	s->open = 0;
	return st;
}

static culver_status
message_begin(struct split *s)
{
	culver_status st = message_end(s);

	if (st == CULVER_OK)
		st = s->ops->begin(s->arg);
	s->open = st == CULVER_OK;
	return st;
}

/* An empty line that turned out to be part of the message. */
static culver_status
blank_put(struct split *s)
{
	_Bool was = s->blank;

	s->blank = 0;
	return was && s->open ? put(s, "\r\n", 2) : CULVER_OK;
}

/* What was held back at the beginning of a line is no separator. */
static culver_status
held_put(struct split *s)
{
	culver_status st = blank_put(s);

	for (; st == CULVER_OK && s->quotes > 0; s->quotes--)
		st = put(s, ">", 1);
	if (st == CULVER_OK && s->matched > 0)
		st = put(s, from, s->matched);
	s->matched = 0;
	s->bol = 0;
	return st;
}

/* "From " stands behind s->quotes quote marks. */
static culver_status
from_line(struct split *s)
{
	if (s->quotes > 0) {
		s->quotes--;
		return held_put(s);
	}
	if (!s->blank)
		return held_put(s);
	s->blank = 0;
	s->matched = 0;
	s->bol = 0;
	s->separator = 1;
	return message_begin(s);
}

static culver_status
line_end(struct split *s)
{
	culver_status st = CULVER_OK;
	_Bool empty = s->bol && s->quotes == 0 && s->matched == 0;

	s->cr = 0;		/* CRLF or LF, both end a line */
	if (s->separator) {
		s->separator = 0;
		s->bol = 1;
		return CULVER_OK;
	}
	if (s->mbox && empty) {
		st = blank_put(s);
		s->blank = 1;
	} else {
		if (s->bol)
			st = held_put(s);
		if (st == CULVER_OK)
			st = put(s, "\r\n", 2);
	}
	s->bol = 1;
	return st;
}

/* An octet that ends no line; a CR counts only when another one follows. */
static culver_status
octet(struct split *s, char c)
{
	culver_status st = CULVER_OK;

	if (s->separator)
		return CULVER_OK;
	if (s->bol && s->mbox) {
		if (c == '>' && s->matched == 0) {
			s->quotes++;
			return CULVER_OK;
		}
		if (c == from[s->matched])
			return ++s->matched == FROM ? from_line(s) : CULVER_OK;
	}
	if (s->bol)
		st = held_put(s);
	return st == CULVER_OK ? put(s, &c, 1) : st;
}

culver_status
split_add(struct split *s, const uint8_t *p, size_t n)
{
	culver_status st = CULVER_OK;

	if (!s->mbox && !s->open) {
		s->blank = 0;
		st = message_begin(s);
	}
	for (size_t i = 0; i < n && st == CULVER_OK; i++) {
		if (p[i] == '\n') {
			st = line_end(s);
			continue;
		}
		if (s->cr) {
			s->cr = 0;
			st = octet(s, '\r');
		}
		if (p[i] == '\r')
			s->cr = 1;
		else if (st == CULVER_OK)
			st = octet(s, (char)p[i]);
	}
	return st;
}

culver_status
split_end(struct split *s)
{
	culver_status st = CULVER_OK;

	if (!s->mbox && !s->open)
		st = split_add(s, NULL, 0);	/* an empty message */
	if (st == CULVER_OK && s->cr && !s->separator) {
		s->cr = 0;
		st = octet(s, '\r');
	}
	if (st == CULVER_OK && (s->quotes > 0 || s->matched > 0))
		st = held_put(s);
	return st == CULVER_OK ? message_end(s) : st;
}
