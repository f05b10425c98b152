/*
 * session.h - the TRANSACTION and UPDATE states of RFC 1939.
 *
 * Runs in worker, as the mailbox's owner; plain sequential code over a store
 * and a client, so that tests can give it a store in memory.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include <stdint.h>

#include "core/ipc/ipc.h"
#include "core/worker/client.h"
#include "core/worker/store.h"

struct session {
	struct store *store;		/* created, not open */
	struct client *client;
	uint32_t flags;			/* IPC_TLS, IPC_STLS, IPC_MECHS */
	uint32_t login_delay;		/* seconds; 0: none */
	uint32_t expire_days;		/* POP3_EXPIRE_* or days */
	uint32_t bad_commands;		/* so many close it; 0: any number */

	uint32_t bad;			/* so far */
	uint32_t marked;		/* messages with STORE_DELETED */
	const char *reason;		/* of the end, when it is known */
	struct ipc_worker_end report;	/* counters for the log */
};

/*
 * Open the mailbox, answer the client's login with it, serve commands until
 * the end, close mailbox and client.  s->report is complete then.
 */
void session_run(struct session *s);

/* The client gets the failure STATUS of its login, and that was all. */
void session_refuse(struct session *s, culver_status status);

/* What the files of a session share: RETR (LINES NULL) or TOP of message
 * INDEX (send.c), and the answer to a failed command. */
void session_send(struct session *s, uint32_t index, const uint64_t *lines);
void session_fail(struct session *s, culver_status status);

#endif /* WORKER_SESSION_H */
