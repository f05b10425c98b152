/*
 * deliver.h - a message on its way in: spool.c writes it to a file of ours,
 * deliver.c appends that to the mbox.
 *
 * Runs in a worker as the mailbox's owner.
 */
#ifndef STORAGE_MBOX_DELIVER_H
#define STORAGE_MBOX_DELIVER_H

#include "plugins/storage_mbox/mbox.h"

struct culver_delivery {
	struct culver_store *store;
	struct plug_index index;
	int fd;
	char name[48];		/* of the spool file; "" when it has none */
	culver_status failed;
	bool crlf, all_quotes;	/* line ends; quote >From too */
	bool header;
	bool cr;		/* a CR is held back */
	bool bol;		/* the next byte begins a line */
	unsigned char last;	/* the last byte that was put */
	size_t begun;		/* so much of a line waits in line[] */
	unsigned char line[MB_NAME];
	struct mb_look look;
	uint64_t octets;
	char uid[PLUG_UID_MAX + 1];
	bool keep_uid;		/* the envelope named it */
	struct mb_tally tally;	/* of the mbox, with this message */
	uint64_t seal_at;	/* where in the spool file the seal goes */
	uint64_t size;		/* of the spool file, without buf */
	size_t n;
	unsigned char buf[32768];
};

/* The end of the text: its last line, and the separator.  d->failed says
 * whether all of it was written. */
void mb_spool_finish(struct culver_delivery *d, struct culver_call *call);

/* Close and free D; remove its file, if that has still a name. */
void mb_spool_free(struct culver_delivery *d);

#endif /* STORAGE_MBOX_DELIVER_H */
