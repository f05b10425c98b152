/*
 * locker.h - what a worker's process starts beside itself where users may
 * not make dotlocks: a process of the same user, in the group that may.
 */
#ifndef LOCKER_LOCKER_H
#define LOCKER_LOCKER_H

/* Its descriptors: to the worker, and the storage section's snapshot. */
enum { LOCKER_CHANNEL = 3, LOCKER_SNAPSHOT };

/*
 * Serve the worker until it closes its end of the channel, then remove the
 * dotlock that it holds; returns the exit status.  Runs after the verified
 * drop, unprivileged, and confines itself before it reads a message.
 */
int locker_main(void);

#endif /* LOCKER_LOCKER_H */
