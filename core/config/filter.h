/*
 * filter.h - which system calls each role may make, as data.
 *
 * The config role compiles the lists with libseccomp, once; each role gets
 * its program in its snapshot and installs it on itself.  A worker's and a
 * locker's is made shorter (filter_pack.h).  Only the config
 * role and manager, which run before there is a snapshot, compile their own.
 * To change what a role may do, change its list in calls.c and say there why.
 */
#ifndef CONFIG_FILTER_H
#define CONFIG_FILTER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sock_filter;

enum filter_kind {
	FILTER_CONFIG, FILTER_CERTCHECK, FILTER_GATE, FILTER_AUTH,
	FILTER_POOL, FILTER_WORKER, FILTER_LOG, FILTER_MANAGER,
	FILTER_LMTP, FILTER_LOCKER, FILTER_METRICS
};

/*
 * Compile the program of KIND, with what NEEDS (CULVER_NEED_* of the section's
 * plugin; POOL and WORKER) adds, into OUT, which has room for
 * CONF_MAX_FILTER.  Instructions; 0 with errno if libseccomp or the room
 * failed, 0 without in a build that has no sandbox.
 */
size_t filter_compile(enum filter_kind kind, uint64_t needs,
    struct sock_filter *out);

/* The base set of plugins, a name a line, with a star if only some arguments
 * are allowed. */
void filter_print_base(FILE *out);

#endif /* CONFIG_FILTER_H */
