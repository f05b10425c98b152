/*
 * model.h - the oracle: which messages must be there, and what they are.
 *
 * Messages have numbers; the text of a number depends on nothing else.  The
 * first kinds are the odd ones: empty, without line ends, with every sort of
 * them.
 */
#ifndef KIT_MODEL_H
#define KIT_MODEL_H

#include "core/tools/kit/box.h"

enum { MODEL_MAX = 1024, TEXT_KINDS = 17 };

/* The text of message NR as it is delivered; for the caller to free.  But for
 * the odd kinds (NR < TEXT_KINDS) no two are equal. */
char *text_make(uint32_t nr, size_t *n);
const char *text_kind(uint32_t nr);

/* The same as the wire shows it; kept for this process and its children. */
const char *text_wire(uint32_t nr, size_t *n);

struct model_message {
	uint32_t nr;
	bool there;		/* must be */
	bool maybe;		/* may be, though not `there' */
	bool seen;		/* in this comparison */
	char uid[BOX_UID];	/* "": nobody was told */
};

struct model {
	struct kit *k;
	struct model_message m[MODEL_MAX];
	uint32_t n;
	uint32_t next;		/* number of the next message */
};

void model_init(struct model *m, struct kit *k, uint32_t first);

/* Put the next N messages into the mailbox, by DELIVER or the fixture. */
void model_put(struct model *m, struct box *b, uint32_t n);
/* Without DELIVER: the fixture makes an empty mailbox in a fresh home. */
void model_empty_box(const struct kit *k);
bool model_can_put(const struct kit *k);

/* Compare what B lists and reads with M: nothing lost, doubled, torn, renamed.
 * INDEX[i], if not NULL, becomes the place in M of B's message i. */
void model_compare(struct model *m, struct box *b, uint32_t *index);

/* Open, compare, close. */
void model_check(struct model *m, struct box *b);

#endif /* KIT_MODEL_H */
