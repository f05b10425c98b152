/*
 * test_gate_arrive.c - who comes to a gate: headers of proxies, networks that
 * may not, and what counts as TLS or as this machine behind a proxy.
 */
#include "config.h"

#include <arpa/inet.h>
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

#define PROXY_IP "192.0.2.1"
#define CLIENT "198.51.100.7"
#define FROM(client) "PROXY TCP4 " client " 203.0.113.5 4660 110\r\n"
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V2 "\x21\x11\0\x0c\xc6\x33\x64\7\xcb\0\x71\5\x12\x34\0\x6e"
#define V2_TLS "\x21\x11\0\x14\xc6\x33\x64\7\xcb\0\x71\5\x12\x34\0\x6e" \
	"\x20\0\5\1\0\0\0\0"
#define LOGIN "USER u\r\nPASS p\r\n"

static struct kit *const k = &gatekit;

static struct conf_nets
net(const char *address, uint32_t bits)
{
	struct conf_net_table *t = &k->gate->conf.nets;
	struct conf_nets one = {.first = t->n, .n = 1};

	t->net[t->n].bits = bits;
	inet_pton(AF_INET, address, t->net[t->n].addr);
	t->n++;
	return one;
}

static int
proxied(unsigned listen)
{
	k->gate->conf.listen[listen].proxy = net(PROXY_IP, 32);
	return kit_connect(k, listen, PROXY_IP);
}

static void
test_client_is_the_peer(void **state)
{
	int fd = proxied(KIT_ALWAYS);

	(void)state;
	kit_expect(k, fd, "");		/* who is it? */
	kit_send(k, fd, FROM(CLIENT));
	kit_expect(k, fd, POP3_GREETING);
	kit_send(k, fd, LOGIN);
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_string_equal(k->in.m.auth_begin.remote, CLIENT);
	assert_string_equal(k->in.m.auth_begin.local, "203.0.113.5");
	assert_int_equal(k->in.m.auth_begin.flags & (IPC_TLS | IPC_LOOPBACK),
	    0);
	close(fd);
}

/* In as many pieces as it has octets, with what follows it at once; that stays
 * in the socket. */
static void
test_in_pieces(void **state)
{
	static const char text[] = FROM(CLIENT);
	int fd = proxied(KIT_ALWAYS);

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(text); i++) {
		char one[2] = {text[i]};

		kit_send(k, fd, one);
		kit_expect(k, fd, "");
	}
	kit_send(k, fd, "\nUSER u\r\n");
	kit_expect(k, fd, POP3_GREETING POP3_SEND_PASS);
	close(fd);
}

static void
test_version_2_and_login(void **state)
{
	int fd = proxied(KIT_ALWAYS), worker;

	(void)state;
	assert_int_equal(send(fd, SIG V2, 28, 0), 28);
	kit_expect(k, fd, POP3_GREETING);
	worker = kit_login(k, fd);
	close(worker);
	close(fd);
}

static void
ends(int fd, const char *said)
{
	char all[POP3_REPLY_MAX + 4];

	snprintf(all, sizeof(all), "%sEOF", said);
	kit_expect(k, fd, all);
	assert_int_equal(k->gate->n_conn, 0);
	close(fd);
}

static void
test_without_or_wrong_header(void **state)
{
	int fd = proxied(KIT_ALWAYS);

	(void)state;
	kit_send(k, fd, "CAPA\r\n");
	ends(fd, "");
	fd = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	kit_send(k, fd, "PROXY TCP4 1.2.3.4\r\n");
	ends(fd, "");
	fd = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	shutdown(fd, SHUT_WR);
	kit_turn(k);
	ends(fd, "");
}

static void
test_header_that_does_not_come(void **state)
{
	int fd;

	(void)state;
	k->gate->conf.login_time = 20 * NS_PER_MS;
	fd = proxied(KIT_ALWAYS);
	kit_send(k, fd, "PROXY TCP4");
	while (k->gate->n_conn > 0)
		gate_once(k->gate);
	ends(fd, "");
}

/* From elsewhere it forges; on a listener without proxies it is no command. */
static void
test_forged(void **state)
{
	int fd = proxied(KIT_ALWAYS);

	(void)state;
	close(fd);
	kit_turn(k);
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.2");
	kit_expect(k, fd, POP3_GREETING);
	kit_send(k, fd, FROM("127.0.0.1"));
	ends(fd, "");
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.2");
	assert_int_equal(send(fd, SIG V2, 28, 0), 28);
	ends(fd, POP3_GREETING);
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.2");
	kit_send(k, fd, "USER u\r\nPROXY UNKNOWN\r\n");
	assert_non_null(strstr(kit_hear(k, fd), POP3_SEND_PASS "-ERR "));
	close(fd);
	fd = kit_connect(k, KIT_NEVER, PROXY_IP);
	kit_send(k, fd, FROM("127.0.0.1"));
	assert_non_null(strstr(kit_hear(k, fd), POP3_GREETING "-ERR "));
	close(fd);
}

/* The client's count is full, not the proxy's. */
static void
test_limit_is_the_clients(void **state)
{
	int fd[4];

	(void)state;
	fd[0] = proxied(KIT_ALWAYS);
	for (int i = 1; i < 4; i++)
		fd[i] = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	for (int i = 0; i < 4; i++)
		kit_send(k, fd[i], FROM(CLIENT));
	for (int i = 0; i < 3; i++)
		kit_expect(k, fd[i], POP3_GREETING);
	kit_expect(k, fd[3], POP3_BUSY "EOF");
	close(fd[3]);
	fd[3] = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	kit_send(k, fd[3], FROM("198.51.100.8"));
	kit_expect(k, fd[3], POP3_GREETING);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

/* LOCAL and UNKNOWN: the proxy itself. */
static void
test_proxy_for_itself(void **state)
{
	int fd = proxied(KIT_ALWAYS);

	(void)state;
	assert_int_equal(send(fd, SIG "\x20\0\0\0", 16, 0), 16);
	kit_expect(k, fd, POP3_GREETING);
	kit_send(k, fd, LOGIN);
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_string_equal(k->in.m.auth_begin.remote, PROXY_IP);
	close(fd);
	fd = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	kit_send(k, fd, "PROXY UNKNOWN\r\nQUIT\r\n");
	kit_expect(k, fd, POP3_GREETING POP3_BYE "EOF");
	close(fd);
}

/* TLS that ends at the proxy counts only where somebody said so. */
static void
test_tls_of_the_proxy(void **state)
{
	int fd = proxied(KIT_NEVER);

	(void)state;
	assert_int_equal(send(fd, SIG V2_TLS, 36, 0), 36);
	kit_send(k, fd, LOGIN);
	assert_non_null(strstr(kit_hear(k, fd), POP3_NEED_TLS));
	close(fd);
	k->gate->conf.listen[KIT_NEVER].proxy_tls = 1;
	fd = kit_connect(k, KIT_NEVER, PROXY_IP);
	assert_int_equal(send(fd, SIG V2_TLS, 36, 0), 36);
	kit_send(k, fd, "STLS\r\n" LOGIN);
	kit_expect(k, fd, POP3_GREETING POP3_NO_TLS POP3_SEND_PASS);
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.flags & (IPC_TLS | IPC_STLS),
	    IPC_TLS);
	close(fd);
	kit_turn(k);
	kit_auth_got(k, IPC_AUTH_CANCEL);
	/* and only if the client has it */
	fd = kit_connect(k, KIT_NEVER, PROXY_IP);
	assert_int_equal(send(fd, SIG V2, 28, 0), 28);
	kit_send(k, fd, LOGIN);
	assert_non_null(strstr(kit_hear(k, fd), POP3_NEED_TLS));
	close(fd);
}

/* What comes over the net is not of this machine, whatever the header says. */
static void
test_local_is_both(void **state)
{
	int fd = proxied(KIT_LOCAL);

	(void)state;
	kit_send(k, fd, FROM("127.0.0.1") LOGIN);
	assert_non_null(strstr(kit_hear(k, fd), POP3_NEED_TLS));
	close(fd);
	k->gate->conf.listen[KIT_LOCAL].proxy = net("127.0.0.0", 8);
	fd = kit_connect(k, KIT_LOCAL, "127.0.0.1");
	kit_send(k, fd, FROM(CLIENT) LOGIN);
	assert_non_null(strstr(kit_hear(k, fd), POP3_NEED_TLS));
	close(fd);
	fd = kit_connect(k, KIT_LOCAL, "127.0.0.1");
	kit_send(k, fd, FROM("127.0.0.9") LOGIN);
	kit_expect(k, fd, POP3_GREETING POP3_SEND_PASS);
	kit_auth_got(k, IPC_AUTH_BEGIN);
	close(fd);
}

static void
test_networks(void **state)
{
	struct conf_admit *admit = &k->gate->conf.listen[KIT_ALWAYS].admit;
	int fd;

	(void)state;
	admit->deny = net("192.0.2.128", 25);
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.129");
	ends(fd, POP3_KEPT_OUT);
	admit->silent = 1;
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.129");
	ends(fd, "");
	admit->allow = net("192.0.2.0", 24);
	admit->only = 1;
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.129");
	ends(fd, "");
	fd = kit_connect(k, KIT_ALWAYS, "192.0.3.1");
	ends(fd, "");
	fd = kit_connect(k, KIT_ALWAYS, "192.0.2.127");
	kit_expect(k, fd, POP3_GREETING);
	close(fd);
	fd = kit_connect(k, KIT_ALWAYS, NULL);	/* a Unix socket has a mode */
	kit_expect(k, fd, POP3_GREETING);
	close(fd);
}

/* The client's network counts, not that of its proxy. */
static void
test_networks_behind_a_proxy(void **state)
{
	struct conf_admit *admit = &k->gate->conf.listen[KIT_ALWAYS].admit;
	int fd;

	(void)state;
	admit->deny = net(CLIENT, 32);
	fd = proxied(KIT_ALWAYS);
	kit_send(k, fd, FROM(CLIENT));
	kit_expect(k, fd, POP3_KEPT_OUT "EOF");
	close(fd);
	fd = kit_connect(k, KIT_ALWAYS, PROXY_IP);
	kit_send(k, fd, FROM("198.51.100.8"));
	kit_expect(k, fd, POP3_GREETING);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, gatekit_setup, gatekit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_client_is_the_peer), T(test_in_pieces),
		T(test_version_2_and_login), T(test_without_or_wrong_header),
		T(test_header_that_does_not_come), T(test_forged),
		T(test_limit_is_the_clients), T(test_proxy_for_itself),
		T(test_tls_of_the_proxy), T(test_local_is_both),
		T(test_networks), T(test_networks_behind_a_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
