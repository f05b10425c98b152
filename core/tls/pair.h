/*
 * pair.h - a certificate chain and its key, read from files.
 *
 * Runs in gate and certcheck, confined.  The files are the administrator's:
 * trusted to be meant well, not to be right.
 */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { TLS_FILE_MAX = 1 << 20 };	/* octets of one file */

struct tls_file {		/* what is in it */
	char *p;
	size_t n;
};

struct tls_pair {
	X509 *cert;		/* the server's own; NULL: no pair */
	STACK_OF(X509) *chain;	/* what follows it in the file */
	EVP_PKEY *key;
};
#define TLS_PAIR_INIT { .cert = NULL, .chain = NULL, .key = NULL }

enum tls_flaw {
	TLS_SOUND,
	TLS_UNREADABLE,		/* errno says why */
	TLS_TOO_BIG,
	TLS_EMPTY,
	TLS_NOT_PEM,		/* no certificate or key in it */
	TLS_SWAPPED,		/* a key where the certificate belongs, or
				 * the other way round */
	TLS_MALFORMED,		/* PEM, but its content does not parse */
	TLS_ENCRYPTED		/* a key with a passphrase */
};

/* Read all that FD is open on (its offset is not used); the caller frees F in
 * any case, which wipes it. */
enum tls_flaw tls_file_read(int fd, struct tls_file *f);
void tls_file_free(struct tls_file *f);

/* Parse the chain or the key in F into PAIR, which owns the result. */
enum tls_flaw tls_pair_parse_chain(const struct tls_file *f,
    struct tls_pair *pair);
enum tls_flaw tls_pair_parse_key(const struct tls_file *f,
    struct tls_pair *pair);

/* Is the key that of the certificate? */
_Bool tls_pair_matches(const struct tls_pair *pair);

/* Release what PAIR owns and make it empty. */
void tls_pair_free(struct tls_pair *pair);

/* What is wrong and what would be right, in words, for a log line. */
const char *tls_flaw_text(enum tls_flaw flaw);

#endif /* TLS_PAIR_H */
