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

culver_status
sql_user_lookup(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	bool prefetch = au->query[SQL_QUERY_USER].text == NULL;
	unsigned which = prefetch ? SQL_QUERY_PASSWORD : SQL_QUERY_USER;
	struct auth_user u = {.host = au->host, .out = out,
	    .where = prefetch ? "password query" : "user query"};
	struct auth_row row;
	culver_status st;

	if (auth_kept_has(&au->kept, rq)) {
		st = auth_kept_give(&au->kept, &u, rq->user, call);
	} else {
		st = sql_run(&au->conn, which, rq, &row, call);
		if (st == CULVER_OK && row.rows == 0)
			st = CULVER_E_NOUSER;
		if (st == CULVER_OK)
			st = auth_row_give(&row, prefetch, &u, rq->user, call);
	}
	auth_kept_drop(&au->kept);
	return st == CULVER_OK ? auth_user_end(&u, &au->opt[OPT_UID],
	    call) : st;
}
