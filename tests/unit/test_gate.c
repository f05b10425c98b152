/*
 * test_gate.c - what a client and the coordinator see of a gate, in plain:
 * commands, lines, logins.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/pop3/reply.h"
#include "tests/unit/gatekit.h"

#define AUTH_FAILED "-ERR [AUTH] Authentication failed\r\n"

static struct kit *const k = &gatekit;

/* The last AUTH_BEGIN carried USER and PASSWORD. */
static void
asked_for(const char *user, const char *password)
{
	const struct ipc_auth_begin *m = &k->in.m.auth_begin;
	size_t n = strlen(user) + 1;

	assert_string_equal(m->mech, "USER");
	assert_string_equal(m->service, "pop3");
	assert_int_equal(m->data.n, n + strlen(password));
	assert_string_equal((const char *)m->data.p, user);
	assert_memory_equal(m->data.p + n, password, strlen(password));
}

static void
test_commands(void **state)
{
	static const struct { const char *say, *hear; } table[] = {
	    {"CAPA\r\n", "+OK Capability list follows\r\nTOP\r\nUIDL\r\n"
		"RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\n"
		"SASL PLAIN LOGIN\r\nEXPIRE NEVER\r\n"
		"IMPLEMENTATION Culver\r\n.\r\n"},
	    {"AUTH\r\n", "+OK Mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"},
	    {"NOOP\r\n", "-ERR Log in first\r\n"},
	    {"PASS p\r\n", POP3_NEED_USER},
	    {"USER u\n", POP3_SEND_PASS},
	    {"CAPA x\r\n", "-ERR Wrong arguments\r\n"},
	    {"PASS p\r\n", POP3_NEED_USER},
	    {"quit\r\n", POP3_BYE "EOF"}};
	int fd = gatekit_greeted();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		kit_send(k, fd, table[i].say);
		kit_expect(k, fd, table[i].hear);
	}
	close(fd);
	kit_quiet(k);
	assert_int_equal(k->gate->n_conn, 0);
}

static void
test_stls_is_not_offered_without_certificate(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "STLS\r\n");
	kit_expect(k, fd, POP3_NO_TLS);
	close(fd);
}

static void
test_pipelined_login_leaves_the_rest(void **state)
{
	int fd = gatekit_greeted(), worker;
	char rest[64];

	(void)state;
	kit_send(k, fd, "CAPA\r\nUSER u\r\nPASS p q \r\nSTAT\r\nLIST\r\nQU");
	assert_non_null(strstr(kit_hear(k, fd), ".\r\n" POP3_SEND_PASS));
	worker = kit_login(k, -1);
	memset(rest, 0, sizeof(rest));
	assert_int_equal(recv(worker, rest, sizeof(rest), MSG_DONTWAIT), 14);
	assert_string_equal(rest, "STAT\r\nLIST\r\nQU");
	assert_int_equal(k->gate->n_conn, 0);
	/* the gate has let go: only the worker's end is open */
	close(worker);
	kit_expect(k, fd, "EOF");
	close(fd);
}

static void
test_password_goes_whole(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "USER some one \r\nPASS  p q \r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	asked_for("some one", " p q ");
	assert_int_equal(k->in.m.auth_begin.flags,
	    IPC_LOOPBACK | PLAIN_MECHS);
	assert_string_equal(k->in.m.auth_begin.remote, "unix");
	close(fd);
}

static void
test_octet_by_octet(void **state)
{
	static const char say[] = "USER u\r\nPASS p\r\n";
	int fd = gatekit_greeted();

	(void)state;
	for (size_t i = 0; i < sizeof(say) - 1; i++) {
		assert_int_equal(send(fd, say + i, 1, 0), 1);
		kit_turn(k);
	}
	kit_auth_got(k, IPC_AUTH_BEGIN);
	asked_for("u", "p");
	kit_expect(k, fd, POP3_SEND_PASS);
	close(fd);
}

/* A line that has not ended must not keep the gate busy: its octets leave the
 * socket, so that it is not readable any more. */
static void
test_unfinished_line_is_taken(void **state)
{
	int fd = gatekit_greeted();
	int queued = -1;

	(void)state;
	kit_send(k, fd, "USER some");
	assert_int_equal(recv(k->gate->all->io.fd, &queued, 1,
	    MSG_PEEK | MSG_DONTWAIT), -1);
	kit_send(k, fd, "body\r\n");
	kit_expect(k, fd, POP3_SEND_PASS);
	close(fd);
}

static void
test_long_lines(void **state)
{
	static char line[POP3_FLOOD_MAX + 8];
	int fd = gatekit_greeted();

	(void)state;
	memset(line, 'x', 300);
	line[300] = 0;
	kit_send(k, fd, line);
	kit_expect(k, fd, "");
	kit_send(k, fd, line);
	kit_send(k, fd, "\r\nUSER u\r\n");
	kit_expect(k, fd, POP3_TOO_LONG POP3_SEND_PASS);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	kit_send(k, fd, line);
	kit_expect(k, fd, POP3_TOO_LONG "EOF");
	close(fd);
}

static void
test_nul(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	assert_int_equal(send(fd, "QUIT\0x\r\n", 8, 0), 8);
	kit_expect(k, fd, "-ERR NUL or CR in a command\r\n");
	assert_int_equal(send(fd, "USER u\r\nPASS p\0q\r\n", 18, 0), 18);
	kit_expect(k, fd, POP3_SEND_PASS "-ERR NUL or CR in a command\r\n");
	kit_quiet(k);
	close(fd);
}

static void
test_bad_commands(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "A\r\nB\r\nC\r\nD\r\nE\r\nQUIT\r\n");
	kit_expect(k, fd, "-ERR Unknown command\r\n-ERR Unknown command\r\n"
	    "-ERR Unknown command\r\n-ERR Unknown command\r\n" POP3_TOO_MANY
	    "EOF");
	close(fd);
}

static void
test_unfinished_quit_is_not_run(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "QUIT");
	shutdown(fd, SHUT_WR);
	kit_expect(k, fd, "EOF");
	close(fd);
}

/* The client closes without reading: its end is a reset, not an end. */
static void
test_reset_after_quit(void **state)
{
	int fd = kit_connect(k, KIT_LOCAL, NULL);

	(void)state;
	kit_send(k, fd, "QUIT\r\n");
	assert_int_equal(k->gate->n_conn, 1);
	close(fd);
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
}

static void
test_plain_login_policy(void **state)
{
	static const struct { unsigned listen; const char *from; _Bool may; }
	    table[] = {{KIT_LOCAL, "127.0.0.9", 1}, {KIT_LOCAL, NULL, 1},
	    {KIT_LOCAL, "192.0.2.1", 0}, {KIT_NEVER, "127.0.0.1", 0},
	    {KIT_NEVER, NULL, 0}, {KIT_ALWAYS, "192.0.2.1", 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = kit_connect(k, table[i].listen, table[i].from);
		_Bool may = table[i].may;
		const char *capa;

		kit_expect(k, fd, POP3_GREETING);
		kit_send(k, fd, "CAPA\r\n");
		capa = kit_hear(k, fd);
		assert_int_equal(strstr(capa, "\r\nUSER\r\n") != NULL, may);
		assert_int_equal(strstr(capa, "\r\nSASL ") != NULL, may);
		kit_send(k, fd, "USER u\r\n");
		kit_expect(k, fd, may ? POP3_SEND_PASS : POP3_NEED_TLS);
		if (!may) {
			kit_send(k, fd, "AUTH PLAIN AHUAcA==\r\nPASS x\r\n");
			kit_expect(k, fd, POP3_NEED_TLS POP3_NEED_TLS);
		}
		kit_quiet(k);
		close(fd);
	}
}

static void
test_no_then_yes(void **state)
{
	struct ipc_auth_no no = {.status = (uint32_t)CULVER_E_AUTH};
	int fd = gatekit_greeted(), worker;

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS x\r\nUSER v\r\nPASS y\r\nSTAT\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	asked_for("u", "x");
	no.serial = k->in.m.auth_begin.serial;
	kit_quiet(k);		/* one attempt at a time */
	kit_auth_say(k, IPC_AUTH_NO, &no);
	kit_expect(k, fd, POP3_SEND_PASS AUTH_FAILED POP3_SEND_PASS);
	worker = kit_login(k, -1);
	assert_int_not_equal(k->in.m.handover.serial, no.serial);
	close(worker);
	close(fd);
}

/* Master heard that GRANT of SERIAL is not needed. */
static void
released(uint64_t grant, uint64_t serial)
{
	kit_master_got(k, IPC_RELEASE);
	assert_int_equal(k->in.m.release.grant, grant);
	assert_int_equal(k->in.m.release.serial, serial);
}

/* A late or repeated answer must not meet another attempt. */
static void
test_stale_answers(void **state)
{
	struct ipc_auth_no no = {.status = (uint32_t)CULVER_E_AUTH};
	struct ipc_auth_yes yes = {.grant = 9};
	struct ipc_started started;
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS x\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	no.serial = yes.serial = started.serial = k->in.m.auth_begin.serial;
	kit_master_say(k, IPC_STARTED, &started, NULL, 0);
	kit_auth_say(k, IPC_AUTH_NO, &no);
	kit_expect(k, fd, POP3_SEND_PASS AUTH_FAILED);
	kit_auth_say(k, IPC_AUTH_NO, &no);
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	kit_expect(k, fd, "");
	released(9, yes.serial);
	kit_quiet(k);
	kit_send(k, fd, "USER u\r\nPASS x\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_not_equal(k->in.m.auth_begin.serial, no.serial);
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	kit_expect(k, fd, POP3_SEND_PASS);
	released(9, yes.serial);
	kit_quiet(k);
	close(fd);
}

static void
test_delay(void **state)
{
	struct ipc_auth_no no = {.status = (uint32_t)CULVER_E_AUTH};
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS x\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	no.serial = k->in.m.auth_begin.serial;
	no.not_before = clock_now() + 100 * NS_PER_MS;
	kit_auth_say(k, IPC_AUTH_NO, &no);
	/* input is not read meanwhile */
	kit_send(k, fd, "CAPA\r\n");
	if (clock_now() < no.not_before)
		kit_expect(k, fd, POP3_SEND_PASS);
	while (k->gate->all->state == CONN_DELAY)
		gate_once(k->gate);
	assert_true(clock_now() >= no.not_before);
	assert_non_null(strstr(kit_hear(k, fd), AUTH_FAILED "+OK Capa"));
	close(fd);
}

static void
test_client_vanishes(void **state)
{
	struct ipc_auth_yes yes = {.grant = 9};
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS x\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	yes.serial = k->in.m.auth_begin.serial;
	close(fd);
	kit_turn(k);
	kit_auth_got(k, IPC_AUTH_CANCEL);
	assert_int_equal(k->in.m.auth_cancel.serial, yes.serial);
	assert_int_equal(k->gate->n_conn, 0);
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	released(9, yes.serial);
	kit_quiet(k);
}

/* A client that does not read keeps its grant waiting; master would take one
 * that comes too late for an invention. */
static void
test_late_grant_is_not_used(void **state)
{
	int fd = gatekit_greeted();
	uint64_t serial;
	struct conn *c;

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS x\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	serial = k->in.m.auth_begin.serial;
	kit_expect(k, fd, POP3_SEND_PASS);
	c = k->gate->all;
	c->grant = 9;
	c->grant_by = clock_now() - 1;
	conn_settle(c);
	kit_expect(k, fd, NOT_NOW);
	released(9, serial);
	kit_quiet(k);
	close(kit_login(k, fd));
	close(fd);
}

/* It sent everything at once and waits for the answers. */
static void
test_half_closed_client_is_served(void **state)
{
	int fd = gatekit_greeted(), worker;
	char rest[16];

	(void)state;
	send(fd, "USER u\r\nPASS p\r\nQUIT\r\n", 22, 0);
	shutdown(fd, SHUT_WR);
	kit_turn(k);
	kit_turn(k);
	worker = kit_login(k, -1);
	assert_int_equal(recv(worker, rest, sizeof(rest), MSG_DONTWAIT), 6);
	close(worker);
	close(fd);
}

static void
test_sasl_plain(void **state)
{
	const struct ipc_auth_begin *m = &k->in.m.auth_begin;
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "auth plain AHUAcA==\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_string_equal(m->mech, "PLAIN");
	assert_int_equal(m->flags, IPC_LOOPBACK | IPC_HAS_IR |
	    PLAIN_MECHS);
	assert_int_equal(m->data.n, 4);
	assert_memory_equal(m->data.p, "\0u\0p", 4);
	close(fd);
	fd = gatekit_greeted();
	kit_auth_got(k, IPC_AUTH_CANCEL);
	kit_send(k, fd, "AUTH PLAIN =\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_true(m->flags & IPC_HAS_IR);
	assert_int_equal(m->data.n, 0);
	close(fd);
}

static void
test_sasl_exchange(void **state)
{
	struct ipc_auth_challenge ask = {
	    .data = {.p = (const uint8_t *)"Username:", .n = 9}};
	struct ipc_auth_no no = {.status = (uint32_t)CULVER_E_TEMP};
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "AUTH LOGIN\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.flags & IPC_HAS_IR, 0);
	ask.serial = no.serial = k->in.m.auth_begin.serial;
	kit_auth_say(k, IPC_AUTH_CHALLENGE, &ask);
	kit_expect(k, fd, "+ VXNlcm5hbWU6\r\n");
	kit_send(k, fd, "dQ==\r\n");
	kit_auth_got(k, IPC_AUTH_CONT);
	assert_int_equal(k->in.m.auth_cont.data.n, 1);
	assert_int_equal(k->in.m.auth_cont.data.p[0], 'u');
	ask.data.n = 0;
	kit_auth_say(k, IPC_AUTH_CHALLENGE, &ask);
	kit_expect(k, fd, "+ \r\n");
	kit_send(k, fd, "\r\n");	/* an empty response */
	kit_auth_got(k, IPC_AUTH_CONT);
	assert_int_equal(k->in.m.auth_cont.data.n, 0);
	kit_auth_say(k, IPC_AUTH_NO, &no);
	kit_expect(k, fd, NOT_NOW);
	close(fd);
}

static void
test_sasl_stops(void **state)
{
	static const struct { const char *say, *hear; } table[] = {
	    {"*\r\n", POP3_CANCELLED}, {"CAPA?\r\n", POP3_BAD_BASE64},
	    {"d Q=\r\n", POP3_BAD_BASE64}, {"dR==\r\n", POP3_BAD_BASE64}};
	int fd = gatekit_greeted();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ipc_auth_challenge ask = {.serial = 0};

		kit_send(k, fd, "AUTH LOGIN\r\n");
		kit_auth_got(k, IPC_AUTH_BEGIN);
		ask.serial = k->in.m.auth_begin.serial;
		kit_auth_say(k, IPC_AUTH_CHALLENGE, &ask);
		kit_expect(k, fd, "+ \r\n");
		kit_send(k, fd, table[i].say);
		kit_expect(k, fd, table[i].hear);
		kit_auth_got(k, IPC_AUTH_CANCEL);
		assert_int_equal(k->in.m.auth_cancel.serial, ask.serial);
	}
	kit_quiet(k);
	close(fd);
}

static void
test_sasl_refused(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "AUTH NTLM\r\nAUTH PLAIN !\r\n");
	kit_expect(k, fd, POP3_NO_MECH POP3_BAD_BASE64);
	kit_quiet(k);
	close(fd);
}

static void
test_long_response(void **state)
{
	static char line[POP3_AUTH_MAX + 8];
	int fd = gatekit_greeted();

	(void)state;
	/* the longest that fits, octets of it in several segments */
	memcpy(line, "AUTH PLAIN ", 11);
	memset(line + 11, 'A', 12272);
	memcpy(line + 11 + 12272, "\r\n", 3);
	for (size_t at = 0, n = strlen(line); at < n; at += 4000) {
		size_t len = n - at < 4000 ? n - at : 4000;

		assert_int_equal(send(fd, line + at, len, 0), len);
		kit_turn(k);
	}
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.data.n, 12272 / 4 * 3);
	close(fd);
}

/* RFC 1939 7: a greeting that was never there before, and what is made of
 * it. */
static void
test_apop(void **state)
{
	char first[512], data[512];
	const char *stamp;
	int fd = gatekit_greeted(), n;

	(void)state;
	kit_send(k, fd, "APOP u 0123\r\n");
	kit_expect(k, fd, "-ERR Command not supported\r\n");
	close(fd);
	k->gate->conf.announced |= SASL_BIT(SASL_APOP);
	snprintf(k->gate->conf.hostname, sizeof(k->gate->conf.hostname),
	    "mail.example");
	close(kit_connect(k, KIT_LOCAL, "127.0.0.1"));
	fd = kit_connect(k, KIT_LOCAL, "127.0.0.1");
	snprintf(first, sizeof(first), "%s", kit_hear(k, fd));
	stamp = strchr(first, '<');
	assert_non_null(stamp);
	assert_non_null(strstr(stamp, "@mail.example>\r\n"));
	first[strlen(first) - 2] = 0;
	kit_send(k, fd, "APOP\r\nAPOP u\r\nAPOP a b c4c9\r\n");
	kit_expect(k, fd, "-ERR Wrong arguments\r\n"
	    "-ERR Wrong arguments\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_string_equal(k->in.m.auth_begin.mech, "APOP");
	n = snprintf(data, sizeof(data), "%s%ca b%cc4c9", stamp, 0, 0);
	assert_int_equal(k->in.m.auth_begin.data.n, n);
	assert_memory_equal(k->in.m.auth_begin.data.p, data, n);
	close(fd);
	fd = kit_connect(k, KIT_LOCAL, "127.0.0.1");
	assert_null(strstr(kit_hear(k, fd), stamp));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, gatekit_setup, \
    gatekit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_commands),
	    TEST(test_stls_is_not_offered_without_certificate),
	    TEST(test_pipelined_login_leaves_the_rest),
	    TEST(test_password_goes_whole),
	    TEST(test_octet_by_octet),
	    TEST(test_unfinished_line_is_taken),
	    TEST(test_long_lines),
	    TEST(test_nul),
	    TEST(test_bad_commands),
	    TEST(test_unfinished_quit_is_not_run),
	    TEST(test_reset_after_quit),
	    TEST(test_plain_login_policy),
	    TEST(test_no_then_yes),
	    TEST(test_stale_answers),
	    TEST(test_delay),
	    TEST(test_client_vanishes),
	    TEST(test_late_grant_is_not_used),
	    TEST(test_half_closed_client_is_served),
	    TEST(test_sasl_plain),
	    TEST(test_sasl_exchange),
	    TEST(test_sasl_stops),
	    TEST(test_sasl_refused),
	    TEST(test_apop),
	    TEST(test_long_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
