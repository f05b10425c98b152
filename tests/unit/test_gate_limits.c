/*
 * test_gate_limits.c - a gate and its peers: who refuses, goes away or breaks
 * a rule, and clients that want too much: connections, time, output, log.
 */
#include "config.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/sasl/base64.h"
#include "core/pop3/reply.h"
#include "tests/unit/gatekit.h"

static struct kit *const k = &gatekit;

static void
test_refused_then_retry(void **state)
{
	struct ipc_auth_yes yes = {.grant = 5};
	struct ipc_refused refused = {.status = (uint32_t)CULVER_E_TEMP};
	int fd = gatekit_greeted(), worker;

	(void)state;
	kit_send(k, fd, "USER u\r\nPASS p\r\nUSER w\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	yes.serial = refused.serial = k->in.m.auth_begin.serial;
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	kit_master_got(k, IPC_HANDOVER);
	assert_int_equal(k->in.m.handover.grant, 5);
	kit_expect(k, fd, POP3_SEND_PASS);
	kit_master_say(k, IPC_REFUSED, &refused, NULL, 0);
	kit_expect(k, fd, NOT_NOW POP3_SEND_PASS);
	worker = kit_login(k, fd);
	close(worker);
	close(fd);
}

/* What is handed over is the client's own socket: what it gets is what the
 * worker writes there. */
static void
test_right_descriptor(void **state)
{
	int a = gatekit_greeted(), b = gatekit_greeted(), worker;

	(void)state;
	worker = kit_login(k, b);
	kit_expect(k, b, POP3_SEND_PASS);
	assert_int_equal(send(worker, "+OK hello\r\n", 11, 0), 11);
	kit_expect(k, b, "+OK hello\r\n");
	kit_expect(k, a, "");
	close(worker);
	close(a);
	close(b);
}

static void
test_auth_goes_away(void **state)
{
	int a = gatekit_greeted(), b = gatekit_greeted();

	(void)state;
	kit_send(k, a, "USER u\r\nPASS p\r\n");
	close(k->auth);
	k->auth = -1;
	kit_expect(k, a, POP3_SEND_PASS NOT_NOW);
	kit_send(k, b, "USER u\r\nPASS p\r\n");
	kit_expect(k, b, POP3_SEND_PASS NOT_NOW);
	assert_false(k->gate->stop);
	close(a);
	close(b);
	kit_turn(k);
	assert_true(k->gate->stop);
	assert_int_equal(k->gate->status, 0);
}

static void
test_drain(void **state)
{
	struct ipc_gate_drain drain = {.now = 0};
	int fd = gatekit_greeted(), worker;

	(void)state;
	kit_master_say(k, IPC_GATE_DRAIN, &drain, NULL, 0);
	assert_false(k->gate->stop);
	worker = kit_login(k, fd);	/* it may still finish */
	assert_true(k->gate->stop);
	assert_int_equal(k->gate->status, 0);
	close(worker);
	close(fd);
}

static void
test_master_goes_away(void **state)
{
	int fd = gatekit_greeted();

	(void)state;
	shutdown(k->master, SHUT_RDWR);
	kit_turn(k);
	assert_true(k->gate->stop);
	close(fd);
}

static void
test_breach_of_master_ends_the_gate(void **state)
{
	(void)state;
	assert_int_equal(send(k->master, "junk", 4, 0), 4);
	kit_turn(k);
	assert_true(k->gate->stop);
	assert_int_not_equal(k->gate->status, 0);
}

static void
test_login_time(void **state)
{
	int fd;

	(void)state;
	k->gate->conf.login_time = 20 * NS_PER_MS;
	fd = kit_connect(k, KIT_LOCAL, NULL);
	while (k->gate->n_conn > 0)
		gate_once(k->gate);
	kit_expect(k, fd, POP3_GREETING "EOF");
	close(fd);
}

/* More logins at once than the channel holds: they wait for room, and are
 * asked about in the order in which they came. */
static void
test_full_channel(void **state)
{
	enum { N = 20, GONE = 15 };
	struct ipc_auth_no no = {.status = (uint32_t)CULVER_E_AUTH};
	int fd[N], small = 1;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(setsockopt(k->gate->auth.fd, SOL_SOCKET, SO_SNDBUF,
	    &small, sizeof(small)), 0);
	for (int i = 0; i < N; i++) {
		fd[i] = gatekit_greeted();
		kit_send(k, fd[i], "USER u\r\nPASS p\r\n");
		kit_expect(k, fd[i], POP3_SEND_PASS);
	}
	assert_false(TAILQ_EMPTY(&k->gate->held));
	close(fd[GONE]);		/* nobody needs to be asked */
	kit_turn(k);
	for (int i = 0; i < N; i++) {
		if (i == GONE)
			continue;
		kit_auth_got(k, IPC_AUTH_BEGIN);
		assert_true(k->in.m.auth_begin.serial > last);
		last = no.serial = k->in.m.auth_begin.serial;
		assert_int_equal(k->in.m.auth_begin.data.n, 3);
		assert_memory_equal(k->in.m.auth_begin.data.p, "u\0p", 3);
		kit_auth_say(k, IPC_AUTH_NO, &no);
		kit_expect(k, fd[i], pop3_status_reply(CULVER_E_AUTH,
		    POP3_AT_LOGIN));
	}
	assert_true(TAILQ_EMPTY(&k->gate->held));
	for (int i = 0; i < N; i++)
		if (i != GONE)
			close(fd[i]);
	kit_quiet(k);
}

static void
test_connections_per_ip(void **state)
{
	int fd[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		fd[i] = kit_connect(k, KIT_ALWAYS, "192.0.2.1");
	kit_expect(k, fd[2], POP3_GREETING);
	kit_expect(k, fd[3], POP3_BUSY "EOF");
	close(fd[0]);
	close(fd[3]);
	kit_turn(k);
	fd[0] = kit_connect(k, KIT_ALWAYS, "192.0.2.1");
	fd[3] = kit_connect(k, KIT_ALWAYS, "192.0.2.2");
	kit_expect(k, fd[0], POP3_GREETING);
	kit_expect(k, fd[3], POP3_GREETING);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

static void
test_addresses(void **state)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct limit_ip *ip[4];
	struct peer p, q;
	char text[PEER_TEXT];

	(void)state;
	memcpy(&in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	peer_set(&p, (struct sockaddr *)&in6, sizeof(in6));
	peer_text(&p, text);
	assert_string_equal(text, "127.0.0.1");
	assert_true(peer_is_local(&p));
	memcpy(&in6.sin6_addr, "\x20\x01\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\2", 16);
	peer_set(&p, (struct sockaddr *)&in6, sizeof(in6));
	peer_text(&p, text);
	assert_string_equal(text, "2001:db8:0:1::2");
	assert_false(peer_is_local(&p));
	/* one /64 is one client, the next one is another */
	q = p;
	q.addr[15] = 9;
	assert_true(limit_enter(k->gate, &p, &ip[0]));
	assert_true(limit_enter(k->gate, &q, &ip[1]));
	assert_true(limit_enter(k->gate, &p, &ip[2]));
	assert_false(limit_enter(k->gate, &q, &ip[3]));
	q.addr[7] = 2;
	assert_true(limit_enter(k->gate, &q, &ip[3]));
	for (int i = 0; i < 4; i++)
		limit_leave(k->gate, &ip[i]);
}

static void
test_log_does_not_flood(void **state)
{
	uint32_t hidden = 0, lines = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		lines += limit_log(k->gate, LIMIT_CLOSED, &hidden);
	assert_in_range(lines, 20, 40);
	assert_true(limit_log(k->gate, LIMIT_TLS, &hidden));
}

/* Send what the socket takes; false: nothing. */
static _Bool
more(int fd, const char *p, size_t n, size_t *sent)
{
	ssize_t took = send(fd, p + *sent, n - *sent, 0);

	if (took > 0)
		*sent += (size_t)took;
	return took > 0;
}

/* Replies that nobody reads are bounded, and nothing is lost when somebody
 * does. */
static void
test_client_does_not_read(void **state)
{
	enum { N = 60000 };
	static char capa[N * 6 + 1];
	size_t one, heard = 0, sent = 0;
	int fd = gatekit_greeted();

	(void)state;
	kit_send(k, fd, "CAPA\r\n");
	one = strlen(kit_hear(k, fd));
	for (int i = 0; i < N; i++)
		memcpy(capa + i * 6, "CAPA\r\n", 7);
	while (more(fd, capa, N * 6, &sent))
		kit_turn(k);
	assert_true(sent < N * 6);
	assert_true(k->gate->all->out.n < 65536);
	for (int i = 0; i < 20000 && heard < one * N; i++) {
		heard += strlen(kit_hear(k, fd));
		more(fd, capa, N * 6, &sent);
	}
	assert_int_equal(heard, one * N);
	close(fd);
}

static void
test_spent(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		int fd = gatekit_greeted(), worker = kit_login(k, fd);

		if (i == 2)
			kit_master_got(k, IPC_GATE_SPENT);
		else
			kit_quiet(k);
		close(worker);
		close(fd);
	}
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void
test_listener(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ipc_gate_listen msg = {.index = KIT_LOCAL};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), client[5];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	kit_master_say(k, IPC_GATE_LISTEN, &msg, &fd, 1);
	close(fd);
	for (int i = 0; i < 5; i++) {
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(client[i], (struct sockaddr *)&in,
		    sizeof(in)), 0);
		fcntl(client[i], F_SETFL, O_NONBLOCK);
		kit_expect(k, client[i], i < 3 ? POP3_GREETING :
		    POP3_BUSY "EOF");
	}
	/* what a worker gets must block */
	fd = k->gate->all->io.fd;
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	/* a client that vanished is found by probes; a time-out set for those
	 * that are slow would overrule them (tcp(7)) */
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
	    option(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
	    option(fd, IPPROTO_TCP, TCP_KEEPCNT), 60, 180);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	for (int i = 0; i < 5; i++)
		close(client[i]);
}

/* Give the gate a socket to listen at, which is non-blocking or not; its
 * address. */
static socklen_t
listen_at(struct sockaddr_un *un, int flags)
{
	struct ipc_gate_listen msg = {.index = KIT_LOCAL};
	int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
	socklen_t len = sizeof(*un);

	/* an abstract name that the kernel chooses */
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_int_equal(bind(fd, (struct sockaddr *)un,
	    sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)un, &len), 0);
	assert_int_equal(listen(fd, 4), 0);
	kit_master_say(k, IPC_GATE_LISTEN, &msg, &fd, 1);
	close(fd);
	return len;
}

/* Out of descriptors: the gate waits for a second instead of spinning. */
static void
test_no_descriptor_left(void **state)
{
	struct sockaddr_un un;
	socklen_t len = listen_at(&un, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&un, len), 0);
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
	assert_int_equal(k->gate->listen[KIT_LOCAL].io.events, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (k->gate->n_conn == 0)
		gate_once(k->gate);
	kit_expect(k, client, POP3_GREETING);
	close(client);
}

/* A gate that was woken for a connection takes it, also when it hears first
 * that it is to accept no more: nobody else was woken. */
static void
test_drain_takes_what_is_queued(void **state)
{
	struct sockaddr_un un;
	socklen_t len = listen_at(&un, SOCK_NONBLOCK);
	int client[2] = {socket(AF_UNIX, SOCK_STREAM, 0),
	    socket(AF_UNIX, SOCK_STREAM, 0)};

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(connect(client[i], (struct sockaddr *)&un,
		    len), 0);
	gate_drain(k->gate);
	assert_int_equal(k->gate->n_conn, 2);
	for (int i = 0; i < 2; i++) {
		fcntl(client[i], F_SETFL, O_NONBLOCK);
		kit_expect(k, client[i], POP3_GREETING);
		close(client[i]);
	}
	kit_turn(k);
	assert_true(k->gate->stop);
}

static void
test_base64(void **state)
{
	static const struct { const char *text; int n; } table[] = {
	    {"", 0}, {"QQ==", 1}, {"QUI=", 2}, {"QUJD", 3}, {"QUJDRA==", 4},
	    {"QR==", -1}, {"QUJ=", -1}, {"QQ=", -1}, {"QQ", -1}, {"=", -1},
	    {"====", -1}, {"Q===", -1}, {"QUJD\n", -1}, {" QUJD", -1},
	    {"QU D", -1}, {"QU\nD", -1}, {"QQ==QQ==", -1}, {"QU-_", -1}};
	uint8_t out[16];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *t = table[i].text;

		assert_int_equal(base64_decode((const uint8_t *)t, strlen(t),
		    out, sizeof(out), &n), table[i].n >= 0);
		if (table[i].n >= 0)
			assert_int_equal(n, table[i].n);
	}
	assert_false(base64_decode((const uint8_t *)"QUJD", 4, out, 2, &n));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, gatekit_setup, \
    gatekit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_refused_then_retry),
	    TEST(test_full_channel),
	    TEST(test_right_descriptor),
	    TEST(test_auth_goes_away),
	    TEST(test_drain),
	    TEST(test_drain_takes_what_is_queued),
	    TEST(test_master_goes_away),
	    TEST(test_breach_of_master_ends_the_gate),
	    TEST(test_login_time),
	    TEST(test_connections_per_ip),
	    TEST(test_addresses),
	    TEST(test_log_does_not_flood),
	    TEST(test_client_does_not_read),
	    TEST(test_spent),
	    TEST(test_listener),
	    TEST(test_no_descriptor_left),
	    cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
