/*
 * test_gate_tls.c - STLS, implicit TLS, and the relay between a client and
 * its worker.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/pop3/reply.h"
#include "core/tls/tls.h"
#include "tests/unit/gatekit.h"
#include "tests/unit/tlskit.h"

static struct kit kit, *k = &kit;
static SSL_CTX *client_ctx;
static char logged[4096];

static void
log_keep(int level, const char *text)
{
	(void)level;
	strncat(logged, text, sizeof(logged) - strlen(logged) - 2);
	strcat(logged, "\n");
}

static void
certificate(const char *name)
{
	struct ipc_gate_certs certs = {.unused = 0};
	struct kit_pair p = kit_make(&(struct kit_cert){.name = name});
	int fd = kit_bundle(&p);

	kit_master_say(k, IPC_GATE_CERTS, &certs, &fd, 1);
	close(fd);
	kit_pair_free(&p);
}

static int
setup(void **state)
{
	(void)state;
	kit_start(k);
	client_ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(client_ctx);
	certificate("first");
	logged[0] = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	SSL_CTX_free(client_ctx);
	ipc_done(&k->in);
	kit_stop(k);
	return 0;
}

/* --- a TLS client -------------------------------------------------------- */

static SSL *
tls_over(int fd)
{
	SSL *ssl = SSL_new(client_ctx);

	assert_non_null(ssl);
	SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (int i = 0; i < 10 && SSL_do_handshake(ssl) != 1; i++)
		kit_turn(k);
	assert_true(SSL_is_init_finished(ssl));
	return ssl;
}

static void
tls_close(SSL *ssl)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
	ERR_clear_error();
}

static void
tls_send(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)),
	    strlen(text));
	kit_turn(k);
}

/* What came; "EOF" stands for close_notify, "CUT" for an end without it. */
static const char *
tls_hear(SSL *ssl)
{
	static char text[65536];
	int n = 0, got;

	kit_turn(k);
	while ((got = SSL_read(ssl, text + n, (int)sizeof(text) - 8 - n)) > 0)
		n += got;
	got = SSL_get_error(ssl, got);
	text[n] = 0;
	if (got == SSL_ERROR_ZERO_RETURN)
		strcat(text, "EOF");
	else if (got != SSL_ERROR_WANT_READ)
		strcat(text, "CUT");
	ERR_clear_error();
	return text;
}

#define tls_expect(ssl, text) assert_string_equal(tls_hear(ssl), text)

static SSL *
implicit(void)
{
	SSL *ssl = tls_over(kit_connect(k, KIT_TLS, "192.0.2.1"));

	tls_expect(ssl, POP3_GREETING);
	return ssl;
}

/* A client whose worker runs; *WORKER is the worker's end. */
static SSL *
logged_in(int *worker)
{
	SSL *ssl = implicit();

	tls_send(ssl, "USER u\r\nPASS p\r\n");
	*worker = kit_login(k, -1);
	tls_expect(ssl, POP3_SEND_PASS);
	return ssl;
}

static void
worker_says(int worker, const char *text)
{
	assert_int_equal(send(worker, text, strlen(text), MSG_NOSIGNAL),
	    strlen(text));
}

static void
worker_hears(int worker, const char *text)
{
	char got[256];
	ssize_t n;

	kit_turn(k);
	n = recv(worker, got, sizeof(got) - 1, MSG_DONTWAIT);
	got[n > 0 ? n : 0] = 0;
	assert_string_equal(got, text);
}

static void
worker_is_at_end(int worker)
{
	char octet;

	kit_turn(k);
	assert_int_equal(recv(worker, &octet, 1, MSG_DONTWAIT), 0);
}

/* --- before the login ---------------------------------------------------- */

/* RFC 2595 4, and CVE-2011-0411 in others: what came in plain is forgotten. */
static void
test_stls_injection(void **state)
{
	int fd = kit_connect(k, KIT_LOCAL, "192.0.2.1");
	SSL *ssl;

	(void)state;
	kit_expect(k, fd, POP3_GREETING);
	kit_send(k, fd, "STLS\r\nUSER x\r\nCAPA\r\n");
	kit_expect(k, fd, POP3_BEGIN_TLS);
	ssl = tls_over(fd);
	tls_expect(ssl, "");		/* no answer, and no second greeting */
	tls_send(ssl, "PASS p\r\n");
	tls_expect(ssl, POP3_NEED_USER);
	kit_quiet(k);
	tls_close(ssl);
}

static void
test_stls_forgets_user(void **state)
{
	int fd = kit_connect(k, KIT_ALWAYS, "192.0.2.1");
	SSL *ssl;

	(void)state;
	kit_send(k, fd, "USER u\r\nSTLS\r\n");
	kit_expect(k, fd, POP3_GREETING POP3_SEND_PASS POP3_BEGIN_TLS);
	ssl = tls_over(fd);
	tls_send(ssl, "PASS p\r\n");
	tls_expect(ssl, POP3_NEED_USER);
	tls_close(ssl);
}

static void
test_stls_changes_capa(void **state)
{
	int fd = kit_connect(k, KIT_LOCAL, "192.0.2.1");
	const char *capa;
	SSL *ssl;

	(void)state;
	kit_expect(k, fd, POP3_GREETING);
	kit_send(k, fd, "CAPA\r\n");
	capa = kit_hear(k, fd);
	assert_non_null(strstr(capa, "\r\nSTLS\r\n"));
	assert_null(strstr(capa, "\r\nUSER\r\n"));
	kit_send(k, fd, "STLS\r\n");
	kit_expect(k, fd, POP3_BEGIN_TLS);
	ssl = tls_over(fd);
	tls_send(ssl, "CAPA\r\nSTLS\r\n");
	capa = tls_hear(ssl);
	assert_null(strstr(capa, "\r\nSTLS\r\n"));
	assert_non_null(strstr(capa, "\r\nUSER\r\nSASL PLAIN LOGIN\r\n"));
	assert_non_null(strstr(capa, POP3_IN_TLS));
	tls_close(ssl);
}

static void
test_stls_where_it_is_off(void **state)
{
	int fd = kit_connect(k, KIT_OFF, "127.0.0.1");

	(void)state;
	kit_send(k, fd, "STLS\r\n");
	kit_expect(k, fd, POP3_GREETING POP3_NO_TLS);
	close(fd);
}

static void
test_tells_the_coordinator(void **state)
{
	SSL *ssl = implicit();
	int fd = kit_connect(k, KIT_ALWAYS, "192.0.2.7");

	(void)state;
	tls_send(ssl, "USER u\r\nPASS p\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.flags, IPC_TLS | IPC_PLAIN);
	assert_string_equal(k->in.m.auth_begin.remote, "192.0.2.1");
	kit_send(k, fd, "USER u\r\nPASS p\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.flags, IPC_STLS | IPC_PLAIN);
	close(fd);
	tls_close(ssl);
}

static void
test_tls_client_vanishes(void **state)
{
	SSL *ssl = implicit();

	(void)state;
	tls_send(ssl, "USER u\r\nPASS p\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	tls_close(ssl);
	kit_turn(k);
	kit_auth_got(k, IPC_AUTH_CANCEL);
	assert_int_equal(k->gate->n_conn, 0);
}

static void
test_tls_octet_by_octet(void **state)
{
	static const char say[] = "USER u\r\nPASS p\r\n";
	SSL *ssl = implicit();

	(void)state;
	for (size_t i = 0; i < sizeof(say) - 1; i++) {
		assert_int_equal(SSL_write(ssl, say + i, 1), 1);
		kit_turn(k);
	}
	kit_auth_got(k, IPC_AUTH_BEGIN);
	tls_expect(ssl, POP3_SEND_PASS);
	tls_close(ssl);
}

static void
test_not_tls(void **state)
{
	int fd = kit_connect(k, KIT_TLS, "192.0.2.1");

	(void)state;
	log_set_sink(log_keep);
	kit_send(k, fd, "CAPA\r\nUSER somebody\r\n");
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
	assert_non_null(strstr(logged, "tls-failed remote=192.0.2.1 error="));
	close(fd);
}

static void
test_tls_quit(void **state)
{
	SSL *ssl = implicit();

	(void)state;
	tls_send(ssl, "QUIT\r\nNOOP\r\n");
	tls_expect(ssl, POP3_BYE "EOF");
	tls_close(ssl);
	kit_turn(k);
	assert_int_equal(k->gate->n_conn, 0);
}

static void
test_tls_refused_then_retry(void **state)
{
	struct ipc_auth_yes yes = {.grant = 5};
	struct ipc_refused refused = {.status = (uint32_t)CULVER_E_TEMP};
	SSL *ssl = implicit();
	int worker;

	(void)state;
	tls_send(ssl, "USER u\r\nPASS p\r\nUSER u\r\nPASS p\r\nSTAT\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	yes.serial = refused.serial = k->in.m.auth_begin.serial;
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	kit_master_got(k, IPC_HANDOVER);
	kit_master_say(k, IPC_REFUSED, &refused, NULL, 0);
	worker = kit_login(k, -1);
	assert_non_null(strstr(tls_hear(ssl), "[SYS/TEMP]"));
	worker_hears(worker, "STAT\r\n");
	close(worker);
	tls_close(ssl);
}

/* --- the relay ----------------------------------------------------------- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_stls_injection),
	    TEST(test_stls_forgets_user),
	    TEST(test_stls_changes_capa),
	    TEST(test_stls_where_it_is_off),
	    TEST(test_tells_the_coordinator),
	    TEST(test_tls_client_vanishes),
	    TEST(test_tls_octet_by_octet),
	    TEST(test_not_tls),
	    TEST(test_tls_quit),
	    TEST(test_tls_refused_then_retry),
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
