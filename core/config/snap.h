/*
 * snap.h - a checked configuration as sealed memfds, one a role and section.
 */
#ifndef CONFIG_SNAP_H
#define CONFIG_SNAP_H

#include "core/config/conf.h"
#include "core/config/load.h"

/* Takes a snapshot; closes nothing.  False ends snap_all(). */
typedef _Bool snap_sink(void *ctx, enum conf_kind kind, uint32_t index,
    int fd);

/*
 * Make every snapshot of C, which has no mistakes, in the order of enum
 * conf_kind, and hand each to SINK.  False with errno: no memory, no
 * descriptors, a filter that cannot be compiled, or SINK said so.
 */
_Bool snap_all(const struct cf_config *c, const struct cf_env *env,
    snap_sink *sink, void *ctx);

#endif /* CONFIG_SNAP_H */
