/*
 * lda.h - the local delivery agent: what a worker does with a delivery grant.
 *
 * Runs in worker, as the recipient, confined.  The message comes from lmtp,
 * and from anybody before that.
 */
#ifndef WORKER_LDA_H
#define WORKER_LDA_H

#include "core/ipc/ipc.h"
#include "core/worker/store.h"

/*
 * Take one DELIVER message from FD, the socket to lmtp, store what it brings,
 * and answer it.  ST is not OK if STORE could not be set up: that is the
 * answer then.  Fills REPORT; the exit status.
 */
int lda_run(struct store *store, culver_status st, int fd,
    struct ipc_worker_end *report);

#endif /* WORKER_LDA_H */
