/*
 * mbox.h - what the files of the mbox plugin share.
 *
 * Runs in a worker, as the owner of the mailbox.  Nothing found on disk is
 * trusted: the mailbox holds what strangers sent and what other programs
 * made of it, and the plugin's own files are checked before they are used.
 *
 * The file is locked only while bytes move.  So nothing that was true of it
 * stays true: a message is known by a keyed hash of what other programs
 * leave alone, and its place in the file is a hint that is checked, under a
 * lock, before one of its bytes is shown or removed.
 */
#ifndef STORAGE_MBOX_H
#define STORAGE_MBOX_H

#include "plugins/common/dotlock.h"
#include "plugins/common/format.h"
#include "plugins/common/plug.h"
#include "plugins/storage_mbox/message.h"

#define MB_CACHE	"culver-cache"
#define MB_UIDL		"culver-uidl"
#define MB_JOURNAL	"culver-journal"
#define MB_APPEND	"culver-append"
#define MB_TALLY	"culver-tally"
#define MB_SPOOL	"culver-deliver."

#define MB_CHUNK	((size_t)1 << 20)	/* bytes read under one lock */

enum { MB_DOT_TRY, MB_DOT_REQUIRE, MB_DOT_NO };
enum { MB_LOCK_FCNTL = 1, MB_LOCK_FLOCK, MB_LOCK_DOT, MB_LOCKS = 3 };

/* --- one user's storage (mbox.c, paths.c) ------------------------------- */

struct culver_store {
	const struct culver_host *host;
	char *path;		/* of the mbox; absolute */
	char *dir;		/* the directory that holds it */
	char *dot;		/* its dotlock */
	char *index;		/* where state, journal and cache are */
	uint32_t uid;
	uint64_t quota_octets, quota_messages;
	bool create;
	unsigned style, quoting, dotlock;
	char *format;		/* of Dovecot's UIDLs; what it uses */
	unsigned uses;
	unsigned char locks[MB_LOCKS];	/* in order; 0: no more */
	bool no_dot;		/* said that dotlocks cannot be made */
	bool host_dots;		/* the host makes them: we may not */
	/* for many deliveries that bring UIDLs: tsearch() of those that are in
	 * the mbox when it is as this says; size UINT64_MAX: not known */
	void *uids;
	struct plug_stamp uids_file;
	uint64_t uids_size;
};

culver_status mb_paths(struct culver_store *store, struct culver_path *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

/* --- lists of messages (list.c) ------------------------------------------- */

enum {				/* mb_rec.flags */
	MB_FRESH = 1u << 0,	/* its UIDL is not on disk yet */
	MB_GONE = 1u << 1,	/* removed since the snapshot */
	MB_SEALED = 1u << 2	/* hint is the UIDL that we gave it */
};

struct mb_rec {
	uint64_t start, head, end, next;	/* From_, message, end, next */
	uint64_t octets;
	uint64_t id[2];
	int64_t received;
	uint32_t uid;		/* offsets in the blob; 0: none */
	uint32_t hint;		/* what another server may have shown */
	uint32_t x_uid;
	uint32_t flags;
};

struct mb_list {
	struct mb_rec *rec;
	size_t n, cap;
	struct plug_blob blob;
	void *block;		/* both are inside this one: do not grow */
	uint64_t first;		/* where the first message begins */
	uint32_t validity, last_uid;	/* of X-IMAPbase; 0: none */
	uint32_t pseudo;	/* there is a hidden first message */
	uint32_t odd_lengths;	/* Content-Lengths that were not followed */
	uint64_t odd_first;	/* where the first one's message begins */
	bool lines_crlf;
	bool base_padded, uid_padded;	/* for mb_uidl_detect() */
};

void mb_list_free(struct mb_list *l);

/* Add REC; false without memory. */
bool mb_list_add(struct mb_list *l, const struct mb_rec *rec);

static inline const char *
mb_uid(const struct mb_list *l, const struct mb_rec *r)
{
	return l->blob.p + r->uid;
}

/* --- the file and its locks (lock.c) --------------------------------------- */

struct mb_file {
	int fd;			/* -1: not open */
	struct dotlock dot;
	bool asked;		/* the host holds the dotlock for us */
	bool writable;
	struct stat st;		/* when it was locked */
	struct timespec at;	/* and the time then */
};

#define MB_FILE_NONE { .fd = -1, .dot = { .dir = AT_FDCWD, .fd = -1 } }

/*
 * Open the mbox and lock it: with WRITE by all locks, in order, and for
 * writing if that is allowed; else by the first lock that the kernel keeps.
 * While it waits for one it holds none.  Waits until the deadline at most, and
 * no longer than 30 s.
 */
culver_status mb_file_open(struct culver_store *store, struct mb_file *f,
    bool write, struct culver_call *call);
void mb_file_close(const struct culver_store *store, struct mb_file *f);

/* Long work: keep the dotlock young, and the deadline. */
culver_status mb_file_tick(struct culver_store *store, struct mb_file *f,
    struct culver_call *call);

/* Read N bytes at OFFSET, all of them, or fail. */
culver_status mb_pread(const struct culver_store *store, int fd, void *buf,
    size_t n, uint64_t offset, struct culver_call *call);

/* --- listing the file (scan.c) ----------------------------------------------- */

/*
 * Add to L the messages from the From_ line at FROM to the end.  F is
 * locked.  CULVER_E_CORRUPT if the file is no mbox.
 */
culver_status mb_scan(struct culver_store *store, struct mb_file *f,
    const struct mb_look *look, const unsigned char key[16], uint64_t from,
    struct mb_list *l, struct culver_call *call);

/* Learn L->validity and L->last_uid anew from the first message. */
culver_status mb_scan_base(const struct culver_store *store,
    const struct mb_file *f, const struct mb_look *look, struct mb_list *l,
    struct culver_call *call);

/* Does a message, or nothing at all, begin at OFFSET of F? */
culver_status mb_is_boundary(const struct culver_store *store,
    const struct mb_file *f, const struct mb_look *look, uint64_t offset,
    bool *is, struct culver_call *call);

/* --- culver-cache (cache.c) ------------------------------------------------------ */

/* What a listing was made of, and when. */
struct mb_snap {
	struct plug_stamp file, uidl;
	uint64_t size;
	int64_t start, start_ns;	/* CLOCK_REALTIME; 0: proves nothing */
	unsigned char key[16];
	uint32_t style, quoting;
};

/* Whatever changes the file shows in its stamps, also if they are young. */
void mb_snap_settle(struct mb_snap *s);

struct mb_cache {
	struct mb_list list;	/* block NULL if there is none */
	struct mb_snap snap;
};

void mb_cache_load(const struct culver_store *store,
    const struct plug_index *ix, struct mb_cache *out,
    struct culver_call *call);
void mb_cache_save(const struct culver_store *store,
    const struct plug_index *ix, const struct mb_list *l,
    const struct mb_snap *snap);

/* --- culver-tally (tally.c) --------------------------------------------------------- */

#define MB_UNCOUNTED	UINT64_MAX

struct mb_tally {
	char magic[8];
	struct plug_stamp file;
	uint64_t size;
	uint64_t tail;		/* hash of the bytes before SIZE */
	uint64_t octets, messages;	/* messages may be MB_UNCOUNTED */
	unsigned char key[16];	/* of the state that it belongs to */
	uint32_t look;		/* what octets were counted by */
	uint32_t settled;	/* FILE is so only until somebody changes it */
	uint64_t sum;
};

/* False: there is none that is of use. */
bool mb_tally_load(const struct plug_index *ix, struct mb_tally *t);

/* Is F what T says, but for what may be behind T->size? */
culver_status mb_tally_holds(const struct culver_store *store,
    const struct mb_file *f, const struct mb_tally *t, bool *holds,
    struct culver_call *call);

/*
 * Before we change the file; and after it was changed, by us alone.  Save
 * fills in what F tells, and sets f->st; a failure costs only speed.  It may
 * WAIT for a tick of the clock to let T be settled.
 */
void mb_tally_begin(struct timespec *before);
void mb_tally_save(const struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f,
    const struct timespec *before, bool wait, struct mb_tally *t,
    struct culver_call *call);

/*
 * Did we change F last, and would a change since show, however soon after it
 * came?
 */
bool mb_tally_settled(const struct plug_index *ix, const struct mb_file *f);

static inline uint32_t
mb_look_number(const struct mb_look *l)
{
	return l->style * 2 + l->unquote;
}

/* --- an open mailbox (open.c, read.c, expunge.c) ----------------------------------- */

struct culver_content {
	struct culver_mailbox *mb;
	struct mb_msg msg;
	unsigned char *buf;	/* the next bytes, of length n */
	size_t n;
	bool open, ready;	/* in use; buf is filled */
	uint32_t index;
	uint64_t at;		/* where the next chunk begins */
	uint64_t *sum;		/* of each chunk, when there are several */
	size_t chunk, chunks;
};

struct culver_mailbox {
	struct culver_store *store;
	uint32_t flags;
	int lock;
	struct plug_index index;
	struct mb_look look;
	struct mb_list list;	/* the frozen snapshot */
	struct mb_snap snap;
	bool changed;		/* snap does not describe list any more */
	bool dirty;		/* the cache is worth writing */
	struct culver_content content;
};

/* [CHECK] */
culver_status mb_check(struct culver_store *store, struct culver_str *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

culver_status mb_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call);
void mb_close(struct culver_mailbox *mb);

/* Open the directory of our own files. */
culver_status mb_index_open(const struct culver_store *store,
    struct plug_index *ix, struct culver_call *call);

/* Does the cached listing hold, so that the mbox need not be opened? */
culver_status mb_cache_holds(const struct culver_store *store,
    const struct plug_index *ix, const struct mb_cache *cache, bool *holds,
    struct culver_call *call);

/*
 * List the mailbox under the lock of F, with what CACHE knows, and give
 * every message its UIDL.
 */
culver_status mb_load(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, struct mb_cache *cache, struct mb_list *l,
    struct mb_snap *snap, struct mb_look *look, struct culver_call *call);

/* Sizes of all messages, as the next session will list them. */
culver_status mb_count(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, uint64_t *octets, uint64_t *messages,
    struct culver_call *call);

/*
 * The file F, locked, is not what the snapshot says: find its messages
 * again, and mark those that are gone.
 */
culver_status mb_relocate(struct culver_mailbox *mb, struct mb_file *f,
    struct culver_call *call);

/* Is message R where the snapshot says?  F is locked. */
culver_status mb_verify(struct culver_mailbox *mb, struct mb_file *f,
    const struct mb_rec *r, bool *is, struct culver_call *call);

culver_status mb_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call);
culver_status mb_next(struct culver_content *c, struct culver_extent *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);
void mb_done(struct culver_content *c);

culver_status mb_expunge(struct culver_mailbox *mb, const uint32_t *index,
    uint32_t n, struct culver_expunge_result *res, struct culver_call *call);

/* --- changing the file (journal.c, recover.c) ----------------------------------------- */

/* Bytes of a file, or of memory if FD is -1. */
struct mb_piece {
	int fd;
	const void *mem;
	uint64_t offset, length;
};

/*
 * Let what begins at START of F, locked for writing, be PIECES and nothing
 * more.  On failure nothing happened.  On OK it did, or will when the file
 * is next opened: *LATER says so, the log why.
 */
culver_status mb_journal(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, uint64_t start,
    const struct mb_piece *piece, size_t n, bool *later,
    struct culver_call *call);

/* Finish what a crash interrupted.  F is locked for writing; f->st is new. */
culver_status mb_recover(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, struct culver_call *call);

/* Why what is in the journal cannot be finished; NULL: it can, or there is
 * none. */
culver_status mb_recover_look(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, const char **why,
    struct culver_call *call);

/* Is there something to finish? */
bool mb_recover_needed(const struct plug_index *ix);

/* Remove what crashed deliveries left there 36 hours ago. */
void mb_clean_spool(const struct culver_store *store,
    const struct plug_index *ix, struct culver_call *call);

/* The head of culver-append, what follows is the message; little-endian. */
struct mb_append {
	char magic[8];
	uint64_t size;		/* of the mbox before it */
	uint64_t from, length;	/* of the text, in this file */
	uint64_t sum;
	char room[8];		/* the text begins here, or later */
};

#define MB_APPEND_MAGIC "CULVMBA1"

/* The sum of an mb_append, whose own sum does not count. */
uint64_t mb_append_sum(const struct mb_append *a);

/* --- delivery (deliver.c) ---------------------------------------------------------------- */

culver_status mb_deliver_begin(struct culver_store *store,
    const struct culver_envelope *env, struct culver_delivery **out,
    struct culver_call *call);
culver_status mb_deliver_write(struct culver_delivery *d, const void *buf,
    size_t n, struct culver_call *call);
culver_status mb_deliver_commit(struct culver_delivery *d,
    struct culver_str *uid, struct culver_call *call);
void mb_deliver_abort(struct culver_delivery *d);

/* --- store->uids (uids.c) ------------------------------------------------------------------ */

void mb_uids_forget(struct culver_store *store);
/* Are they those of F? */
bool mb_uids_hold(const struct culver_store *store, const struct mb_file *f);
culver_status mb_uids_load(struct culver_store *store,
    const struct plug_index *ix, struct mb_file *f, struct culver_call *call);
bool mb_uids_have(const struct culver_store *store, const char *uid);
/* UID, which is new, is in the mailbox, which is F now. */
void mb_uids_add(struct culver_store *store, const struct mb_file *f,
    const char *uid);

#endif /* STORAGE_MBOX_H */
