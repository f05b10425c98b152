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

/* The name that the row gives to the user: "user" or "username", and perhaps
 * "domain" for one without. */
static culver_status
name_set(struct culver_auth *au, const struct sql_row *row, const char **out,
    struct culver_call *call)
{
	struct span user = sql_row_get(row, "user");
	struct span domain = sql_row_get(row, "domain");
	char *made;

	if (user.n == 0)
		user = sql_row_get(row, "username");
	if (user.n == 0)
		return CULVER_OK;
	if (memchr(user.p, '@', user.n) != NULL)
		domain.n = 0;
	if (user.n + domain.n > 254 || memchr(user.p, '/', user.n) != NULL ||
	    user.p[0] == '.')
		return culver_fail(call, CULVER_E_TEMP, 0, WHERE ": the "
		    "column user is not a name that a user can have");
	made = culver_alloc(au->host, call, user.n + domain.n + 2);
	if (made == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "user");
	memcpy(made, user.p, user.n);
	if (domain.n > 0) {
		made[user.n] = '@';
		memcpy(made + user.n + 1, domain.p, domain.n);
	}
	*out = made;
	return CULVER_OK;
}

/* What an unknown user costs from now on: what this one does. */
static void
costs_learn(struct auth_costs *c, const struct hash *h)
{
	size_t n = hash_cost_prefix(h);

	c->has_plain |= h->method == method_plain;
	if (c->method != h->method || strlen(c->hash) < n ||
	    memcmp(c->hash, h->text.p, n) != 0)
		auth_costs_like(c, h);
}

static bool
fields_close(struct culver_auth *au, const struct auth_account *a,
    const struct sql_row *row)
{
	for (unsigned i = 0; i < row->n; i++)
		if (auth_field_closes(&au->check, a, row->column[i].name,
		    row->column[i].value))
			return true;
	return false;
}

/* The user's row and hash; OK if it can be checked and the account is open.
 * With OPEN_ONLY it does not matter what kind of hash there is. */
static culver_status
account_find(struct culver_auth *au, const struct culver_auth_req *rq,
    bool open_only, struct sql_row *row, struct auth_account *a,
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
	st = auth_hash(&au->check, a, sql_row_get(row, "password"), call);
	if (a->hash.state == HASH_GOOD)
		costs_learn(&au->costs, &a->hash);
	if (open_only && a->hash.state != HASH_LOCKED)
		st = CULVER_OK;
	if (st == CULVER_OK && fields_close(au, a, row))
		st = CULVER_E_DISABLED;
	return st;
}

culver_status
sql_login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	bool external = (rq->flags & CULVER_RQ_EXTERNAL) != 0;
	struct auth_account a;
	struct sql_row row;
	const char *name = NULL;
	culver_status st = account_find(au, rq, external, &row, &a, call);

	sql_kept_drop(au);
	if (st == CULVER_E_DECLINE)
		return st;
	if (!external)
		st = auth_verify(&au->check, &a, st, password, call);
	if (st == CULVER_OK)
		st = name_set(au, &row, &name, call);
	if (st != CULVER_OK)
		return st;
	if (name != NULL && CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	sql_kept_set(au, rq, name != NULL ? name : rq->user, &row);
	return CULVER_OK;
}

culver_status
sql_login_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct auth_account a;
	struct sql_row row;
	const char *name = NULL;
	culver_status st = account_find(au, rq, false, &row, &a, call);

	if (st == CULVER_E_DECLINE)
		return st;
	st = auth_creds(&au->check, &a, st, out, call);
	if (st == CULVER_OK)
		st = name_set(au, &row, &name, call);
	if (st == CULVER_OK && name != NULL &&
	    CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	return st;
}
