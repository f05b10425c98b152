/*
 * export.h - `culverctl mailbox export`, for its two files.
 *
 * Runs in culverctl as its caller, often root.
 */
#ifndef TOOLS_EXPORT_H
#define TOOLS_EXPORT_H

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

#define EXPORT_MARK		".culver-export"
#define EXPORT_NEW	".culver-export.new"

struct export {
	struct ctl *ctl;
	const struct ctl_user *user;	/* whose mailbox */
	const char *path;
	int dir, file;			/* the folder; what is being written */
	uint64_t seed[2];
	_Bool progress, marked;
	struct sums source;		/* read only if there are files */
	struct sums files;		/* uidl: the name */
	struct sums written;		/* by us; of the octets as they are */
	uint32_t *match;		/* of source in files */
	uint32_t *number;		/* that source will have */
	uint32_t next;			/* in source */
	struct box_sum sum;
	struct frame_done done;
	_Bool ended;
};

/* Say what errno is of NAME in the folder; false. */
_Bool export_failed(const struct export *e, const char *name);

/* Make or open the folder, and look at what is there.  False after a
 * message. */
_Bool export_open(struct export *e);

/* What the file NAME is.  RAW: byte for byte, else in wire form. */
_Bool export_file_sum(const struct export *e, const char *name, _Bool raw,
    struct frame_sum *out);

/* Are there files that are no message of the mailbox, and was that no export
 * which is to be finished? */
_Bool export_is_foreign(const struct export *e);

/* Give each message that is missing a free number behind the one before it,
 * and collect their UIDLs in JOB; how many those are. */
uint32_t export_number(struct export *e, struct box_job *job);

/* Mark the folder as one with an export that is not complete. */
_Bool export_mark(struct export *e);

#endif /* TOOLS_EXPORT_H */
