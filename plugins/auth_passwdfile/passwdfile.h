/*
 * passwdfile.h - the parts of the passwd-file plugin, for each other.
 *
 * Runs in a pool process as the auth user.  The file is an administrator's:
 * trusted to say who may log in, not trusted to be well-formed or whole.
 */
#ifndef PASSWDFILE_H
#define PASSWDFILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "plugins/common/auth.h"

enum {
	PF_MAX_USER = 255,
	PF_MAX_LINE = 65535,
	PF_KINDS = 64,			/* kinds of hash told apart in a file */
	PF_RACY = 2			/* s in which a stamp proves little */
};
#define PF_MAX_FILE (INT64_C(1) << 38)	/* octets */

/* --- entry.c: one line --------------------------------------------------- */

struct entry {
	struct span user, password, home;
	struct span extra;		/* name=value, space between */
	_Bool extra_is_mail;		/* old format: all of it is one path */
	uint32_t uid, gid;		/* 0: not given */
};

/*
 * Split the line of N octets (without its end) as Dovecot does.  False with
 * the cause in *WHY (a constant text); out->user is set whenever there is one.
 */
_Bool entry_parse(const char *line, size_t n, struct entry *out,
    const char **why);

/* Take the next NAME=VALUE from *REST; "" as value where there is no "=". */
_Bool entry_next_extra(struct span *rest, struct span *name,
    struct span *value);

/* --- index.c: where in a file which user's line is ------------------------ */

/*
 * An open file and a table that says where in it a user's line begins: 18
 * octets a line.  Lines are read when they are asked for, so processes share
 * the file's text by the kernel's cache, and a file that another one was
 * renamed over can still be read.
 */
struct pwindex {
	int fd;
	struct stat st;		/* of the file when it was read */
	uint64_t seed;
	size_t n_slots;
	uint64_t *slot;		/* part of the hash, offset + 1; 0: free */
	uint32_t *line;		/* its number, by slot */
	_Bool racy;		/* changed so lately that another change may
				 * hide behind the same time stamp */
	uint64_t made_at;	/* host->now() */
	struct auth_costs costs;	/* those of most users */
};

struct pwline {
	char text[PF_MAX_LINE + 1];
	size_t used;		/* octets of it that are to be wiped */
	size_t n;		/* of the line, without its end */
	uint32_t nr;
};

enum pwfound { PW_NONE, PW_FOUND,
	PW_CHANGED };		/* the file is not what it was */

/* Are these two the same file, unchanged? */
_Bool same_file(const struct stat *a, const struct stat *b);

/* Room for LINES users in the table of FD, which is the index's from then on;
 * NULL: no memory, and FD is closed. */
struct pwindex *index_new(int fd, const struct stat *st, size_t lines,
    uint64_t seed);
void index_free(struct pwindex **ix);

/* Is the text that the index was made of still there?  Also if the file has no
 * name any more. */
_Bool index_is_whole(const struct pwindex *ix);

/* Find the line of the user of N octets; OUT is to be wiped in any case. */
enum pwfound index_find(const struct pwindex *ix, const char *user, size_t n,
    struct pwline *out);

/* Add the user whose line number NR begins AT; 0, or the number of the line
 * that he has already, or UINT32_MAX if the table is full. */
uint32_t index_add(struct pwindex *ix, const char *user, size_t n,
    uint64_t at, uint32_t nr);

/* --- build.c: an index, piece by piece ------------------------------------ */

struct build;

enum built { BUILT, BUILD_MORE,
	BUILD_CHANGED,		/* the file changed meanwhile */
	BUILD_FAILED };		/* with a text in call->err */

/* Begin an index of the file PATH, which must be complete: a regular file that
 * ends with a newline.  QUIET: say nothing about its lines.  NULL: failed. */
struct build *build_new(const struct culver_host *host, const char *path,
    struct span scheme, _Bool quiet, struct culver_call *call);
void build_free(struct build **b);

/* Go on until host->now() is UNTIL or later, at least by one piece. */
enum built build_step(struct build *b, uint64_t until,
    struct culver_call *call);

/* Its index, which is the caller's then. */
struct pwindex *build_take(struct build *b);

/* --- file.c: which index answers ------------------------------------------- */

struct pwfile {
	const struct culver_host *host;
	const char *path;	/* borrowed */
	struct span scheme;	/* default scheme, borrowed */
	struct pwindex *ix;	/* the last good one; NULL: none yet */
	struct build *build;	/* of the next one */
	uint64_t begun;		/* that, by host->now() */
	uint64_t behind;	/* host->now() when the file was seen to be
				 * another one; 0: it is that of ix */
	struct auth_costs costs;	/* of ix */
};

/*
 * Have an index that may answer: that of the file as it is now, or for a while
 * that of a file which a large one was renamed over.  OK, or a failure with
 * text in call->err; then nobody is "unknown".
 */
culver_status pwfile_refresh(struct pwfile *f, struct culver_call *call);

/* The line of USER; OK, E_NOUSER or a failure.  OUT is to be wiped. */
culver_status pwfile_find(struct pwfile *f, const char *user,
    struct pwline *out, struct culver_call *call);

void pwfile_unload(struct pwfile *f);

/* E_TEMP, with errno: WHAT cannot be done with PATH. */
culver_status pwfile_fail(const char *path, const char *what,
    struct culver_call *call);

/* --- login.c ------------------------------------------------------------- */

enum { OPT_PATH, OPT_SCHEME, OPT_ALLOW_WEAK, OPT_UID, OPT_GID, OPT_HOME,
	N_OPTIONS };

struct culver_auth {
	const struct culver_host *host;
	struct pwfile file;
	const struct culver_value *opt;	/* N_OPTIONS */
	struct auth_check check;
	struct pwline line;
	char where[AUTH_MAX_VALUE + 16];	/* file and line, for the log */
};

/* The line of the user, split, and where it is in au->where; OK, E_NOUSER, or
 * a failure. */
culver_status login_find(struct culver_auth *au, const char *user,
    struct entry *e, struct culver_call *call);

/* verify_plain() and lookup_creds() of the plugin. */
culver_status login_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status login_creds(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_cred *out,
    struct culver_auth_ok *ok, struct culver_call *call);

#endif /* PASSWDFILE_H */
