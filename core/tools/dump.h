/*
 * dump.h - what another POP3 server answered to LIST and UIDL, in a file.
 *
 * Pure functions over memory, run in culverctl as its caller, often root; the
 * file is an administrator's, and what is in it a server's.
 */
#ifndef TOOLS_DUMP_H
#define TOOLS_DUMP_H

#include <stddef.h>
#include <stdint.h>

struct dump_row {
	uint64_t octets;	/* 0 without LIST */
	char *uidl;		/* in the text */
	uint32_t number;
};

struct dump {
	struct dump_row *row;	/* to be free()d, also after an error */
	uint32_t n;
	_Bool sizes;		/* there is a LIST */
	size_t line;		/* the last one that was read */
};

/*
 * Parse TEXT, of N octets and a NUL behind them, which D then points to.  NULL,
 * or what is wrong in line D->line.
 *
 * It holds the replies to LIST and UIDL, or to UIDL only, as a client saw them
 * (RFC 1939 sections 5 and 7): "+OK", lines "NUMBER VALUE", "."; replies of one
 * line among them count for nothing.  "+OK" and "." may be missing in all of
 * them, as curl prints replies: where numbers begin anew the other one begins.
 * If both have numbers for values the first is LIST.
 */
const char *dump_parse(struct dump *d, char *text, size_t n);

#endif /* TOOLS_DUMP_H */
