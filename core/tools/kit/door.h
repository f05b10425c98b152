/*
 * door.h - an auth plugin under test, called as a pool process calls it and
 * checked as none does.
 *
 * Passwords are masked wherever the kit keeps them, so that a copy that a
 * plugin keeps can be told from the kit's own.
 */
#ifndef KIT_DOOR_H
#define KIT_DOOR_H

#include <culver/auth.h>

#include "core/tools/kit/box.h"

enum { DOOR_MASK = 0x5a, DOOR_LONG = 4096 };	/* as long as the core takes */

/* A password, masked. */
struct phrase {
	unsigned char masked[DOOR_LONG];
	size_t n;
};

struct door {
	struct box b;			/* what every call needs */
	const struct culver_auth_ops *ops;
	uint64_t caps;			/* CULVER_AU_* */
	uint32_t flags;			/* CULVER_RQ_*, of the next requests */
	struct culver_auth *au;
	struct culver_auth_ok ok;	/* of the last verify or lookup */
};

/* The user and the password of the command line; skips the check if there are
 * none or if the plugin lacks CAPS. */
void door_fixture(const struct kit *k, uint64_t caps, struct phrase *right);

/* N octets at TEXT behind those of P. */
void phrase_add(struct phrase *p, const void *text, size_t n);

/* N random letters in place of what P is. */
void phrase_random(struct phrase *p, uint64_t *rng, size_t n);

/* A user like that of the command line, whom nobody knows. */
void door_nobody(const struct kit *k, char name[256]);

/* create() and paths(); the failing call's status.  door_start(): they must
 * succeed. */
culver_status door_create(struct door *d, struct kit *k);
void door_start(struct door *d, struct kit *k);

/* The calls; what the contract allows comes back.  Results live until the
 * next call. */
culver_status door_verify(struct door *d, const char *user,
    const struct phrase *p);
culver_status door_creds(struct door *d, const char *user, uint32_t form,
    struct culver_cred *out);
culver_status door_user(struct door *d, const char *user,
    struct culver_user *out);

/* Wipe what the last call left in its arena, as a pool does. */
void door_forget(struct door *d);

void door_stop(struct door *d);

/* Says ST that the system failed, and nothing about the user? */
bool door_is_failure(culver_status st);

/* Does ST refuse WHO: not let in, and no failure of the system either? */
bool door_refuses(culver_status st);

#endif /* KIT_DOOR_H */
