/*
 * dir.h - the parts of the LDAP plugin, for each other.
 *
 * Runs in a pool process as the auth user.  Filters and names of entries are
 * an administrator's; what is put into them comes from clients, as octets that
 * can be nothing but a part of a value.  What a server answers is not trusted
 * to be well-formed.
 */
#ifndef AUTH_LDAP_DIR_H
#define AUTH_LDAP_DIR_H

#include <ldap.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/common/auth.h"
#include "plugins/common/servers.h"

enum {
	DIR_MAX_EXPANDED = 8192,	/* octets of a filter or DN */
	DIR_MAX_DEPTH = 16,		/* of a filter */
	DIR_MAX_TESTS = 8,
	DIR_MAX_MAPPED = 32,		/* attributes with a meaning */
	DIR_MAX_NAME = 63		/* octets of an attribute's name */
};

enum { OPT_URI, OPT_TLS, OPT_TLS_CA, OPT_TLS_CERT, OPT_TLS_KEY,
	OPT_CONNECT_TIMEOUT, OPT_BIND_DN, OPT_BIND_PASSWORD, OPT_BASE,
	OPT_SCOPE, OPT_FILTER, OPT_ATTRIBUTES, OPT_BIND, OPT_AUTH_BIND_DN,
	OPT_DUMMY_DN, OPT_SCHEME, OPT_ALLOW_WEAK, OPT_UID, OPT_GID, OPT_HOME,
	N_OPTIONS };

enum dir_tls { DIR_TLS_OFF, DIR_TLS_REQUIRE, DIR_TLS_VERIFY };

/* --- template.c: %{user} in a filter or DN --------------------------------- */

/*
 * Expand TEXT for RQ into OUT.  With QUOTE every octet of a value but letters,
 * digits, '-', '.', '_' and '@' becomes \ and two hexadecimal digits, which
 * filters (RFC 4515 3) and DNs (RFC 4514 2.4) read as just that octet.
 * False with a constant text in *WHY: an unknown variable, or too long.
 */
bool dir_expand(struct span text, const struct culver_auth_req *rq,
    bool quote, char out[DIR_MAX_EXPANDED], const char **why);

/* Can TEXT be expanded, for any client? */
bool dir_template_check(struct span text, const char **why);

/* Has it a variable, up to what is wrong in it?  One with the user's name? */
bool dir_template_varies(struct span text);
bool dir_template_names(struct span text);

/* Its variables, as bits 1 << AUTH_VAR_... */
unsigned dir_template_vars(struct span text);

/* Is NAME one that a directory reads as nothing else: no octet above 0x7e, no
 * space where several count as one or as none, be it of a part at an @? */
bool dir_name_is_plain(const char *name);

/* --- filter.c ---------------------------------------------------------------- */

/* ATTR=VALUE in a filter, where VALUE has a variable of the user's name, or of
 * a part of it, and no star. */
struct dir_test {
	char attr[DIR_MAX_NAME + 1];
	struct span value;		/* in the filter's text */
	bool is_name;			/* of more than the domain */
};

/* How the tests of a filter stand in it, with an operator behind what it
 * joins: a number is a test, DIR_OP_OPEN is all others. */
enum { DIR_OP_AND = DIR_MAX_TESTS, DIR_OP_OR, DIR_OP_OPEN };
enum { DIR_MAX_OPS = DIR_MAX_TESTS * (2 * DIR_MAX_DEPTH + 2) };

struct dir_filter {
	unsigned n, n_ops;
	struct dir_test test[DIR_MAX_TESTS];
	unsigned char op[DIR_MAX_OPS];
};

/* Is an entry the user's?  The greater one counts where a filter has |. */
enum dir_truth {
	DIR_UNREAD,		/* may not be read */
	DIR_OTHER,		/* it has another name */
	DIR_OPEN,		/* nothing is said about it */
	DIR_SAME
};

/* What the filter says if its tests say OF. */
enum dir_truth dir_filter_judge(const struct dir_filter *f,
    const enum dir_truth of[DIR_MAX_TESTS]);

/* Is there an entry that F proves to be the user's? */
bool dir_filter_names(const struct dir_filter *f);

/*
 * Read the filter TEXT (RFC 4515 3), which has to outlive OUT.  False with a
 * constant text in *WHY: it is none, or a variable stands elsewhere than in a
 * value.
 */
bool dir_filter_parse(struct span text, struct dir_filter *out,
    const char **why);

/* --- entry.c: attributes ------------------------------------------------------ */

struct dir_map {
	unsigned n;
	struct {
		char attr[DIR_MAX_NAME + 1];
		char field[DIR_MAX_NAME + 1];	/* "userdb_" before it, if it
						 * is not about logging in */
	} v[DIR_MAX_MAPPED];
	const char *ask[DIR_MAX_MAPPED + DIR_MAX_TESTS + 2];
	bool has_password;
};

/* Read attributes = {ATTRIBUTE=FIELD, ...}; asks for those of FILTER, too.
 * False with a constant text in *WHY. */
bool dir_map_parse(const struct culver_value *list,
    const struct dir_filter *filter, struct dir_map *out, const char **why);

/* What a search found. */
struct dir_found {
	const char *dn;		/* NULL: no entry */
	bool is_locked;		/* by slapo-ppolicy(5) */
	struct auth_row row;
};

/*
 * Take the entry E into OUT.  E_NOUSER if it is another user's whose name the
 * server takes for that of RQ; E_TEMP, E_NOMEM.
 */
culver_status dir_entry_take(struct culver_auth *au, LDAP *ld,
    LDAPMessage *e, const struct culver_auth_req *rq, struct dir_found *out,
    struct culver_call *call);

/* --- result.c ------------------------------------------------------------------ */

struct dir_answer {
	int code;			/* LDAP_SUCCESS, ... */
	LDAPPasswordPolicyError policy;	/* PP_noError: none */
	char text[160];			/* what the server said */
};

/* What the answer to a user's bind means: OK, E_AUTH, E_NOUSER, E_DISABLED,
 * E_EXPIRED, E_TEMP; a constant text in *WHY. */
culver_status dir_bind_status(const struct dir_answer *a, const char **why);

/* Is it one that another server, or this one later, would not give? */
bool dir_is_unavailable(int code);

/* --- link.c: connections ---------------------------------------------------- */

struct dir_link {
	struct culver_auth *au;
	bool is_search;	/* is bound as bind_dn */
	unsigned at;		/* the server */
	LDAP *ld;		/* NULL: not connected */
	uint64_t until;		/* no read or write of it lasts longer */
	bool lost;		/* it cannot go on */
	bool failed;		/* nor can its server: ask another */
};

typedef culver_status dir_op(struct dir_link *l, void *arg,
    struct culver_call *call);

/* Run OP on whichever server answers.  What it returns, or E_TEMP. */
culver_status dir_link_run(struct dir_link *l, dir_op *op, void *arg,
    struct culver_call *call);

void dir_link_close(struct dir_link *l);

/* Bind as DN, which is not empty, and nor is PASSWORD.  OK: there is an
 * answer. */
culver_status dir_link_bind(struct dir_link *l, const char *dn,
    const struct culver_str *password, uint64_t deadline,
    struct dir_answer *out, struct culver_call *call);

/* The next message of MSGID into *OUT, which is ldap_msgfree()'s. */
culver_status dir_link_wait(struct dir_link *l, int msgid, uint64_t deadline,
    LDAPMessage **out, struct culver_call *call);

/* Read the result that ends an operation. */
culver_status dir_link_result(struct dir_link *l, LDAPMessage *m,
    struct dir_answer *out, struct culver_call *call);

/* The operation RC could not begin: E_TEMP. */
culver_status dir_link_fail(struct dir_link *l, int rc,
    struct culver_call *call);

/* When an operation that begins now must have ended. */
uint64_t dir_link_deadline(const struct dir_link *l,
    const struct culver_call *call);

/* --- layers.c: below and above TLS -------------------------------------------- */

/* No read or write of SB, which does not block, lasts past l->until; to be
 * added before TLS.  False: no memory. */
bool dir_layer_wait(Sockbuf *sb, struct dir_link *l);

/* Wipe what is sent over SB; to be added after TLS.  False: no memory. */
bool dir_layer_wipe(Sockbuf *sb);

/* --- login.c, search.c ------------------------------------------------ */

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;
	struct dir_filter filter;
	struct dir_map map;
	struct auth_servers servers;
	struct dir_link search, user;
	struct auth_costs costs;
	struct auth_check check;
	struct auth_kept kept;
};

/* Find the entry of the user of RQ.  OK, E_NOUSER, E_DECLINE if there is no
 * base, or a failure. */
culver_status dir_find(struct culver_auth *au,
    const struct culver_auth_req *rq, struct dir_found *out,
    struct culver_call *call);

culver_status dir_login_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status dir_login_creds(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_cred *out,
    struct culver_auth_ok *ok, struct culver_call *call);

culver_status dir_user_lookup(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_user *out,
    struct culver_call *call);

#endif /* AUTH_LDAP_DIR_H */
