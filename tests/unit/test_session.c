/*
 * test_session.c - whole sessions of a worker: what a client sees, and what
 * became of the mailbox.
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
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/ipc/ipc.h"
#include "tests/unit/memstore.h"
#include "tests/unit/sessiontest.h"

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
	t.session.flags = IPC_STLS | PLAIN_MECHS;
	t.session.expire_days = 30;
	conversation("capa");
}

static void
capabilities_in_tls(void **state)
{
	(void)state;
	t.session.flags = IPC_STLS | IPC_TLS | PLAIN_MECHS;
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
read_only_mailbox(void **state)
{
	(void)state;
	three_messages();
	t.caps |= CULVER_ST_READONLY;
	run("DELE 1\r\nQUIT\r\n");
	expect(IN "-ERR [SYS/PERM] Mailbox is read-only\r\n" BYE);
	expect_reason("quit");
	assert_int_equal(mem.expunged, 0);
}

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

/* A client that begins to read a reply, and stops when master says end. */
static void *
read_a_little(void *unused)
{
	char some[1000];

	if (recv(t.fd, some, sizeof(some), MSG_WAITALL) != sizeof(some))
		abort();
	shutdown(t.channel[1], SHUT_WR);
	return unused;
}

static void
master_says_end_and_the_client_takes_nothing(void **state)
{
	static char large[4 << 20];
	pthread_t reader;
	int pair[2];

	(void)state;
	memset(large, 'x', sizeof(large));
	mem_add("uid-a", large, sizeof(large));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	t.fd = pair[1];
	assert_int_equal(send(t.fd, "RETR 1\r\nQUIT\r\n", 14, 0), 14);
	assert_int_equal(pthread_create(&reader, NULL, read_a_little, NULL), 0);
	assert_true(store_init(&t.store, &mem_ops, MEM_CAPS));
	assert_int_equal(store_create(&t.store, NULL, NULL, NULL), CULVER_OK);
	client_start(&t.client, pair[0], t.channel[0], 60 * NS_PER_S);
	alarm(30);		/* less than the client's idle time */
	session_run(&t.session);
	alarm(0);
	store_destroy(&t.store);
	pthread_join(reader, NULL);
	expect_reason("timeout");
	assert_int_equal(mem.opened, mem.closed);
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
master_passes_a_kick_on(void **state)
{
	(void)state;
	three_messages();
	t.keep_open = true;
	assert_int_equal(send(t.channel[1], "", 1, 0), 1);
	shutdown(t.channel[1], SHUT_WR);
	run("");
	expect(IN);
	expect_reason("kick");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_commands), T(deleting), T(reading),
		T(reading_octet_by_octet), T(bad_commands), T(capabilities),
		T(capabilities_in_tls), T(empty_mailbox),
		T(read_only_mailbox), T(no_update_without_quit),
		T(no_update_for_half_a_quit),
		T(quit_with_lf_alone), T(nothing_counts_after_quit),
		T(idle_time_is_no_quit), T(master_says_end),
		T(master_passes_a_kick_on),
		T(master_says_end_and_the_client_takes_nothing),
		T(master_is_gone), T(endless_line),
		T(long_lines_are_bad_commands),
		T(a_run_of_commands_is_one_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
