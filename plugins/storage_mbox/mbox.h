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
#include "plugins/common/md5.h"
#include "plugins/common/plug.h"
#include "plugins/storage_mbox/digest.h"

#define MB_CACHE	"culver-cache"
#define MB_UIDL		"culver-uidl"
#define MB_JOURNAL	"culver-journal"
#define MB_APPEND	"culver-append"
#define MB_TALLY	"culver-tally"
#define MB_SPOOL	"culver-deliver."

#define MB_OWN_NAME	"X-Culver-UIDL:"	/* UIDL and seal */
#define MB_QUOTED	"X-Culver-"
#define MB_NAME		128	/* the bytes of a header that decide this */
#define MB_LINE		4096	/* no From_ line is longer */
#define MB_CHUNK	((size_t)1 << 20)	/* bytes read under one lock */

enum {				/* option `uidl', and who had the file */
	MB_AUTO, MB_OWN, MB_DOVECOT, MB_UW, MB_POPA3D, MB_QPOPPER,
	MB_MAILUTILS, MB_STYLES
};
extern const char *const mb_styles[MB_STYLES + 1];

enum { MB_QUOTE_AUTO, MB_QUOTE_MBOXO, MB_QUOTE_MBOXRD };
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

/* --- From_ lines (from.c) ------------------------------------------------- */

/*
 * Is P, N bytes and with or without its line end, a From_ line of one of the
 * shapes in culver-mbox(5)?  *WHEN gets its date in Unix seconds, UTC if it
 * names no offset.
 */
bool mb_from_parse(const unsigned char *p, size_t n, int64_t *when);

/* Write a From_ line without its end; its length.  N is at least 128. */
size_t mb_from_make(char *out, size_t n, const char *sender, int64_t when);

/* --- one message (message.c) ---------------------------------------------- */

/* How a file is cut into messages and what of them is shown. */
struct mb_look {
	unsigned style;		/* never MB_AUTO */
	bool md5;		/* the hash of headers is wanted */
	bool any_from;		/* each "From " begins a message ... */
	bool need_blank;	/* ... but only after an empty line */
	bool use_length;	/* Content-Length counts */
	bool keep_eoh;		/* the end of headers is no separator */
	bool hide;		/* headers that mail readers add */
	bool show_pseudo;	/* the internal data is a message */
	bool trim_base;		/* spaces in X-IMAPbase */
	bool unquote;		/* >From */
	bool head_as_is;	/* but not in headers */
};

void mb_look_set(struct mb_look *l, unsigned style, unsigned quoting);

/* A message as its bytes go by, from behind the From_ line. */
struct mb_msg {
	const struct mb_look *look;
	struct sip sip;
	struct md5 md5;
	uint64_t raw, octets;	/* bytes that went by; octets as shown */
	uint64_t body;		/* raw at the first byte of the body */
	uint64_t length;	/* Content-Length, if has_length */
	uint64_t blanks;	/* empty lines that the hash has not seen */
	uint32_t x_uid, validity, last_uid;
	bool header, bol, hidden, fleeting, fixed, received, in_received;
	bool has_length, pseudo;
	bool base_padded, uid_padded;	/* X-IMAPbase, X-UID have spaces */
	bool blank, blank_eoh;	/* the last line was empty; and ended headers */
	bool newline;		/* the last byte shown was LF */
	bool own;		/* the last line was MB_OWN_NAME */
	unsigned char blank_len;
	char x_uidl[PLUG_UID_MAX + 1];
	char own_uid[PLUG_UID_MAX + 1], own_seal[33];
};

void mb_msg_begin(struct mb_msg *m, const struct mb_look *look,
    const unsigned char key[16]);

/*
 * Take N bytes: whole lines, but for the last one of the message and for
 * lines longer than MB_LINE, which may come in pieces that do not end in CR.
 * What is shown of them is written to OUT, which may be P or NULL; returns
 * how much that is.  Stops behind the end of the headers if STOP is not
 * NULL, and says there how many bytes it took.
 */
size_t mb_msg_add(struct mb_msg *m, const unsigned char *p, size_t n,
    unsigned char *out, size_t *stop);

/*
 * Is P, N bytes, the begin of a header that mail programs keep their data in?
 * Mail that is delivered with one, or with such a name behind MB_QUOTED, has
 * MB_QUOTED put before it.
 */
bool mb_is_metadata(const unsigned char *p, size_t n);

/*
 * The end.  *ID names the message; returns how many bytes of a separator
 * stand at its end, which are not shown; only if SEPARATED.
 */
size_t mb_msg_end(struct mb_msg *m, bool separated, uint64_t id[2]);

/*
 * What stands behind the UIDL in an MB_OWN_NAME header of the message ID, so
 * that nobody else can write one.
 */
void mb_seal(const unsigned char key[16], const char *uid,
    const uint64_t id[2], char out[33]);

/*
 * What popa3d, or with look->style MB_DOVECOT what Dovecot, made of headers;
 * 16 or 32 digits.  After mb_msg_end(), with look->md5.
 */
void mb_msg_headers(struct mb_msg *m, char out[33]);

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

/* --- culver-uidl (uidl.c, uidlfile.c) ------------------------------------------ */

struct mb_ent {
	const char *uid;
	uint64_t id[2];
	uint32_t order;
	bool absent;		/* was not in the mailbox at the last save */
	bool here;		/* in the mailbox, now */
};

struct mb_state {
	bool exists, copied;	/* copied: it is not the file it says it is */
	struct plug_stamp stamp;
	unsigned style;		/* MB_AUTO: not known yet */
	bool known;		/* it was, when the state was read */
	unsigned char key[16];
	uint64_t dir_dev, dir_ino;	/* that held the mbox then */
	struct mb_ent *ent;
	size_t n;
	char *text;		/* the strings are in it */
};

/*
 * Read and check the state; without one STATE gets a new key.  A damaged one
 * is CULVER_E_CORRUPT.  Free STATE in any case.
 */
culver_status mb_state_load(const struct culver_store *store,
    const struct plug_index *ix, struct mb_state *state,
    struct culver_call *call);
void mb_state_free(struct mb_state *state);

/* An entry of the state that is written. */
struct mb_line {
	const char *uid;
	uint64_t id[2];
	bool absent;
};

/* Replace the state, durably.  The caller holds the lock of the mbox. */
culver_status mb_state_save(const struct culver_store *store,
    const struct plug_index *ix, const struct mb_state *state,
    const struct mb_line *line, size_t n, struct culver_call *call);

/* Stamp of culver-uidl now; all zero if there is none. */
culver_status mb_state_stamp(const struct plug_index *ix,
    struct plug_stamp *out, struct culver_call *call);

/*
 * Give every message of L its UIDL; those that are new are on disk when this
 * returns OK.  The mbox is locked for writing.
 */
culver_status mb_uidl_assign(struct culver_store *store,
    const struct plug_index *ix, struct mb_state *state, struct mb_list *l,
    struct culver_call *call);

/* Forget the UIDLs of the messages of L that are MB_GONE, for ever. */
culver_status mb_uidl_forget(struct culver_store *store,
    const struct plug_index *ix, const struct mb_list *l,
    struct culver_call *call);

/*
 * The key of the state, which is made if there is none.  With FIRST no other
 * server had the mailbox.
 */
culver_status mb_state_key(struct culver_store *store,
    const struct plug_index *ix, bool first, unsigned char key[16],
    struct culver_call *call);

/* Which server had a file with this list? */
unsigned mb_uidl_detect(const struct mb_list *l);

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
