/*
 * ctl_mailbox.h - work in a user's mailbox: a worker that does a job and
 * talks to culverctl in frames over its client socket.
 *
 * The parent is culverctl as its caller, often root; the child is the mailbox's
 * owner, confined like every worker.  The parent takes every octet of the
 * child for what it is: a user's.
 */
#ifndef TOOLS_CTL_MAILBOX_H
#define TOOLS_CTL_MAILBOX_H

#include <sys/types.h>

#include "core/tools/ctl.h"
#include "core/worker/worker.h"

enum frame_type {
	/* to the parent */
	FRAME_MESSAGE = 1,	/* struct frame_message: list, export */
	FRAME_DATA,		/* export: octets of the message; both ways */
	FRAME_MESSAGE_END,
	FRAME_PROBLEM,		/* text for people */
	FRAME_DONE,		/* struct frame_done; the last one */
	/* to the child */
	FRAME_FILE,		/* import: a file begins; struct frame_file */
	FRAME_FILE_END,
	FRAME_END,		/* import: no more files */
	/* copy, both ways */
	FRAME_SUM,		/* struct frame_sum: what a message is */
	FRAME_BEGIN,		/* struct frame_sum: a message comes */
	FRAME_LAST = FRAME_BEGIN
};

enum { FRAME_MAX = 65536 };

struct frame_message {
	uint32_t number;	/* from 1 */
	uint32_t of;		/* export: how many are to come in all */
	uint64_t octets;	/* as RETR sends it */
	char uidl[72];
};

struct frame_sum {
	uint64_t octets;	/* as RETR sends it */
	int64_t received;	/* Unix seconds; 0: unknown */
	uint64_t hash[2];	/* of its octets, with the job's seed */
	char uidl[72];
};

struct frame_done {
	int32_t status;		/* culver_status */
	uint32_t keeps_uids;	/* this storage can */
	uint32_t n;		/* messages listed, imported, removed ... */
	uint32_t left_out;	/* import: that were there already */
	uint64_t octets;
};

struct frame_file {
	uint32_t mbox;
	char name[256];		/* for messages */
};

/* Write one frame, waiting as long as it takes; false: the peer is gone. */
_Bool frame_put(int fd, enum frame_type type, const void *p, size_t n);

/* Read one frame into BUF of FRAME_MAX octets; its type, or 0: the end, or a
 * frame that is none. */
enum frame_type frame_get(int fd, uint8_t *buf, size_t *n);

enum box_what { BOX_LIST, BOX_STAT, BOX_CHECK, BOX_EXPORT, BOX_IMPORT,
	BOX_DELETE, BOX_EMPTY,
	BOX_SUMS,		/* what each message is */
	BOX_SEND,		/* those of UIDL, in order */
	BOX_TAKE		/* what another one sends */
};

struct box_job {
	enum box_what what;
	int fd;			/* the child's end */
	int n_uidl;
	char **uidl;		/* BOX_DELETE, BOX_SEND, and of BOX_EXPORT
				 * if there are any: only these */
	uint64_t seed[2];	/* of the hashes of BOX_SUMS and RESUME */
	_Bool resume;		/* BOX_IMPORT: leave out what is there */
};

/* A child with a job in a mailbox. */
struct box_child {
	pid_t pid;
	int data, channel;	/* our ends */
};

/* The job of the child: runs in worker_main(). */
worker_job box_run;

/* The wanted UIDLs in order, and each once; how many there are. */
uint32_t box_wanted_sort(const struct box_job *job);
/* Is UID one of the N? */
_Bool box_is_wanted(const struct box_job *job, uint32_t n, const char *uid);

/* What a message is in wire form, however it is stored. */
struct box_sum {
	uint64_t octets, hash[2];
	uint8_t last;			/* octet */
	_Bool raw;			/* not as on the wire */
	_Bool taken;			/* see box_known_take() */
};
void box_sum_begin(struct box_sum *s, const struct box_job *job);
void box_sum_add(struct box_sum *s, const uint8_t *p, size_t n);
void box_sum_end(struct box_sum *s);

/* What is in a mailbox, to be free()d; each message can be taken once. */
struct box_known {
	struct box_sum *v;
	uint32_t n;
};
culver_status box_known_read(struct box_known *k, struct store *store,
    const struct box_job *job);
_Bool box_known_take(struct box_known *k, const struct box_sum *sum);

/* BOX_SUMS, BOX_SEND, BOX_TAKE: box_copy.c */
culver_status box_copy(struct store *store, const struct box_job *job,
    struct frame_done *done);

/*
 * Start a child for JOB in the storage section SECTION of USER; false after a
 * message.  box_end() waits for its end, prints what it logged, and returns
 * the status as of wait(2).
 */
struct ctl_conf;
struct ctl_user;
_Bool box_start(struct box_child *child, const struct ctl_conf *conf,
    const struct ctl_user *user, uint32_t section, struct box_job *job);
int box_end(struct box_child *child);
/* What the child logged so far. */
void box_log(const struct box_child *child);

/* What to do with a frame of the child, but for PROBLEM and DONE; false, after
 * a message or without one, ends the child. */
typedef _Bool box_frame(void *arg, enum frame_type type, const uint8_t *p,
    size_t n);

/* Hear all that CHILD says, and its DONE; an exit status. */
int box_hear(struct box_child *child, const char *user, box_frame *on_frame,
    void *arg, struct frame_done *done);

/* A frame that no mailbox process of ours sends: false, after a message. */
_Bool box_nonsense(void);

/* The end of a child that said DONE, or has not ENDED so: an exit status. */
int box_end_status(struct box_child *child, const struct frame_done *done,
    _Bool ended, const char *user);

/* --- ctl_sums.c: what is there, and which is which -------------------------- */

struct sums {
	struct frame_sum *v;
	uint32_t n, cap;
	_Bool keeps_uids;
};

/* False after a message. */
_Bool sums_add(struct sums *s, const struct frame_sum *sum);
/* Of every message in a mailbox, in its order; an exit status. */
int sums_read(struct sums *s, const struct ctl_conf *conf,
    const struct ctl_user *user, uint32_t section, const uint64_t seed[2],
    _Bool progress);
/* By content only. */
int sum_compare(const struct frame_sum *a, const struct frame_sum *b);
/*
 * Find each source message in target, by UIDL if that keeps them and by
 * content else, each of target's once: its index there in MATCH, which is
 * made larger, or UINT32_MAX.  How many are missing.  Equal ones are matched
 * in order.
 */
uint32_t sums_match(const struct sums *source, const struct sums *target,
    uint32_t **match);

/* --- ctl_import.c ------------------------------------------------------------ */

/* A regular file NAME in DIR, for reading; -1 after a message. */
int import_open(int dir, const char *name);

/* Send the files below PATH; an exit status. */
int import_send(const char *path, int fd);

ctl_command ctl_mailbox, ctl_mailbox_copy, ctl_mailbox_export,
    ctl_mailbox_uidl;

#endif /* TOOLS_CTL_MAILBOX_H */
