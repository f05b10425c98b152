/*
 * test_gate_relay.c - the relay between a client under TLS and its worker.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/base/clock.h"
#include "core/pop3/reply.h"
#include "core/tls/tls.h"
#include "tests/unit/gatetlskit.h"

static void
test_relay_begins_behind_the_login(void **state)
{
	SSL *ssl = implicit();
	int worker;

	(void)state;
	tls_send(ssl, "USER u\r\nPASS p\r\nSTAT\r\nLI");
	worker = kit_login(k, -1);
	worker_hears(worker, "STAT\r\nLI");
	tls_send(ssl, "ST\r\n");
	worker_hears(worker, "ST\r\n");
	worker_says(worker, "+OK Logged in\r\n");
	tls_expect(ssl, POP3_SEND_PASS "+OK Logged in\r\n");
	assert_int_equal(fcntl(worker, F_GETFL) & O_NONBLOCK, 0);
	close(worker);
	tls_expect(ssl, "EOF");
	tls_close(ssl);
}

static void
test_worker_ends_well(void **state)
{
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	worker_says(worker, "+OK Bye\r\n");
	close(worker);
	tls_expect(ssl, "+OK Bye\r\nEOF");
	tls_close(ssl);
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
}

static void
test_worker_dies(void **state)
{
	static const char *const last[] = {"", "+OK 100 octets\r\nSubject",
	    "+OK 100 octets\r\nSubject: x\r"};

	(void)state;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		int worker;
		SSL *ssl = logged_in(&worker);
		char text[64];

		worker_says(worker, last[i]);
		kit_turn(k);
		close(worker);
		snprintf(text, sizeof(text), "%sCUT", last[i]);
		tls_expect(ssl, text);
		assert_int_equal(k->gate->n_conn, 0);
		tls_close(ssl);
	}
}

static void
test_client_ends(void **state)
{
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	tls_send(ssl, "QUIT\r\n");
	SSL_shutdown(ssl);
	shutdown(SSL_get_fd(ssl), SHUT_WR);
	worker_hears(worker, "QUIT\r\n");
	worker_is_at_end(worker);
	/* and still gets the answer */
	worker_says(worker, "+OK Bye\r\n");
	close(worker);
	tls_expect(ssl, "+OK Bye\r\nEOF");
	tls_close(ssl);
}

static void
test_client_vanishes_from_relay(void **state)
{
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	tls_close(ssl);
	worker_is_at_end(worker);
	close(worker);
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
}

/* It sends its last commands and closes without reading what is there: its
 * socket is reset, and yet the commands count. */
static void
test_client_is_reset(void **state)
{
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	worker_says(worker, "+OK unread\r\n");
	kit_turn(k);
	assert_int_equal(SSL_write(ssl, "QUIT\r\n", 6), 6);
	tls_close(ssl);
	worker_hears(worker, "QUIT\r\n");
	worker_is_at_end(worker);
	/* the dead socket does not keep the gate awake */
	assert_int_equal(k->gate->all->io.events, 0);
	worker_says(worker, "+OK Bye\r\n");
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
	close(worker);
}

static unsigned char
octet_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13 ^ i);
}

static void
fill(unsigned char *p, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++)
		p[i] = octet_at(at + i);
}

static void
same(const unsigned char *p, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != octet_at(at + i))
			fail_msg("octet %zu differs", at + i);
}

/* 50 MB in each direction at once, in pieces of all sizes. */
static void
test_relay_is_exact(void **state)
{
	enum { TOTAL = 50 << 20, PIECE = 40000 };
	static unsigned char piece[PIECE];
	size_t up = 0, up_got = 0, down = 0, down_got = 0, want;
	unsigned random = 1;
	int worker, tls;
	SSL *ssl = logged_in(&worker);
	ssize_t n;

	(void)state;
	fcntl(worker, F_SETFL, O_NONBLOCK);
	while (up < TOTAL || down < TOTAL || up_got < up || down_got < down) {
		random = random * 1103515245 + 12345;
		want = 1 + (random >> 8) % PIECE;
		fill(piece, want, up);
		tls = up < TOTAL ? SSL_write(ssl, piece, (int)want) : 0;
		up += tls > 0 ? (size_t)tls : 0;
		fill(piece, want, down);
		n = down < TOTAL ? send(worker, piece, want, 0) : 0;
		down += n > 0 ? (size_t)n : 0;
		kit_turn(k);
		tls = SSL_read(ssl, piece, (int)want);
		if (tls > 0)
			same(piece, (size_t)tls, down_got);
		down_got += tls > 0 ? (size_t)tls : 0;
		n = recv(worker, piece, want, 0);
		if (n > 0)
			same(piece, (size_t)n, up_got);
		up_got += n > 0 ? (size_t)n : 0;
		ERR_clear_error();
	}
	assert_int_equal(up_got, up);
	assert_int_equal(down_got, down);
	close(worker);
	tls_close(ssl);
}

/* The worker is done long before the client has read everything. */
static void
test_slow_client_gets_all(void **state)
{
	enum { LINES = 40000 };
	static const char line[] = "0123456789012345678901234567\r\n";
	int worker, lines = 0, eof = 0;
	SSL *ssl = logged_in(&worker);
	size_t octets = 0;

	(void)state;
	fcntl(worker, F_SETFL, O_NONBLOCK);
	for (int rounds = 0; !eof && rounds < 100000; rounds++) {
		const char *text;
		size_t n;

		while (lines < LINES && send(worker, line, 30, 0) == 30)
			lines++;
		if (lines == LINES) {
			close(worker);
			lines++;
		}
		text = tls_hear(ssl);
		n = strlen(text);
		eof = n >= 3 && strcmp(text + n - 3, "EOF") == 0;
		octets += n - (eof ? 3 : 0);
	}
	assert_true(eof);
	assert_int_equal(octets, LINES * 30);
	tls_close(ssl);
}

/* A worker that does not read holds its client up, not the gate. */
static void
test_deaf_worker(void **state)
{
	static char text[8192];
	int worker, writes = 0;
	SSL *ssl = logged_in(&worker);

	(void)state;
	memset(text, 'x', sizeof(text));
	for (int misses = 0; misses < 3 && writes < 10000;) {
		if (SSL_write(ssl, text, sizeof(text)) > 0)
			writes++;
		else
			misses++;
		ERR_clear_error();
		kit_turn(k);
	}
	assert_in_range(writes, 10, 9999);
	worker_says(worker, "-ERR Line too long\r\n");
	close(worker);
	assert_non_null(strstr(tls_hear(ssl), "-ERR Line too long\r\n"));
	tls_close(ssl);
}

static void
test_reload_while_connected(void **state)
{
	char name[64];
	int worker;
	SSL *old = logged_in(&worker), *fresh;
	X509 *x;

	(void)state;
	certificate("second");
	tls_send(old, "STAT\r\n");
	worker_hears(worker, "STAT\r\n");
	worker_says(worker, "+OK 0 0\r\n");
	tls_expect(old, "+OK 0 0\r\n");
	fresh = implicit();
	x = SSL_get1_peer_certificate(fresh);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName,
	    name, sizeof(name));
	assert_string_equal(name, "second");
	X509_free(x);
	close(worker);
	tls_close(old);
	tls_close(fresh);
}

static void
test_drain_carries_on(void **state)
{
	struct ipc_gate_drain drain = {.now = 0};
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	kit_master_say(k, IPC_GATE_DRAIN, &drain, NULL, 0);
	assert_false(k->gate->stop);
	tls_send(ssl, "QUIT\r\n");
	worker_hears(worker, "QUIT\r\n");
	worker_says(worker, "+OK Bye\r\n");
	close(worker);
	tls_expect(ssl, "+OK Bye\r\nEOF");
	tls_close(ssl);
	kit_turn(k);
	assert_true(k->gate->stop);
}

/* The worker's own time-out comes first; this one is for lost workers. */
static void
test_relay_ends_when_nothing_moves(void **state)
{
	int worker;
	SSL *ssl = logged_in(&worker);

	(void)state;
	assert_true(k->gate->all->deadline > clock_now() +
	    k->gate->conf.idle_time);
	conn_enter(k->gate->all, CONN_RELAY, clock_now());
	kit_turn(k);			/* but something just moved */
	assert_int_equal(k->gate->n_conn, 1);
	assert_true(k->gate->all->deadline > clock_now());
	close(worker);
	tls_close(ssl);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_relay_begins_behind_the_login),
	    TEST(test_worker_ends_well),
	    TEST(test_worker_dies),
	    TEST(test_client_ends),
	    TEST(test_client_vanishes_from_relay),
	    TEST(test_client_is_reset),
	    TEST(test_relay_is_exact),
	    TEST(test_slow_client_gets_all),
	    TEST(test_deaf_worker),
	    TEST(test_reload_while_connected),
	    TEST(test_drain_carries_on),
	    TEST(test_relay_ends_when_nothing_moves),
	};

	signal(SIGPIPE, SIG_IGN);
	if (!tls_warm())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
