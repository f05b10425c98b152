/*
 * journal.h - the format of culver-journal, shared by journal.c and
 * recover.c: a head, then LENGTH bytes that the mbox holds from START to its
 * new end.  All numbers are little-endian.
 */
#ifndef STORAGE_MBOX_JOURNAL_H
#define STORAGE_MBOX_JOURNAL_H

#include "plugins/storage_mbox/mbox.h"

#define JOURNAL_MAGIC	"CULVMBJ1"

struct journal_head {
	char magic[8];
	uint64_t dev, ino, size;	/* of the mbox, before */
	uint64_t start, length;
	uint64_t rest;		/* hash of the old bytes behind the new end */
	uint64_t tail;		/* hash of the new ones from start on */
	uint64_t before;	/* hash of the bytes just before start */
	uint64_t sum;		/* of this head, itself 0 */
};

/* Where the bytes that `before' is of begin. */
static inline uint64_t
journal_near(const struct journal_head *h)
{
	return h->start > 65536 ? h->start - 65536 : 0;
}

/* Between host order and little-endian; the sum stays as it is. */
void journal_swap(struct journal_head *h);
uint64_t journal_sum(const struct journal_head *h);

/* Hash what FD holds from OFFSET to END; F is the mbox that is locked. */
culver_status journal_hash(struct culver_store *store, struct mb_file *f,
    int fd, uint64_t offset, uint64_t end, uint64_t *out,
    struct culver_call *call);

/* Write and commit a journal; *OUT is open, the caller's to close. */
culver_status journal_write(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, uint64_t start,
    const struct mb_piece *piece, size_t n, int *out, struct journal_head *h,
    struct culver_call *call);

/* Do what the journal FD says, and remove it.  f->st is new on OK. */
culver_status journal_apply(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, int fd,
    const struct journal_head *h, struct culver_call *call);

#endif /* STORAGE_MBOX_JOURNAL_H */
