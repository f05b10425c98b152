/*
 * pool.h - a plugin's answer to one login.
 *
 * Runs in a pool process.  Nothing that the plugin gives back is believed:
 * what is too long, malformed or unknown makes the login fail for now.
 */
#ifndef AUTH_POOL_H
#define AUTH_POOL_H

#include <culver/auth.h>

#include "core/ipc/ipc.h"

enum {
	POOL_FIELDS = 4096,		/* octets, as in POOL_ANSWER */
	POOL_PASSWORD = 9216,		/* as in POOL_LOGIN */
	POOL_SECRET = 1024,		/* as in POOL_CREDS, as the next ones */
	POOL_SALT = 64,
	POOL_MAX_FIELDS = 256,
	POOL_ARENA = 1 << 20
};

struct pool_run {
	const struct culver_auth_ops *ops;
	uint64_t caps;
	struct culver_auth *au;
	struct culver_arena *arena;
	/* what an answer points to */
	struct culver_error err;
	char error[256];
	uint8_t fields[POOL_FIELDS];
	char password[POOL_PASSWORD + 1];	/* only during a call */
};

/*
 * Do what M asks for: verify, look up, or both.  *OUT borrows from R and its
 * arena until pool_clean().  Blocks as long as the plugin does.
 */
void pool_answer(struct pool_run *r, const struct ipc_pool_login *m,
    struct ipc_pool_answer *out);

/* Look up what M's user has in the form that M names; likewise. */
void pool_creds(struct pool_run *r, const struct ipc_pool_login *m,
    struct ipc_pool_creds *out);

/* Wipe what the call left. */
void pool_clean(struct pool_run *r);

#endif /* AUTH_POOL_H */
