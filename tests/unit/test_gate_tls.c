/*
 * test_gate_tls.c - STLS and implicit TLS before the login.
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

#include <openssl/ssl.h>

#include "core/base/log.h"
#include "core/pop3/reply.h"
#include "core/tls/tls.h"
#include "tests/unit/gatetlskit.h"

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
	assert_int_equal(k->in.m.auth_begin.flags, IPC_TLS | PLAIN_MECHS);
	assert_string_equal(k->in.m.auth_begin.remote, "192.0.2.1");
	kit_send(k, fd, "USER u\r\nPASS p\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	assert_int_equal(k->in.m.auth_begin.flags, IPC_STLS |
	    PLAIN_MECHS);
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
	};

	signal(SIGPIPE, SIG_IGN);
	if (!tls_warm())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
