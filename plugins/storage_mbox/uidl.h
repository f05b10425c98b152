/*
 * uidl.h - culver-uidl, which says what UIDL each message has.
 *
 * Runs in a worker, as the owner of the mailbox.  The file is checked before
 * it is used.
 */
#ifndef STORAGE_MBOX_UIDL_H
#define STORAGE_MBOX_UIDL_H

#include "plugins/storage_mbox/mbox.h"

struct mb_ent {
	const char *uid;
	uint64_t id[2];
	uint32_t order;
	bool absent;		/* was not in the mailbox at the last save */
	bool here;		/* in the mailbox, now */
};

struct mb_state {
	bool exists, copied;	/* copied: it is not the file it says it is */
	struct plug_stamp stamp;
	unsigned style;		/* MB_AUTO: not known yet */
	bool known;		/* it was, when the state was read */
	unsigned char key[16];
	uint64_t dir_dev, dir_ino;	/* that held the mbox then */
	struct mb_ent *ent;
	size_t n;
	char *text;		/* the strings are in it */
};

/*
 * Read and check the state; without one STATE gets a new key.  A damaged one
 * is CULVER_E_CORRUPT.  Free STATE in any case.
 */
culver_status mb_state_load(const struct culver_store *store,
    const struct plug_index *ix, struct mb_state *state,
    struct culver_call *call);
void mb_state_free(struct mb_state *state);

/* An entry of the state that is written. */
struct mb_line {
	const char *uid;
	uint64_t id[2];
	bool absent;
};

/* Replace the state, durably.  The caller holds the lock of the mbox. */
culver_status mb_state_save(const struct culver_store *store,
    const struct plug_index *ix, const struct mb_state *state,
    const struct mb_line *line, size_t n, struct culver_call *call);

/* Stamp of culver-uidl now; all zero if there is none. */
culver_status mb_state_stamp(const struct plug_index *ix,
    struct plug_stamp *out, struct culver_call *call);

/*
 * Give every message of L its UIDL; those that are new are on disk when this
 * returns OK.  The mbox is locked for writing.
 */
culver_status mb_uidl_assign(struct culver_store *store,
    const struct plug_index *ix, struct mb_state *state, struct mb_list *l,
    struct culver_call *call);

/* Forget the UIDLs of the messages of L that are MB_GONE, for ever. */
culver_status mb_uidl_forget(struct culver_store *store,
    const struct plug_index *ix, const struct mb_list *l,
    struct culver_call *call);

/*
 * The key of the state, which is made if there is none.  With FIRST no other
 * server had the mailbox.
 */
culver_status mb_state_key(struct culver_store *store,
    const struct plug_index *ix, bool first, unsigned char key[16],
    struct culver_call *call);

/* Which server had a file with this list? */
unsigned mb_uidl_detect(const struct mb_list *l);

#endif /* STORAGE_MBOX_UIDL_H */
