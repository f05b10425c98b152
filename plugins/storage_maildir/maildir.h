/*
 * maildir.h - what the files of the Maildir plugin share.
 *
 * Runs in a worker, as the owner of the mailbox.  Nothing found on disk is
 * trusted: file names are bytes that others chose, and the two files that
 * the plugin writes itself are checked before they are used.
 *
 * A mailbox is a sorted array of fixed records and one run of bytes with
 * their names, in memory as in culver-cache, so that opening 100,000 messages
 * that did not change is one read() and one pass over it.
 */
#ifndef STORAGE_MAILDIR_H
#define STORAGE_MAILDIR_H

#include "plugins/common/plug.h"

#define MD_CACHE	"culver-cache"
#define MD_UIDL		"culver-uidl"

#define MD_SCANS	5	/* tries before a changing mailbox is TEMP */

enum { MD_NEW, MD_CUR, MD_DIRS };

/* --- names and records (list.c) --------------------------------------- */

enum {				/* md_rec.flags */
	MD_STAT = 1u << 0,	/* size, mtime and ino are known */
	MD_COUNTED = 1u << 1,	/* octets were counted by a reader */
	MD_NAMED = 1u << 2,	/* octets come from W= in the name; without
				 * MD_STAT also size, from S= */
	MD_INFO = 1u << 3,	/* the name goes on after a ':' */
	MD_DUP = 1u << 4,	/* several files have this base name */
	MD_KEPT = MD_STAT | MD_COUNTED | MD_NAMED | MD_INFO | MD_DUP,
	MD_FRESH = 1u << 5,	/* its UIDL is not on disk yet */
	MD_GONE = 1u << 6,	/* removed since the snapshot */
	MD_SURE = 1u << 7	/* the server before us showed this UIDL */
};

/*
 * One message.  The blob holds "base\0info\0" at NAME; the base name is what
 * stands before the first ':' of the file name and never changes, the info
 * is what other readers change.
 */
struct md_rec {
	uint64_t ino, size, octets;
	int64_t mtime;
	uint32_t name;		/* offset in the blob */
	uint32_t uid;		/* offset of the UIDL; 0: the base name */
	uint8_t base_len, info_len;
	uint8_t dir;		/* MD_NEW or MD_CUR */
	uint8_t flags;
	uint32_t rank;		/* where the server before us showed it, from
				 * 1; 0: it comes behind those */
};

/* Records sorted by md_order(). */
struct md_list {
	struct md_rec *rec;
	size_t n, cap;
	struct plug_blob blob;
	void *block;		/* both are inside this one, behind MD_HEAD
				 * bytes, as in culver-cache; */
	bool apart;		/* but the blob is not any more */
	uint32_t known;		/* names before this offset in the blob are
				 * those of an earlier listing */
};

#define MD_HEAD	192	/* bytes before the records of a culver-cache */

void md_list_free(struct md_list *l);

/*
 * Add the file NAME, found in DIR, at the end.  False if there is no memory
 * for it.
 */
bool md_list_add(struct md_list *l, const char *name, unsigned dir,
    uint64_t ino);

/*
 * Add the records of FROM that are in the directories that HOLDS says to L,
 * which has none of these directories.  Both are sorted.  False without
 * memory.
 */
bool md_list_merge(struct md_list *l, const struct md_list *from,
    const bool holds[MD_DIRS]);

/* Give REC, a record of L, the UIDL UID, which is no string of L: they move,
 * so what md_base() and md_uid() gave is void then.  False without memory. */
bool md_list_set_uid(struct md_list *l, struct md_rec *rec, const char *uid);

/*
 * Sort, and keep one record of those with an equal base name: the one in
 * cur/, for a reader moves files there.  False without memory.
 */
bool md_list_sort(struct md_list *l);

/* The record with this base name, or NULL.  L is sorted. */
struct md_rec *md_list_find(const struct md_list *l, const char *base);

/*
 * Copy to L what FROM knows about the same files: sizes if the inode is
 * the same, UIDLs and ranks; but nothing of directories that HOLDS says.
 * Returns how many messages of the others are not in L, or -1 without memory.
 * Both are sorted.
 */
long md_list_inherit(struct md_list *l, const struct md_list *from,
    const bool holds[MD_DIRS]);

/*
 * By the number that a base name begins with, which is the time of delivery,
 * then bytewise.
 */
int md_order(const char *a, const char *b);

/*
 * The order in which messages are numbered: those with a rank by that, then
 * the others.  *ORDER, indices into L to be free()d, is NULL if it is that of
 * the list.  False without memory.
 */
bool md_list_number(const struct md_list *l, uint32_t **order);

const char *md_base(const struct md_list *l, const struct md_rec *r);
const char *md_uid(const struct md_list *l, const struct md_rec *r);

/* Write the whole file name to OUT. */
void md_file_name(const struct md_list *l, const struct md_rec *r,
    char out[NAME_MAX + 1]);

/* What stands behind the first comma and KEY, "W=", in a base name, or NULL. */
const char *md_name_field(const char *base, const char *key);

/*
 * The octets that ",W=" in a base name promises.  False if there is none or
 * if SIZE bytes of file cannot become that many on the wire.
 */
bool md_name_octets(const char *base, uint64_t size, uint64_t *octets);

/* The same of ",S=", the bytes of the file. */
bool md_name_size(const char *base, uint64_t *size);

/* Let REC know what stat() says of its file, and judge W= by that. */
void md_rec_stat(const struct md_list *l, struct md_rec *rec,
    const struct stat *st);

/* --- one user's storage (maildir.c, paths.c) --------------------------- */

struct culver_store {
	const struct culver_host *host;
	char *path;		/* of the Maildir; absolute */
	char *index;		/* where state, lock and cache are */
	char *format;		/* of Dovecot's UIDLs */
	unsigned style;		/* of the server before us */
	uint32_t uid;
	bool create, trust_sizes;
	bool dates;		/* the open mailbox is to know them */
	uint64_t quota_octets, quota_messages;	/* 0: none */
};

culver_status md_paths(struct culver_store *store, struct culver_path *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

/* As plug_in_time(), of the user's Maildir. */
static inline culver_status
md_in_time(const struct culver_store *store, struct culver_call *call)
{
	return plug_in_time(store->host, store->path, call);
}

/* --- listing directories (scan.c) -------------------------------------- */

/* When a listing was made, and of what. */
struct md_snap {
	int64_t start, start_ns;	/* CLOCK_REALTIME */
	struct plug_stamp dir[MD_DIRS];
};

culver_status md_snap_take(const struct culver_store *store,
    const int dir[MD_DIRS], struct md_snap *snap, struct culver_call *call);

/* Were all time stamps old when the listing began, so that they prove it? */
bool md_snap_settled(const struct md_snap *snap);

/* Do they prove that directory D is the same NOW as when SNAP was taken? */
bool md_snap_holds(const struct md_snap *snap, const struct md_snap *now,
    unsigned d);

/*
 * List new/ and cur/ as DESIGN section 5 asks: a name of KNOWN (it may be
 * empty) that is not in OUT is gone indeed.  Sizes and UIDLs are taken from
 * KNOWN, *MISSING is how many of its messages are not there.  If SINCE, when
 * KNOWN was listed (it may be NULL), holds for a directory, that one is not
 * read again; what KNOWN lacks of its files is put there.
 */
culver_status md_scan(const struct culver_store *store,
    const int dir[MD_DIRS], struct md_list *known,
    const struct md_snap *since, struct md_list *out, struct md_snap *snap,
    size_t *missing, struct culver_call *call);

/*
 * Are S= and W= in names enough, so that no file is looked at before it is
 * read?
 */
bool md_names_suffice(const struct culver_store *store);

/* --- an open mailbox (open.c, read.c, expunge.c) ------------------------ */

struct culver_content {
	struct culver_mailbox *mb;
	int fd;
	uint64_t size;
	uint32_t index;
	bool given;		/* next() gave the extent */
};

/* Files that are open before their turn (ahead.c). */
enum { MD_AHEAD = 64 };

struct md_ahead {
	uint32_t next, end;	/* those of messages NEXT to END - 1 */
	unsigned slow;		/* messages in a row that took long */
	uint64_t begun;		/* when the last one was begun; host->now() */
	int fd[MD_AHEAD];	/* of message I at I % MD_AHEAD, or -1 */
};

struct culver_mailbox {
	struct culver_store *store;
	uint32_t flags;
	int dir[MD_DIRS], lock;
	struct plug_index index;
	struct md_list list;	/* the frozen snapshot */
	uint32_t *order;	/* see md_rec_of() */
	struct md_snap snap;
	struct plug_stamp uidl;	/* of the culver-uidl that was used */
	struct md_list names;	/* a later listing, for names only */
	bool rescanned;		/* names is in use */
	bool changed;		/* snap does not describe list any more */
	bool dirty;		/* the cache is worth writing */
	struct culver_content content;
	struct md_ahead ahead;
};

/* Message INDEX, which is below list.n. */
static inline struct md_rec *
md_rec_of(const struct culver_mailbox *mb, uint32_t index)
{
	return &mb->list.rec[mb->order != NULL ? mb->order[index] : index];
}

culver_status md_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call);
void md_close(struct culver_mailbox *mb);

/*
 * Find the file of message INDEX as it is called now: look at the snapshot,
 * or with AGAIN list the directories anew.  CULVER_E_GONE after a stable
 * scan that did not see it.
 */
culver_status md_locate(struct culver_mailbox *mb, uint32_t index, bool again,
    unsigned *dir, char name[NAME_MAX + 1], struct culver_call *call);

culver_status md_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call);
culver_status md_next(struct culver_content *c, struct culver_extent *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);
void md_done(struct culver_content *c);

/* Open the file of message INDEX under the name that it had last. */
culver_status md_open_file(struct culver_mailbox *mb, uint32_t index, int *fd,
    struct culver_call *call);

/*
 * Message INDEX is going to be read: its file, which is the caller's to close,
 * if it is open already, or -1.  Where that makes sense, opens others and has
 * them read.
 */
int md_ahead_begin(struct culver_mailbox *mb, uint32_t index,
    struct culver_call *call);

/* It was read; and, close what nobody asked for. */
void md_ahead_done(struct culver_mailbox *mb);
void md_ahead_stop(struct culver_mailbox *mb);

culver_status md_expunge(struct culver_mailbox *mb, const uint32_t *index,
    uint32_t n, struct culver_expunge_result *res, struct culver_call *call);

/* --- culver-cache and culver-uidl (cache.c, uidl.c) ---------------------- */

/* What a file of ours remembers, to notice that the mail was replaced. */
struct md_memory {
	bool valid;		/* there is such a file and it is no copy */
	uint64_t dev[MD_DIRS], ino[MD_DIRS];	/* new/ and cur/ then */
};

/* Does MEM tell of other directories than those of SNAP? */
bool md_memory_differs(const struct md_memory *mem,
    const struct md_snap *snap);

struct md_cache {
	struct md_list list;	/* empty if there is none, or a bad one */
	struct md_snap snap;
	struct plug_stamp uidl;
	struct md_memory mem;
};

/*
 * Read the cache.  One that is missing, damaged or of another version is as
 * good as none; damage is logged.
 */
void md_cache_load(const struct culver_store *store,
    const struct plug_index *ix, struct md_cache *out,
    struct culver_call *call);

/* Write the cache of MB, whose list may be gone then.  A failure is logged and
 * costs only speed. */
void md_cache_save(struct culver_mailbox *mb);

/* What a file of ours that says "new/ and cur/ were these" is worth. */
culver_status md_fail_replaced(const struct culver_mailbox *mb,
    const char *name, struct culver_call *call);

/*
 * Give every message of MB->list its UIDL; those that are new are on disk
 * when this returns OK.  CACHE is what was read before, its list empty if
 * nothing was.
 */
culver_status md_uidl_assign(struct culver_mailbox *mb,
    const struct md_cache *cache, struct culver_call *call);

/* --- the server before us (takeover.c) ------------------------------------ */

/* Whose UIDLs and order to keep; the names are those of option `uidl'. */
enum { MD_AUTO, MD_NAME, MD_DOVECOT, MD_COURIER, MD_QMAIL, MD_TPOP3D };
extern const char *const md_styles[];

/* What a Maildir has of Dovecot's variables. */
#define MD_FORMAT_HAS (PLUG_FMT_UID | PLUG_FMT_VALIDITY | PLUG_FMT_NAME | \
    PLUG_FMT_GUID)

/*
 * Give the messages of MB->list, which no client of ours has seen yet, the
 * UIDLs and ranks that the server before us had for them; they are MD_FRESH
 * then.  *STYLE is whose they are: the store's, or what `auto' found.  Reads
 * that server's files; CULVER_E_TEMP if they cannot be understood.
 */
culver_status md_takeover(struct culver_mailbox *mb, unsigned *style,
    struct culver_call *call);

/* Stamp of culver-uidl now; all zero if there is none. */
culver_status md_uidl_stamp(const struct plug_index *ix, struct plug_stamp *out,
    struct culver_call *call);

/*
 * A UIDL that a message brought from another mailbox is in its base name, as
 * ",CU=UIDL" at the end, until culver-uidl has it: some characters as %XX.
 * Appending gives false if OUT, of NAME_MAX + 1, has no room.
 */
bool md_uid_append(char *out, const char *uid);
bool md_uid_brought(const char *base, char out[PLUG_UID_MAX + 1]);

/* Directories, culver-uidl, and what is no message (check.c). */
culver_status md_check(struct culver_store *store, struct culver_str *out,
    uint32_t cap, uint32_t *n, struct culver_call *call);

/* --- delivery (deliver.c) ------------------------------------------------ */

culver_status md_deliver_begin(struct culver_store *store,
    const struct culver_envelope *env, struct culver_delivery **out,
    struct culver_call *call);
culver_status md_deliver_write(struct culver_delivery *d, const void *buf,
    size_t n, struct culver_call *call);
culver_status md_deliver_commit(struct culver_delivery *d,
    struct culver_str *uid, struct culver_call *call);
void md_deliver_abort(struct culver_delivery *d);

/* Remove from tmp/ what crashed deliveries left there 36 hours ago. */
void md_clean_tmp(const struct culver_store *store, struct culver_call *call);

/* --- quota (quota.c) ------------------------------------------------------ */

/* Keep other deliveries from deciding meanwhile: until *FD, which the caller
 * closes also after a failure, is closed. */
culver_status md_quota_lock(const struct culver_store *store, int *fd,
    struct culver_call *call);

/* CULVER_E_QUOTA if a message of SIZE octets does not fit; TOP is the
 * Maildir. */
culver_status md_quota_check(const struct culver_store *store, int top,
    uint64_t size, struct culver_call *call);

/* Is there a maildirsize, whoever keeps it?  Then messages that are removed are
 * to be told to it. */
bool md_quota_is_kept(const struct culver_store *store);
void md_quota_removed(const struct culver_store *store, int64_t size,
    int64_t count);

/* SIZE octets in COUNT messages came, or went if negative: tell maildirsize,
 * if there is one. */
void md_quota_add(const struct culver_store *store, int top, int64_t size,
    int64_t count);

#endif /* STORAGE_MAILDIR_H */
