/*
 * login.c - may this client log in?  The directory says so, to a bind as the
 * user or by an attribute with the password's hash.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients, entries from a directory.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_ldap/dir.h"
#include "plugins/common/quote.h"

#define WHERE "directory"

static struct auth_account
account_of(const struct culver_auth_req *rq)
{
	return (struct auth_account){.where = WHERE, .user = rq->user,
	    .remote = rq->remote != NULL ? rq->remote : ""};
}

/* --- a bind as the user ----------------------------------------------------- */

struct try {
	const char *dn;
	struct culver_str password;
	struct dir_answer answer;
};

static culver_status
bind_op(struct dir_link *l, void *arg, struct culver_call *call)
{
	struct try *t = arg;

	return dir_link_bind(l, t->dn, &t->password,
	    dir_link_deadline(l, call), &t->answer, call);
}

/* Ask the server that found the entry: another may not have it yet. */
static void
user_link_follow(struct culver_auth *au)
{
	if (au->user.ld != NULL && au->user.at != au->search.at)
		dir_link_close(&au->user);
	au->user.at = au->search.at;
}

static culver_status
bind_as(struct culver_auth *au, const struct culver_auth_req *rq,
    const char *dn, const struct culver_str *password,
    struct culver_call *call)
{
	struct try t = {.dn = dn, .password = *password};
	culver_status st = dir_link_run(&au->user, bind_op, &t, call);
	struct quoted q;
	const char *why;

	if (st != CULVER_OK)
		return st;
	st = dir_bind_status(&t.answer, &why);
	if (st == CULVER_E_TEMP)
		return culver_fail(call, st, 0, "%.60s: bind as user %.60s: "
		    "%.100s", au->servers.v[au->user.at].name, rq->user, why);
	if (st == CULVER_E_DISABLED || st == CULVER_E_EXPIRED)
		culver_logf(au->host, CULVER_LOG_INFO, WHERE ": user %s is "
		    "refused: %s", quote(&q, rq->user), why);
	return st;
}

/*
 * For a user whom nobody knows do what a wrong password costs: a bind as an
 * entry that the section names for it.  What comes of it does not matter, and
 * the password is the client's, because long ones take longer.
 */
static culver_status
bind_as_nobody(struct culver_auth *au, const struct culver_str *password,
    culver_status st, struct culver_call *call)
{
	static const struct culver_auth_req nobody = {.user = "nobody@none"};
	struct span dn = span_option(&au->opt[OPT_DUMMY_DN]);
	char name[DIR_MAX_EXPANDED];
	struct try t = {.dn = name, .password = *password};
	const char *why;

	if (dn.n == 0)
		dn = span_option(&au->opt[OPT_BASE]);
	if (!dir_expand(dn, &nobody, true, name, &why) || name[0] == 0)
		return st;
	return dir_link_run(&au->user, bind_op, &t, call) == CULVER_OK ? st :
	    CULVER_E_TEMP;
}

/* The entry first, then the password. */
static culver_status
bind_found(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct dir_found *found,
    struct culver_call *call)
{
	struct auth_account a = account_of(rq);
	culver_status st = dir_find(au, rq, found, call);

	if (st != CULVER_OK && st != CULVER_E_NOUSER)
		return st;
	user_link_follow(au);
	if (st != CULVER_OK)
		return bind_as_nobody(au, password, st, call);
	st = bind_as(au, rq, found->dn, password, call);
	return st == CULVER_OK && auth_row_closes(&au->check, &a,
	    &found->row) ? CULVER_E_DISABLED : st;
}

/* The password first, at a DN that is made from the name; then the entry, if
 * there is a base. */
static culver_status
bind_made(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct dir_found *found,
    struct culver_call *call)
{
	struct auth_account a = account_of(rq);
	char dn[DIR_MAX_EXPANDED];
	const char *why;
	culver_status st;

	if (!dir_expand(span_option(&au->opt[OPT_AUTH_BIND_DN]), rq, true, dn,
	    &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "the name of user "
		    "%s: %s", rq->user, why);
	/* nobody looks at the entry's name to see whether it is this user's */
	if (!dir_name_is_plain(rq->user))
		return bind_as_nobody(au, password, CULVER_E_NOUSER, call);
	st = bind_as(au, rq, dn, password, call);
	if (st != CULVER_OK || span_option(&au->opt[OPT_BASE]).n == 0)
		return st;
	st = dir_find(au, rq, found, call);
	return st == CULVER_OK && auth_row_closes(&au->check, &a,
	    &found->row) ? CULVER_E_DISABLED : st;
}

/* --- an attribute with the password ------------------------------------------ */

/* Is the account closed?  A lock counts where no bind asks the server. */
static bool
account_closes(struct culver_auth *au, const struct auth_account *a,
    const struct dir_found *found)
{
	if (found->is_locked)
		culver_logf(au->host, CULVER_LOG_INFO, WHERE ": user %s is "
		    "refused: the account is locked (pwdAccountLockedTime)",
		    a->user);
	return auth_row_closes(&au->check, a, &found->row) ||
	    found->is_locked;
}

/* The user's entry and hash; OK if it can be checked and the account is open.
 * With OPEN_ONLY no hash is needed. */
static culver_status
account_find(struct culver_auth *au, const struct culver_auth_req *rq,
    bool open_only, struct dir_found *found, struct auth_account *a,
    struct culver_call *call)
{
	culver_status st = dir_find(au, rq, found, call);
	struct quoted q;

	*a = account_of(rq);
	if (st != CULVER_OK)
		return st;
	if (open_only && !au->map.has_password)
		return account_closes(au, a, found) ? CULVER_E_DISABLED :
		    CULVER_OK;
	if (auth_row_get(&found->row, "password").p == NULL)
		culver_logf(au->host, CULVER_LOG_WARN, WHERE ": user %s has "
		    "no password that may be read", quote(&q, rq->user));
	st = auth_row_hash(&au->check, a, &found->row, open_only, call);
	return st == CULVER_OK && account_closes(au, a, found) ?
	    CULVER_E_DISABLED : st;
}

static culver_status
password_check(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct dir_found *found,
    struct culver_call *call)
{
	struct auth_account a;
	culver_status st = account_find(au, rq, false, found, &a, call);

	return st == CULVER_E_DECLINE ? st :
	    auth_verify(&au->check, &a, st, password, call);
}

/* --- the operations ----------------------------------------------------------- */

culver_status
dir_login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct dir_found found = {.dn = NULL};
	struct auth_account a;
	const char *name = NULL;
	culver_status st;

	auth_kept_drop(&au->kept);
	if (rq->flags & CULVER_RQ_EXTERNAL)
		st = account_find(au, rq, true, &found, &a, call);
	else if (password->n == 0 || memchr(password->p, 0, password->n) !=
	    NULL)
		/* to a server it may be none, which is no wrong one (RFC 4513
		 * 5.1.2); this does not depend on the user */
		return CULVER_E_AUTH;
	else if (au->opt[OPT_BIND].u.i == 0)
		st = password_check(au, rq, password, &found, call);
	else if (span_option(&au->opt[OPT_AUTH_BIND_DN]).n > 0)
		st = bind_made(au, rq, password, &found, call);
	else
		st = bind_found(au, rq, password, &found, call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, WHERE, &found.row, &name, call);
	if (st != CULVER_OK)
		return st;
	if (name != NULL && CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	/* an entry that says nothing else need not be searched for again */
	if (found.dn != NULL)
		st = auth_row_add(au->host, &found.row, "userdb_user", "", 0,
		    call);
	if (st != CULVER_OK)
		return st;
	auth_kept_set(&au->kept, rq, name != NULL ? name : rq->user,
	    &found.row);
	return CULVER_OK;
}

culver_status
dir_login_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct dir_found found;
	struct auth_account a;
	const char *name = NULL;
	culver_status st;

	if (!au->map.has_password)
		return culver_fail(call, CULVER_E_DECLINE, 0, "no attribute "
		    "is the password");
	st = account_find(au, rq, false, &found, &a, call);
	if (st == CULVER_E_DECLINE)
		return st;
	st = auth_creds(&au->check, &a, st, out, call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, WHERE, &found.row, &name, call);
	if (st == CULVER_OK && name != NULL &&
	    CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	return st;
}

/* --- the user's data ------------------------------------------------------------ */

culver_status
dir_user_lookup(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct auth_user u = {.host = au->host, .out = out, .where = WHERE};
	struct dir_found found;
	culver_status st;

	if (auth_kept_has(&au->kept, rq)) {
		st = auth_kept_give(&au->kept, &u, rq->user, call);
	} else {
		st = dir_find(au, rq, &found, call);
		if (st == CULVER_OK)
			st = auth_row_give(&found.row, true, &u, rq->user,
			    call);
	}
	auth_kept_drop(&au->kept);
	return st == CULVER_OK ? auth_user_end(&u,
	    &au->opt[OPT_UID], call) : st;
}
