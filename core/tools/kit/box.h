/*
 * box.h - the plugin under test, called as a host calls it and checked as no
 * host does.
 *
 * Each function makes one or several calls of the table and fails the check
 * where the contract of culver/storage.h is broken.  Statuses that the
 * contract allows come back.
 */
#ifndef KIT_BOX_H
#define KIT_BOX_H

#include <culver/storage.h>

#include "core/plugin/host.h"
#include "core/plugin/values.h"
#include "core/tools/kit/kit.h"

enum { BOX_UID = 71, BOX_TAIL = 256 };

/* Structs that may grow, followed by what a later minor could append. */
struct box_host {
	struct culver_host h;		/* first: what the plugin gets */
	unsigned char later[BOX_TAIL];
	struct plugin_host own;		/* who does what it asks for */
};

struct box_call {
	struct culver_call c;
	unsigned char later[BOX_TAIL];
};

struct box_user {
	struct culver_user u;
	unsigned char later[BOX_TAIL];
};

struct box {
	struct kit *k;
	const struct culver_storage_ops *ops;
	uint64_t caps;
	struct box_host host;
	struct box_call call;
	struct box_user user;
	struct values *values;
	struct culver_arena *arena;
	struct culver_error err;
	struct culver_store *store;
	struct culver_mailbox *mb;
	uint32_t flags;			/* of open() */
	struct culver_message *msg;	/* uid: ours */
	uint32_t n;
	uint64_t rng;
	uint64_t time;			/* ns that a call may take; 0: 30 s */
	const char *env_uid;		/* of the next delivery, or NULL */
	int64_t env_received;
	bool over;			/* deadlines are over already */
	bool newer;			/* the host is of the next minor */
	const char *doing;
};

/* What other groups change about every call; all may be NULL. */
struct box_hooks {
	void (*before)(struct box *b);
	void (*after)(struct box *b, culver_status st);
	void (*host)(struct box *b);	/* b->host was made */
};
extern struct box_hooks box_hooks;

/* What a call needs: host, user, values of the options, arena. */
void box_init(struct box *b, struct kit *k, uint64_t seed);

/* Fail if P is no path that paths() may name; "" as HOME: anywhere. */
void box_check_path(const struct culver_path *p, const char *home);

/* Make values and a store for k->home; the failing call's status. */
culver_status box_create(struct box *b, struct kit *k, uint64_t seed);

/* create() and destroy(), and no other call. */
culver_status box_create_only(struct box *b, struct kit *k);

/* As box_create(), and it must succeed. */
void box_start(struct box *b, struct kit *k, uint64_t seed);

/* open() and list() whole, in batches of any size. */
culver_status box_open(struct box *b, uint32_t flags);
void box_must_open(struct box *b, uint32_t flags);

/* List any one message, or what is behind the last one. */
void box_list_any(struct box *b);

/* List again in other batches: it must be what it was. */
void box_relist(struct box *b);

/*
 * Read message INDEX, to *WIRE (for the caller to free) with line ends as the
 * core would send them.  box_peek() stops after about MAX octets.
 */
culver_status box_read(struct box *b, uint32_t index, char **wire, size_t *n);
void box_peek(struct box *b, uint32_t index, size_t max);

/* Returns how many are gone in *removed. */
culver_status box_expunge(struct box *b, const uint32_t *index, uint32_t n,
    uint32_t *removed);

/* Deliver N octets in pieces; UID (BOX_UID of room) is what the plugin says,
 * or "". */
culver_status box_deliver(struct box *b, const char *text, size_t n,
    char *uid);

/* The same, given up before the commit. */
void box_deliver_abort(struct box *b, const char *text, size_t n);

/* What a core may do in between: keepalive. */
void box_put_octets(struct box *b, uint32_t index, uint64_t octets);
void box_side_calls(struct box *b);

void box_close(struct box *b);
void box_stop(struct box *b);

/* The calls of take.c: extents to octets, and the truth of their flags. */
struct taken {
	char *raw;
	size_t n, cap;
	uint32_t end;		/* what the extent before said of its end */
};
void take_extent(struct taken *t, const struct culver_extent *e,
    const char *doing);
char *take_wire(const char *raw, size_t n, size_t *wire_n);

/* Around one call: a fresh arena and error; and the checks of a status.
 * ALLOWED: DONE may be one. */
struct culver_call *box_begin(struct box *b, const char *doing);
culver_status box_end(struct box *b, culver_status st, bool done_allowed);

/* Is there one line of text in the error of a call that failed with ST? */
void box_error(const struct box *b, culver_status st);

#endif /* KIT_BOX_H */
