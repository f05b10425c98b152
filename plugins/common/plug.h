/*
 * plug.h - what the storage plugins share: error texts, small files that are
 * read or replaced whole, the lock of a session, directories.
 *
 * Runs in a worker, as the owner of the mailbox.  Nothing found on disk is
 * trusted.  Compiled into each plugin, with no symbol visible outside it.
 */
#ifndef PLUGINS_COMMON_PLUG_H
#define PLUGINS_COMMON_PLUG_H

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <culver/storage.h>

#define PLUG_LOCK	"culver.lock"
#define PLUG_RACY_NS	2000000000	/* younger time stamps prove nothing */
#define PLUG_UID_MAX	70	/* RFC 1939 section 7 */

/* --- files and errors (file.c) ----------------------------------------- */

/*
 * Fail with the status that the errno ERR calls for: NOSPACE, NOMEM or TEMP.
 * Control bytes of file names are kept out of the text.
 */
culver_status plug_fail(struct culver_call *call, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As culver_fail(), with control bytes kept out of the text. */
culver_status plug_fail_as(struct culver_call *call, culver_status st,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * CULVER_E_TIMEOUT if the deadline of the call is past, else OK; PATH is for
 * the message.
 */
culver_status plug_in_time(const struct culver_host *host, const char *path,
    struct culver_call *call);

/* Log the failure in ERR that the session gets over, and what SO follows. */
void plug_warn(const struct culver_host *host, const struct culver_error *err,
    const char *so);

/* Open the directory PATH, or SUB below PARENT; PATH is for the message. */
culver_status plug_open_dir(int parent, const char *sub, const char *path,
    int *fd, struct culver_call *call);

/* The directory of our own files. */
struct plug_index {
	int fd;
	const char *path;
};

#define PLUG_NOWHERE	{ .fd = AT_FDCWD, .path = "" }

/*
 * Read the small file NAME whole.  On OK the caller frees *BUF, which is
 * NULL if there is no such file.
 */
culver_status plug_file_read(const struct plug_index *ix, const char *name,
    char **buf, size_t *n, struct stat *st, struct culver_call *call);

/*
 * Replace NAME atomically, in two steps so that its content may name its own
 * inode: create an empty NAME.new and learn about it; then fill it and rename
 * it, with SYNC durably; without, the old one may be lost for the new one.
 * Commit closes FD and on failure removes NAME.new.  CONTENT is NULL if there
 * was no memory for it, and commit fails.
 * Only the holder of the lock may do this.
 */
culver_status plug_file_create(const struct plug_index *ix, const char *name,
    int *fd, struct stat *st, struct culver_call *call);
culver_status plug_file_commit(const struct plug_index *ix, const char *name,
    int fd, struct culver_str content, bool sync, struct culver_call *call);

/* Write all of BUF, there or at OFFSET; false with errno set. */
bool plug_write_all(int fd, const void *buf, size_t n);
bool plug_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset);

/*
 * Mix N bytes into H.  Not cryptographic: it finds accidents, among them
 * every change of a single byte.  The result is in files that outlive this
 * program and machine: it never changes.
 */
uint64_t plug_hash(uint64_t h, const void *buf, size_t n);

/* May this be a UIDL: 1 to 70 bytes of 0x21..0x7E (RFC 1939 section 7)? */
bool plug_uid_legal(const char *s, size_t n);

/* Write the N bytes of BUF as 2 N lower-case digits and a NUL to OUT. */
void plug_hex(const void *buf, size_t n, char *out);

/* A UIDL that nobody has: 128 random bits. */
void plug_uid_random(const struct culver_host *host,
    char out[PLUG_UID_MAX + 1]);

/* What stat says of a directory or file; equal stamps: it is unchanged. */
struct plug_stamp {
	uint64_t dev, ino;
	int64_t mtime, ctime;
	uint32_t mtime_ns, ctime_ns;
};

void plug_stamp_set(struct plug_stamp *out, const struct stat *st);
bool plug_stamp_equal(const struct plug_stamp *a, const struct plug_stamp *b);

/*
 * Is the moment SEC.NSEC at least PLUG_RACY_NS before START.START_NS, so that
 * a time stamp that says it proves that nothing changed since?
 */
bool plug_is_old(int64_t sec, uint32_t nsec, int64_t start, int64_t start_ns);

/* --- strings in memory, as in a cache (cache.c) -------------------------- */

struct plug_blob {
	char *p;		/* p[0] is always NUL */
	size_t n, cap;
};

/* Append N bytes and a NUL; the offset, or 0 without memory. */
uint32_t plug_blob_add(struct plug_blob *b, const char *s, size_t n);

/* --- the lock of a session (lock.c) ------------------------------------- */

/*
 * Take the lock of the mailbox, the file NAME, at once or fail with
 * CULVER_E_IN_USE.  *MADE: the lock file was not there before.  In PLUG_NOWHERE
 * NAME is a whole path.
 */
culver_status plug_lock(const struct plug_index *ix, const char *name, int *fd,
    bool *made, struct culver_call *call);

/* --- what check() finds (findings.c) ------------------------------------- */

struct plug_findings {
	const struct culver_host *host;
	struct culver_call *call;
	struct culver_str *out;
	uint32_t cap, n;
};

/* Add a line, if there is room; control bytes are kept out of it. */
void plug_found(struct plug_findings *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A failure that tells of damage is a finding, and OK.  Others, like a lock
 * that somebody holds, mean that the check could not be made.
 */
culver_status plug_judge(struct plug_findings *f, culver_status status);

/* --- paths and directories (dirs.c) --------------------------------------- */

/* The text of option I, or NULL if it is not set. */
const char *plug_opt_text(const struct culver_values *vals, uint32_t i);

/* Where the user's mailbox is: as the user's entry says, or option I, or "". */
const char *plug_location(const struct culver_user *user,
    const struct culver_values *vals, uint32_t i);

/*
 * A copy of PATH, with "~/" replaced and without slashes at its end; NULL if
 * it is no absolute path of a sane length.
 */
char *plug_make_path(const char *path, const char *home);

/* The directory that holds the absolute PATH; NULL without memory. */
char *plug_parent(const char *path);

/*
 * Make the directory PATH if it is missing and the directory that holds it
 * is UID's: a bare mount point is root's, and what is made there would look
 * empty.
 */
culver_status plug_make_dir(const char *path, uint32_t uid,
    struct culver_call *call);

/*
 * The first half of it: OK and *MISSING false if PATH is there, OK and true
 * if it may be made, else the failure; PARENT gets the directory's name.
 */
culver_status plug_may_make(const char *path, uint32_t uid, bool *missing,
    char parent[PATH_MAX], struct culver_call *call);

/* Make a new entry in the directory PATH survive a power cut. */
culver_status plug_sync_dir(const char *path, struct culver_call *call);

#endif /* PLUGINS_COMMON_PLUG_H */
