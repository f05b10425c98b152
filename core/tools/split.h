/*
 * split.h - cut what `culverctl mailbox import` reads into messages in the
 * form that a storage plugin takes: CRLF text.
 *
 * Runs in a worker, as the mailbox's owner, on files that anybody wrote.
 */
#ifndef TOOLS_SPLIT_H
#define TOOLS_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>

/* What happens to the messages; a status that is not OK ends the work. */
struct split_ops {
	culver_status (*begin)(void *arg);
	culver_status (*data)(void *arg, const uint8_t *p, size_t n);
	culver_status (*end)(void *arg);
};

struct split {
	const struct split_ops *ops;
	void *arg;
	_Bool mbox;		/* else the whole input is one message */
	_Bool open;		/* a message was begun */
	_Bool cr;		/* the last octet was a CR, not passed on */
	_Bool blank;		/* an empty line is held back (mbox) */
	_Bool separator;	/* inside a From_ line */
	_Bool bol;		/* at the beginning of a line */
	uint64_t quotes;	/* '>' held back there */
	unsigned matched;	/* octets of "From " behind them */
	size_t n;
	uint8_t buf[16384];
};

/*
 * MBOX: messages begin at lines "From " that open the file or follow an empty
 * line, which belongs to neither message; ">From " and ">>From " lose one '>'
 * (mboxrd).  An octet in front of the first "From " is E_CORRUPT.
 */
void split_start(struct split *s, const struct split_ops *ops, void *arg,
    _Bool mbox);

/* The next N octets, cut anywhere. */
culver_status split_add(struct split *s, const uint8_t *p, size_t n);

/* The end of the file: ends the last message. */
culver_status split_end(struct split *s);

#endif /* TOOLS_SPLIT_H */
