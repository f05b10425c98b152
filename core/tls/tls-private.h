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

struct tls {
	const struct conf_gate *conf;
	struct tls_pair *pair;		/* conf->n_cert of them */
	SSL_CTX **ctx;			/* conf->n_host; NULL: use [0] */
	struct ticket_key ticket[TLS_TICKET_KEYS];
	unsigned n_ticket;
};

/* Let CTX issue and take tickets, or neither while there is no key. */
void tickets_apply(const struct tls *tls, SSL_CTX *ctx);

#endif /* TLS_PRIVATE_H */
