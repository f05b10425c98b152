/*
 * store.h - the only callers of a storage plugin's table.
 *
 * Runs in worker, as the mailbox's owner.  The plugin shares our memory, but
 * what it returns is checked all the same: statuses, counts, UIDLs, extents.
 * Every call gets a deadline, a fresh arena and an empty error; a failure is
 * logged here, once, with the plugin's reason, and comes back as a status
 * that ABI.md 5 knows.
 */
#ifndef WORKER_STORE_H
#define WORKER_STORE_H

#include <stddef.h>
#include <stdint.h>

#include <culver/storage.h>

enum {
	STORE_MAX_MESSAGES = 1 << 22,
	STORE_EXTENTS = 16,
	STORE_PATHS = 64,	/* that a plugin may name */
	STORE_UID_MAX = 70,	/* octets of a UIDL, RFC 1939 7 */
	STORE_CHUNK = 65536	/* octets of one read */
};

enum {				/* store_message.flags */
	STORE_EXACT = 1u << 0,		/* octets are what RETR sends */
	STORE_DELETED = 1u << 1		/* DELE; the session's business */
};

struct store_message {
	const char *uid;	/* the plugin's, until store_close() */
	uint64_t octets;
	uint32_t flags;
	uint32_t uid_n;		/* octets of uid, at most STORE_UID_MAX */
};

struct store {
	const struct culver_storage_ops *ops;	/* the host's copy */
	uint64_t caps;				/* CULVER_ST_* */
	struct culver_store *store;
	struct culver_mailbox *mailbox;
	struct culver_delivery *delivery;	/* one at a time */
	struct culver_arena *arena;	/* of the call; results of next() */
	struct culver_arena *side;	/* of keepalive(), between the two */
	struct culver_error err;
	struct store_message *msg;
	uint32_t n;
	_Bool want_dates;	/* set it before store_open() */
	_Bool waits;		/* that the lock is held is no news */
	int64_t *received;	/* Unix seconds or 0, as many as msg */
};

/* Prepare S for calls to OPS, which with CAPS were checked at load time; both
 * outlive S.  False: no memory. */
_Bool store_init(struct store *s, const struct culver_storage_ops *ops,
    uint64_t caps);

culver_status store_create(struct store *s, const struct culver_host *host,
    const struct culver_values *values, const struct culver_user *user);

/* What the plugin will touch: *N paths, whose texts are valid until the next
 * call. */
culver_status store_paths(struct store *s,
    struct culver_path paths[STORE_PATHS], uint32_t *n);

/* Open the mailbox with CULVER_OPEN_* FLAGS and list it whole into s->msg.
 * Fails as a whole: UIDLs that are illegal or double are E_CORRUPT. */
culver_status store_open(struct store *s, uint32_t flags);

/* Release the lock and the list; then the rest.  Both may be called at any
 * time, also twice. */
void store_close(struct store *s);
void store_destroy(struct store *s);

/* Read one message in chunks.  One reader at a time. */
struct store_reader {
	struct store *s;
	struct culver_content *content;
	uint32_t index;
	uint32_t n, at;			/* extents, and the one being read */
	uint64_t done;			/* octets of that one */
	struct culver_extent ext[STORE_EXTENTS];
};

culver_status store_read(struct store *s, uint32_t index,
    struct store_reader *r);

/* OK with *n > 0 octets at *p, valid until the next call; CULVER_DONE at the
 * end.  A file that ends before its extent does is E_TEMP. */
culver_status store_chunk(struct store_reader *r, const uint8_t **p,
    size_t *n);

/* Stop reading; R may be one that failed to start or stopped already. */
void store_done(struct store_reader *r);

/* Nobody reads: what that takes needs no memory. */
void store_rest(void);

/*
 * Read message INDEX to know its size as sent; keep it in s->msg and, where
 * the plugin can, there.
 */
culver_status store_count(struct store *s, uint32_t index);

/* Remove N messages, ascending.  *removed says how many are gone, also on
 * failure (never more than N). */
culver_status store_expunge(struct store *s, const uint32_t *index, uint32_t n,
    uint32_t *removed);

/*
 * Look for damage that reading would not show, before store_open(); FOUND is
 * called with each line, *n says how many there were.  OK also with findings,
 * and where the plugin has no such check.
 */
culver_status store_check(struct store *s, void (*found)(void *arg,
    const char *line), void *arg, uint32_t *n);

/* Refresh the lock; OK where the plugin needs none.  May be called between
 * store_chunk() calls. */
culver_status store_keepalive(struct store *s);

/*
 * Add a message: begin, CRLF text in any pieces, then commit or abort; abort
 * may also be called when nothing was begun.  E_UNSUPPORTED: this storage
 * takes no deliveries.  After a commit that failed nothing was added.
 */
culver_status store_deliver_begin(struct store *s,
    const struct culver_envelope *env);
culver_status store_deliver_write(struct store *s, const void *p, size_t n);
culver_status store_deliver_commit(struct store *s);
void store_deliver_abort(struct store *s);

#endif /* WORKER_STORE_H */
