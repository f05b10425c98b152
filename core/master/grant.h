/*
 * grant.h - whom the configuration lets a worker become.
 */
#ifndef MASTER_GRANT_H
#define MASTER_GRANT_H

#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/master/spawn.h"

/* May a worker run for G?  NULL, or in a few words why not. */
const char *grant_check(const struct conf_master *c,
    const struct spawn_env *env, const struct ipc_grant *g);

#endif /* MASTER_GRANT_H */
