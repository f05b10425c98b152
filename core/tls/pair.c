/*
 * pair.c - read and parse a certificate chain and its key.
 *
 * Runs in gate and certcheck, confined: pread and memory only, so that
 * nothing here needs a path.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "core/tls/pair.h"

void
tls_file_free(struct tls_file *f)
{
	if (f->p != NULL)
		OPENSSL_cleanse(f->p, f->n);
	free(f->p);
	*f = (struct tls_file){.p = NULL};
}

enum tls_flaw
tls_file_read(int fd, struct tls_file *f)
{
	ssize_t got;

	f->n = 0;
	f->p = malloc(TLS_FILE_MAX);
	if (f->p == NULL)
		return TLS_UNREADABLE;
	while (f->n < TLS_FILE_MAX) {
		got = pread(fd, f->p + f->n, TLS_FILE_MAX - f->n,
		    (off_t)f->n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return TLS_UNREADABLE;
		if (got == 0)
			return f->n == 0 ? TLS_EMPTY : TLS_SOUND;
		f->n += (size_t)got;
	}
	return TLS_TOO_BIG;
}

/* No passphrase is ever asked for; that one was wanted is remembered. */
static int
passphrase(char *buf, int size, int writing, void *wanted)
{
	(void)buf, (void)size, (void)writing;
	*(bool *)wanted = true;
	return -1;
}

static bool
holds(const struct tls_file *f, const char *what)
{
	return memmem(f->p, f->n, what, strlen(what)) != NULL;
}

static enum tls_flaw
chain_parse(BIO *bio, struct tls_pair *pair)
{
	X509 *x;

	pair->chain = sk_X509_new_null();
	if (pair->chain == NULL)
		return TLS_MALFORMED;
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (pair->cert == NULL) {
			pair->cert = x;
		} else if (sk_X509_push(pair->chain, x) == 0) {
			X509_free(x);
			return TLS_MALFORMED;
		}
	}
	/* Only "there is no further block" is a good end. */
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ?
	    TLS_SOUND : TLS_MALFORMED;
}

enum tls_flaw
tls_pair_parse_chain(const struct tls_file *f, struct tls_pair *pair)
{
	BIO *bio = BIO_new_mem_buf(f->p, (int)f->n);
	enum tls_flaw flaw;

	ERR_clear_error();
	flaw = bio != NULL ? chain_parse(bio, pair) : TLS_MALFORMED;
	if (flaw == TLS_SOUND && pair->cert == NULL)
		flaw = holds(f, "PRIVATE KEY-----") ? TLS_SWAPPED :
		    TLS_NOT_PEM;
	ERR_clear_error();
	BIO_free(bio);
	return flaw;
}

enum tls_flaw
tls_pair_parse_key(const struct tls_file *f, struct tls_pair *pair)
{
	BIO *bio = BIO_new_mem_buf(f->p, (int)f->n);
	bool wanted = false;
	enum tls_flaw flaw;

	if (bio != NULL)
		pair->key = PEM_read_bio_PrivateKey(bio, NULL, passphrase,
		    &wanted);
	if (pair->key != NULL)
		flaw = TLS_SOUND;
	else if (wanted)
		flaw = TLS_ENCRYPTED;
	else if (holds(f, "PRIVATE KEY-----"))
		flaw = TLS_MALFORMED;
	else
		flaw = holds(f, "CERTIFICATE-----") ? TLS_SWAPPED :
		    TLS_NOT_PEM;
	ERR_clear_error();
	BIO_free(bio);
	return flaw;
}

_Bool
tls_pair_matches(const struct tls_pair *pair)
{
	bool match = X509_check_private_key(pair->cert, pair->key) == 1;

	ERR_clear_error();
	return match;
}

void
tls_pair_free(struct tls_pair *pair)
{
	X509_free(pair->cert);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	*pair = (struct tls_pair)TLS_PAIR_INIT;
}

const char *
tls_flaw_text(enum tls_flaw flaw)
{
	switch (flaw) {
	case TLS_SOUND:
		return "nothing is wrong";
	case TLS_UNREADABLE:
		return "cannot be read; make it a regular, readable file";
	case TLS_TOO_BIG:
		return "is larger than 1 MiB; give a file with only one chain "
		    "or key";
	case TLS_EMPTY:
		return "is empty; write a PEM file there";
	case TLS_NOT_PEM:
		return "holds no PEM block of this kind; convert it with "
		    "\"openssl x509\" or \"openssl pkey\"";
	case TLS_SWAPPED:
		return "holds the other half of the pair; `certificate` and "
		    "`key` seem to be exchanged";
	case TLS_MALFORMED:
		return "is damaged: a PEM block in it does not parse; make it "
		    "anew";
	case TLS_ENCRYPTED:
		return "has a passphrase; take it off with \"openssl pkey\"";
	}
	return "?";
}
