/*
 * record.h - a line of the log as an event and its pairs.
 *
 * Runs in the log role.  Roles send their events as text (base/log.h); who
 * counts them, and who writes them as JSON, takes that apart again.  All events
 * and keys that there are stand in one table: what is not in it, or does not
 * have that form to its last octet, is a text like any other.
 */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum record_kind { RECORD_TEXT, RECORD_NUMBER, RECORD_BOOL };

struct record_key {
	const char *name;
	enum record_kind kind;
};

struct record_pair {
	const struct record_key *key;
	const char *value;		/* without quotes; NUL behind it */
	size_t n;
};

enum { RECORD_PAIRS = 20, RECORD_OCTETS = 2048 };

struct record {
	const char *event;
	unsigned n;
	struct record_pair pair[RECORD_PAIRS];
	char octets[RECORD_OCTETS];	/* what the values point to */
};

/* Take LINE apart; false: it is a text. */
_Bool record_parse(struct record *r, const char *line);

/* The value of KEY, or NULL. */
const char *record_value(const struct record *r, const char *key);

#endif /* LOG_RECORD_H */
