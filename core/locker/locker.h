/*
 * locker.h - what a worker's process starts beside itself where users may
 * not make dotlocks: a process in the group that may.
 */
#ifndef LOCKER_LOCKER_H
#define LOCKER_LOCKER_H

#include <sys/types.h>

/* Its descriptors: to the worker, and the storage section's snapshot. */
enum { LOCKER_CHANNEL = 3, LOCKER_SNAPSHOT };

/*
 * Serve the worker, for a mailbox that belongs to the user OWNER, until it
 * closes its end of the channel; then remove the dotlock that is held.
 * Returns the exit status.  Runs after the verified drop, unprivileged, and
 * confines itself before it reads a message.
 */
int locker_main(uid_t owner);

#endif /* LOCKER_LOCKER_H */
