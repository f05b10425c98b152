/*
 * state.h - the formats of the files that a plugin keeps beside the mail: a
 * state, which is text and must not be lost, and a cache, which may be.
 *
 * Runs in a worker, as the owner of the mailbox.  A user may have edited such
 * a file or a disk damaged it: a plugin sees nothing of it before its checksum
 * is right, and checks the rest itself.
 */
#ifndef PLUGINS_COMMON_STATE_H
#define PLUGINS_COMMON_STATE_H

#include "plugins/common/plug.h"

/* --- a state (state.c) --------------------------------------------------- */

/*
 *	version
 *	a line about the whole
 *	a line for each entry
 *	...
 *	end COUNT CHECKSUM
 */
struct plug_state {
	char *text;		/* NULL: there is no such file */
	struct stat st;
	size_t count;		/* of entries, as the last line says */
	char *next;
	size_t line;		/* the number of what plug_state_line() gave */
};

/*
 * Read the state NAME, which begins with the line VERSION, and check its first
 * and last line.  No file is OK; a damaged one is CULVER_E_CORRUPT.  The caller
 * frees S->text in any case.
 */
culver_status plug_state_read(const struct plug_index *ix, const char *name,
    const char *version, struct plug_state *s, struct culver_call *call);

/* The next line, in S->text and without its end; NULL if there is none. */
char *plug_state_line(struct plug_state *s);

/* Fail with CULVER_E_CORRUPT; LINE is 0 if the fault has no line. */
culver_status plug_state_damaged(const struct plug_index *ix, const char *name,
    size_t line, const char *what, struct culver_call *call);

/* Write the last line behind TEXT, of COUNT entries, to OUT; its length. */
#define PLUG_STATE_END	64
size_t plug_state_end(const char *text, size_t n, size_t count,
    char out[PLUG_STATE_END]);

/* Stamp of the state now; all zero if there is none. */
culver_status plug_state_stamp(const struct plug_index *ix, const char *name,
    struct plug_stamp *out, struct culver_call *call);

/* --- a cache (cache.c) --------------------------------------------------- */

/* What the header of a plugin's cache begins with; little-endian. */
struct plug_cache_head {
	char magic[8];
	uint32_t version, rec_size;
	uint64_t n, blob_len;	/* records; bytes of strings behind them */
	uint64_t sum;		/* of the whole file with this member 0 */
};

/* A cache in memory. */
struct plug_cache {
	const struct plug_cache_format *format;
	struct stat st;		/* of the file */
	void *head;		/* the block that all of it is in */
	void *rec;
	size_t n;
	char *blob;
	size_t blob_len;	/* a multiple of 8 */
};

/*
 * The cache of one plugin.  PARSE checks and takes what plug_cache_load() got,
 * into ARG, and with it c->head; it returns what is wrong, or NULL.  BUILD
 * fills C from ARG, after plug_cache_make() or _begin(), and gives it c->head;
 * false without memory.
 */
struct plug_cache_format {
	const char *name;	/* of the file */
	const char *magic;
	uint32_t version, head_size, rec_size;
	const char *unended;	/* says that the last string has no NUL */
	const char *(*parse)(struct plug_cache *c, void *arg);
	bool (*build)(struct plug_cache *c, void *arg);
};

/*
 * Read the cache.  One that is missing, damaged or of another version is as
 * good as none, and false; damage is logged.
 */
bool plug_cache_load(const struct culver_host *host,
    const struct plug_index *ix, const struct plug_cache_format *f, void *arg,
    struct culver_call *call);

/* Write the cache.  A failure is logged and costs only speed. */
void plug_cache_save(const struct culver_host *host,
    const struct plug_index *ix, const struct plug_cache_format *f,
    void *arg);

/* Room for N records and LEN bytes of strings, which begin with a NUL: these
 * are to be filled in, and the header is but for what it begins with.  False
 * without memory. */
bool plug_cache_make(struct plug_cache *c, size_t n, size_t len);

/* The same in BLOCK, which malloc() gave and where records and strings may be
 * already: it has head_size bytes, N records and PLUG_CACHE_PAD(LEN). */
void plug_cache_begin(struct plug_cache *c, void *block, size_t n, size_t len);
#define PLUG_CACHE_PAD(len)	(((len) + 7) / 8 * 8)

/* Between host order and little-endian: the same in both directions. */
void plug_stamp_swap(struct plug_stamp *s);

#endif /* PLUGINS_COMMON_STATE_H */
