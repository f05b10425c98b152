/*
 * image.h - what image.c and image_disk.c share; for others there is
 * journal.h.
 *
 * Runs in a check, on the home of the check.
 */
#ifndef KIT_IMAGE_H
#define KIT_IMAGE_H

#include "core/tools/kit/journal.h"

enum { IMAGE_DEPTH = 16 };	/* directories in each other */

/* An image that is being made of the first P operations. */
struct build {
	const struct journal *j;
	uint32_t p;
	enum image_mode mode;
	uint64_t rng;
	uint32_t hole;		/* the write that did not last */
	bool *keep;		/* of each operation before p */
	uint32_t *torn;		/* octets of DATA that lasted */
	struct content {
		unsigned char *data;
		uint64_t n, cap;
		struct entry *entry;
		uint32_t entries;
		char *made;	/* path of its first name */
	} *node;
	uint64_t hash;
};

/* Compare names, for qsort() of entries. */
int image_by_name(const void *a, const void *b);

/* Make the home what B is: files anew, directories where they are not. */
void image_write(struct build *b);

#endif /* KIT_IMAGE_H */
