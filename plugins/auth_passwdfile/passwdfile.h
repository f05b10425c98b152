/*
 * passwdfile.h - the parts of the passwd-file plugin, for each other.
 *
 * Runs in a pool process as the auth user.  The file is an administrator's:
 * trusted to say who may log in, not trusted to be well-formed or whole.
 */
#ifndef PASSWDFILE_H
#define PASSWDFILE_H

#include <crypt.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <culver/auth.h>

enum {
	PF_MAX_USER = 255,
	PF_MAX_VALUE = 4095,		/* home, location */
	PF_MAX_FILE = 1 << 30,		/* octets */
	PF_KINDS = 64,			/* kinds of hash told apart in a file */
	PF_RACY = 2			/* s in which a stamp proves little */
};

struct span {
	const char *p;
	size_t n;
};

/* Is S the text LITERAL? */
_Bool span_is(struct span s, const char *literal);

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

/* A decimal 1..4294967294. */
_Bool entry_id(struct span s, uint32_t *out);

/* --- scheme.c: what a password field means ------------------------------- */

struct method {
	const char *name;	/* as in {NAME} and allow_weak */
	const char *prefix;	/* of its hashes; NULL: told by its form */
	const char *setting;	/* costs as much as a usual hash */
	_Bool weak;
	unsigned scram;		/* 1, 256: keys of SCRAM with this SHA */
};

enum hash_state {
	HASH_GOOD,
	HASH_LOCKED,		/* empty, "!...", "*...", "x" */
	HASH_UNKNOWN,		/* a scheme that is not supported here */
	HASH_BROKEN		/* not of the scheme that it claims */
};

struct hash {
	enum hash_state state;
	const struct method *method;	/* HASH_GOOD */
	struct span scheme;		/* as written; "" if it was not */
	struct span text;		/* without the {SCHEME} */
};

/* {NAME} or a bare NAME in any case; NULL if unknown. */
const struct method *method_find(struct span name);
extern const struct method *const method_plain;

/* Is NAME one of the schemes, CRYPT included? */
_Bool scheme_known(struct span name);

/* Read the field PASSWORD; SCHEME is the one of fields that name none. */
struct hash hash_parse(struct span password, struct span scheme);

/* Octets at the front of H that say scheme and cost, the same for hashes that
 * take equally long. */
size_t hash_cost_prefix(const struct hash *h);

/*
 * Is PASSWORD (NUL-terminated) right for the method and hash?  OK, E_AUTH, or
 * E_TEMP if crypt(3) cannot tell.  Takes the same time for every password.
 * WORK is wiped by the caller.
 */
culver_status hash_verify(const struct method *method, const char *hash,
    const struct culver_str *password, struct crypt_data *work);

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
	_Bool has_plain;	/* keys have to be made for some */
	/* what checking a password of an unknown user has to cost */
	const struct method *dummy_method;
	char dummy[CRYPT_OUTPUT_SIZE];
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
	struct crypt_data work;
};

/* The line of the user, split; OK, E_NOUSER, or a failure. */
culver_status login_find(struct culver_auth *au, const char *user,
    struct entry *e, uint32_t *line_nr, struct culver_call *call);

/* verify_plain() and lookup_creds() of the plugin. */
culver_status login_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status login_creds(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_cred *out,
    struct culver_auth_ok *ok, struct culver_call *call);

/* --- quota.c ------------------------------------------------------------- */

/*
 * Read Dovecot's quota_rule RULE, as "*:storage=1G:messages=1000", into the
 * quota of OUT; a rule for one folder that is not the inbox changes nothing.
 * False: it is not one that can be kept.
 */
_Bool quota_parse(struct span rule, struct culver_user *out);

/* --- expand.c ------------------------------------------------------------ */

/*
 * Expand %{user}, %{name}, %{domain}, %u, %n, %d and %% of TEXT for USER into
 * OUT.  False with a constant text in *WHY: unknown variable, too long, or a
 * value that would leave the directory it is put into.  USER NULL: check TEXT.
 */
_Bool home_expand(const char *text, const char *user,
    char out[PF_MAX_VALUE + 1], const char **why);

#endif /* PASSWDFILE_H */
