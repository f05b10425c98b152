/*
 * sql.h - the parts of the SQL plugin, for each other.
 *
 * Runs in a pool process as the auth user.  Queries are an administrator's;
 * what is put in for their placeholders comes from clients and is bound, never
 * pasted.  What a database answers is not trusted to be well-formed.
 */
#ifndef SQL_H
#define SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/common/auth.h"
#include "plugins/common/servers.h"

enum {
	SQL_MAX_VARS = 32		/* placeholders in a query */
};

enum { OPT_DRIVER, OPT_PATH, OPT_HOST, OPT_DATABASE, OPT_USER, OPT_PASSWORD,
	OPT_TLS, OPT_TLS_CA, OPT_TLS_CERT, OPT_TLS_KEY, OPT_CONNECT_TIMEOUT,
	OPT_QUERY_TIMEOUT, OPT_PASSWORD_QUERY, OPT_USER_QUERY, OPT_SCHEME,
	OPT_ALLOW_WEAK, OPT_UID, OPT_GID, OPT_HOME, N_OPTIONS };

enum sql_dialect { SQL_SQLITE, SQL_PGSQL, SQL_MYSQL };	/* as OPT_DRIVER */
enum sql_tls { SQL_TLS_OFF, SQL_TLS_REQUIRE, SQL_TLS_VERIFY };

/* --- query.c -------------------------------------------------------------- */

struct sql_query {
	char *text;		/* for the database; NULL: no query */
	unsigned n;
	enum auth_var var[SQL_MAX_VARS];	/* of each placeholder */
};

/*
 * Read the query TEXT: each %{user} and so on becomes a placeholder of the
 * DIALECT.  False with a constant text in *WHY: an unknown one, one that
 * stands in a literal, a name or a comment, more than one statement.  OUT is
 * freed with sql_query_free().
 */
bool sql_query_parse(enum sql_dialect dialect, struct span text,
    struct sql_query *out, const char **why);
void sql_query_free(struct sql_query *q);

/* What is bound: N values, in the arena or the request's. */
struct sql_values {
	unsigned n;
	struct span v[SQL_MAX_VARS];
};

void sql_values_set(const struct sql_query *q,
    const struct culver_auth_req *rq, struct sql_values *out);

/* --- conn.c: the connection that is kept ---------------------------------- */

struct sql_driver;

struct sql_conn {
	const struct culver_host *host;
	const struct culver_value *opt;	/* N_OPTIONS */
	const struct sql_driver *driver;
	const struct sql_query *query;	/* 2: password, user */
	struct auth_servers servers;
	unsigned at;	/* the one that is used */
	bool lost;	/* set by run(): the connection cannot go on */
	void *db;	/* the driver's; NULL: not connected */
	const struct culver_call *call;	/* that runs */
};

/* What a database is spoken to with.  All end by call->deadline. */
struct sql_driver {
	/* Before the process is confined: what is loaded late otherwise. */
	void (*warm)(void);
	/* Connect to server c->at. */
	culver_status (*open)(struct sql_conn *c, uint64_t deadline,
	    struct culver_call *call);
	/* Run query WHICH; sets c->lost if the connection broke. */
	culver_status (*run)(struct sql_conn *c, unsigned which,
	    const struct sql_values *values, struct auth_row *row,
	    struct culver_call *call);
	void (*close)(struct sql_conn *c);
};

extern const struct sql_driver sql_driver_sqlite;
extern const struct sql_driver sql_driver_pgsql;
extern const struct sql_driver sql_driver_mysql;

/* The driver of DIALECT; NULL: it is not built in. */
const struct sql_driver *sql_driver_of(enum sql_dialect dialect);

/* Read "NAME", "NAME:PORT", "[ADDRESS]:PORT" or "/FOLDER". */
bool sql_host_parse(struct span text, struct auth_server *out);

/* Run query WHICH for RQ, on whichever host answers.  OK with 0 or 1 rows, or
 * a failure that is never "unknown user". */
culver_status sql_run(struct sql_conn *c, unsigned which,
    const struct culver_auth_req *rq, struct auth_row *row,
    struct culver_call *call);

void sql_conn_close(struct sql_conn *c);

/* The server that is used. */
const struct auth_server *sql_server(const struct sql_conn *c);

/* --- login.c -------------------------------------------------------------- */

enum { SQL_QUERY_PASSWORD, SQL_QUERY_USER, SQL_N_QUERIES };

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;
	struct sql_query query[SQL_N_QUERIES];
	struct sql_conn conn;
	struct auth_costs costs;
	struct auth_check check;
	struct auth_kept kept;
};

culver_status sql_login_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status sql_login_creds(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_cred *out,
    struct culver_auth_ok *ok, struct culver_call *call);

/* --- user.c --------------------------------------------------------------- */

culver_status sql_user_lookup(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_user *out,
    struct culver_call *call);

#endif /* SQL_H */
