/*
 * test_session_store.c - a worker's session with a store that fails, lies or
 * gives up in the middle: no message is torn, no fault looks like an empty
 * mailbox, and the client is told what to do.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/memstore.h"
#include "tests/unit/sessiontest.h"

/* --- a store that fails -------------------------------------------------- */

static void
failed_login(culver_status st, const char *begin, const char *reason)
{
	mem.open = st;
	run("STAT\r\n");
	assert_memory_equal(t.got, begin, strlen(begin));
	assert_string_equal(strchr((char *)t.got, '\r'), "\r\n");
	expect_reason(reason);
	assert_int_equal(mem.opened, 0);
	assert_null(strchr(t.last, '\n'));
}

static void
open_in_use(void **state)
{
	(void)state;
	failed_login(CULVER_E_IN_USE, "-ERR [IN-USE]", "in-use");
	assert_int_equal(t.warnings, 0);
}

static void
open_temporary(void **state)
{
	(void)state;
	failed_login(CULVER_E_TEMP, "-ERR [SYS/TEMP]", "storage-error");
	assert_int_equal(t.warnings, 1);
}

static void
open_permanent(void **state)
{
	(void)state;
	failed_login(CULVER_E_CORRUPT, "-ERR [SYS/PERM]", "storage-error");
}

static void
open_unknown_status(void **state)
{
	(void)state;
	failed_login(-4711, "-ERR [SYS/TEMP]", "storage-error");
}

static void
open_unknown_success(void **state)
{
	(void)state;
	failed_login(17, "-ERR [SYS/TEMP]", "storage-error");
}

/* A fault in the middle of the list is never a shorter mailbox. */
static void
list_fails_behind_the_first(void **state)
{
	(void)state;
	three_messages();
	mem_add("d", "x", 1);
	mem.list = CULVER_E_TEMP;
	run("STAT\r\n");
	assert_memory_equal(t.got, "-ERR [SYS/TEMP]", 15);
}

static void
refused_list(const char *uid)
{
	three_messages();
	mem_add(uid, "x", 1);
	run("STAT\r\n");
	assert_memory_equal(t.got, "-ERR [SYS/PERM]", 15);
	assert_int_equal(t.warnings, 1);
}

#define TEN "0123456789"

static void
uid_double(void **state)
{
	(void)state;
	refused_list("uid-a");
}

static void
uid_empty(void **state)
{
	(void)state;
	refused_list("");
}

static void
uid_none(void **state)
{
	(void)state;
	refused_list(NULL);
}

static void
uid_with_a_space(void **state)
{
	(void)state;
	refused_list("a b");
}

static void
uid_with_8_bits(void **state)
{
	(void)state;
	refused_list("\xc3\xa4");
}

static void
uid_too_long(void **state)
{
	(void)state;
	refused_list(TEN TEN TEN TEN TEN TEN TEN "x");
}

static void
one_uid(void **state, const char *uid, const char *answer)
{
	if (t.fd > 0) {
		session_teardown(state);
		session_setup(state);
	}
	mem_add(uid, "x\n", 2);
	run("STAT\r\n");
	assert_memory_equal(t.got, answer, strlen(answer));
}

/* Wherever in the UIDL it stands: it is looked at in words of eight. */
static void
uid_octets_at_every_place(void **state)
{
	static const char bad[] = "\x01 \x7f\x80\xa0\xff";
	char uid[20] = "";
	size_t n, at;
	const char *p;

	for (n = 1; n < sizeof(uid); n++)
		for (at = 0; at < n; at++) {
			memset(uid, '~', n);
			uid[at] = '!';
			one_uid(state, uid, IN "+OK 1 3\r\n");
			for (p = bad; *p != '\0'; p++) {
				uid[at] = *p;
				one_uid(state, uid, "-ERR [SYS/PERM]");
			}
		}
}

static void
uid_of_full_length(void **state)
{
	(void)state;
	mem_add(TEN TEN TEN TEN TEN TEN TEN, "x\n", 2);
	run("UIDL 1\r\n");
	expect(IN "+OK 1 " TEN TEN TEN TEN TEN TEN TEN "\r\n");
}

static void
list_count_lies(void **state)
{
	(void)state;
	three_messages();
	mem.list_n = 100000;
	run("STAT\r\n");
	assert_memory_equal(t.got, "-ERR [SYS/PERM]", 15);
}

/* Many, so that the table of UIDLs grows. */
static void
thousands_of_messages(void **state)
{
	static char uid[MEM_MAX][12];
	unsigned i;

	(void)state;
	for (i = 0; i < MEM_MAX; i++) {
		snprintf(uid[i], sizeof(uid[i]), "%u", i * 7919 % 99991);
		mem_add(uid[i], "x\n", 2);
	}
	run("STAT\r\nUIDL 4096\r\nLIST 4097\r\n");
	snprintf(uid[0], sizeof(uid[0]), "%u", 4095 * 7919 % 99991);
	assert_memory_equal(t.got, IN "+OK 4096 12288\r\n+OK 4096 ", 40);
	assert_non_null(strstr((char *)t.got, uid[0]));
}

static void
one_of_thousands_is_double(void **state)
{
	static char uid[MEM_MAX][12];
	unsigned i;

	(void)state;
	for (i = 0; i < MEM_MAX; i++) {
		snprintf(uid[i], sizeof(uid[i]), "%u", i == 4000 ? 11 : i);
		mem_add(uid[i], "x\n", 2);
	}
	run("STAT\r\n");
	assert_memory_equal(t.got, "-ERR [SYS/PERM]", 15);
}

/* Thousands in order, but for the last one. */
static void
ordered(const char *last)
{
	static char uid[MEM_MAX][12];
	unsigned i;

	for (i = 0; i < MEM_MAX; i++) {
		snprintf(uid[i], sizeof(uid[i]), "%05u", i);
		mem_add(i == MEM_MAX - 1 ? last : uid[i], "x\n", 2);
	}
	run("STAT\r\n");
}

static void
last_of_thousands_is_not_in_order(void **state)
{
	(void)state;
	ordered("00000x");
	assert_memory_equal(t.got, IN "+OK 4096 12288\r\n", 31);
}

static void
last_of_thousands_is_double(void **state)
{
	(void)state;
	ordered("00000");
	assert_memory_equal(t.got, "-ERR [SYS/PERM]", 15);
}

static void
last_of_thousands_is_as_the_one_before(void **state)
{
	(void)state;
	ordered("04094");
	assert_memory_equal(t.got, "-ERR [SYS/PERM]", 15);
}

static void
expunge_fails(void **state)
{
	(void)state;
	three_messages();
	mem.expunge = CULVER_E_NOSPACE;
	mem.removed = 1;
	run("DELE 1\r\nDELE 3\r\nQUIT\r\n");
	expect(IN "+OK\r\n+OK\r\n"
	    "-ERR [SYS/TEMP] Some deleted messages not removed\r\n");
	expect_reason("update-failed");
	assert_int_equal(t.session.report.deleted, 1);
	assert_int_equal(t.session.report.left, 2);
	assert_true(t.warnings >= 1);
}

static void
expunge_claims_too_much(void **state)
{
	(void)state;
	three_messages();
	mem.expunge = CULVER_E_TEMP;
	mem.removed = 4000000000;
	run("DELE 1\r\nQUIT\r\n");
	assert_int_equal(t.session.report.deleted, 1);
	assert_int_equal(t.session.report.left, 2);
}

static void
gone_message_keeps_the_session(void **state)
{
	(void)state;
	three_messages();
	mem.msg[1].read = CULVER_E_GONE;
	run("RETR 2\r\nTOP 2 0\r\nSTAT\r\nQUIT\r\n");
	assert_memory_equal(t.got, IN "-ERR Message is gone\r\n"
	    "-ERR Message is gone\r\n+OK 3 ", 65);
	expect_reason("quit");
	assert_int_equal(t.warnings, 0);
}

static void
stale_ends_the_session(void **state)
{
	(void)state;
	three_messages();
	mem.msg[1].read = CULVER_E_STALE;
	run("DELE 1\r\nRETR 2\r\nQUIT\r\n");
	expect(IN "+OK\r\n-ERR [SYS/TEMP] Temporary failure, try again "
	    "later\r\n");
	expect_reason("stale");
	assert_int_equal(mem.expunged, 0);
}

/* The client has more to say, which it does when the store hears of its
 * silence. */
static void
say_more(void)
{
	static const char more[] = "RETR 1\r\nSTAT\r\nQUIT\r\n";

	assert_int_equal(send(t.fd, more, sizeof(more) - 1, 0),
	    sizeof(more) - 1);
}

static void
a_silence_is_heard_of_and_changes_nothing(void **state)
{
	static const char retr[] = "+OK 31 octets\r\nSubject: a\r\n\r\n"
	    "one\r\ntwo\r\nthree\r\n.\r\n";
	char wanted[512];

	(void)state;
	three_messages();
	t.caps |= CULVER_ST_KEEPALIVE;
	t.keep_open = true;
	mem.on_keepalive = say_more;
	run("RETR 1\r\n");
	snprintf(wanted, sizeof(wanted), IN "%s%s+OK 3 71\r\n" BYE, retr,
	    retr);
	expect(wanted);
	expect_reason("quit");
}

static void
a_silence_in_which_the_mailbox_is_lost(void **state)
{
	(void)state;
	three_messages();
	t.caps |= CULVER_ST_KEEPALIVE;
	t.keep_open = true;
	mem.keepalive = CULVER_E_STALE;
	run("DELE 1\r\n");
	expect(IN "+OK\r\n");
	expect_reason("stale");
	assert_int_equal(mem.expunged, 0);
}

/* --- messages that do not come out right --------------------------------- */

static uint8_t *
big_message(size_t n)
{
	uint8_t *p = malloc(n);
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = i % 61 == 60 ? '\n' : (uint8_t)(i % 61 == 0 ? '.' :
		    'a' + i % 26);
	return p;
}

static void
small_failure_is_an_error(void **state)
{
	(void)state;
	three_messages();
	mem.extent = 4;
	mem.msg[0].fail_at = 8;
	mem.msg[0].next = CULVER_E_TEMP;
	run("NOOP\r\nRETR 1\r\nTOP 1 0\r\nRETR 3\r\nQUIT\r\n");
	expect(IN "+OK\r\n-ERR [SYS/TEMP] Temporary failure, try again "
	    "later\r\n-ERR [SYS/TEMP] Temporary failure, try again later\r\n"
	    "+OK 15 octets\r\nno header end\r\n.\r\n" BYE);
	assert_int_equal(t.session.report.retr, 1);
}

static void
big_failure_has_no_end(void **state)
{
	const size_t n = 1 << 20;
	uint8_t *p = big_message(n);

	(void)state;
	three_messages();
	mem_add("big", p, n);
	mem.extent = 1 << 12;
	mem.msg[3].fail_at = n / 2;
	mem.msg[3].next = CULVER_E_TEMP;
	run("DELE 1\r\nRETR 4\r\nQUIT\r\n");
	assert_memory_equal(t.got, IN "+OK\r\n+OK ", 24);
	assert_true(t.n > 1 << 16 && t.n < n);
	assert_memory_not_equal(t.got + t.n - 5, "\r\n.\r\n", 5);
	expect_reason("storage-error");
	assert_int_equal(mem.expunged, 0);
	assert_int_equal(t.session.report.retr, 0);
	free(p);
}

/* Every octet of a message that is larger than all buffers. */
static void
big_message_is_whole(void **state)
{
	const size_t n = 3000017;
	uint8_t *p = big_message(n);
	char head[64];
	size_t i, o;

	(void)state;
	three_messages();
	mem_add("big", p, n);
	mem.extent = 33333;
	run("RETR 1\r\nRETR 4\r\nQUIT\r\n");
	o = (size_t)snprintf(head, sizeof(head), "+OK %llu octets\r\n",
	    (unsigned long long)mem.msg[3].octets);
	i = (size_t)((uint8_t *)memmem(t.got, t.n, head, o) - t.got) + o;
	for (o = 0; o < n; o++) {
		if (o % 61 == 0)
			assert_int_equal(t.got[i++], '.');
		if (p[o] == '\n')
			assert_int_equal(t.got[i++], '\r');
		assert_int_equal(t.got[i++], p[o]);
	}
	assert_string_equal((char *)t.got + i, "\r\n.\r\n" BYE);
	free(p);
}

static void
wrong_size_is_corrected(void **state)
{
	(void)state;
	three_messages();
	mem.msg[0].octets += 10;
	mem.msg[2].octets -= 3;
	run("LIST 1\r\nRETR 1\r\nLIST 1\r\nRETR 3\r\nQUIT\r\n");
	expect(IN "+OK 1 41\r\n+OK 31 octets\r\nSubject: a\r\n\r\none\r\n"
	    "two\r\nthree\r\n.\r\n+OK 1 31\r\n+OK 15 octets\r\n"
	    "no header end\r\n.\r\n" BYE);
	assert_true(mem.msg[0].kept == 31 && mem.msg[2].kept == 15);
}

static void
wrong_size_of_a_big_one(void **state)
{
	const size_t n = 1 << 20;
	uint8_t *p = big_message(n);
	uint64_t right;

	(void)state;
	mem_add("big", p, n);
	right = mem.msg[0].octets;
	mem.msg[0].octets = right + 1;
	run("RETR 1\r\nQUIT\r\n");
	assert_memory_not_equal(t.got + t.n - 5, "\r\n.\r\n", 5);
	expect_reason("storage-error");
	/* the next session knows better */
	assert_true(mem.msg[0].kept == right);
	free(p);
}

static void
unknown_sizes_are_counted(void **state)
{
	(void)state;
	three_messages();
	mem.msg[0].flags = mem.msg[1].flags = 0;
	mem.msg[0].octets = mem.msg[1].octets = 0;
	mem.extent = 5;
	run("STAT\r\nLIST\r\nQUIT\r\n");
	expect(IN "+OK 3 71\r\n+OK 3 messages (71 octets)\r\n1 31\r\n2 25\r\n"
	    "3 15\r\n.\r\n" BYE);
	assert_int_equal(mem.msg[0].is_kept, 1);
	assert_int_equal(mem.msg[2].is_kept, 0);
}

static void
uncountable_is_no_list(void **state)
{
	(void)state;
	three_messages();
	mem.msg[1].flags = 0;
	mem.msg[1].read = CULVER_E_TEMP;
	run("LIST\r\nSTAT\r\nLIST 1\r\nDELE 2\r\nSTAT\r\nQUIT\r\n");
	expect(IN "-ERR [SYS/TEMP] Temporary failure, try again later\r\n"
	    "-ERR [SYS/TEMP] Temporary failure, try again later\r\n"
	    "+OK 1 31\r\n+OK\r\n+OK 2 46\r\n" BYE);
}

static void
files_are_read_by_offset(void **state)
{
	const size_t n = 200000;
	uint8_t *p = big_message(n);
	int fd = memfd_create("m", 0);
	struct mem_message *m;

	(void)state;
	assert_int_equal(write(fd, p, n), n);
	m = mem_add("f", p, n);
	m->fd = fd;
	mem.extent = 70000;
	run("RETR 1\r\nRETR 1\r\nQUIT\r\n");
	assert_int_equal(t.session.report.retr, 2);
	assert_true(t.session.report.retr_octets == 2 * m->octets);
	expect_reason("quit");
	close(fd);
	free(p);
}

static void
truncated_file_is_an_error(void **state)
{
	const size_t n = 3000;
	uint8_t *p = big_message(n);
	int fd = memfd_create("m", 0);

	(void)state;
	assert_int_equal(write(fd, p, n), n);
	mem_add("f", p, n)->fd = fd;
	assert_int_equal(ftruncate(fd, 1000), 0);
	run("RETR 1\r\nNOOP\r\n");
	expect(IN "-ERR [SYS/TEMP] Temporary failure, try again later\r\n"
	    "+OK\r\n");
	close(fd);
	free(p);
}

static void
bad_descriptor_is_an_error(void **state)
{
	(void)state;
	three_messages();
	mem.msg[0].fd = 999;
	mem.msg[1].fd = -7;
	run("RETR 1\r\nRETR 2\r\nNOOP\r\n");
	expect(IN "-ERR [SYS/TEMP] Temporary failure, try again later\r\n"
	    "-ERR [SYS/PERM] Failure, call the administrator\r\n+OK\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(open_in_use), T(open_temporary), T(open_permanent),
		T(open_unknown_status), T(open_unknown_success),
		T(list_fails_behind_the_first), T(uid_double), T(uid_empty),
		T(uid_none), T(uid_with_a_space), T(uid_with_8_bits),
		T(uid_too_long), T(uid_of_full_length), T(list_count_lies),
		T(uid_octets_at_every_place),
		T(thousands_of_messages), T(one_of_thousands_is_double),
		T(last_of_thousands_is_not_in_order),
		T(last_of_thousands_is_double),
		T(last_of_thousands_is_as_the_one_before),
		T(expunge_fails), T(expunge_claims_too_much),
		T(gone_message_keeps_the_session),
		T(stale_ends_the_session), T(small_failure_is_an_error),
		T(a_silence_is_heard_of_and_changes_nothing),
		T(a_silence_in_which_the_mailbox_is_lost),
		T(big_failure_has_no_end), T(big_message_is_whole),
		T(wrong_size_is_corrected), T(wrong_size_of_a_big_one),
		T(unknown_sizes_are_counted), T(uncountable_is_no_list),
		T(files_are_read_by_offset), T(truncated_file_is_an_error),
		T(bad_descriptor_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
