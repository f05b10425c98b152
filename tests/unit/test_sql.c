/*
 * test_sql.c - the SQL plugin over an SQLite database, through its own
 * operations: columns, prefetching, names that look like SQL, a database that
 * goes away and comes back.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "plugins/auth_sql/sql.h"
#include "tests/unit/fakehost.h"

extern const struct culver_plugin auth_sql_LTX_culver_plugin;

#define TABLE "CREATE TABLE u(name TEXT PRIMARY KEY, password TEXT, " \
	"uid INTEGER, gid INTEGER, home TEXT, quota TEXT, nologin TEXT, " \
	"nets TEXT, canonical TEXT);"
#define PREFETCH "SELECT password, canonical AS user, nologin, " \
	"nets AS allow_nets, uid AS userdb_uid, gid AS userdb_gid, " \
	"home AS userdb_home, quota AS userdb_quota_rule, " \
	"'x' AS userdb_extra FROM u WHERE name = %{user}"
#define SPLIT "SELECT uid, gid, home, quota AS quota_rule FROM u " \
	"WHERE name = %{user}"

struct sqltest {
	char dir[64], path[96];
	struct culver_value v[N_OPTIONS];
	struct culver_values vals;
	struct fakehost host;
	const struct culver_auth_ops *ops;
	struct culver_auth *au;
	struct culver_auth_ok ok;
};

static void
db_write(struct sqltest *s, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
text_set(struct sqltest *s, unsigned i, const char *text)
{
	s->v[i].is_set = 1;
	s->v[i].u.s = (struct culver_str){text, strlen(text)};
}

static void
start(struct sqltest *s)
{
	uint32_t bad;

	assert_int_equal(auth_sql_LTX_culver_plugin.check_options(
	    &s->host.host, &s->vals, &bad, fakehost_call(&s->host)),
	    CULVER_OK);
	assert_int_equal(s->ops->create(&s->au, &s->host.host, &s->vals,
	    fakehost_call(&s->host)), CULVER_OK);
}

static int
setup(void **state)
{
	struct sqltest *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/culver-sql-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/users.db", s->dir);
	text_set(s, OPT_PATH, s->path);
	text_set(s, OPT_PASSWORD_QUERY, PREFETCH);
	text_set(s, OPT_SCHEME, "PLAIN");
	s->v[OPT_TLS].u.i = SQL_TLS_VERIFY;
	s->v[OPT_CONNECT_TIMEOUT].u.i = 3000000000;
	s->vals = (struct culver_values){.size = sizeof(s->vals),
	    .n = N_OPTIONS, .v = s->v};
	s->ops = auth_sql_LTX_culver_plugin.ops.auth;
	fakehost_init(&s->host);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct sqltest *s = *state;

	s->ops->destroy(s->au);
	unlink(s->path);
	rmdir(s->dir);
	fakehost_free(&s->host);
	free(s);
	return 0;
}

static struct culver_auth_req
request(const char *user, const char *session)
{
	return (struct culver_auth_req){.size =
	    sizeof(struct culver_auth_req), .user = user, .service = "pop3",
	    .remote = "192.0.2.1", .local = "192.0.2.2", .session = session};
}

static culver_status
verify(struct sqltest *s, const char *user, const char *pw)
{
	struct culver_auth_req rq = request(user, "1");
	struct culver_str p = {pw, strlen(pw)};

	s->ok = (struct culver_auth_ok){.size = sizeof(s->ok)};
	return s->ops->verify_plain(s->au, &rq, &p, &s->ok,
	    fakehost_call(&s->host));
}

static culver_status
lookup(struct sqltest *s, const char *user, struct culver_user *out)
{
	struct culver_auth_req rq = request(user, "1");

	*out = (struct culver_user){.size = sizeof(*out)};
	return s->ops->lookup_user(s->au, &rq, out, fakehost_call(&s->host));
}

static void
test_columns(void **state)
{
	struct sqltest *s = *state;
	struct culver_user u;

	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/srv/a','*:bytes=77',NULL,NULL,NULL),"
	    "('b','pw',5000,5001,'/srv/b',NULL,'y',NULL,NULL),"
	    "('c','pw',5000,5001,NULL,NULL,'no','192.0.2.0/24','real'),"
	    "('d','pw',5000,5001,NULL,NULL,NULL,'10.0.0.0/8',NULL),"
	    "('e',NULL,5000,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('f','{SSHA}x',5000,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('g','pw',-1,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('h','pw',5000,5001,NULL,'*:storage=much',NULL,NULL,NULL),"
	    "('i','p' || char(10) || 'w',1,1,NULL,NULL,NULL,NULL,NULL)");
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
	assert_null(s->ok.user);
	assert_int_equal(lookup(s, "a", &u), CULVER_OK);
	assert_int_equal(u.uid, 5000);
	assert_int_equal(u.gid, 5001);
	assert_string_equal(u.home, "/srv/a");
	assert_string_equal(u.name, "a");
	assert_int_equal(u.quota_octets, 77);
	assert_int_equal(u.n_fields, 2);
	assert_string_equal(u.fields[1].name, "extra");
	assert_int_equal(verify(s, "a", "wrong"), CULVER_E_AUTH);
	assert_int_equal(verify(s, "A", "pw"), CULVER_E_NOUSER);
	assert_int_equal(verify(s, "b", "pw"), CULVER_E_DISABLED);
	assert_int_equal(verify(s, "c", "pw"), CULVER_OK);
	assert_string_equal(s->ok.user, "real");
	assert_int_equal(verify(s, "d", "pw"), CULVER_E_DISABLED);
	assert_non_null(strstr(s->host.log, "allow_nets does not have 192."));
	assert_int_equal(verify(s, "e", ""), CULVER_E_DISABLED);
	assert_int_equal(verify(s, "f", "pw"), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "g", &u), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "h", &u), CULVER_E_TEMP);
	assert_int_equal(verify(s, "i", "p\nw"), CULVER_E_TEMP);
}

/* Data that came with a password serves one lookup of the same session. */
static void
test_prefetch(void **state)
{
	struct sqltest *s = *state;
	struct culver_user u;

	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/old',NULL,NULL,NULL,NULL)");
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
	db_write(s, "UPDATE u SET home = '/new'");
	assert_int_equal(lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/old");
	assert_int_equal(lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/new");
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
	assert_int_equal(lookup(s, "b", &u), CULVER_E_NOUSER);
}

static void
test_two_queries(void **state)
{
	struct sqltest *s = *state;
	struct culver_user u;

	text_set(s, OPT_PASSWORD_QUERY,
	    "SELECT password FROM u WHERE name = %{user}");
	text_set(s, OPT_USER_QUERY, SPLIT);
	text_set(s, OPT_HOME, "/srv/%{user}");
	s->v[OPT_UID].u.i = s->v[OPT_GID].u.i = 7000;
	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/srv/x',NULL,NULL,NULL,NULL),"
	    "('b','pw',NULL,NULL,NULL,NULL,NULL,NULL,NULL)");
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
	assert_int_equal(lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/srv/x");
	assert_int_equal(u.uid, 5000);
	assert_int_equal(lookup(s, "b", &u), CULVER_OK);
	assert_string_equal(u.home, "/srv/b");
	assert_int_equal(u.uid, 7000);
	assert_int_equal(lookup(s, "c", &u), CULVER_E_NOUSER);
}

/* Whatever a name says, it is a name. */
static void
test_injections(void **state)
{
	static char long_name[65536];
	static const char *const names[] = {
		"'", "''", "\\'", "\"", "`", "a'--", "a' OR '1'='1",
		"' OR 1=1 --", "' UNION SELECT 'x' --", "'; DROP TABLE u; --",
		"a\n' OR 1=1", "a\r", "%", "_", "%{user}", "%s%n", "$1", "?",
		"?1", ":name", "\\", "\\x27", "\xca\xbc OR 1=1",
		"\xef\xbc\x87 OR 1=1", "\xe2\x80\x99", "\xbf\x27 OR 1=1",
		"a\xc0\x80", "\xff", "a;b", "/*", "*/", "--", "#", "",
		"a ", " a", "\xc3\xa4", "a\xcc\x88", long_name,
	};
	struct sqltest *s = *state;
	struct culver_user u;

	memset(long_name, '\'', sizeof(long_name) - 1);
	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/srv/x',NULL,NULL,NULL,NULL)");
	start(s);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(verify(s, names[i], "pw"), CULVER_E_NOUSER);
		assert_int_equal(verify(s, "a", names[i]), CULVER_E_AUTH);
		assert_int_equal(lookup(s, names[i], &u), CULVER_E_NOUSER);
		fakehost_reset(&s->host);
	}
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
}

/* A name that is odd is found all the same, whole. */
static void
test_odd_names(void **state)
{
	struct sqltest *s = *state;
	struct culver_user u;

	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('o''brien; --','pw',5000,5001,'/srv/x',NULL,NULL,NULL,NULL)");
	start(s);
	assert_int_equal(verify(s, "o'brien; --", "pw"), CULVER_OK);
	assert_int_equal(lookup(s, "o'brien; --", &u), CULVER_OK);
	assert_string_equal(u.name, "o'brien; --");
}

static void
test_away(void **state)
{
	struct sqltest *s = *state;
	struct culver_user u;

	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_int_equal(lookup(s, "a", &u), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "away"));
	s->host.clock = s->host.host.now(&s->host.host) + 60000000000u;
	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/srv/x',NULL,NULL,NULL,NULL)");
	assert_int_equal(verify(s, "a", "pw"), CULVER_OK);
	/* replaced by another file, then by none, then by no table */
	unlink(s->path);
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_TEMP);
	s->host.clock += 60000000000u;
	db_write(s, TABLE "INSERT INTO u VALUES"
	    "('b','pw',5000,5001,'/srv/x',NULL,NULL,NULL,NULL)");
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_NOUSER);
	assert_int_equal(verify(s, "b", "pw"), CULVER_OK);
	db_write(s, "ALTER TABLE u RENAME TO v");
	assert_int_equal(verify(s, "b", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "no such table"));
	db_write(s, "ALTER TABLE v RENAME TO u");
	assert_int_equal(verify(s, "b", "pw"), CULVER_OK);
}

/* Somebody holds the lock past the call's time: later, not "unknown". */
static void
test_locked(void **state)
{
	struct sqltest *s = *state;
	sqlite3 *db;

	db_write(s, TABLE);
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_NOUSER);
	assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL),
	    SQLITE_OK);
	s->host.call.deadline = s->host.host.now(&s->host.host) + 30000000;
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_TEMP);
	sqlite3_close(db);
	s->host.call.deadline = UINT64_MAX;
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_NOUSER);
}

static void
test_rows(void **state)
{
	struct sqltest *s = *state;

	text_set(s, OPT_PASSWORD_QUERY,
	    "SELECT 'pw' AS password UNION ALL SELECT 'px'");
	db_write(s, TABLE);
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "more than one row"));
}

/* A query that writes is not run. */
static void
test_read_only(void **state)
{
	struct sqltest *s = *state;

	text_set(s, OPT_PASSWORD_QUERY, "DELETE FROM u RETURNING password");
	db_write(s, TABLE "INSERT INTO u(name, password) VALUES('a','pw')");
	start(s);
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "more than read"));
}

static void
test_unknown_costs(void **state)
{
	struct sqltest *s = *state;

	text_set(s, OPT_SCHEME, "CRYPT");
	db_write(s, TABLE "INSERT INTO u(name, password) VALUES"
	    "('a','$6$rounds=1000$one$x'),('b','$6$rounds=1000$two$x'),"
	    "('c','$5$rounds=1000$one$x')");
	start(s);
	assert_string_equal(s->au->costs.method->name, "YESCRYPT");
	assert_int_equal(verify(s, "a", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.hash, "$6$rounds=1000$one$x");
	assert_int_equal(verify(s, "b", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.hash, "$6$rounds=1000$one$x");
	assert_int_equal(verify(s, "nobody", "pw"), CULVER_E_NOUSER);
	assert_int_equal(verify(s, "c", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.method->name, "SHA256-CRYPT");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_columns), T(test_prefetch), T(test_two_queries),
		T(test_injections), T(test_odd_names), T(test_away),
		T(test_locked), T(test_rows), T(test_read_only),
		T(test_unknown_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
