/*
 * wlog.h - the log sink of a worker: WORKER_LOG messages to master, which adds
 * the session it knows it is from.
 */
#ifndef WORKER_WLOG_H
#define WORKER_WLOG_H

/* Log to CHANNEL from now on.  A session may write WLOG_BURST lines at once
 * and one a second after that; what is lost is counted in the next line. */
enum { WLOG_BURST = 60 };

void wlog_open(int channel);

#endif /* WORKER_WLOG_H */
