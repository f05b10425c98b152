/*
 * bio.h - a client's socket as OpenSSL's transport.
 *
 * The description of a client's socket stays blocking, because a worker may
 * come to own it; so every call here says MSG_DONTWAIT itself.
 */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include <openssl/bio.h>

/* A BIO over FD, which stays the caller's; NULL: no memory. */
BIO *tls_bio_new(int fd);

#endif /* TLS_BIO_H */
