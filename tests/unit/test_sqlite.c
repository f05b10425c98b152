/*
 * test_sqlite.c - mail in the SQLite plugin: what is delivered is what is
 * read, a session sees a frozen snapshot, deletions are all or nothing.
 */
#include "config.h"

#include "tests/unit/sqtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s) { s, sizeof(s) - 1 }

static const struct {
	const char *p;
	size_t n;
} corpus[] = {
	TEXT(""), TEXT("Subject: x\r\n\r\nbody\r\n"), TEXT("no line end"),
	TEXT("lf\nonly\n"), TEXT("mixed\r\nline\nends\r\n"),
	TEXT("bare\rcr\r\n"), TEXT("two\r\r\nof them\r\r\r\n"),
	TEXT("cr at the end\r"), TEXT("\r"), TEXT("\n"), TEXT("\r\n"),
	TEXT("\n\r\n\r"), TEXT("a\0b\0\r\n\0"), TEXT(".\r\n..\r\n.x\r\n"),
	TEXT("\n."), TEXT("x\r.y\r\n"), TEXT("\377\376\200 8 bit\r\n"),
};

/* Is what the extents of message 0 promise true?  Their octets to OUT. */
static size_t
read_extents(char *out)
{
	struct culver_content *c;
	struct culver_extent e;
	bool bol = true;
	size_t n = 0, i;
	uint32_t k;

	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &c,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	while (sqtest.ops->next(c, &e, 1, &k, fakehost_call(&sqtest.host)) ==
	    CULVER_OK) {
		assert_int_equal(k, 1);
		assert_int_equal((e.flags & CULVER_EXT_AT_BOL) != 0, bol);
		memcpy(out + n, e.mem, e.length);
		n += e.length;
		bol = out[n - 1] == '\n';
		for (i = 0; i < n; i++) {
			if (out[i] == '.' && (i == 0 || out[i - 1] == '\n'))
				assert_int_equal(e.flags & CULVER_EXT_NO_DOT,
				    0);
			if (out[i] == '\r' && (i + 1 < n && out[i + 1] != '\n'))
				assert_int_equal(e.flags & CULVER_EXT_CRLF, 0);
		}
	}
	sqtest.ops->done(c);
	return n;
}

static void
what_is_delivered_is_read(void **state)
{
	static const size_t piece[] = { 1, 3, 65536 };
	char out[256], *want, uid[71];
	size_t i, k, want_n;

	(void)state;
	for (i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++)
		for (k = 0; k < 3; k++) {
			assert_int_equal(drive_deliver(&sqtest, corpus[i].p,
			    corpus[i].n, piece[k], uid), CULVER_OK);
			want = drive_wire(corpus[i].p, corpus[i].n, &want_n);
			sqtest_open(1);
			assert_string_equal(sqtest.msg[0].uid, uid);
			assert_int_equal(sqtest.msg[0].octets, want_n);
			assert_int_equal(sqtest.msg[0].flags,
			    CULVER_MSG_OCTETS_EXACT);
			/* in wire form, byte by byte */
			assert_int_equal(read_extents(out), want_n);
			assert_memory_equal(out, want, want_n);
			assert_int_equal(sqtest_expunge(1, 0), CULVER_OK);
			drive_close(&sqtest);
			free(want);
		}
}

static void
ordinary_mail_may_be_sent_as_it_is(void **state)
{
	struct culver_content *c;
	struct culver_extent e;
	uint32_t k;

	(void)state;
	sqtest_deliver("Subject: x\r\n\r\nbody\r\n");
	sqtest_open(1);
	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &c,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	assert_int_equal(sqtest.ops->next(c, &e, 1, &k,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	assert_int_equal(e.flags, CULVER_EXT_CRLF | CULVER_EXT_NO_DOT |
	    CULVER_EXT_AT_BOL);
	sqtest.ops->done(c);
}

static void
a_large_message_in_any_pieces(void **state)
{
	static const size_t piece[] = { 77, 65535, 65536, 500000 };
	const size_t n = 3 * 65536 + 100;
	char *text = malloc(n), *wire, *want;
	size_t i, wire_n, want_n;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < n; i++)
		text[i] = i % 71 == 70 ? '\n' : (char)('!' + i * 7 % 91);
	want = drive_wire(text, n, &want_n);
	for (i = 0; i < 4; i++)
		assert_int_equal(drive_deliver(&sqtest, text, n, piece[i],
		    NULL), CULVER_OK);
	sqtest_open(4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(sqtest.msg[i].octets, want_n);
		assert_int_equal(drive_fetch(&sqtest, (uint32_t)i, &wire,
		    &wire_n), CULVER_OK);
		assert_int_equal(wire_n, want_n);
		assert_memory_equal(wire, want, want_n);
		free(wire);
	}
	/* nothing of the files in which they waited is left */
	assert_int_equal(sqtest_expunge(4, 0, 1, 2, 3), CULVER_OK);
	assert_int_equal(sqtest_number("SELECT count(*) FROM chunk"), 0);
	free(text);
	free(want);
}

static void
a_delivery_that_is_aborted_leaves_nothing(void **state)
{
	struct culver_envelope env = { .size = sizeof(env) };
	struct culver_delivery *d;

	(void)state;
	assert_int_equal(sqtest.ops->deliver_begin(sqtest.store, &env, &d,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	assert_int_equal(sqtest.ops->deliver_write(d, "x", 1,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	sqtest_open(0);
	sqtest.ops->deliver_abort(d);
	sqtest_reopen(0);
}

static culver_status
deliver_with(const char *uid, int64_t received, char out[71])
{
	struct culver_envelope env = { .size = sizeof(env), .uid = uid,
	    .received = received };
	struct culver_delivery *d;
	struct culver_str id;
	culver_status st;

	st = sqtest.ops->deliver_begin(sqtest.store, &env, &d,
	    fakehost_call(&sqtest.host));
	if (st != CULVER_OK)
		return st;
	sqtest.ops->deliver_write(d, "x\r\n", 3, fakehost_call(&sqtest.host));
	st = sqtest.ops->deliver_commit(d, &id, fakehost_call(&sqtest.host));
	if (st == CULVER_OK)
		snprintf(out, 71, "%s", id.p);
	return st;
}

static void
an_id_and_a_date_are_kept(void **state)
{
	char uid[71], longest[72];

	(void)state;
	memset(longest, 'u', sizeof(longest));
	longest[70] = '\0';
	assert_int_equal(deliver_with("old-id", 1234567890, uid), CULVER_OK);
	assert_string_equal(uid, "old-id");
	assert_int_equal(deliver_with(longest, 0, uid), CULVER_OK);
	assert_string_equal(uid, longest);
	assert_int_equal(deliver_with("old-id", 0, uid), CULVER_E_PERM);
	assert_int_equal(deliver_with("", 0, uid), CULVER_E_PERM);
	assert_int_equal(deliver_with("a b", 0, uid), CULVER_E_PERM);
	longest[70] = 'u', longest[71] = '\0';
	assert_int_equal(deliver_with(longest, 0, uid), CULVER_E_PERM);
	assert_int_equal(deliver_with(NULL, 0, uid), CULVER_OK);
	assert_int_equal(strlen(uid), 32);
	/* dates are read for who wants them */
	assert_int_equal(drive_open(&sqtest, EXCL | CULVER_OPEN_DATES),
	    CULVER_OK);
	assert_int_equal(sqtest.n, 3);
	assert_int_equal(sqtest.msg[0].received, 1234567890);
	assert_true(sqtest.msg[1].received > 1700000000);
}

static void
a_session_sees_what_was_there(void **state)
{
	char *wire;
	size_t n;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_deliver("2\r\n");
	sqtest_open(2);
	sqtest_deliver("3\r\n");
	assert_int_equal(sqtest.ops->list(sqtest.mb, 2, sqtest.msg, 1,
	    &sqtest.n, fakehost_call(&sqtest.host)), CULVER_DONE);
	/* another program removes one; its number is never used again */
	sqtest_sql("DELETE FROM message WHERE id>1;"
	    "DELETE FROM chunk WHERE id>1");
	sqtest_deliver("4\r\n");
	assert_int_equal(drive_fetch(&sqtest, 1, &wire, &n), CULVER_E_GONE);
	sqtest_fetch_is(0, "1\r\n");
	assert_int_equal(sqtest_expunge(1, 1), CULVER_OK);
	sqtest_reopen(2);
	sqtest_fetch_is(1, "4\r\n");
}

static void
deletions_are_all_or_nothing(void **state)
{
	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_deliver("2\r\n");
	sqtest_deliver("3\r\n");
	sqtest_open(3);
	assert_int_equal(sqtest_expunge(2, 0, 9), CULVER_E_TEMP);
	sqtest_fetch_is(0, "1\r\n");
	sqtest.host.call.deadline = 1;
	assert_int_equal(sqtest_expunge(2, 0, 2), CULVER_E_TIMEOUT);
	sqtest.host.call.deadline = UINT64_MAX;
	sqtest_reopen(3);
	assert_int_equal(sqtest_expunge(2, 0, 2), CULVER_OK);
	sqtest_reopen(1);
	sqtest_fetch_is(0, "2\r\n");
	drive_close(&sqtest);
	assert_int_equal(drive_open(&sqtest, RDONLY), CULVER_OK);
	assert_int_equal(sqtest_expunge(1, 0), CULVER_E_PERM);
	assert_int_equal(sqtest_number("SELECT count(*) FROM chunk"), 1);
}

static void
a_quota_is_kept(void **state)
{
	(void)state;
	sqtest_deliver("1\r\n");
	sqtest.ops->destroy(sqtest.store);
	sqtest.user.quota_messages = 2;
	sqtest.user.quota_octets = 10;
	assert_int_equal(drive_start(&sqtest), CULVER_OK);
	assert_int_equal(drive_deliver(&sqtest, "123456\r\n", 8, 8, NULL),
	    CULVER_E_QUOTA);
	assert_int_equal(drive_deliver(&sqtest, "12345\r\n", 7, 8, NULL),
	    CULVER_OK);
	assert_int_equal(drive_deliver(&sqtest, "", 0, 8, NULL),
	    CULVER_E_QUOTA);
	sqtest_open(2);
}

static void
reading_out_of_turn_is_refused(void **state)
{
	struct culver_content *c, *d;
	char *wire;
	size_t n;

	(void)state;
	sqtest_deliver("1\r\n");
	sqtest_open(1);
	assert_int_equal(drive_fetch(&sqtest, 1, &wire, &n), CULVER_E_TEMP);
	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &c,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	assert_int_equal(sqtest.ops->read(sqtest.mb, 0, &d,
	    fakehost_call(&sqtest.host)), CULVER_E_TEMP);
	sqtest.ops->done(c);
	sqtest_fetch_is(0, "1\r\n");
}

static void
memory_that_ends(void **state)
{
	struct culver_envelope env = { .size = sizeof(env) };
	struct culver_delivery *d;
	struct culver_str id;

	(void)state;
	assert_int_equal(sqtest.ops->deliver_begin(sqtest.store, &env, &d,
	    fakehost_call(&sqtest.host)), CULVER_OK);
	sqtest.host.fail_alloc = 1;
	assert_int_equal(sqtest.ops->deliver_commit(d, &id,
	    fakehost_call(&sqtest.host)), CULVER_E_NOMEM);
	sqtest_open(0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sqtest_setup, sqtest_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_delivered_is_read),
		T(ordinary_mail_may_be_sent_as_it_is),
		T(a_large_message_in_any_pieces),
		T(a_delivery_that_is_aborted_leaves_nothing),
		T(an_id_and_a_date_are_kept),
		T(a_session_sees_what_was_there),
		T(deletions_are_all_or_nothing), T(a_quota_is_kept),
		T(reading_out_of_turn_is_refused),
		T(memory_that_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
