/*
 * torture.h - what torture.c has to know of a storage plugin.
 */
#ifndef TESTS_TORTURE_TORTURE_H
#define TESTS_TORTURE_TORTURE_H

#include <stdbool.h>

#include "tests/storage/drive.h"

#define TORTURE_OLD 9		/* messages that are there before */

struct torture_kind {
	const struct culver_plugin *plugin;
	bool atomic;		/* expunge removes all or none */
	const char *cache;	/* below DIR; may vanish at any time */

	/* Set the options that name DIR; it must outlive D. */
	void (*set)(struct drive *d, const char *dir);

	/* Make a mailbox with the first messages in the empty DIR. */
	bool (*fill)(const char *dir, uint64_t seed);

	/* What another program does, without Culver: deliver message I.
	 * NULL: it could do nothing that matters. */
	bool (*disturb)(const char *dir, unsigned i);
};

/* The text of message I, on the wire; line ends are odd. */
size_t torture_text(unsigned i, char *out, size_t n);

/* Run all scenarios; the exit status. */
int torture_main(const struct torture_kind *kind);

#endif /* TESTS_TORTURE_TORTURE_H */
