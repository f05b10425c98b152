/*
 * drive.h - drive a storage plugin without a core: options from text, one
 * user, one mailbox, messages as the wire would show them.
 *
 * For unit and torture tests; everything runs in the caller's process.
 */
#ifndef TESTS_STORAGE_DRIVE_H
#define TESTS_STORAGE_DRIVE_H

#include <stddef.h>

#include <culver/storage.h>

#include "tests/unit/fakehost.h"

#define DRIVE_OPTIONS 16
#define DRIVE_LIST 4		/* values of an option that is a list */

struct drive {
	struct fakehost host;
	const struct culver_plugin *plugin;
	const struct culver_storage_ops *ops;
	struct culver_value value[DRIVE_OPTIONS];
	struct culver_str list[DRIVE_OPTIONS][DRIVE_LIST];
	char list_text[DRIVE_OPTIONS][64];
	struct culver_values values;
	struct culver_user user;
	struct culver_store *store;
	struct culver_mailbox *mb;
	struct culver_message *msg;	/* of the open mailbox */
	uint32_t n;
};

/* All options at their defaults; the user is the caller. */
void drive_init(struct drive *d, const struct culver_plugin *plugin);

/* Set option NAME; only the types that plugins here use. */
void drive_set(struct drive *d, const char *name, const char *value);

/* create() and paths(). */
culver_status drive_start(struct drive *d);

/* open(), and all of list(). */
culver_status drive_open(struct drive *d, uint32_t flags);

/*
 * Read message INDEX to *WIRE, for the caller to free, with line ends as the
 * core would send them, unstuffed.
 */
culver_status drive_fetch(struct drive *d, uint32_t index, char **wire,
    size_t *n);

/* As drive_fetch(), from bytes at rest. */
char *drive_wire(const char *raw, size_t n, size_t *wire_n);

/* Deliver N bytes in pieces of CHUNK; UID has room for 71 bytes, or NULL. */
culver_status drive_deliver(struct drive *d, const char *buf, size_t n,
    size_t chunk, char *uid);

/* close(), destroy(); both do nothing if there is nothing. */
void drive_close(struct drive *d);
void drive_stop(struct drive *d);

/* Remove a directory and all that is in it; -1 if something is left. */
int drive_remove_dir(const char *path);

#endif /* TESTS_STORAGE_DRIVE_H */
