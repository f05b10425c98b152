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
	PF_MAX_FILE = 1 << 30,		/* octets */
	PF_KINDS = 64,			/* kinds of hash told apart in a file */
	PF_RACY = 2			/* s in which a stamp proves little */
};

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

/* --- file.c: the whole file, in memory, with an index -------------------- */

struct slot {
	uint32_t at;		/* offset of the line; with line 0: free */
	uint32_t line;		/* its number */
};

struct pwfile {
	const struct culver_host *host;
	const char *path;	/* borrowed */
	struct span scheme;	/* default scheme, borrowed */
	/* what is loaded */
	_Bool loaded;
	_Bool racy;		/* changed so lately that another change may
				 * hide behind the same time stamp */
	uint64_t loaded_at;	/* host->now() */
	struct stat st;
	uint64_t seed;
	char *text;
	size_t n;
	struct slot *slots;
	size_t n_slots;		/* a power of two */
	size_t n_users;
	struct auth_costs costs;	/* those of most users */
};

/*
 * Make what is loaded match the file on disk.  OK, or a failure with text in
 * call->err; then nothing is loaded, and nobody is "unknown".
 */
culver_status pwfile_refresh(struct pwfile *f, struct culver_call *call);

/* The line of USER; false if no line is. */
_Bool pwfile_find(const struct pwfile *f, const char *user,
    struct span *line, uint32_t *line_nr);

void pwfile_unload(struct pwfile *f);

/* --- login.c ------------------------------------------------------------- */

enum { OPT_PATH, OPT_SCHEME, OPT_ALLOW_WEAK, OPT_UID, OPT_GID, OPT_HOME,
	N_OPTIONS };

struct culver_auth {
	const struct culver_host *host;
	struct pwfile file;
	const struct culver_value *opt;	/* N_OPTIONS */
	struct auth_check check;
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
