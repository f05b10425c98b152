/*
 * confine.h - shut the worker into its mailbox.
 */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include <culver/plugin.h>

#include "core/config/conf.h"
#include "core/worker/store.h"

struct sock_filter;

/*
 * Allow what the plugin names and nothing else: Landlock to the paths of
 * STORE, then the seccomp filter of the section whose snapshot SNAPSHOT
 * begins with HEAD.  NEEDS are the plugin's CULVER_NEED_* bits, FILTER is room
 * for CONF_MAX_FILTER instructions.  After a failure, which is logged, the
 * process must not go on.
 */
culver_status confine(struct store *store, int snapshot,
    const struct conf_head *head, uint64_t needs,
    struct sock_filter *filter);

#endif /* WORKER_CONFINE_H */
