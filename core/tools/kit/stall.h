/*
 * stall.h - a disk that stalls: the monotonic clock of a traced child is moved
 * on while it is in a system call.  Nothing waits, so a busy machine makes no
 * difference.
 */
#ifndef KIT_STALL_H
#define KIT_STALL_H

#include "core/tools/kit/box.h"

/*
 * A child runs FN(ARG), of which call NTH that is marked takes ten seconds.
 * False if it did not come.  *STATUS as of waitpid().  Skips the check where
 * this cannot be done.
 */
bool stall_once(int (*fn)(void *), void *arg, unsigned nth, int *status);

/* Checks of group deadline, for storage plugins. */
void stall_scenes(struct kit *k);
void stall_slow_disk(struct kit *k);

#endif /* KIT_STALL_H */
