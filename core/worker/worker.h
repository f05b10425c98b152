/*
 * worker.h - what master starts for one login: a process that is already the
 * mailbox's owner and nobody else.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>

struct store;

/*
 * What culverctl does in a mailbox instead of a session: runs confined, with
 * the store created but not open; ST is not OK if that failed (logged).
 * Returns the exit status.
 */
typedef int worker_job(struct store *store, culver_status st, void *arg);

struct worker_start {
	int client;		/* socket of the client or of its TLS relay;
				 * with IPC_DELIVERY in FLAGS: to lmtp */
	int channel;		/* to master; half-closed when we must end */
	int snapshot;		/* CONF_STORAGE of the user's section */
	int locker;		/* to this session's locker; 0: it has none */
	const uint8_t *tail;	/* an encoded USERDATA message, unchecked */
	size_t tail_len;
	uint32_t flags;		/* IPC_TLS ... */
	uint32_t uid, gid;	/* verified: what this process is */
	uint64_t session;
	const char *remote, *mech;
	worker_job *job;	/* NULL: serve CLIENT, a POP3 session */
	void *job_arg;
};

/*
 * Serve the session and return the exit status.  Runs after the verified
 * drop, unprivileged; confines itself once the plugin is loaded.
 */
int worker_main(const struct worker_start *ws);

/* Octets that master sends on the session's channel. */
enum {
	WORKER_KICK = 0,	/* an administrator ends the session */
	WORKER_WANTED = 'w',	/* a login waits for this mailbox */
	WORKER_STAYS = 's'	/* who has it is not idle, or unknown */
};

#endif /* WORKER_WORKER_H */
