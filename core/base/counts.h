/*
 * counts.h - numbers by key that several processes keep together, each its
 * own share: how many connections an address has in all gates.
 *
 * Runs in gates, and in manager, which makes the memory and gives a dead gate's
 * part to the next one.  Everybody who has the memory can write all of it: so
 * whatever is read there is only a number, never an index, a size or a pointer,
 * and a process that an attacker owns can spoil counts and nothing else.
 */
#ifndef BASE_COUNTS_H
#define BASE_COUNTS_H

#include <stdint.h>

struct counts_table;

struct counts {
	struct counts_table *table;	/* NULL: there is none */
	int part;			/* ours; -1: none, so we are not seen */
};

/* A memfd of the right size, sealed so that it keeps it; -1 with errno. */
int counts_make(void);

/* Share the memory FD (whose descriptor stays the caller's) and take a part of
 * it for OWNER, a number of nobody else's and not 0.  False: it is not such
 * memory; C can be used all the same, as if there were no others.  With no part
 * left C->part is -1. */
_Bool counts_open(struct counts *c, int fd, uint32_t owner);
void counts_close(struct counts *c);

/* Our share of KEY is N from now on.  False: there is no room to tell others;
 * 0 always finds some. */
_Bool counts_set(const struct counts *c, const uint64_t key[2], uint32_t n);

/* What all others have of KEY, together. */
uint64_t counts_others(const struct counts *c, const uint64_t key[2]);

/* OWNER is dead: its share ends, its part is free.  Not for gates. */
void counts_drop(const struct counts *c, uint32_t owner);

#endif /* BASE_COUNTS_H */
