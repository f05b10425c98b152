/*
 * client.c - certificates that clients show: who vouches for them, and whose
 * they are.
 *
 * Runs in gate, confined.  What a client shows is hostile until OpenSSL has
 * verified it, and its names are after that, too.
 */
#include "config.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/tls/tls-private.h"

void
tls_ask_clients(struct tls *tls, uint32_t ca, enum conf_client_name name)
{
	tls->has_ca = ca < tls->n_cert;
	tls->ca = ca;
	tls->client_name = name;
}

/* Read all certificates of FILE into STORE and their names into NAMES. */
static _Bool
ca_read(const struct tls_file *file, X509_STORE *store,
    STACK_OF(X509_NAME) *names)
{
	BIO *bio = BIO_new_mem_buf(file->p, (int)file->n);
	_Bool ok = bio != NULL;
	unsigned n = 0;
	X509 *x;

	while (ok && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));

		ok = X509_STORE_add_cert(store, x) == 1 && name != NULL &&
		    sk_X509_NAME_push(names, name) > 0;
		if (!ok)
			X509_NAME_free(name);
		X509_free(x);
		n++;
	}
	BIO_free(bio);
	ERR_clear_error();		/* the end of the file is an error */
	return ok && n > 0;
}

const char *
tls_ca_take(struct tls *tls, const struct tls_file *file)
{
	struct tls_mark *mark = &tls->mark[tls->ca];
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_STORE *store = X509_STORE_new();
	uint8_t digest[32];
	_Bool ok = EVP_Digest(file->p, file->n, digest, NULL, EVP_sha256(),
	    NULL) == 1;

	if (ok && tls->store != NULL &&
	    memcmp(digest, mark->digest, sizeof(digest)) == 0) {
		X509_STORE_free(store);
		sk_X509_NAME_free(names);
		return NULL;
	}
	if (!ok || store == NULL || names == NULL ||
	    !ca_read(file, store, names)) {
		X509_STORE_free(store);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return "cannot be taken for those of clients";
	}
	X509_STORE_free(tls->store);
	sk_X509_NAME_pop_free(tls->ca_names, X509_NAME_free);
	tls->store = store;
	tls->ca_names = names;
	memcpy(mark->digest, digest, sizeof(digest));
	mark->changed = 1;
	return NULL;
}

/* Who shows a certificate that nobody vouches for may go on, but cannot log in
 * with it: SSL_get_verify_result() keeps what was wrong. */
static int
go_on(int ok, X509_STORE_CTX *ctx)
{
	(void)ok, (void)ctx;
	return 1;
}

void
tls_ca_apply(const struct tls *tls, SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	if (tls->store == NULL ||
	    SSL_CTX_set1_verify_cert_store(ctx, tls->store) != 1)
		return;
	SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(tls->ca_names));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, go_on);
}

/* --- names ---------------------------------------------------------------- */

static _Bool
text_take(const ASN1_STRING *s, char user[TLS_CLIENT_USER])
{
	unsigned char *text = NULL;
	int n = ASN1_STRING_to_UTF8(&text, s);
	_Bool ok = n > 0 && n < TLS_CLIENT_USER;

	for (int i = 0; ok && i < n; i++)
		ok = text[i] >= 0x20 && text[i] != 0x7f;
	if (ok) {
		memcpy(user, text, (size_t)n);
		user[n] = 0;
	}
	OPENSSL_free(text);
	return ok;
}

/* The only NID of the subject: of several, which one would count? */
static _Bool
subject_take(const X509 *x, int nid, char user[TLS_CLIENT_USER])
{
	const X509_NAME *name = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(name, nid, -1);

	return at >= 0 && X509_NAME_get_index_by_NID(name, nid, at) < 0 &&
	    text_take(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)),
		user);
}

/* The only address of subjectAltName; false in *ANY if it has none. */
static _Bool
address_take(const X509 *x, char user[TLS_CLIENT_USER], _Bool *any)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL,
	    NULL);
	const ASN1_STRING *found = NULL;
	_Bool ok;
	int count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type != GEN_EMAIL)
			continue;
		found = g->d.rfc822Name;
		count++;
	}
	*any = count > 0;
	ok = count == 1 && text_take(found, user);
	GENERAL_NAMES_free(names);
	return ok;
}

static _Bool
user_take(const X509 *x, enum conf_client_name which,
    char user[TLS_CLIENT_USER])
{
	_Bool any;

	switch (which) {
	case CONF_CLIENT_CN:
		return subject_take(x, NID_commonName, user);
	case CONF_CLIENT_UID:
		return subject_take(x, NID_userId, user);
	case CONF_CLIENT_EMAIL:
		if (address_take(x, user, &any))
			return 1;
		return !any && subject_take(x, NID_pkcs9_emailAddress, user);
	}
	return 0;
}

/* A resumed session was verified when it began: who vouched for X then may
 * not any more.  Its ticket has no chain, so one of ours must have signed. */
static _Bool
still_good(const struct tls *tls, X509 *x)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	_Bool ok = ctx != NULL && tls->store != NULL &&
	    X509_STORE_CTX_init(ctx, tls->store, x, NULL) == 1 &&
	    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 &&
	    X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

_Bool
tls_client_user(const struct tls *tls, SSL *ssl, char user[TLS_CLIENT_USER])
{
	X509 *x = tls->has_ca ? SSL_get0_peer_certificate(ssl) : NULL;

	return x != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
	    (!SSL_session_reused(ssl) || still_good(tls, x)) &&
	    X509_cmp_current_time(X509_get0_notAfter(x)) > 0 &&
	    user_take(x, tls->client_name, user);
}
