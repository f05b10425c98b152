/*
 * stats.h - what is counted for as long as culverd runs: a table of counters in
 * memory that the log role, the coordinators and manager write, and manager
 * keeps, and gives to the next version in an upgrade.
 *
 * All label values are in stats.c: names and addresses of users are none.
 * Whoever has the memory can write all of it, so what is read there is only a
 * number.  A role that dies leaves its counts; two at once (a reload) add to
 * the same.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include <stdint.h>

enum {				/* how many values the labels have */
	STATS_N_TLS = 2, STATS_N_MECH = 13, STATS_N_FAILURE = 17,
	STATS_N_END = 16, STATS_N_DELIVERY = 9, STATS_N_RECIPIENT = 6,
	STATS_N_GATE = 5, STATS_N_CACHE = 2, STATS_N_LEVEL = 4,
	STATS_N_BUCKET = 7,		/* of durations, and their sum */
	STATS_N_CLIENTS = 2, STATS_N_ROLE = 6, STATS_N_RELOAD = 2
};

/* The first counter of each family; where it has two labels the second one
 * counts faster. */
enum {
	STATS_LOGINS,
	STATS_FAILURES = STATS_LOGINS + STATS_N_TLS * STATS_N_MECH,
	STATS_AUTH_ERRORS = STATS_FAILURES + STATS_N_FAILURE,
	STATS_ENDS,
	STATS_RETR = STATS_ENDS + STATS_N_TLS * STATS_N_END,
	STATS_RETR_OCTETS,
	STATS_TOP,
	STATS_DELETED,
	STATS_DURATION,
	STATS_DELIVERIES = STATS_DURATION + STATS_N_BUCKET + 1,
	STATS_DELIVERED_OCTETS = STATS_DELIVERIES + STATS_N_DELIVERY,
	STATS_RECIPIENTS,
	STATS_GATE = STATS_RECIPIENTS + STATS_N_RECIPIENT,
	STATS_CACHE = STATS_GATE + STATS_N_GATE,
	STATS_LINES = STATS_CACHE + STATS_N_CACHE,
	STATS_LOST = STATS_LINES + STATS_N_LEVEL,
	STATS_ACCEPTED,			/* this one and the next: manager's */
	STATS_RESTARTS = STATS_ACCEPTED + STATS_N_CLIENTS,
	STATS_RELOADS = STATS_RESTARTS + STATS_N_ROLE,
	STATS_N = STATS_RELOADS + STATS_N_RELOAD
};

struct stats_label {
	const char *name;		/* NULL: there is none */
	unsigned n;
	const char *const *value;	/* the last one is all others, where
					 * that is "other" */
};

enum stats_kind { STATS_COUNTER, STATS_HISTOGRAM };

struct stats_family {
	const char *name;		/* "culver_logins" */
	const char *unit;		/* or NULL */
	const char *help;
	enum stats_kind kind;
	unsigned first;
	struct stats_label label[2];
};

enum { STATS_FAMILIES = 19 };
extern const struct stats_family stats_families[STATS_FAMILIES];

/* Upper bounds of a duration's buckets, ns; the last one has none. */
extern const uint64_t stats_bounds[STATS_N_BUCKET - 1];
extern const char *const stats_bound_text[STATS_N_BUCKET];

struct stats;

/* Memory for all of it, sealed so that it keeps its size; -1 with errno. */
int stats_make(void);

/* When that was, seconds since 1970; 0 of NULL. */
uint64_t stats_start(const struct stats *s);

/* Share what FD has, which stays the caller's; NULL: it is not such memory, or
 * of a version with other counters. */
struct stats *stats_open(int fd);

void stats_close(struct stats *s);

/* Count N more: at AT; by VALUE of the one label of the family that begins at
 * FIRST, if there is such a value or "other"; a duration in ns.  S may be NULL:
 * then nothing is counted. */
void stats_add(struct stats *s, unsigned at, uint64_t n);
void stats_label(struct stats *s, unsigned first, const char *value,
    uint64_t n);
void stats_duration(struct stats *s, uint64_t ns);

/* The value at AT now; 0 of NULL. */
uint64_t stats_get(const struct stats *s, unsigned at);

/* Which of the values of label LABEL (0 or 1) of the family that begins at
 * FIRST is VALUE?  STATS_N: none, and there is no "other". */
unsigned stats_index(unsigned first, int label, const char *value);

#endif /* BASE_STATS_H */
