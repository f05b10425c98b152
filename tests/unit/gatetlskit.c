/*
 * gatetlskit.c - a gate with TLS, for tests.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/base/log.h"
#include "core/pop3/reply.h"
#include "tests/unit/gatetlskit.h"
#include "tests/unit/tlskit.h"

struct kit *const k = &gatekit;
static SSL_CTX *client_ctx;
char logged[4096];

void
log_keep(int level, const char *text)
{
	size_t n = strlen(logged);

	(void)level;
	snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

void
certificate(const char *name)
{
	struct ipc_gate_certs certs = {.unused = 0};
	struct kit_pair p = kit_make(&(struct kit_cert){.name = name});
	int fd = kit_bundle(&p);

	kit_master_say(k, IPC_GATE_CERTS, &certs, &fd, 1);
	close(fd);
	kit_pair_free(&p);
}

int
tls_kit_setup(void **state)
{
	gatekit_setup(state);
	client_ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(client_ctx);
	certificate("first");
	logged[0] = 0;
	return 0;
}

int
tls_kit_teardown(void **state)
{
	SSL_CTX_free(client_ctx);
	return gatekit_teardown(state);
}

SSL *
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

void
tls_close(SSL *ssl)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
	ERR_clear_error();
}

void
tls_send(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)),
	    strlen(text));
	kit_turn(k);
}

const char *
tls_hear(SSL *ssl)
{
	static char text[65536];
	const char *end = "";
	int n = 0, got;

	kit_turn(k);
	while ((got = SSL_read(ssl, text + n, (int)sizeof(text) - 8 - n)) > 0)
		n += got;
	got = SSL_get_error(ssl, got);
	if (got == SSL_ERROR_ZERO_RETURN)
		end = "EOF";
	else if (got != SSL_ERROR_WANT_READ)
		end = "CUT";
	memcpy(text + n, end, strlen(end) + 1);
	ERR_clear_error();
	return text;
}

SSL *
implicit(void)
{
	SSL *ssl = tls_over(kit_connect(k, KIT_TLS, "192.0.2.1"));

	tls_expect(ssl, POP3_GREETING);
	return ssl;
}

SSL *
logged_in(int *worker)
{
	SSL *ssl = implicit();

	tls_send(ssl, "USER u\r\nPASS p\r\n");
	*worker = kit_login(k, -1);
	tls_expect(ssl, POP3_SEND_PASS);
	return ssl;
}

void
worker_says(int worker, const char *text)
{
	assert_int_equal(send(worker, text, strlen(text), MSG_NOSIGNAL),
	    strlen(text));
}

void
worker_hears(int worker, const char *text)
{
	char got[256];
	ssize_t n;

	kit_turn(k);
	n = recv(worker, got, sizeof(got) - 1, MSG_DONTWAIT);
	got[n > 0 ? n : 0] = 0;
	assert_string_equal(got, text);
}

void
worker_is_at_end(int worker)
{
	char octet;

	kit_turn(k);
	assert_int_equal(recv(worker, &octet, 1, MSG_DONTWAIT), 0);
}
