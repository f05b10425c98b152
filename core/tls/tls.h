/*
 * tls.h - the TLS of a gate: contexts by host name, certificates that can be
 * replaced while connections live, session tickets.
 *
 * Runs in gate, confined: files come as descriptors.  Clients are hostile.
 * TLS 1.2 and 1.3, no renegotiation, no compression; certificates of clients
 * are asked for only where there is a CA for them, and nobody needs one.
 * ALPN "pop3" is accepted and everything else refused (RFC 7301 3.2).
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "core/config/conf.h"

struct tls;

enum {
	TLS_TICKET_SIZE = 80,	/* 16 name, 32 HMAC, 32 AES */
	TLS_TICKET_KEYS = 3,
	TLS_CLIENT_USER = 256	/* room for a name */
};

/*
 * Make OpenSSL load all that it loads lazily; call before confinement, no
 * file is touched after it.  False: this OpenSSL cannot do what is needed.
 */
_Bool tls_warm(void);

/* No certificate yet.  Borrows HOST[N_HOST] for its life; N_CERT is how many
 * certificates they have. */
struct tls *tls_new(const struct conf_gate_host *host, uint32_t n_host,
    uint32_t n_cert);
void tls_destroy(struct tls **tls);

/*
 * Use the certificates in FD, a bundle (bundle.h), for new connections;
 * established ones go on as they are.  One that is not right leaves the one
 * of before in its place.  False after a line in the log: nothing changed.
 */
_Bool tls_certs_take(struct tls *tls, int fd);

/* Is there a certificate to answer with? */
_Bool tls_ready(const struct tls *tls);

/*
 * Take the ticket keys in the sealed memfds FDS, newest first: it encrypts,
 * all of them decrypt.  False: one is not what it should be; the keys of
 * before stay.
 */
_Bool tls_tickets_take(struct tls *tls, const int *fds, unsigned n);

/* The server's end of a connection over the blocking socket FD; NULL if
 * !tls_ready() or without memory.  The caller frees it with SSL_free(). */
SSL *tls_accept(struct tls *tls, int fd);

/* Pair CA is no pair: its certificates are who may vouch for clients, and NAME
 * is where their certificates have the user's name.  Before the first
 * certificates are taken. */
void tls_ask_clients(struct tls *tls, uint32_t ca, enum conf_client_name name);

/* The user's name in the certificate of SSL's client.  False: it has shown
 * none, none that is in date and vouched for, or none with one such name. */
_Bool tls_client_user(const struct tls *tls, SSL *ssl,
    char user[TLS_CLIENT_USER]);

struct tls_binding {		/* what names a channel; n is 0 for none */
	uint8_t exporter[32], endpoint[64], unique[64];
	size_t exporter_n, endpoint_n, unique_n;
};

/* What a client may bind its login to: tls-exporter (RFC 9266) in TLS 1.3,
 * tls-unique (RFC 5929 3) in TLS 1.2 with the extended master secret,
 * tls-server-end-point (RFC 5929 4) in both. */
void tls_binding_get(SSL *ssl, struct tls_binding *out);

/* Does NAME (as a client sends it) match PATTERN, a name or "*.domain"? */
_Bool tls_host_match(const char *pattern, const char *name);

/* A word for the log about what OpenSSL's queue says; empties the queue. */
const char *tls_error_text(void);

#endif /* TLS_TLS_H */
