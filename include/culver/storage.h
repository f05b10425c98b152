/*
 * culver/storage.h - mailboxes.  Runs in the worker, one process a login; may block.
 *
 * A plugin completes struct culver_store, culver_mailbox, culver_content and
 * culver_delivery itself, so there is no void pointer and no cast.
 */
#ifndef CULVER_STORAGE_H
#define CULVER_STORAGE_H

#include <culver/abi.h>
#include <culver/host.h>
#include <culver/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct culver_store;		/* one user's storage */
struct culver_mailbox;		/* one session's view: a frozen snapshot */
struct culver_content;		/* one message being read */
struct culver_delivery;		/* one message being added */

/* Capabilities.  An op marked [BIT] must be non-NULL iff the bit is set. */
enum {
	CULVER_ST_ATOMIC_EXPUNGE = 1u << 0, /* expunge() is all or nothing */
	CULVER_ST_EXACT_OCTETS = 1u << 1,	/* list() always knows octets */
	CULVER_ST_KEEPALIVE = 1u << 2,
	CULVER_ST_DELIVER = 1u << 3,
	CULVER_ST_SIZE_CACHE = 1u << 4,
	CULVER_ST_READONLY = 1u << 5,	/* expunge() always fails PERM */
	CULVER_ST_KEEP_UID = 1u << 6,	/* deliver: envelope's uid is kept */
	CULVER_ST_CHECK = 1u << 7,
	CULVER_ST_DOTLOCK = 1u << 8	/* asks for culver_host.dotlock where the
				 * section says lock_group */
};

struct culver_user {
	uint32_t size;
	uint32_t uid, gid;	/* create(): this process's ids already;
				 * lookup_user(): ids to become, not 0 */
	const char *name;	/* canonical login name */
	const char *home;	/* absolute, or NULL */
	const char *location;	/* userdb override of the option "path",
				 * which is empty if it needs a home that the
				 * user lacks; or NULL */
	const char *storage;	/* storage section to use, or NULL: default */
	uint64_t quota_octets, quota_messages;	/* 0: none */
	const struct culver_field *fields;	/* further settings, by name */
	uint32_t n_fields;
	uint32_t reserved0;
};

struct culver_field {
	const char *name, *value;
};

enum {				/* flags of open() */
	CULVER_OPEN_EXCLUSIVE = 1u << 0,	/* POP3 session lock, RFC 1939 */
	CULVER_OPEN_READONLY = 1u << 1,	/* no lock file may be left */
	CULVER_OPEN_DATES = 1u << 2	/* `received' is wanted, also where
					 * it costs more than the listing */
};

enum {				/* culver_message.flags */
	CULVER_MSG_OCTETS_EXACT = 1u << 0	/* else the core counts on demand */
};

/* Fixed for ABI 1: an array element cannot grow.  reserved is zero. */
struct culver_message {
	const char *uid;	/* 1..70 bytes of 0x21..0x7e, unique; lives
				 * until close(); same for ever after */
	uint64_t octets;	/* RFC 1939: every line CRLF, no stuffing */
	uint64_t stored;	/* bytes at rest; 0 if unknown */
	int64_t  received;	/* Unix seconds; 0 if unknown */
	uint32_t flags;
	uint32_t reserved0;
	uint64_t reserved[3];
};

enum {				/* culver_extent.flags */
	CULVER_EXT_CRLF = 1u << 0,	/* each LF has its CR, no bare CR */
	CULVER_EXT_LF = 1u << 1,	/* each line ends in a bare LF */
				/* neither: mixed, the core normalises */
	CULVER_EXT_NO_DOT = 1u << 2, /* no line in it begins with '.' */
	CULVER_EXT_AT_BOL = 1u << 3  /* its first byte begins a line */
};

/*
 * A run of message bytes, in a file or in memory.  CRLF|NO_DOT|AT_BOL with
 * fd >= 0 goes out by sendfile(2); everything else is copied once.  The
 * core reads fd with explicit offsets only and never closes it.
 */
struct culver_extent {
	int32_t  fd;		/* -1: use mem */
	uint32_t flags;
	uint64_t offset;
	uint64_t length;
	const void *mem;
	uint64_t reserved;
};

struct culver_expunge_result {
	uint32_t size;
	uint32_t removed;	/* how many are gone, also on failure */
};

struct culver_envelope {		/* of a delivery */
	uint32_t size;
	const char *sender;	/* "" for bounces */
	const char *recipient;
	uint64_t octets_hint;	/* 0 if unknown */
	/* of a message that comes from another mailbox */
	const char *uid;	/* the one that it had, or NULL; a plugin with
				 * KEEP_UID gives it this one; if another
				 * message has it, it fails the commit with
				 * PERM, or gives a new one */
	int64_t received;	/* Unix seconds; 0: now */
};

struct culver_storage_ops {
	uint32_t size;
	uint32_t reserved0;

	/* Bind to a user.  No I/O on the mailbox yet; cheap. */
	culver_status (*create)(struct culver_store **out,
	    const struct culver_host *host, const struct culver_values *vals,
	    const struct culver_user *user, struct culver_call *call);

	/* Free everything.  All mailboxes of it are closed already. */
	void (*destroy)(struct culver_store *store);

	/*
	 * Name every file and directory that later calls may touch; the host
	 * opens them as the user, allows them, and confines the process.
	 * Called once after create(); *n may exceed CAP, then the host calls
	 * again with more room.  With `create = yes` it makes missing
	 * directories: it runs as the user and is not confined yet.
	 */
	culver_status (*paths)(struct culver_store *store,
	    struct culver_path *out, uint32_t cap, uint32_t *n,
	    struct culver_call *call);

	/*
	 * Lock and take a snapshot.  A mailbox that is not there is
	 * CULVER_E_TEMP, never empty: an unmounted disk must not make
	 * clients forget what they have seen.  Only if the section says
	 * `create = yes` and the directory that would hold it exists and
	 * belongs to the user (a bare mount point is root's) it is created,
	 * and is empty.
	 * CULVER_E_IN_USE at once when another session holds the lock; no
	 * waiting: the core acts as `takeover` says.
	 */
	culver_status (*open)(struct culver_store *store, uint32_t flags,
	    struct culver_mailbox **out, struct culver_call *call);

	/* Release lock and snapshot.  Changes nothing; cannot fail. */
	void (*close)(struct culver_mailbox *mb);

	/*
	 * Fill out[0..*n) with messages first, first+1, ... in a fixed
	 * order; at most CAP.  CULVER_DONE with *n == 0 past the last one.
	 */
	culver_status (*list)(struct culver_mailbox *mb, uint32_t first,
	    struct culver_message *out, uint32_t cap, uint32_t *n,
	    struct culver_call *call);

	/*
	 * Start reading message INDEX.  CULVER_E_GONE if an outside program
	 * removed it.  One reader per mailbox at a time.
	 */
	culver_status (*read)(struct culver_mailbox *mb, uint32_t index,
	    struct culver_content **out, struct culver_call *call);

	/*
	 * Next 1..CAP extents.  They stay valid until the following next()
	 * or done().  CULVER_DONE at the end of the message.
	 */
	culver_status (*next)(struct culver_content *c, struct culver_extent *out,
	    uint32_t cap, uint32_t *n, struct culver_call *call);

	/* Stop reading, at any point (TOP, client gone).  Cannot fail. */
	void (*done)(struct culver_content *c);

	/*
	 * UPDATE state: remove these messages, and no other.  INDEX is
	 * ascending.  On CULVER_OK they stay gone after a power cut.  With
	 * CULVER_ST_ATOMIC_EXPUNGE a failure means none is gone.
	 */
	culver_status (*expunge)(struct culver_mailbox *mb,
	    const uint32_t *index, uint32_t n,
	    struct culver_expunge_result *res, struct culver_call *call);

	/*
	 * [KEEPALIVE] Refresh the lock, and give back what only the next call
	 * needs.  The core calls it while it waits for the client: soon after
	 * that fell silent for the first time, then every 30 s.
	 */
	culver_status (*keepalive)(struct culver_mailbox *mb,
	    struct culver_call *call);

	/* [SIZE_CACHE] The core counted a message; keep the result. */
	culver_status (*put_octets)(struct culver_mailbox *mb, uint32_t index,
	    uint64_t octets, struct culver_call *call);

	/*
	 * [DELIVER] Add a message: begin, write any number of times, then
	 * commit or abort, exactly one.  Input has any line ends (what the
	 * core delivers: CRLF), the last one perhaps none; they need not be
	 * kept, the lines must be.  A CR that no LF follows ends no line: it
	 * is an octet of it like any other, also as the last one.  Invisible to every session before
	 * commit, durable after it.  Commit fails with QUOTA, and adds
	 * nothing, if the user has a quota and the message does not fit
	 * (culver_quota_fits()): decided under the lock that keeps other
	 * deliveries out, so that two cannot share one place.
	 */
	culver_status (*deliver_begin)(struct culver_store *store,
	    const struct culver_envelope *env, struct culver_delivery **out,
	    struct culver_call *call);
	culver_status (*deliver_write)(struct culver_delivery *d,
	    const void *buf, size_t n, struct culver_call *call);
	culver_status (*deliver_commit)(struct culver_delivery *d,
	    struct culver_str *uid, struct culver_call *call);
	void (*deliver_abort)(struct culver_delivery *d);

	/*
	 * [CHECK] Look for damage that reading each message would not show,
	 * also in a mailbox that open() refuses; changes nothing.  On OK
	 * out[0..*n) are findings, one line each for an administrator, in the
	 * arena; at most CAP, and *n == 0 if all is well.  Any other status:
	 * the check could not be made.  Called while no mailbox is open.
	 */
	culver_status (*check)(struct culver_store *store,
	    struct culver_str *out, uint32_t cap, uint32_t *n,
	    struct culver_call *call);
	/* ABI 1.0 ends here. */
};

#ifdef __cplusplus
}
#endif

#endif /* CULVER_STORAGE_H */
