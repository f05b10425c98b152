/*
 * auth.h - what auth plugins with stored users share: hashes of passwords,
 * Dovecot's fields of a user, the options that all of them have.
 *
 * Runs in a pool process as the auth user.  What a file or database says is an
 * administrator's: trusted to say who may log in, not to be well-formed.
 */
#ifndef PLUGINS_COMMON_AUTH_H
#define PLUGINS_COMMON_AUTH_H

#include <crypt.h>
#include <stddef.h>
#include <stdint.h>

#include <culver/auth.h>

#include "plugins/common/nets.h"

enum { AUTH_MAX_VALUE = 4095 };		/* octets of a home, a location */

/* Is S the text LITERAL? */
_Bool span_is(struct span s, const char *literal);

/* A decimal 1..4294967294. */
_Bool span_id(struct span s, uint32_t *out);

/* The text of an option; "" if it has none. */
struct span span_option(const struct culver_value *v);

/* --- auth_scheme.c: what a password field means --------------------------- */

struct method {
	const char *name;	/* as in {NAME} and allow_weak */
	const char *prefix;	/* of its hashes; NULL: told by its form */
	const char *setting;	/* costs as much as a usual hash */
	_Bool weak;
	unsigned scram;		/* 1, 256: keys of SCRAM with this SHA */
	unsigned digest;	/* octets of a digest, with or without salt */
	/* Of those that crypt(3) does not know: is TEXT one?  Is PASSWORD
	 * right, as of hash_verify()? */
	_Bool (*good)(const struct method *m, struct span text);
	culver_status (*verify)(const struct method *m, const char *hash,
	    const struct culver_str *password);
};

enum hash_state {
	HASH_GOOD,
	HASH_LOCKED,		/* empty, "!...", "*...", "x" */
	HASH_UNKNOWN,		/* a scheme that is not supported here */
	HASH_BROKEN,		/* not of the scheme that it claims */
	HASH_COSTLY		/* would take too much time or memory */
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

/*
 * Is PASSWORD (NUL-terminated) right for the method and hash?  OK, E_AUTH, or
 * E_TEMP if crypt(3) cannot tell.  Takes the same time for every password.
 * WORK is wiped by the caller.
 */
culver_status hash_verify(const struct method *method, const char *hash,
    const struct culver_str *password, struct crypt_data *work);

/* --- auth_digest.c: schemes of libcrypto and libargon2 --------------------- */

/* The members `good' and `verify' of SHA256 and its kin, with and without
 * salt, in base64 or hexadecimal digits; of Dovecot's PBKDF2; of Argon2. */
_Bool digest_good(const struct method *m, struct span text);
culver_status digest_verify(const struct method *m, const char *hash,
    const struct culver_str *password);
_Bool pbkdf2_good(const struct method *m, struct span text);
culver_status pbkdf2_verify(const struct method *m, const char *hash,
    const struct culver_str *password);
_Bool argon_good(const struct method *m, struct span text);
culver_status argon_verify(const struct method *m, const char *hash,
    const struct culver_str *password);

/* Equal?  Takes as long for every INPUT of N octets. */
_Bool secret_equal(const void *input, size_t n, const void *stored,
    size_t stored_n);

/* A number of up to nine digits at *P, which is moved behind it, before END;
 * false: there is none. */
_Bool text_number(const char **p, const char *end, uint32_t *out);

/* --- auth_cost.c: what checking a password takes --------------------------- */

struct hash_cost {
	uint64_t usec, kib;	/* about, on a machine of 2020 */
};

/* That of the good hash TEXT of METHOD; equal for those with equal
 * parameters.  Parameters that are not known here cost UINT64_MAX. */
struct hash_cost hash_cost(const struct method *method, struct span text);

/* Less than one process has to give for any login?  So little that others can
 * wait for it? */
_Bool hash_cost_bearable(const struct hash_cost *c);
_Bool hash_cost_little(const struct hash_cost *c);

/* --- auth_login.c: may this client log in? -------------------------------- */

/* What checking a password has to cost where there is none to check. */
struct auth_costs {
	_Bool has_plain;	/* keys of SCRAM have to be made for some */
	const struct method *method;
	struct hash_cost cost;
	char hash[CRYPT_OUTPUT_SIZE];
};

/* As for a usual hash of SCHEME; as for H. */
void auth_costs_usual(struct auth_costs *c, struct span scheme);
void auth_costs_like(struct auth_costs *c, const struct hash *h);

/* What an unknown user costs from now on: what H does. */
void auth_costs_learn(struct auth_costs *c, const struct hash *h);

/* A section that checks passwords. */
struct auth_check {
	const struct culver_host *host;
	struct span scheme;			/* of fields that name none */
	const struct culver_value *allow_weak;
	struct auth_costs *costs;
	struct crypt_data work;
};

/* Begin with the values V of AUTH_PASSWORD_OPTIONS, which last as long as C;
 * COSTS, the caller's, become those of a usual hash.  The end wipes both. */
void auth_check_begin(struct auth_check *c, const struct culver_host *host,
    const struct culver_value *v, struct auth_costs *costs);
void auth_check_end(struct auth_check *c);

/* One account: what was found, and how to name it in the log. */
struct auth_account {
	const char *where;	/* file and line, or section */
	const char *user;
	const char *remote;	/* the client's address */
	_Bool quick;		/* CULVER_RQ_QUICK; its plugin says so */
	struct hash hash;
};

/* Read PASSWORD into a->hash.  OK if it is one that can be checked and may
 * be; E_DISABLED, or E_TEMP. */
culver_status auth_hash(const struct auth_check *c, struct auth_account *a,
    struct span password, struct culver_call *call);

/*
 * Does the field NAME=VALUE of the account close it to this client?  Fields
 * of Dovecot that restrict a login in a way that is not known here do.  The
 * log says why, but for nologin.
 */
_Bool auth_field_closes(const struct auth_check *c,
    const struct auth_account *a, struct span name, struct span value);

/*
 * Finish verify_plain(): with ST OK, check the password; with any other, do
 * the same work for nothing and return it.  E_UNSUPPORTED if it should be
 * quick and is not.
 */
culver_status auth_verify(struct auth_check *c, const struct auth_account *a,
    culver_status st, const struct culver_str *password,
    struct culver_call *call);

/* Finish lookup_creds() in the same way. */
culver_status auth_creds(struct auth_check *c, const struct auth_account *a,
    culver_status st, struct culver_cred *out, struct culver_call *call);

/* --- auth_quota.c --------------------------------------------------------- */

/*
 * Read Dovecot's quota_rule RULE, as "*:storage=1G:messages=1000", into the
 * quota of OUT; a rule for one folder that is not the inbox changes nothing.
 * False: it is not one that can be kept.
 */
_Bool quota_parse(struct span rule, struct culver_user *out);

/* --- auth_expand.c -------------------------------------------------------- */

/*
 * Expand %{user}, %{name}, %{domain}, %u, %n, %d and %% of TEXT for USER into
 * OUT.  False with a constant text in *WHY: unknown variable, too long, or a
 * value that would leave the directory it is put into.  USER NULL: check TEXT.
 */
_Bool home_expand(const char *text, const char *user,
    char out[AUTH_MAX_VALUE + 1], const char **why);

/* --- auth_user.c: a user's data, field by field ---------------------------- */

struct auth_user {
	const struct culver_host *host;
	const char *where;		/* for the log */
	struct culver_user *out;
	struct culver_field *fields;	/* room for all of them, in the arena */
};

/* Start filling OUT for the user NAME, with at most N fields. */
culver_status auth_user_begin(struct auth_user *u, const char *name, size_t n,
    struct culver_call *call);

/* Take NAME=VALUE, "userdb_" before it or not: uid, gid, home, mail, storage,
 * quota_rule, or a field for the storage plugin. */
culver_status auth_user_field(struct auth_user *u, struct span name,
    struct span value, struct culver_call *call);

/* The place of the mail, as Dovecot writes it. */
culver_status auth_user_location(struct auth_user *u, struct span v,
    struct culver_call *call);

/* What the section's options, V[AUTH_UID] and so on, say where the user's data
 * says nothing.  OK, E_DECLINE if there are no ids at all, or E_TEMP. */
culver_status auth_user_end(struct auth_user *u, const struct culver_value *v,
    struct culver_call *call);

/* --- auth_options.c: what sections are told alike -------------------------- */

/* Options of a section that checks passwords, from option FIRST on; */
enum { AUTH_SCHEME, AUTH_ALLOW_WEAK };
#define AUTH_PASSWORD_OPTIONS(first) \
	[(first) + AUTH_SCHEME] = {.name = "scheme", \
	    .type = CULVER_OPT_STRING, .def = "CRYPT", \
	    .help = "scheme of passwords that name none"}, \
	[(first) + AUTH_ALLOW_WEAK] = {.name = "allow_weak", \
	    .type = CULVER_OPT_LIST, \
	    .help = "weak schemes that are accepted all the same: " \
		"MD5-CRYPT, DES-CRYPT"}

/* and of one that says where users' mail is. */
enum { AUTH_UID, AUTH_GID, AUTH_HOME };
#define AUTH_USER_OPTIONS(first) \
	[(first) + AUTH_UID] = {.name = "uid", .type = CULVER_OPT_INT, \
	    .min = 0, .max = UINT32_MAX - 1, .def = "0", \
	    .help = "uid of users without one; 0: none"}, \
	[(first) + AUTH_GID] = {.name = "gid", .type = CULVER_OPT_INT, \
	    .min = 0, .max = UINT32_MAX - 1, .def = "0", \
	    .help = "gid of users without one; 0: none"}, \
	[(first) + AUTH_HOME] = {.name = "home", .type = CULVER_OPT_STRING, \
	    .help = "home of users without one; %{user}, %{name} and " \
		"%{domain} are replaced"}

/* Their parts of check_options(), of all values V of the section; both set
 * *BAD.  OK or E_CONFIG. */
culver_status auth_password_options(const struct culver_value *v,
    uint32_t first, uint32_t *bad, struct culver_call *call);
culver_status auth_user_options(const struct culver_value *v, uint32_t first,
    uint32_t *bad, struct culver_call *call);

/* --- auth_row.c: what a database or a program answered about a user -------- */

enum { AUTH_MAX_COLUMNS = 64 };

struct auth_column {
	struct span name, value;	/* in the arena, with a NUL behind */
};

struct auth_row {
	unsigned n;		/* columns that are not NULL */
	unsigned rows;		/* that there were: 0, 1, 2 (or more) */
	struct auth_column column[AUTH_MAX_COLUMNS];
};

/* Add a column to the row; a NULL is left out.  OK, or E_TEMP or E_NOMEM. */
culver_status auth_row_add(const struct culver_host *host,
    struct auth_row *row, const char *name, const void *value, size_t n,
    struct culver_call *call);

/* The column NAME; "" if there is none, with p NULL. */
struct span auth_row_get(const struct auth_row *row, const char *name);

/* Does one of the columns close the account to this client? */
_Bool auth_row_closes(const struct auth_check *c, const struct auth_account *a,
    const struct auth_row *row);

/*
 * Read the column "password" into a->hash, and learn what such a one costs.
 * As auth_hash(); with OPEN_ONLY it does not matter what kind of hash there is,
 * as long as it is not locked.
 */
culver_status auth_row_hash(const struct auth_check *c, struct auth_account *a,
    const struct auth_row *row, _Bool open_only, struct culver_call *call);

/* The name that the row gives to the user, if any: "user" or "username", and
 * perhaps "domain" for one without.  WHERE is for the log. */
culver_status auth_row_user(const struct culver_host *host, const char *where,
    const struct auth_row *row, const char **out, struct culver_call *call);

/* Fill in U for USER; with PREFETCH only the columns userdb_* are his. */
culver_status auth_row_give(const struct auth_row *row, _Bool prefetch,
    struct auth_user *u, const char *user, struct culver_call *call);

/* The user's data that came with his password, for the lookup that follows. */
struct auth_kept {
	char *text;		/* name NUL value NUL ...; NULL: none */
	size_t n, columns;
	char user[256], session[64];
};

/* Keep the columns userdb_* of ROW for the lookup that follows in the same
 * session.  Without memory nothing is kept, and it is asked for again. */
void auth_kept_set(struct auth_kept *k, const struct culver_auth_req *rq,
    const char *user, const struct auth_row *row);
void auth_kept_drop(struct auth_kept *k);

/* Is it the data that RQ asks for?  Then fill in U with it. */
_Bool auth_kept_has(const struct auth_kept *k,
    const struct culver_auth_req *rq);
culver_status auth_kept_give(const struct auth_kept *k, struct auth_user *u,
    const char *user, struct culver_call *call);

#endif /* PLUGINS_COMMON_AUTH_H */
