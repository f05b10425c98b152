/*
 * throttle_table.h - the tables of throttle.c; nobody else includes this.
 *
 * Runs in the auth coordinator.
 */
#ifndef AUTH_THROTTLE_TABLE_H
#define AUTH_THROTTLE_TABLE_H

#include "core/auth/throttle.h"

struct entry {
	uint64_t key;		/* 0: free */
	uint64_t next;		/* when the next slot is */
	uint64_t clean_next;	/* users: the same for clean addresses */
	uint64_t used;		/* pairs: last success */
	uint32_t failures;
};

struct table {
	size_t mask;		/* number of sets - 1 */
	struct entry *entry;
};

enum { ADDR, USER, PAIR };

/* What is known of addresses, users and pairs of these. */
struct throttle {
	uint64_t delay, delay_max;
	uint64_t k0, k1;
	struct table table[3];
	void *memory;
	size_t size;
};

/* KEY's entry; NULL: there is none. */
struct entry *table_find(const struct table *table, uint64_t key);

/* KEY's entry, if need be in the place of the one that matters least: least
 * recently used (pairs), or with the earliest slot. */
struct entry *table_get(struct table *table, uint64_t key);

/* Forget KEY's entry if it has a slot after MOST (ns): no coordinator in its
 * right mind can have left that. */
void table_check(const struct table *table, uint64_t key, uint64_t most);

#endif /* AUTH_THROTTLE_TABLE_H */
