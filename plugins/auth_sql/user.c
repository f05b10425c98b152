/*
 * user.c - where a user's mail is, from the user query or from what came with
 * the password.
 *
 * Runs in a pool process, on rows of a database.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

static const char prefix[] = "userdb_";

const struct auth_options sql_known_options = {
	.scheme = OPT_SCHEME, .allow_weak = OPT_ALLOW_WEAK, .uid = OPT_UID,
	.gid = OPT_GID, .home = OPT_HOME,
};

static bool
is_user_column(const struct sql_column *c)
{
	return c->name.n >= sizeof(prefix) &&
	    memcmp(c->name.p, prefix, sizeof(prefix) - 1) == 0;
}

/* --- what came with the password -------------------------------------------- */

void
sql_kept_drop(struct culver_auth *au)
{
	free(au->kept.text);
	au->kept = (struct sql_kept){.text = NULL};
}

static size_t
append(char *to, struct span s)
{
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
	return s.n + 1;
}

void
sql_kept_set(struct culver_auth *au, const struct culver_auth_req *rq,
    const char *user, const struct sql_row *row)
{
	struct sql_kept *k = &au->kept;
	size_t n = 0, session_n = rq->session != NULL ?
	    strlen(rq->session) : 0;

	sql_kept_drop(au);
	for (unsigned i = 0; i < row->n; i++)
		if (is_user_column(&row->column[i]))
			n += row->column[i].name.n +
			    row->column[i].value.n + 2;
	if (n == 0 || session_n == 0 || session_n >= sizeof(k->session) ||
	    strlen(user) >= sizeof(k->user))
		return;
	k->text = malloc(n);
	if (k->text == NULL)
		return;
	memcpy(k->session, rq->session, session_n + 1);
	memcpy(k->user, user, strlen(user) + 1);
	for (unsigned i = 0; i < row->n; i++) {
		const struct sql_column *c = &row->column[i];

		if (!is_user_column(c))
			continue;
		k->n += append(k->text + k->n, c->name);
		k->n += append(k->text + k->n, c->value);
		k->columns++;
	}
}

static bool
is_kept(const struct culver_auth *au, const struct culver_auth_req *rq)
{
	const struct sql_kept *k = &au->kept;

	return k->text != NULL && rq->session != NULL &&
	    strcmp(k->session, rq->session) == 0 &&
	    strcmp(k->user, rq->user) == 0;
}

static culver_status
kept_give(const struct sql_kept *k, struct auth_user *u, const char *user,
    struct culver_call *call)
{
	culver_status st = auth_user_begin(u, user, k->columns, call);
	const char *p = k->text;

	while (st == CULVER_OK && p < k->text + k->n) {
		struct span name = {p, strlen(p)};
		struct span value = {name.p + name.n + 1,
		    strlen(name.p + name.n + 1)};

		p = value.p + value.n + 1;
		st = auth_user_field(u, name, value, call);
	}
	return st;
}

/* --- a row ------------------------------------------------------------------- */

/* With PREFETCH only the columns userdb_* are the user's data. */
static culver_status
row_give(const struct sql_row *row, bool prefetch, struct auth_user *u,
    const char *user, struct culver_call *call)
{
	struct span own = sql_row_get(row, prefetch ? "userdb_user" : "user");
	culver_status st = auth_user_begin(u, own.n > 0 ? own.p : user,
	    row->n, call);

	for (unsigned i = 0; st == CULVER_OK && i < row->n; i++) {
		const struct sql_column *c = &row->column[i];

		if (prefetch ? is_user_column(c) : !span_is(c->name, "user"))
			st = auth_user_field(u, c->name, c->value, call);
	}
	return st;
}

culver_status
sql_user_lookup(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	bool prefetch = au->query[SQL_QUERY_USER].text == NULL;
	unsigned which = prefetch ? SQL_QUERY_PASSWORD : SQL_QUERY_USER;
	struct auth_user u = {.host = au->host, .out = out,
	    .where = prefetch ? "password query" : "user query"};
	struct sql_row row;
	culver_status st;

	if (is_kept(au, rq)) {
		st = kept_give(&au->kept, &u, rq->user, call);
	} else {
		st = sql_run(&au->conn, which, rq, &row, call);
		if (st == CULVER_OK && row.rows == 0)
			st = CULVER_E_NOUSER;
		if (st == CULVER_OK)
			st = row_give(&row, prefetch, &u, rq->user, call);
	}
	sql_kept_drop(au);
	return st == CULVER_OK ? auth_user_end(&u, au->opt,
	    &sql_known_options, call) : st;
}
