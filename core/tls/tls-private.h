/*
 * tls-private.h - shared by ctx.c, tickets.c and their tests.
 */
#ifndef TLS_PRIVATE_H
#define TLS_PRIVATE_H

#include "core/config/conf.h"
#include "core/tls/pair.h"
#include "core/tls/tls.h"

struct ticket_key {		/* as in the memfd */
	uint8_t name[16], hmac[32], aes[32];
};

struct tls_mark {		/* of a pair */
	uint8_t digest[32];	/* of its two files */
	_Bool changed;		/* since the last commit */
};

struct tls {
	const struct conf_gate_host *host;
	uint32_t *hash;			/* of each host's name, or of what is
					 * behind its star */
	uint32_t n_host, n_cert;
	struct tls_pair *pair;		/* n_cert of them */
	struct tls_mark *mark;		/* likewise */
	SSL_CTX **ctx;			/* n_host; NULL: use [0] */
	struct ticket_key ticket[TLS_TICKET_KEYS];
	unsigned n_ticket;
	_Bool has_ca;			/* pair `ca' vouches for clients */
	uint32_t ca;
	enum conf_client_name client_name;
	X509_STORE *store;		/* NULL: not there yet */
	STACK_OF(X509_NAME) *ca_names;
};

/*
 * Take CERT and KEY as pair INDEX, in force after tls_commit(), unless they
 * are what it has.  NULL, or what is wrong; then the pair of before stays.
 */
const char *tls_pair_take(struct tls *tls, uint32_t index,
    const struct tls_file *cert, const struct tls_file *key);

/*
 * Make contexts of all pairs and use them for new connections; established
 * ones go on as they are.  A host without a pair gets the default's.
 * False: nothing changed, the reason is on OpenSSL's error queue.
 */
_Bool tls_commit(struct tls *tls);

/* --- client.c ------------------------------------------------------------ */

/* Take the certificates in FILE as those who vouch for clients, as
 * tls_pair_take() does. */
const char *tls_ca_take(struct tls *tls, const struct tls_file *file);

/* Let CTX ask clients for certificates, if there is who vouches for them. */
void tls_ca_apply(const struct tls *tls, SSL_CTX *ctx);

/* Let CTX issue and take tickets, or neither while there is no key. */
void tickets_apply(const struct tls *tls, SSL_CTX *ctx);

#endif /* TLS_PRIVATE_H */
