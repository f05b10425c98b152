/*
 * walk.h - the checks of group storage.
 */
#ifndef KIT_WALK_H
#define KIT_WALK_H

#include "core/tools/kit/kit.h"

/* A random walk over an empty home. */
void walk_one(struct kit *k, uint64_t seed, unsigned sessions);

void lines_check(struct kit *k);
void lock_check(struct kit *k);
void lock_killed(struct kit *k);
void absent_check(struct kit *k);

/* rules.c */
void rules_quota(struct kit *k);
void rules_moved(struct kit *k);
void rules_location(struct kit *k);
void rules_check(struct kit *k);

#endif /* KIT_WALK_H */
