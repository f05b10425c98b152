/*
 * test_sqlite_damage.c - databases that are damaged, hostile, older or newer:
 * each is refused with a reason, and none looks like an empty mailbox.
 */
#include "config.h"

#include "tests/unit/sqtest.h"

#include <stdio.h>
#include <string.h>

#include "plugins/storage_sqlite/sqlite.h"

/* A mailbox with three messages, closed. */
static int
setup_three(void **state)
{
	if (sqtest_setup(state) != 0)
		return -1;
	sqtest_deliver("Subject: 1\r\n");
	sqtest_deliver("Subject: 2\r\n");
	sqtest_deliver("Subject: 3\r\n");
	return sqtest_restart(NULL) == CULVER_OK ? 0 : -1;
}

/* open() says CORRUPT and why, check() says it too. */
static void
is_corrupt(const char *word)
{
	const char *text;

	sqtest_open_fails(CULVER_E_CORRUPT, word);
	assert_true(sqtest_check(&text) > 0);
	assert_int_equal(drive_deliver(&sqtest, "x", 1, 1, NULL),
	    CULVER_E_CORRUPT);
}

static void
an_empty_file(void **state)
{
	(void)state;
	sqtest_damage("m.db", 0, 0, 0);
	is_corrupt("empty file");
}

static void
a_file_that_is_no_database(void **state)
{
	(void)state;
	sqtest_damage("m.db", 0, 'x', 4000);
	is_corrupt("not a database");
}

static void
a_file_that_was_cut(void **state)
{
	(void)state;
	sqtest_damage("m.db", 2 * SQ_PAGE, 0, 0);
	is_corrupt("malformed");
	sqtest_damage("m.db", 50, 0, 0);
	is_corrupt("m.db");
}

static void
pages_that_were_overwritten(void **state)
{
	const char *text;
	long at;

	(void)state;
	for (at = sqtest_size("m.db") - SQ_PAGE; at >= SQ_PAGE; at -= SQ_PAGE)
		sqtest_damage("m.db", at, 0xff, SQ_PAGE);
	assert_int_equal(drive_open(&sqtest, EXCL), CULVER_E_CORRUPT);
	assert_true(sqtest_check(&text) > 0);
}

static void
a_database_of_another_program(void **state)
{
	(void)state;
	sqtest_sql("PRAGMA application_id=1");
	is_corrupt("application_id is 1");
}

static void
a_newer_database(void **state)
{
	const char *text;

	(void)state;
	sqtest_sql("PRAGMA user_version=7");
	sqtest_open_fails(CULVER_E_PERM, "format 7");
	assert_int_equal(drive_deliver(&sqtest, "x", 1, 1, NULL),
	    CULVER_E_PERM);
	assert_int_equal(sqtest_check(&text), 1);
	assert_non_null(strstr(text, "newer"));
	sqtest_sql("PRAGMA user_version=0");
	is_corrupt("impossible format");
}

static void
objects_that_are_not_ours(void **state)
{
	static const struct { const char *make, *drop, *word; } odd[] = {
		{ "CREATE TABLE t(x)", "DROP TABLE t", "t" },
		{ "CREATE VIEW v AS SELECT 1", "DROP VIEW v", "v" },
		{ "CREATE INDEX i ON message(octets)", "DROP INDEX i", "i" },
		{ "CREATE TRIGGER r AFTER INSERT ON message BEGIN DELETE FROM"
		    " message; END", "DROP TRIGGER r", "r" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		sqtest_sql(odd[i].make);
		is_corrupt(odd[i].word);
		sqtest_sql(odd[i].drop);
		sqtest_reopen(3);
		sqtest_restart(NULL);
	}
	sqtest_sql("ALTER TABLE message ADD COLUMN x");
	is_corrupt("message");
}

static void
a_view_in_place_of_a_table(void **state)
{
	(void)state;
	sqtest_sql("ALTER TABLE message RENAME TO m2;CREATE VIEW message AS"
	    " SELECT id, uidl, 1 octets, 1 received, 1 chunks, 0 flags"
	    " FROM m2");
	sqtest_open_fails(CULVER_E_CORRUPT, "schema");
}

static void
a_table_that_is_missing(void **state)
{
	(void)state;
	sqtest_sql("DROP TABLE message");
	is_corrupt("missing");
}

static void
rows_that_cannot_be(void **state)
{
	static const char *const odd[] = {
		"UPDATE message SET octets=-1 WHERE id=2",
		"UPDATE message SET chunks=0 WHERE id=2",
		"UPDATE message SET chunks=2 WHERE id=2",
		"UPDATE message SET chunks=1<<40 WHERE id=3",
		"UPDATE message SET uidl='' WHERE id=2",
		"UPDATE message SET uidl=hex(zeroblob(36)) WHERE id=2",
		"UPDATE message SET id=-2 WHERE id=2",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		sqtest_sql(odd[i]);
		sqtest_open_fails(CULVER_E_CORRUPT, "is wrong");
		sqtest_restart(NULL);
		sqtest_sql("DELETE FROM message");
		sqtest_sql("INSERT INTO message(id,uidl,octets,received,"
		    "chunks) VALUES(1,'a',12,1,1),(2,'b',12,1,1),"
		    "(3,'c',12,1,1)");
		sqtest_reopen(3);
		sqtest_restart(NULL);
	}
}

static void
fetch_fails(uint32_t index, culver_status st, const char *word)
{
	char *wire;
	size_t n;

	assert_int_equal(drive_fetch(&sqtest, index, &wire, &n), st);
	if (strstr(sqtest.host.err.text, word) == NULL)
		fail_msg("no '%s' in: %s", word, sqtest.host.err.text);
}

static void
chunks_that_do_not_fit(void **state)
{
	const char *text;

	(void)state;
	assert_int_equal(sqtest_check(&text), 0);
	sqtest_sql("DELETE FROM chunk WHERE id=1;"
	    "UPDATE message SET octets=11 WHERE id=2;"
	    "UPDATE message SET octets=13 WHERE id=3;"
	    "INSERT INTO chunk(id, data) VALUES(9, x'41')");
	sqtest_open(3);
	fetch_fails(0, CULVER_E_CORRUPT, "lacks its chunk 1");
	fetch_fails(1, CULVER_E_CORRUPT, "11 octets");
	fetch_fails(2, CULVER_E_CORRUPT, "13 octets");
	drive_close(&sqtest);
	assert_int_equal(sqtest_check(&text), 4);
	assert_non_null(strstr(text, "message 1"));
	/* and it can be used as before */
	sqtest_open(3);
	sqtest_sql("UPDATE chunk SET data=7 WHERE id=2");
	fetch_fails(1, CULVER_E_CORRUPT, "message 2");
}

/* --- other versions ------------------------------------------------------ */

static const char *const create_2[] = {
	"CREATE TABLE message(\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  uidl TEXT NOT NULL UNIQUE,\n"
	"  octets INTEGER NOT NULL,\n"
	"  received INTEGER NOT NULL,\n"
	"  chunks INTEGER NOT NULL,\n"
	"  flags INTEGER NOT NULL DEFAULT 0, lines INTEGER)",
	"CREATE TABLE chunk(\n"
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
	"  data BLOB NOT NULL)",
	"CREATE TABLE note(text TEXT)", NULL
};
static const char *const to_2[] = {
	"ALTER TABLE message ADD COLUMN lines INTEGER", NULL
};
static const char *const to_3[] = {
	"UPDATE message SET lines = octets / 12",
	"CREATE TABLE note(text TEXT)", NULL
};
static const char *const to_3_wrong[] = {
	"DELETE FROM message", "CREATE TABLE chunk(x)", NULL
};
static const char *const to_3_other[] = {
	"DELETE FROM message", "CREATE TABLE other(x)", NULL
};

static culver_status
check_as(const char *const *last)
{
	const char *const *const step[] = { NULL, to_2, last };
	const struct sq_schema s = { .version = 3, .create = create_2,
	    .step = step };
	struct culver_call *call = fakehost_call(&sqtest.host);
	culver_status st = sq_db_open_raw(sqtest.store, call);

	if (st == CULVER_OK)
		st = sq_schema_check(sqtest.store, &s, call);
	sq_db_close(sqtest.store);
	return st;
}

static void
an_older_database_is_brought_up_to_date(void **state)
{
	(void)state;
	assert_int_equal(check_as(to_3), CULVER_OK);
	assert_int_equal(sqtest_number("PRAGMA user_version"), 3);
	assert_int_equal(sqtest_number("SELECT count(*) FROM message"
	    " WHERE lines=1"), 3);
	assert_int_equal(check_as(to_3), CULVER_OK);
	/* for this version it is a newer one */
	sqtest_open_fails(CULVER_E_PERM, "format 3");
}

static void
a_migration_that_fails_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(check_as(to_3_wrong), CULVER_E_CORRUPT);
	sqtest_reopen(3);
	sqtest_restart(NULL);
	/* one that does not lead to the tables that are wanted */
	assert_int_equal(check_as(to_3_other), CULVER_E_CORRUPT);
	assert_int_equal(sqtest_number("PRAGMA user_version"), 1);
	sqtest_reopen(3);
	sqtest_fetch_is(2, "Subject: 3\r\n");
	sqtest_restart(NULL);
	/* nor one that comes too late */
	sqtest.host.call.deadline = 1;
	assert_int_equal(check_as(to_3), CULVER_E_TIMEOUT);
	sqtest.host.call.deadline = UINT64_MAX;
	sqtest_reopen(3);
}

static void
our_own_format_is_what_is_made(void **state)
{
	(void)state;
	assert_int_equal(sqtest_number("PRAGMA application_id"),
	    SQ_APPLICATION);
	assert_int_equal(sqtest_number("PRAGMA user_version"),
	    sq_schema.version);
	assert_int_equal(sqtest_number("PRAGMA page_size"), SQ_PAGE);
	assert_int_equal(sqtest_number("PRAGMA auto_vacuum"), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_three, sqtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_empty_file), T(a_file_that_is_no_database),
		T(a_file_that_was_cut), T(pages_that_were_overwritten),
		T(a_database_of_another_program), T(a_newer_database),
		T(objects_that_are_not_ours), T(a_view_in_place_of_a_table),
		T(a_table_that_is_missing), T(rows_that_cannot_be),
		T(chunks_that_do_not_fit),
		T(an_older_database_is_brought_up_to_date),
		T(a_migration_that_fails_changes_nothing),
		T(our_own_format_is_what_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
