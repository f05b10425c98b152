/*
 * gatetlskit.h - a gate with a certificate in this process, TLS clients of it,
 * and their workers.
 */
#ifndef TESTS_UNIT_GATETLSKIT_H
#define TESTS_UNIT_GATETLSKIT_H

#include <openssl/ssl.h>

#include "tests/unit/gatekit.h"

extern struct kit *const k;
extern char logged[4096];	/* since log_keep() is the sink */

/* A sink for log_set_sink(). */
void log_keep(int level, const char *text);

/* Give the gate a fresh certificate for NAME. */
void certificate(const char *name);
int tls_kit_setup(void **state);
int tls_kit_teardown(void **state);

/* A client over FD whose handshake is done. */
SSL *tls_over(int fd);
void tls_close(SSL *ssl);

/* Send TEXT and let the gate work. */
void tls_send(SSL *ssl, const char *text);

/* What came; "EOF" stands for close_notify, "CUT" for an end without it. */
const char *tls_hear(SSL *ssl);

/* A greeted client of the listener with implicit TLS. */
SSL *implicit(void);

/* A client whose worker runs; *WORKER is the worker's end. */
SSL *logged_in(int *worker);

/* What its worker sends; what it has got; that it got the end. */
void worker_says(int worker, const char *text);
void worker_hears(int worker, const char *text);
void worker_is_at_end(int worker);

#define tls_expect(ssl, text) assert_string_equal(tls_hear(ssl), text)

#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_kit_setup, \
    tls_kit_teardown)

#endif /* TESTS_UNIT_GATETLSKIT_H */
