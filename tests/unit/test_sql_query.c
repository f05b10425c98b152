/*
 * test_sql_query.c - the SQL plugin's queries: what becomes of placeholders,
 * and where none may stand.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugins/auth_sql/sql.h"

static void
test_placeholders(void **state)
{
	static const struct {
		enum sql_dialect dialect;
		const char *in, *out;
		unsigned n;
	} rows[] = {
		{SQL_SQLITE, "SELECT p FROM u WHERE n = %{user}",
		    "SELECT p FROM u WHERE n = ?", 1},
		{SQL_PGSQL, "SELECT p FROM u WHERE n=%{name} AND d=%{domain}",
		    "SELECT p FROM u WHERE n=$1 AND d=$2", 2},
		{SQL_PGSQL, "SELECT f(%{user},%{user}::text);",
		    "SELECT f($1,$2::text)", 2},
		{SQL_MYSQL, "SELECT 'a?b' FROM `u?` WHERE n=(%{user}) -- ?\n",
		    "SELECT 'a?b' FROM `u?` WHERE n=(?) -- ?\n", 1},
		{SQL_MYSQL, "SELECT 'it\\'s %x', n %% 2, %{remote}",
		    "SELECT 'it\\'s %x', n % 2, ?", 1},
		{SQL_SQLITE, "SELECT [a b], \"c'd\" WHERE x LIKE '%us%'",
		    "SELECT [a b], \"c'd\" WHERE x LIKE '%us%'", 0},
		{SQL_SQLITE, "SELECT 'it''s', %{service} /* two; words */ ;  ",
		    "SELECT 'it''s', ? /* two; words */   ", 1},
		{SQL_PGSQL, "SELECT $a$ ; ' $a$, a ? 'b', %{local}",
		    "SELECT $a$ ; ' $a$, a ? 'b', $1", 1},
		{SQL_PGSQL, "SELECT E'\\'', %{address}", "SELECT E'\\'', $1",
		    1},
	};
	struct sql_query q;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = {rows[i].in, strlen(rows[i].in)};

		if (!sql_query_parse(rows[i].dialect, in, &q, &why))
			fail_msg("%s: %s", rows[i].in, why);
		assert_string_equal(q.text, rows[i].out);
		assert_int_equal(q.n, rows[i].n);
		sql_query_free(&q);
	}
}

static void
test_refused(void **state)
{
	static const struct {
		const char *in, *why;
	} rows[] = {
		{"SELECT p FROM u WHERE n = '%{user}'", "bare"},
		{"SELECT p FROM u WHERE n = '%u'", "bare"},
		{"SELECT p FROM u WHERE n LIKE 'a%{name}b'", "bare"},
		{"SELECT p FROM \"%{user}\"", "bare"},
		{"SELECT p FROM `%{user}`", "bare"},
		{"SELECT p -- %{user}\nFROM u", "bare"},
		{"SELECT p /* %{user} */ FROM u", "bare"},
		{"SELECT p FROM u_%{user}", "bare"},
		{"SELECT p FROM %{user}x", "bare"},
		{"SELECT p WHERE n = %{user}'x'", "bare"},
		{"SELECT p WHERE n = %{password}", "only %{user}"},
		{"SELECT p WHERE n = %{}", "only %{user}"},
		{"SELECT p WHERE n = %{user", "without }"},
		{"SELECT p WHERE n = %u", "before a letter"},
		{"SELECT p WHERE n = 'x", "does not end"},
		{"SELECT p WHERE n = \"x", "does not end"},
		{"SELECT p /* x", "does not end"},
		{"SELECT p WHERE n = '", "does not end"},
		{"SELECT 1; DROP TABLE u", "more than one"},
		{"SELECT 1;;", "more than one"},
	};
	static const struct {
		enum sql_dialect dialect;
		const char *in, *why;
	} own[] = {
		{SQL_SQLITE, "SELECT p WHERE n = ?", "own"},
		{SQL_SQLITE, "SELECT p WHERE n = :user", "own"},
		{SQL_SQLITE, "SELECT p WHERE n = @user", "own"},
		{SQL_SQLITE, "SELECT p WHERE n = $user", "own"},
		{SQL_SQLITE, "SELECT [%{user}]", "bare"},
		{SQL_PGSQL, "SELECT p WHERE n = $1", "own"},
		{SQL_PGSQL, "SELECT $a$ %{user} $a$", "bare"},
		{SQL_PGSQL, "SELECT $a$ x", "does not end"},
		{SQL_MYSQL, "SELECT p WHERE n = ?", "own"},
		{SQL_MYSQL, "SELECT 'it\\' %{user}", "does not end"},
		{SQL_MYSQL, "SELECT 'it\\'", "does not end"},
		{SQL_MYSQL, "SELECT p # %{user}\n", "bare"},
	};
	struct sql_query q;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 3; i++) {
		struct span in = {rows[i / 3].in, strlen(rows[i / 3].in)};

		assert_false(sql_query_parse((enum sql_dialect)(i % 3), in,
		    &q, &why));
		if (strstr(why, rows[i / 3].why) == NULL)
			fail_msg("%s: %s", rows[i / 3].in, why);
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct span in = {own[i].in, strlen(own[i].in)};

		assert_false(sql_query_parse(own[i].dialect, in, &q, &why));
		if (strstr(why, own[i].why) == NULL)
			fail_msg("%s: %s", own[i].in, why);
	}
}

/* No more placeholders than there is room for, and no octet past the end. */
static void
test_many(void **state)
{
	char text[8 * (SQL_MAX_VARS + 1) + 1] = "";
	struct sql_query q;
	const char *why;
	struct span in = {text, 0};

	(void)state;
	for (unsigned i = 0; i < SQL_MAX_VARS + 1; i++)
		memcpy(text + 8 * i, "%{name} ", 8);
	in.n = 8 * SQL_MAX_VARS;
	assert_true(sql_query_parse(SQL_PGSQL, in, &q, &why));
	assert_int_equal(q.n, SQL_MAX_VARS);
	assert_non_null(strstr(q.text, " $32 "));
	sql_query_free(&q);
	in.n += 8;
	assert_false(sql_query_parse(SQL_PGSQL, in, &q, &why));
}

static void
test_values(void **state)
{
	static const struct {
		const char *user, *name, *domain;
	} rows[] = {
		{"tim", "tim", ""}, {"tim@example.org", "tim", "example.org"},
		{"a@b@c", "a@b", "c"}, {"@", "", ""},
		{"'; DROP TABLE u; --@x", "'; DROP TABLE u; --", "x"},
	};
	struct sql_query q = {.n = 3, .var = {AUTH_VAR_USER, AUTH_VAR_NAME,
	    AUTH_VAR_DOMAIN}};
	struct sql_values v;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct culver_auth_req rq = {.user = rows[i].user};

		sql_values_set(&q, &rq, &v);
		assert_true(span_is(v.v[0], rows[i].user));
		assert_true(span_is(v.v[1], rows[i].name));
		assert_true(span_is(v.v[2], rows[i].domain));
	}
}

static void
test_hosts(void **state)
{
	static const struct {
		const char *in, *name;
		unsigned port;
	} rows[] = {
		{"db", "db", 0}, {"db.example:5433", "db.example", 5433},
		{"127.0.0.1:1", "127.0.0.1", 1}, {"[::1]", "::1", 0},
		{"[::1]:65535", "::1", 65535},
		{"/run/postgresql", "/run/postgresql", 0},
		{"/run/a:b", "/run/a:b", 0},
		{"", NULL, 0}, {"db:", NULL, 0}, {"db:0", NULL, 0},
		{"db:65536", NULL, 0}, {"db:x", NULL, 0}, {"[::1", NULL, 0},
		{"[::1]x", NULL, 0}, {"a,b", NULL, 0}, {":1", NULL, 0},
	};
	struct auth_server h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = {rows[i].in, strlen(rows[i].in)};

		assert_int_equal(sql_host_parse(in, &h), rows[i].name != NULL);
		if (rows[i].name != NULL) {
			assert_string_equal(h.name, rows[i].name);
			assert_int_equal(h.port, rows[i].port);
			free(h.text);
		}
	}
}

static void
test_nets(void **state)
{
	static const struct {
		const char *nets, *remote;
		int in;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.255", 1},
		{"192.0.2.0/24", "192.0.3.1", 0},
		{"192.0.2.1", "192.0.2.1", 1}, {"192.0.2.1", "192.0.2.2", 0},
		{"10.0.0.0/8,2001:db8::/33", "2001:db8:7fff::1", 1},
		{"10.0.0.0/8, 2001:db8::/33", "2001:db8:8000::1", 0},
		{"10.0.0.0/8", "::ffff:10.1.2.3", 1},
		{"0.0.0.0/0", "::1", 0}, {"::/0", "::1", 1},
		{"0.0.0.0/0", "10.0.0.1", 1},
		{"local", "", 1}, {"local", "127.0.0.1", 0},
		{"127.0.0.1", "", 0}, {"", "127.0.0.1", 0},
		{"127.0.0.1/33", "127.0.0.1", 0}, {"x,127.0.0.1/", "127.0.0.1",
		    0}, {"127.0.0.1/-1", "127.0.0.1", 0},
		{"127.0.0.1/8/8", "127.0.0.1", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (auth_nets_have((struct span){rows[i].nets,
		    strlen(rows[i].nets)}, rows[i].remote) != rows[i].in)
			fail_msg("%s %s", rows[i].nets, rows[i].remote);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_placeholders),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_many),
		cmocka_unit_test(test_values), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_nets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
