/*
 * auth_sql.c - users from SQLite, PostgreSQL or MariaDB; see culver-sql(5).
 *
 * Runs in a pool process as the auth user, confined to the database's folder
 * or to the network.  Names and passwords come from clients, queries from an
 * administrator, rows from a database.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"
#include "plugins/common/paths.h"
#include "plugins/common/scram.h"

static const char *const drivers[] = {"sqlite", "pgsql", "mysql", NULL};
static const char *const tls[] = {"off", "require", "verify", NULL};

/* The network is a need of the plugin, not of a section. */
#if defined(WITH_PGSQL) || defined(WITH_MYSQL)
#define NEEDS CULVER_NEED_NET
#else
#define NEEDS 0
#endif

static const struct culver_option options[N_OPTIONS] = {
	[OPT_DRIVER] = {.name = "driver", .type = CULVER_OPT_ENUM,
	    .flags = CULVER_OPT_REQUIRED, .choices = drivers,
	    .help = "which database it is: sqlite, pgsql (PostgreSQL), "
		"mysql (MariaDB)"},
	[OPT_PATH] = {.name = "path", .type = CULVER_OPT_PATH,
	    .help = "sqlite: the database"},
	[OPT_HOST] = {.name = "host", .type = CULVER_OPT_LIST,
	    .help = "pgsql, mysql: servers, asked in turn until one answers: "
		"NAME, NAME:PORT, [ADDRESS]:PORT, a socket's absolute path "
		"(pgsql: its folder)"},
	[OPT_DATABASE] = {.name = "database", .type = CULVER_OPT_STRING,
	    .help = "pgsql, mysql: the database's name"},
	[OPT_USER] = {.name = "user", .type = CULVER_OPT_STRING,
	    .help = "pgsql, mysql: the name to connect with"},
	[OPT_PASSWORD] = {.name = "password", .type = CULVER_OPT_STRING,
	    .flags = CULVER_OPT_SECRET,
	    .help = "pgsql, mysql: the password to connect with"},
	[OPT_TLS] = {.name = "tls", .type = CULVER_OPT_ENUM, .choices = tls,
	    .def = "verify",
	    .help = "pgsql, mysql, but not over sockets of this machine: off, "
		"require (whoever answers), verify (the server's certificate)"},
	[OPT_TLS_CA] = {.name = "tls_ca", .type = CULVER_OPT_PATH,
	    .help = "file of certificates that may sign the server's"},
	[OPT_TLS_CERT] = {.name = "tls_certificate", .type = CULVER_OPT_PATH,
	    .help = "own certificate, for servers that want one"},
	[OPT_TLS_KEY] = {.name = "tls_key", .type = CULVER_OPT_PATH,
	    .help = "its key"},
	[OPT_CONNECT_TIMEOUT] = {.name = "connect_timeout",
	    .type = CULVER_OPT_TIME, .def = "3s", .min = 100000000,
	    .max = 60000000000, .help = "how long one server may take to "
		"answer before the next is asked"},
	[OPT_QUERY_TIMEOUT] = {.name = "query_timeout",
	    .type = CULVER_OPT_TIME, .def = "10s", .min = 100000000,
	    .max = 60000000000, .help = "how long the answer to one query may "
		"take before the connection counts as lost"},
	[OPT_PASSWORD_QUERY] = {.name = "password_query",
	    .type = CULVER_OPT_STRING,
	    .help = "query for a user's password"},
	[OPT_USER_QUERY] = {.name = "user_query", .type = CULVER_OPT_STRING,
	    .help = "query for where a user's mail is"},
	AUTH_PASSWORD_OPTIONS(OPT_SCHEME),
	AUTH_USER_OPTIONS(OPT_UID),
};

/* --- options ------------------------------------------------------------- */

static culver_status
queries_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	static const uint32_t at[] = {OPT_PASSWORD_QUERY, OPT_USER_QUERY};
	struct sql_query q;
	const char *why;
	unsigned have = 0;

	for (unsigned i = 0; i < SQL_N_QUERIES; i++) {
		struct span text = span_option(&v[at[i]]);

		*bad = at[i];
		if (text.n == 0)
			continue;
		have++;
		if (!sql_query_parse((enum sql_dialect)v[OPT_DRIVER].u.i,
		    text, &q, &why))
			return culver_fail(call, CULVER_E_CONFIG, 0, "%s",
			    why);
		sql_query_free(&q);
	}
	*bad = OPT_PASSWORD_QUERY;
	return have > 0 ? CULVER_OK : culver_fail(call, CULVER_E_CONFIG, 0,
	    "one of password_query and user_query is needed");
}

static culver_status
hosts_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	const struct culver_value *hosts = &v[OPT_HOST];
	struct auth_server h;

	*bad = OPT_HOST;
	if (hosts->u.list.n == 0 || hosts->u.list.n > AUTH_MAX_SERVERS)
		return culver_fail(call, CULVER_E_CONFIG, 0, "from 1 to %d "
		    "are needed", AUTH_MAX_SERVERS);
	for (size_t i = 0; i < hosts->u.list.n; i++) {
		const struct culver_str *s = &hosts->u.list.v[i];

		if (!sql_host_parse((struct span){s->p, s->n}, &h))
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.100s\" is not NAME, NAME:PORT, "
			    "[ADDRESS]:PORT or an absolute path", s->p);
		free(h.text);
	}
	*bad = OPT_DATABASE;
	if (span_option(&v[OPT_DATABASE]).n == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "is needed");
	*bad = OPT_USER;
	if (span_option(&v[OPT_USER]).n == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "is needed");
	*bad = OPT_TLS_KEY;
	if ((span_option(&v[OPT_TLS_CERT]).n == 0) !=
	    (span_option(&v[OPT_TLS_KEY]).n == 0))
		return culver_fail(call, CULVER_E_CONFIG, 0, "tls_certificate "
		    "and tls_key go together: set both or none");
	return CULVER_OK;
}

static culver_status
sql_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	bool is_file = v[OPT_DRIVER].u.i == SQL_SQLITE;
	culver_status st;

	(void)host;
	*bad = OPT_DRIVER;
	if (sql_driver_of((enum sql_dialect)v[OPT_DRIVER].u.i) == NULL)
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s is not built "
		    "in: its library was not there when Culver was configured",
		    drivers[v[OPT_DRIVER].u.i]);
	*bad = OPT_PATH;
	if (is_file != (span_option(&v[OPT_PATH]).n > 0))
		return culver_fail(call, CULVER_E_CONFIG, 0, is_file ?
		    "is needed: where the database is" :
		    "is for driver = sqlite: set host and database");
	*bad = OPT_HOST;
	if (is_file && v[OPT_HOST].u.list.n > 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "is not for "
		    "driver = sqlite");
	st = is_file ? CULVER_OK : hosts_check(v, bad, call);
	if (st == CULVER_OK)
		st = queries_check(v, bad, call);
	if (st == CULVER_OK)
		st = auth_password_options(v, OPT_SCHEME, bad, call);
	return st == CULVER_OK ? auth_user_options(v, OPT_UID, bad, call) :
	    st;
}

/* --- life ---------------------------------------------------------------- */

static void
sql_destroy(struct culver_auth *au)
{
	if (au == NULL)
		return;
	sql_conn_close(&au->conn);
	auth_servers_free(&au->conn.servers);
	for (unsigned i = 0; i < SQL_N_QUERIES; i++)
		sql_query_free(&au->query[i]);
	auth_kept_drop(&au->kept);
	auth_check_end(&au->check);
	free(au);
}

static bool
conn_set(struct culver_auth *au)
{
	const struct culver_value *v = au->opt;
	struct sql_conn *c = &au->conn;
	struct auth_servers *s = &c->servers;

	*c = (struct sql_conn){.host = au->host, .opt = v,
	    .query = au->query,
	    .driver = sql_driver_of((enum sql_dialect)v[OPT_DRIVER].u.i),
	    .servers = {.host = au->host, .what = "database",
		.timeout = (uint64_t)v[OPT_CONNECT_TIMEOUT].u.i}};
	s->n = v[OPT_DRIVER].u.i == SQL_SQLITE;
	for (size_t i = 0; i < v[OPT_HOST].u.list.n; i++) {
		const struct culver_str *text = &v[OPT_HOST].u.list.v[i];

		if (s->n == AUTH_MAX_SERVERS || !sql_host_parse(
		    (struct span){text->p, text->n}, &s->v[s->n]))
			return false;
		s->n++;
	}
	return c->driver != NULL;
}

static culver_status
sql_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au = calloc(1, sizeof(*au));
	enum sql_dialect dialect =
	    (enum sql_dialect)vals->v[OPT_DRIVER].u.i;
	const char *why = "options";
	bool ok;

	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	au->host = host;
	au->opt = vals->v;
	auth_check_begin(&au->check, host, &au->opt[OPT_SCHEME], &au->costs);
	ok = plug_scram_warm() && conn_set(au);
	for (unsigned i = 0; ok && i < SQL_N_QUERIES; i++) {
		struct span text = span_option(&au->opt[OPT_PASSWORD_QUERY +
		    i]);

		ok = text.n == 0 || sql_query_parse(dialect, text,
		    &au->query[i], &why);
	}
	if (!ok) {
		sql_destroy(au);
		return culver_fail(call, CULVER_E_TEMP, 0, "cannot start: %s",
		    why);
	}
	if (au->conn.driver->warm != NULL)
		au->conn.driver->warm();
	*out = au;
	return CULVER_OK;
}

/* --- paths --------------------------------------------------------------- */

static culver_status
sql_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const char *const own[] = {au->opt[OPT_TLS_CA].u.s.p,
	    au->opt[OPT_TLS_CERT].u.s.p, au->opt[OPT_TLS_KEY].u.s.p};

	*n = 0;
	/* A database of SQLite has files beside it, and may be replaced. */
	if (au->opt[OPT_DRIVER].u.i == SQL_SQLITE)
		return plug_paths_file(au->host, au->opt[OPT_PATH].u.s.p, out,
		    cap, n, call);
	plug_paths_net(out, cap, n);
	plug_paths_present(own, sizeof(own) / sizeof(own[0]), out, cap, n);
	return CULVER_OK;
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = sql_create,
	.destroy = sql_destroy,
	.paths = sql_paths,
	.verify_plain = sql_login_verify,
	.lookup_creds = sql_login_creds,
	.lookup_user = sql_user_lookup,
};

CULVER_PLUGIN(auth_sql) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	.caps = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_EXTERNAL |
	    CULVER_AU_USER,
	.needs = NEEDS,
	.name = "sql",
	.version = VERSION,
	.summary = "users from SQLite, PostgreSQL or MariaDB",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = sql_check_options,
	.ops = {.auth = &ops},
};
