/*
 * login.c - may this client log in?  The line of the file says so.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients, hashes from an administrator.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"

culver_status
login_find(struct culver_auth *au, const char *user, struct entry *e,
    struct culver_call *call)
{
	const char *why, *copy = NULL;
	culver_status st = pwfile_find(&au->file, user, &au->line, call);

	if (st == CULVER_OK) {
		snprintf(au->where, sizeof(au->where), "%s:%u",
		    au->file.path, au->line.nr);
		/* the core wipes that */
		copy = culver_strndup(au->host, call, au->line.text,
		    au->line.n);
	}
	explicit_bzero(au->line.text, au->line.used);
	au->line.used = 0;
	if (st != CULVER_OK)
		return st;
	if (copy == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "%s", au->where);
	if (!entry_parse(copy, au->line.n, e, &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: %s",
		    au->where, why);
	return CULVER_OK;
}

static _Bool
login_open(struct culver_auth *au, const struct auth_account *a,
    const struct entry *e)
{
	struct span rest = e->extra, name, value;

	while (!e->extra_is_mail && entry_next_extra(&rest, &name, &value))
		if (auth_field_closes(&au->check, a, name, value))
			return 0;
	return 1;
}

/* The user's hash; OK if it can be checked and the account is open. */
static culver_status
account_find(struct culver_auth *au, const struct culver_auth_req *rq,
    struct auth_account *a, struct culver_call *call)
{
	struct entry e = {0};
	culver_status st = login_find(au, rq->user, &e, call);

	*a = (struct auth_account){.where = au->where, .user = rq->user,
	    .remote = rq->remote};
	if (st != CULVER_OK)
		return st;
	st = auth_hash(&au->check, a, e.password, call);
	if (st == CULVER_OK && !login_open(au, a, &e))
		st = CULVER_E_DISABLED;
	return st;
}

/* Somebody else says that it is this user: is the account open?  A password
 * that is locked closes it to certificates, too; what kind of hash an open
 * one has does not matter. */
static culver_status
external_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_call *call)
{
	struct auth_account a = {.where = au->where, .user = rq->user,
	    .remote = rq->remote};
	struct entry e = {0};
	culver_status st = login_find(au, rq->user, &e, call);

	if (st != CULVER_OK)
		return st;
	return hash_parse(e.password, au->file.scheme).state == HASH_LOCKED ||
	    !login_open(au, &a, &e) ? CULVER_E_DISABLED : CULVER_OK;
}

culver_status
login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct auth_account a;
	culver_status st;

	(void)ok;
	if (rq->flags & CULVER_RQ_EXTERNAL)
		return external_verify(au, rq, call);
	st = account_find(au, rq, &a, call);
	a.quick = (rq->flags & CULVER_RQ_QUICK) != 0;
	return auth_verify(&au->check, &a, st, password, call);
}

culver_status
login_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct auth_account a;
	culver_status st = account_find(au, rq, &a, call);

	(void)ok;
	return auth_creds(&au->check, &a, st, out, call);
}
