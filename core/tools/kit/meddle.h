/*
 * meddle.h - a child of a check in which calls of the plugin, and nothing
 * else, are shown to trace.h and interpose.h; and how such a child may end.
 */
#ifndef KIT_MEDDLE_H
#define KIT_MEDDLE_H

#include "core/tools/kit/box.h"

enum { MEDDLE_RUNS = 100000 };

/* A way in which a system call fails. */
struct meddle_fault {
	const char *name;
	int err;
	bool shorten;
};
extern const struct meddle_fault meddle_faults[];	/* to name NULL */

/* In the child: from here on, each call of the plugin is marked and has TIME
 * ns until its deadline. */
void meddle_start(uint64_t time);

/* If not NULL: called after each such call. */
extern void (*meddle_after)(struct box *b, culver_status st);

/* In the child: no more of that. */
void meddle_stop(void);

/* STATUS is that of the child, which did WHAT: fail, unless it said KIT_DONE
 * or was KILLED as planned. */
void meddle_ended(int status, bool killed, const char *what);

/* A child of its own runs FN(ARG), with allocation NTH failing.  False if
 * there were not that many. */
bool meddle_allocation(int (*fn)(void *), void *arg, unsigned nth,
    const char *what);

#endif /* KIT_MEDDLE_H */
