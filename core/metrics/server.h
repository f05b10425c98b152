/*
 * server.h - connections of scrapers, few and short.
 */
#ifndef METRICS_SERVER_H
#define METRICS_SERVER_H

#include "core/base/loop.h"

struct server {
	struct loop *loop;
};
extern struct server server;

/* Accept from FD, a listening socket, which is ours from now on. */
void server_listen(int fd);

/* Accept nothing more; end when the last connection is gone, or NOW. */
void server_drain(_Bool now);

/* Manager has answered: FD, which stays the caller's, says what there is; -1:
 * nothing. */
void server_answer(int fd);

#endif /* METRICS_SERVER_H */
