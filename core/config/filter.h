/*
 * filter.h - compile the seccomp program of a role.
 *
 * Runs in the config role (and at the start of programs that confine
 * themselves without a snapshot).  The lists are data, in filter.c.
 */
#ifndef CONFIG_FILTER_H
#define CONFIG_FILTER_H

#include <stddef.h>
#include <stdint.h>

struct sock_filter;

enum filter_kind {
	FILTER_CONFIG,
	FILTER_CERTCHECK,
	FILTER_GATE,
	FILTER_AUTH,
	FILTER_POOL,
	FILTER_WORKER,
	FILTER_LOG
};

/*
 * Compile the program of KIND, with what NEEDS (CULVER_NEED_* bits of the
 * section's plugin) adds, into OUT (room for CONF_MAX_FILTER).  Instructions,
 * or 0 with errno.
 */
size_t filter_compile(enum filter_kind kind, uint64_t needs,
    struct sock_filter *out);

#endif /* CONFIG_FILTER_H */
