/*
 * test_sql.c - the SQL plugin over an SQLite database, through its own
 * operations: columns, prefetching, names that look like SQL, a database that
 * goes away and comes back.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

#include "plugins/auth_sql/sql.h"
#include "tests/unit/authtest.h"

extern const struct culver_plugin auth_sql_LTX_culver_plugin;

#define TABLE "CREATE TABLE u(name TEXT PRIMARY KEY, " \
	"password TEXT DEFAULT 'pw', uid INTEGER DEFAULT 5000, " \
	"gid INTEGER DEFAULT 5001, home TEXT DEFAULT '/srv/x', quota TEXT, " \
	"nologin TEXT, nets TEXT, canonical TEXT);"
#define PREFETCH "SELECT password, canonical AS user, nologin, " \
	"nets AS allow_nets, uid AS userdb_uid, gid AS userdb_gid, " \
	"home AS userdb_home, quota AS userdb_quota_rule, " \
	"'x' AS userdb_extra FROM u WHERE name = %{user}"
#define SPLIT "SELECT uid, gid, home, quota AS quota_rule FROM u " \
	"WHERE name = %{user}"

static void
db_write(struct authtest *s, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Make the table with users as INSERT, and start. */
static void
start(struct authtest *s, const char *insert)
{
	db_write(s, TABLE);
	db_write(s, insert);
	authtest_start(s);
}

static int
setup(void **state)
{
	struct authtest *s = authtest_new(&auth_sql_LTX_culver_plugin,
	    "users.db");

	authtest_text(s, OPT_PATH, s->path);
	authtest_text(s, OPT_PASSWORD_QUERY, PREFETCH);
	authtest_text(s, OPT_SCHEME, "PLAIN");
	s->v[OPT_TLS].u.i = SQL_TLS_VERIFY;
	s->v[OPT_CONNECT_TIMEOUT].u.i = 3000000000;
	s->v[OPT_QUERY_TIMEOUT].u.i = 10000000000;
	*state = s;
	return 0;
}

static void
test_columns(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	start(s, "INSERT INTO u VALUES"
	    "('a','pw',5000,5001,'/srv/a','*:bytes=77',NULL,NULL,NULL),"
	    "('b','pw',5000,5001,'/srv/b',NULL,'y',NULL,NULL),"
	    "('c','pw',5000,5001,NULL,NULL,'no','192.0.2.0/24','real'),"
	    "('d','pw',5000,5001,NULL,NULL,NULL,'10.0.0.0/8',NULL),"
	    "('e',NULL,5000,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('f','{SSHA}x',5000,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('g','pw',-1,5001,NULL,NULL,NULL,NULL,NULL),"
	    "('h','pw',5000,5001,NULL,'*:storage=much',NULL,NULL,NULL),"
	    "('i','p' || char(10) || 'w',1,1,NULL,NULL,NULL,NULL,NULL)");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	assert_null(s->ok.user);
	assert_int_equal(authtest_lookup(s, "a", &u), CULVER_OK);
	assert_int_equal(u.uid, 5000);
	assert_int_equal(u.gid, 5001);
	assert_string_equal(u.home, "/srv/a");
	assert_string_equal(u.name, "a");
	assert_int_equal(u.quota_octets, 77);
	assert_int_equal(u.n_fields, 2);
	assert_string_equal(u.fields[1].name, "extra");
	assert_int_equal(authtest_verify(s, "a", "wrong"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "A", "pw"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "b", "pw"), CULVER_E_DISABLED);
	assert_int_equal(authtest_verify(s, "c", "pw"), CULVER_OK);
	assert_string_equal(s->ok.user, "real");
	assert_int_equal(authtest_verify(s, "d", "pw"), CULVER_E_DISABLED);
	assert_non_null(strstr(s->host.log, "allow_nets does not have 192."));
	assert_int_equal(authtest_verify(s, "e", ""), CULVER_E_DISABLED);
	assert_int_equal(authtest_verify(s, "f", "pw"), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "g", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "h", &u), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "i", "p\nw"), CULVER_E_TEMP);
}

/* Data that came with a password serves one lookup of the same session. */
static void
test_prefetch(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	start(s, "INSERT INTO u(name, home) VALUES('a','/old')");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	db_write(s, "UPDATE u SET home = '/new'");
	assert_int_equal(authtest_lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/old");
	assert_int_equal(authtest_lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/new");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	assert_int_equal(authtest_lookup(s, "b", &u), CULVER_E_NOUSER);
}

static void
test_two_queries(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	authtest_text(s, OPT_PASSWORD_QUERY,
	    "SELECT password FROM u WHERE name = %{user}");
	authtest_text(s, OPT_USER_QUERY, SPLIT);
	authtest_text(s, OPT_HOME, "/srv/%{user}");
	s->v[OPT_UID].u.i = s->v[OPT_GID].u.i = 7000;
	start(s, "INSERT INTO u(name) VALUES('a'),('b');"
	    "UPDATE u SET uid = NULL, gid = NULL, home = NULL "
	    "WHERE name = 'b'");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	assert_int_equal(authtest_lookup(s, "a", &u), CULVER_OK);
	assert_string_equal(u.home, "/srv/x");
	assert_int_equal(u.uid, 5000);
	assert_int_equal(authtest_lookup(s, "b", &u), CULVER_OK);
	assert_string_equal(u.home, "/srv/b");
	assert_int_equal(u.uid, 7000);
	assert_int_equal(authtest_lookup(s, "c", &u), CULVER_E_NOUSER);
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
	struct authtest *s = *state;
	struct culver_user u;

	memset(long_name, '\'', sizeof(long_name) - 1);
	start(s, "INSERT INTO u(name) VALUES('a'),('o''brien; --')");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(authtest_verify(s, names[i], "pw"),
		    CULVER_E_NOUSER);
		assert_int_equal(authtest_verify(s, "a", names[i]),
		    CULVER_E_AUTH);
		assert_int_equal(authtest_lookup(s, names[i], &u),
		    CULVER_E_NOUSER);
		fakehost_reset(&s->host);
	}
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	/* and one that is odd is found, whole */
	assert_int_equal(authtest_verify(s, "o'brien; --", "pw"), CULVER_OK);
	assert_int_equal(authtest_lookup(s, "o'brien; --", &u), CULVER_OK);
	assert_string_equal(u.name, "o'brien; --");
}

static void
test_away(void **state)
{
	struct authtest *s = *state;
	struct culver_user u;

	authtest_start(s);
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_int_equal(authtest_lookup(s, "a", &u), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "away"));
	s->host.clock = s->host.host.now(&s->host.host) + 60000000000u;
	db_write(s, TABLE "INSERT INTO u(name) VALUES('a')");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_OK);
	/* replaced by another file, then by none, then by no table */
	unlink(s->path);
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	s->host.clock += 60000000000u;
	db_write(s, TABLE "INSERT INTO u(name) VALUES('b')");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "b", "pw"), CULVER_OK);
	db_write(s, "ALTER TABLE u RENAME TO v");
	assert_int_equal(authtest_verify(s, "b", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "no such table"));
	db_write(s, "ALTER TABLE v RENAME TO u");
	assert_int_equal(authtest_verify(s, "b", "pw"), CULVER_OK);
}

/* Somebody holds the lock past the time of the call, or of a query: later, not
 * "unknown". */
static void
test_locked(void **state)
{
	struct authtest *s = *state;
	sqlite3 *db;

	start(s, "");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_NOUSER);
	assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL),
	    SQLITE_OK);
	s->host.call.deadline = s->host.host.now(&s->host.host) + 30000000;
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	s->host.call.deadline = UINT64_MAX;
	s->v[OPT_QUERY_TIMEOUT].u.i = 30000000;
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	sqlite3_close(db);
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_NOUSER);
}

static void
test_rows(void **state)
{
	struct authtest *s = *state;

	authtest_text(s, OPT_PASSWORD_QUERY,
	    "SELECT 'pw' AS password UNION ALL SELECT 'px'");
	start(s, "");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "more than one row"));
}

/* A query that writes is not run. */
static void
test_read_only(void **state)
{
	struct authtest *s = *state;

	authtest_text(s, OPT_PASSWORD_QUERY,
	    "DELETE FROM u RETURNING password");
	start(s, "INSERT INTO u(name) VALUES('a')");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "more than read"));
}

static void
test_unknown_costs(void **state)
{
	struct authtest *s = *state;

	authtest_text(s, OPT_SCHEME, "CRYPT");
	start(s, "INSERT INTO u(name, password) VALUES"
	    "('a','$6$rounds=1000$one$x'),('b','$6$rounds=1000$two$x'),"
	    "('c','$5$rounds=1000$one$x')");
	assert_string_equal(s->au->costs.method->name, "YESCRYPT");
	assert_int_equal(authtest_verify(s, "a", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.hash, "$6$rounds=1000$one$x");
	assert_int_equal(authtest_verify(s, "b", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.hash, "$6$rounds=1000$one$x");
	assert_int_equal(authtest_verify(s, "nobody", "pw"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "c", "pw"), CULVER_E_AUTH);
	assert_string_equal(s->au->costs.method->name, "SHA256-CRYPT");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, authtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_columns), T(test_prefetch), T(test_two_queries),
		T(test_injections), T(test_away), T(test_locked),
		T(test_rows), T(test_read_only),
		T(test_unknown_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
