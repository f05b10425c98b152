/*
 * calls.h - the system calls of every role, as filter.c compiles them.
 *
 * Runs in the config role, and in manager for its own filter.
 */
#ifndef CONFIG_CALLS_H
#define CONFIG_CALLS_H

#include <stdint.h>

#include "core/config/filter.h"

enum cond { C_ANY, C_EQ, C_CLEAR, C_SET };	/* of one argument */

/* A call that is allowed, if its argument ARG meets the condition. */
struct call {
	const char *name;
	uint8_t cond, arg;
	uint64_t value;
	uint8_t cond2, arg2;
	uint64_t value2;
};

enum { CALLS_MAX_LISTS = 12 };

/* The base set of plugins, part of the ABI: lists, then NULL.  A list ends
 * with a call without a name. */
extern const struct call *const calls_plugin_base[];

/* These fail with EPERM and without a log line where no list has them:
 * programs try them, and know what to do then. */
extern const char *const calls_denied[];

/* The lists of KIND with NEEDS, and then NULL, into ALL. */
void calls_collect(enum filter_kind kind, uint64_t needs,
    const struct call *all[CALLS_MAX_LISTS]);

#endif /* CONFIG_CALLS_H */
