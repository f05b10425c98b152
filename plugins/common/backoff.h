/*
 * backoff.h - how long what failed is left alone: a server, a program.
 *
 * Runs in a pool process, one login at a time.  Pure: the caller tells the
 * time.
 */
#ifndef PLUGINS_COMMON_BACKOFF_H
#define PLUGINS_COMMON_BACKOFF_H

#include <stdint.h>

/* Zero: nothing has failed. */
struct backoff {
	unsigned failures;	/* in a row */
	uint64_t not_before;	/* host->now() of the next try */
};

/*
 * It failed at NOW (ns).  The first SPARED failures in a row cost no time, the
 * next one 100 ms, each further one twice as much, but none more than MOST ns.
 */
void backoff_failed(struct backoff *b, uint64_t now, unsigned spared,
    uint64_t most);

/* It worked. */
void backoff_over(struct backoff *b);

#endif /* PLUGINS_COMMON_BACKOFF_H */
