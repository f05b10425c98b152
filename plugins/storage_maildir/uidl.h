/*
 * uidl.h - the text of culver-uidl, shared by uidl.c and uidlfile.c.
 *
 *	culver-uidl 1
 *	dirs DEV:INO DEV:INO self DEV:INO [from STYLE]
 *	UIDL BASENAME [RANK]
 *	...
 *	end COUNT CHECKSUM
 *
 * STYLE is whose UIDLs and order were taken over, RANK the place in that.  In
 * the order of md_order(); bytes of a base name outside 0x21..0x7E, and
 * '%', are written as %XX.
 */
#ifndef STORAGE_MAILDIR_UIDL_H
#define STORAGE_MAILDIR_UIDL_H

#include "maildir.h"

struct uidl_ent {
	const char *base, *uid;
	uint32_t rank;
	bool here;		/* the message is in the mailbox */
};

struct uidl_state {
	bool exists;
	struct plug_stamp stamp;
	struct md_memory mem;
	unsigned from;		/* MD_NAME and so on; 0: not decided yet */
	struct uidl_ent *ent;	/* in md_order() */
	size_t n;
	const char **by_uid;	/* sorted */
	char *text;		/* the strings are in it */
};

/*
 * Read and check the state.  No file is an empty state; one that fails a
 * check is CULVER_E_CORRUPT.  Free S in any case.
 */
culver_status uidl_state_load(const struct plug_index *ix, struct uidl_state *s,
    struct culver_call *call);
void uidl_state_free(struct uidl_state *s);

/* A text that is being written; FAILED: out of memory. */
struct uidl_text {
	char *p;
	size_t n, cap, count;
	bool failed;
};

void uidl_text_begin(struct uidl_text *t, const struct md_snap *snap,
    const struct stat *self, unsigned from);
void uidl_text_add(struct uidl_text *t, const char *uid, const char *base,
    uint32_t rank);
void uidl_text_end(struct uidl_text *t);

#endif /* STORAGE_MAILDIR_UIDL_H */
