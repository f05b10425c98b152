/*
 * backoff.c - how long what failed is left alone.
 *
 * Runs in a pool process, one login at a time.
 */
#include "config.h"

#include "plugins/common/backoff.h"

#define FIRST_PAUSE 100000000ull	/* ns */

enum { MAX_DOUBLED = 16 };		/* 1.8 hours */

void
backoff_failed(struct backoff *b, uint64_t now, unsigned spared, uint64_t most)
{
	unsigned n = b->failures++;
	uint64_t pause = 0;

	if (n >= spared) {
		n -= spared;
		pause = FIRST_PAUSE << (n < MAX_DOUBLED ? n : MAX_DOUBLED);
	}
	b->not_before = now + (pause < most ? pause : most);
}

void
backoff_over(struct backoff *b)
{
	*b = (struct backoff){0};
}
