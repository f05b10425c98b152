/*
 * login.c - may this client log in?  The password query says so.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients, rows from a database.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

#define WHERE "password query"

/* The user's row and hash; OK if it can be checked and the account is open.
 * With OPEN_ONLY it does not matter what kind of hash there is. */
static culver_status
account_find(struct culver_auth *au, const struct culver_auth_req *rq,
    bool open_only, struct auth_row *row, struct auth_account *a,
    struct culver_call *call)
{
	culver_status st;

	*a = (struct auth_account){.where = WHERE, .user = rq->user,
	    .remote = rq->remote != NULL ? rq->remote : ""};
	if (au->query[SQL_QUERY_PASSWORD].text == NULL)
		return culver_fail(call, CULVER_E_DECLINE, 0, "there is no "
		    "password_query");
	st = sql_run(&au->conn, SQL_QUERY_PASSWORD, rq, row, call);
	if (st != CULVER_OK)
		return st;
	if (row->rows == 0)
		return CULVER_E_NOUSER;
	st = auth_row_hash(&au->check, a, row, open_only, call);
	return st == CULVER_OK && auth_row_closes(&au->check, a, row) ?
	    CULVER_E_DISABLED : st;
}

culver_status
sql_login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	bool external = (rq->flags & CULVER_RQ_EXTERNAL) != 0;
	struct auth_account a;
	struct auth_row row;
	const char *name = NULL;
	culver_status st = account_find(au, rq, external, &row, &a, call);

	auth_kept_drop(&au->kept);
	if (st == CULVER_E_DECLINE)
		return st;
	if (!external)
		st = auth_verify(&au->check, &a, st, password, call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, WHERE, &row, &name, call);
	if (st != CULVER_OK)
		return st;
	if (name != NULL && CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	auth_kept_set(&au->kept, rq, name != NULL ? name : rq->user, &row);
	return CULVER_OK;
}

culver_status
sql_login_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct auth_account a;
	struct auth_row row;
	const char *name = NULL;
	culver_status st = account_find(au, rq, false, &row, &a, call);

	if (st == CULVER_E_DECLINE)
		return st;
	st = auth_creds(&au->check, &a, st, out, call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, WHERE, &row, &name, call);
	if (st == CULVER_OK && name != NULL &&
	    CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	return st;
}
