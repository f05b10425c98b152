/*
 * locking.h - the worker's end of its session's locker (core/locker).
 */
#ifndef WORKER_LOCKING_H
#define WORKER_LOCKING_H

#include <culver/host.h>

/* Let HOST, of this session's plugin, provide dotlock() by the locker at the
 * other end of the channel FD, which is its own from now on; 0: there is
 * none, and HOST stays as it is. */
void locking_start(struct culver_host *host, int fd);

/*
 * The locker is for the mailbox PATH, or not needed (NULL): then it ends.
 * Before the sandbox closes, once.  What the locker does not agree to is
 * logged, and fails every dotlock().
 */
void locking_file(const char *path);

#endif /* WORKER_LOCKING_H */
