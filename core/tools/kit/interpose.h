/*
 * interpose.h - memory that runs out and is counted, and a clock that is
 * ahead, for a plugin in this process.
 *
 * The program defines malloc() and clock_gettime() itself, which every module
 * that it loads then calls.  Not in a build with sanitizers, which have their
 * own, and not without glibc.
 */
#ifndef KIT_INTERPOSE_H
#define KIT_INTERPOSE_H

#include <stdbool.h>
#include <stdint.h>

extern struct interpose {
	bool armed;		/* allocations are counted */
	unsigned fail_at;	/* the one that fails; 0: none */
	unsigned calls;
	_Atomic int64_t used;	/* octets of memory */
	int64_t ahead;		/* seconds that CLOCK_REALTIME is ahead */
	volatile uint64_t *moved;	/* ns, CLOCK_MONOTONIC; or NULL */
} interpose;

/* Does this program see the allocations of modules? */
bool interpose_works(void);

/* Count one allocation: shall it fail? */
bool interpose_fails(void);

#endif /* KIT_INTERPOSE_H */
