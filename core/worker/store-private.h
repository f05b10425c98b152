/*
 * store-private.h - what store.c and reader.c share.
 */
#ifndef WORKER_STORE_PRIVATE_H
#define WORKER_STORE_PRIVATE_H

#include "core/base/clock.h"
#include "core/worker/store.h"

#define STORE_SHORT_CALL (30 * NS_PER_S)
#define STORE_LONG_CALL (300 * NS_PER_S)	/* opening, listing, removing */
#define STORE_CHECK_CALL (3600 * NS_PER_S)	/* reads all there is */

/* A call that may take TIME ns, with an empty arena and error. */
struct culver_call store_begin(struct store *s, uint64_t time);

/*
 * The end of every call: log a failure, return a status that is known.
 * CULVER_DONE is one only if MAY_BE_DONE.
 */
culver_status store_end(struct store *s, const char *what, culver_status st,
    _Bool may_be_done);

/* The plugin broke its contract: E_CORRUPT, logged as an error. */
culver_status store_broken(const char *what, const char *how);

#endif /* WORKER_STORE_PRIVATE_H */
