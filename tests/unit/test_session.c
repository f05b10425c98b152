/*
 * test_session.c - whole sessions of a worker over a socket pair, with a
 * store in memory: what a client sees, and what became of the mailbox.
 *
 * Conversations are files: tests/unit/pop3/NAME.in is sent in one piece, the
 * answer must be NAME.ref.
 */
#include "config.h"

#include <pthread.h>
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

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/pop3/capa.h"
#include "core/worker/session.h"
#include "tests/unit/memstore.h"

/* --- a session and its client -------------------------------------------- */

static struct {
	struct client client;
	struct store store;
	struct session session;
	uint8_t *got;		/* all that the client read */
	size_t n, packets;
	int fd;			/* the client's end */
	int channel[2];		/* [1] is master's end */
	int type;		/* of the socket pair */
	uint64_t idle_time;
	bool keep_open;		/* the client does not close its side */
	unsigned warnings;
	char last[2048];	/* log line */
} t;

static void
sink(int level, const char *text)
{
	if (level >= LOG_WARN_)
		t.warnings++;
	snprintf(t.last, sizeof(t.last), "%s", text);
}

static void *
read_all(void *unused)
{
	size_t cap = 1 << 16;
	ssize_t n;

	t.got = malloc(cap + 1);
	while ((n = recv(t.fd, t.got + t.n, cap - t.n, 0)) > 0) {
		t.packets++;
		t.n += (size_t)n;
		if (cap - t.n < 1 << 15)
			t.got = realloc(t.got, (cap *= 2) + 1);
	}
	t.got[t.n] = '\0';
	return unused;
}

static int
setup(void **state)
{
	(void)state;
	mem_reset();
	memset(&t, 0, sizeof(t));
	t.type = SOCK_STREAM;
	t.idle_time = 60 * NS_PER_S;
	t.session = (struct session){ .store = &t.store, .client = &t.client,
	    .expire_days = POP3_EXPIRE_NONE, .bad_commands = 20 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, t.channel), 0);
	log_set_sink(sink);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(t.got);
	close(t.fd);
	close(t.channel[0]);
	if (t.channel[1] >= 0)
		close(t.channel[1]);
	return 0;
}

/* Run a session in which the client says IN at once. */
static void
run_bytes(const void *in, size_t n)
{
	pthread_t reader;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, t.type, 0, pair), 0);
	t.fd = pair[1];
	assert_int_equal(send(t.fd, in, n, 0), n);
	if (!t.keep_open)
		shutdown(t.fd, SHUT_WR);
	assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
	assert_true(store_init(&t.store, &mem_ops, MEM_CAPS));
	assert_int_equal(store_create(&t.store, NULL, NULL, NULL), CULVER_OK);
	client_start(&t.client, pair[0], t.channel[0], t.idle_time);
	session_run(&t.session);
	store_destroy(&t.store);
	pthread_join(reader, NULL);
	/* whatever happened: */
	assert_int_equal(mem.opened, mem.closed);
	assert_int_equal(mem.destroyed, 1);
	assert_int_equal(mem.reading, 0);
}

static void
run(const char *in)
{
	run_bytes(in, strlen(in));
}

static void
expect(const char *wanted)
{
	assert_string_equal((char *)t.got, wanted);
	assert_int_equal(t.n, strlen(wanted));
}

static void
expect_reason(const char *wanted)
{
	assert_string_equal(t.session.report.reason, wanted);
}

#define IN "+OK Logged in\r\n"
#define BYE "+OK Bye\r\n"

static void
three_messages(void)
{
	static const char a[] = "Subject: a\n\none\ntwo\nthree\n";
	static const char b[] = "Subject: b\r\n\r\n.\r\n..dots\r\n";
	static const char c[] = "no header end";

	mem_add("uid-a", a, sizeof(a) - 1);
	mem_add("uid-b", b, sizeof(b) - 1);
	mem_add("uid-c", c, sizeof(c) - 1);
}

/* --- conversations ------------------------------------------------------- */

static char *
slurp(const char *name, const char *ext, size_t *n)
{
	const char *dir = getenv("srcdir");
	char path[512];
	char *buf = malloc(1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/unit/pop3/%s.%s",
	    dir != NULL ? dir : ".", name, ext);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("no %s", path);
	*n = fread(buf, 1, (1 << 16) - 1, f);
	buf[*n] = '\0';
	fclose(f);
	return buf;
}

/* Text with LF from text with CRLF; every line must have had both. */
static void
strip_cr(uint8_t *p, size_t *n)
{
	size_t i, o = 0;

	for (i = 0; i < *n; i++) {
		if (p[i] == '\n')
			assert_true(i > 0 && p[i - 1] == '\r');
		if (p[i] != '\r')
			p[o++] = p[i];
	}
	p[o] = '\0';
	*n = o;
}

static void
conversation(const char *name)
{
	size_t n, i, o = 0, wn;
	char *in = slurp(name, "in", &n), *ref = slurp(name, "ref", &wn);
	char *wire = malloc(2 * n + 1);

	for (i = 0; i < n; i++) {
		if (in[i] == '\n')
			wire[o++] = '\r';
		wire[o++] = in[i];
	}
	three_messages();
	run_bytes(wire, o);
	strip_cr(t.got, &t.n);
	assert_string_equal((char *)t.got, ref);
	free(in);
	free(ref);
	free(wire);
}

static void
all_commands(void **state)
{
	(void)state;
	t.session.bad_commands = 0;
	conversation("commands");
	expect_reason("quit");
	assert_int_equal(mem.expunged, 0);
	assert_int_equal(t.warnings, 0);
}

static void
deleting(void **state)
{
	(void)state;
	conversation("delete");
	expect_reason("quit");
	assert_int_equal(mem.expunged, 1);
	assert_true(mem.msg[0].is_gone && mem.msg[2].is_gone);
	assert_false(mem.msg[1].is_gone);
	assert_int_equal(t.session.report.deleted, 2);
	assert_int_equal(t.session.report.left, 1);
	assert_true(t.session.report.left_octets == mem.msg[1].octets);
}

static void
reading(void **state)
{
	(void)state;
	conversation("retr");
	assert_int_equal(t.session.report.retr, 3);
	assert_int_equal(t.session.report.top, 5);
	assert_true(t.session.report.retr_octets == mem.msg[0].octets +
	    mem.msg[1].octets + mem.msg[2].octets);
}

static void
reading_octet_by_octet(void **state)
{
	(void)state;
	mem.extent = 1;
	conversation("retr");
}

static void
bad_commands(void **state)
{
	(void)state;
	t.session.bad_commands = 5;
	conversation("bad");
	expect_reason("bad-commands");
	assert_int_equal(mem.expunged, 0);
}

static void
capabilities(void **state)
{
	(void)state;
	t.session.flags = IPC_STLS | IPC_PLAIN;
	t.session.expire_days = 30;
	conversation("capa");
}

static void
capabilities_in_tls(void **state)
{
	(void)state;
	t.session.flags = IPC_STLS | IPC_TLS;
	run("CAPA\r\n");
	assert_non_null(strstr((char *)t.got, "\r\nSASL PLAIN LOGIN\r\n"));
	assert_non_null(strstr((char *)t.got, "\r\nUSER\r\n"));
	assert_null(strstr((char *)t.got, "STLS"));
}

static void
empty_mailbox(void **state)
{
	(void)state;
	run("STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nLIST 1\r\nQUIT\r\n");
	expect(IN "+OK 0 0\r\n+OK 0 messages (0 octets)\r\n.\r\n+OK\r\n.\r\n"
	    "-ERR No such message\r\n-ERR No such message\r\n" BYE);
}

/* --- how a session ends -------------------------------------------------- */

static void
no_update_without_quit(void **state)
{
	(void)state;
	three_messages();
	run("DELE 1\r\n");
	expect(IN "+OK\r\n");
	expect_reason("disconnect");
	assert_int_equal(mem.expunged, 0);
	assert_int_equal(t.session.report.left, 3);
}

static void
no_update_for_half_a_quit(void **state)
{
	(void)state;
	three_messages();
	run("DELE 1\r\nQUIT");
	expect(IN "+OK\r\n");
	assert_int_equal(mem.expunged, 0);
}

static void
quit_with_lf_alone(void **state)
{
	(void)state;
	three_messages();
	run("DELE 1\nQUIT\n");
	expect(IN "+OK\r\n" BYE);
	assert_int_equal(mem.expunged, 1);
}

static void
nothing_counts_after_quit(void **state)
{
	(void)state;
	three_messages();
	run("DELE 1\r\nQUIT\r\nDELE 2\r\nNOOP\r\nQUIT\r\n");
	expect(IN "+OK\r\n" BYE);
	assert_false(mem.msg[1].is_gone);
	assert_int_equal(t.session.report.deleted, 1);
}

static void
idle_time_is_no_quit(void **state)
{
	(void)state;
	three_messages();
	t.idle_time = 20 * NS_PER_MS;
	t.keep_open = true;
	run("DELE 1\r\nQUI");
	expect(IN "+OK\r\n");
	expect_reason("timeout");
	assert_int_equal(mem.expunged, 0);
}

static void
master_says_end(void **state)
{
	(void)state;
	three_messages();
	t.keep_open = true;
	shutdown(t.channel[1], SHUT_WR);
	run("");
	expect(IN);
	expect_reason("shutdown");
}

static void
master_is_gone(void **state)
{
	(void)state;
	t.keep_open = true;
	close(t.channel[1]);
	t.channel[1] = -1;
	run("");
	expect_reason("shutdown");
}

static void
endless_line(void **state)
{
	static char in[70000];

	(void)state;
	memset(in, 'x', sizeof(in));
	t.keep_open = true;
	run_bytes(in, sizeof(in));
	expect(IN);
	expect_reason("flood");
}

static void
long_lines_are_bad_commands(void **state)
{
	char in[600];

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, "DELE 1", 6);
	memcpy(in + 590, "\r\nNOOP\r\n", 8);
	three_messages();
	run_bytes(in, 598);
	expect(IN "-ERR Line too long\r\n+OK\r\n");
	assert_int_equal(t.session.bad, 1);
	assert_int_equal(t.session.marked, 0);
}

static void
a_run_of_commands_is_one_write(void **state)
{
	(void)state;
	three_messages();
	t.type = SOCK_SEQPACKET;	/* a packet a write */
	run("STAT\r\nLIST\r\nRETR 1\r\nRETR 2\r\nTOP 3 0\r\nDELE 1\r\n"
	    "UIDL\r\nQUIT\r\n");
	assert_int_equal(t.packets, 2);		/* the login's, and this */
	assert_non_null(strstr((char *)t.got, BYE));
}

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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_commands), T(deleting), T(reading),
		T(reading_octet_by_octet), T(bad_commands), T(capabilities),
		T(capabilities_in_tls), T(empty_mailbox),
		T(no_update_without_quit), T(no_update_for_half_a_quit),
		T(quit_with_lf_alone), T(nothing_counts_after_quit),
		T(idle_time_is_no_quit), T(master_says_end),
		T(master_is_gone), T(endless_line),
		T(long_lines_are_bad_commands),
		T(a_run_of_commands_is_one_write),
		T(open_in_use), T(open_temporary), T(open_permanent),
		T(open_unknown_status), T(open_unknown_success),
		T(list_fails_behind_the_first), T(uid_double), T(uid_empty),
		T(uid_none), T(uid_with_a_space), T(uid_with_8_bits),
		T(uid_too_long), T(uid_of_full_length), T(list_count_lies),
		T(thousands_of_messages), T(one_of_thousands_is_double),
		T(expunge_fails), T(expunge_claims_too_much),
		T(gone_message_keeps_the_session), T(stale_ends_the_session),
		T(small_failure_is_an_error), T(big_failure_has_no_end),
		T(big_message_is_whole), T(wrong_size_is_corrected),
		T(wrong_size_of_a_big_one), T(unknown_sizes_are_counted),
		T(uncountable_is_no_list), T(files_are_read_by_offset),
		T(truncated_file_is_an_error), T(bad_descriptor_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
