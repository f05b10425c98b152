/*
 * ctx.c - SSL contexts: what is offered, who gets which certificate.
 *
 * Runs in gate, confined, as `culver`; it holds the keys of all certificates.
 * A context gets its certificates at a commit and never others, so a
 * connection in the middle of its handshake keeps a whole one.  One whose
 * pairs did not change is kept.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "core/base/log.h"
#include "core/tls/bio.h"
#include "core/tls/bundle.h"
#include "core/tls/tls-private.h"

/* AEAD with forward secrecy only; every client with TLS 1.2 of the last ten
 * years has one of them. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20"
/* AES-128 first: it is as safe here and a fifth cheaper. */
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
	"TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

enum {
	SECURITY_LEVEL = 2,	/* RSA 2048, EC 224, no SHA-1 */
	SESSION_LIFE = 7200	/* s; keys of tickets are kept for longer */
};

#define OPTIONS (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | \
	SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | \
	SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF)
#define MODES (SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | \
	SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN)

static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char pop3[] = {4, 'p', 'o', 'p', '3'};

	(void)ssl, (void)arg;
	/* A client that offers only other protocols does not want us; an
	 * attacker may have sent it here (ALPACA). */
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, n, pop3,
		sizeof(pop3), in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

_Bool
tls_host_match(const char *pattern, const char *name)
{
	const char *dot;

	if (strncmp(pattern, "*.", 2) != 0)
		return strcasecmp(pattern, name) == 0;
	/* One label for the star, and not an empty one. */
	dot = strchr(name, '.');
	return dot != NULL && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

/* The same for names that differ in case only. */
static uint32_t
name_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != 0; name++)
		h = (h ^ ((unsigned char)*name | 0x20u)) * 16777619u;
	return h;
}

/* Names are compared only where the hash is the same: there may be thousands
 * of hosts. */
static SSL_CTX *
ctx_for(const struct tls *tls, const char *name)
{
	const char *dot = strchr(name, '.');
	uint32_t exact = name_hash(name), rest = name_hash(dot != NULL ? dot :
	    "");
	SSL_CTX *wild = NULL;

	for (uint32_t i = 1; i < tls->n_host; i++) {
		const char *host = tls->host[i].name;

		if (tls->hash[i] != exact && tls->hash[i] != rest)
			continue;
		if (tls->ctx[i] == NULL || !tls_host_match(host, name))
			continue;
		if (host[0] != '*')
			return tls->ctx[i];
		if (wild == NULL)
			wild = tls->ctx[i];
	}
	return wild;
}

static int
select_host(SSL *ssl, int *alert, void *arg)
{
	const struct tls *tls = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	SSL_CTX *ctx = name != NULL ? ctx_for(tls, name) : NULL;

	(void)alert;
	if (ctx == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_set_SSL_CTX(ssl, ctx) != NULL ? SSL_TLSEXT_ERR_OK :
	    SSL_TLSEXT_ERR_NOACK;
}

/* A context with everything but certificates. */
static SSL_CTX *
ctx_new(struct tls *tls)
{
	static const unsigned char id[] = "culver";
	char groups[] = GROUPS;		/* a macro casts const away */
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS_12) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, OPTIONS);
	SSL_CTX_set_mode(ctx, MODES);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, SESSION_LIFE);
	tls_ca_apply(tls, ctx);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, select_host);
	SSL_CTX_set_tlsext_servername_arg(ctx, tls);
	SSL_CTX_set_app_data(ctx, tls);
	tickets_apply(tls, ctx);
	return ctx;
}

/* The context of host I; NULL and *ok if it has no pair. */
static SSL_CTX *
ctx_for_host(struct tls *tls, uint32_t i, bool *ok)
{
	const struct conf_gate_host *host = &tls->host[i];
	SSL_CTX *ctx = NULL;
	bool changed = tls->ctx[i] == NULL ||
	    (tls->has_ca && tls->mark[tls->ca].changed);

	for (uint32_t c = host->first; c < host->first + host->n; c++)
		changed |= tls->mark[c].changed;
	if (!changed && SSL_CTX_up_ref(tls->ctx[i]) == 1)
		return tls->ctx[i];
	for (uint32_t c = host->first; c < host->first + host->n; c++) {
		struct tls_pair *p = &tls->pair[c];

		if (p->cert == NULL)
			continue;
		if (ctx == NULL)
			ctx = ctx_new(tls);
		if (ctx == NULL || SSL_CTX_use_cert_and_key(ctx, p->cert,
			p->key, p->chain, 1) != 1) {
			SSL_CTX_free(ctx);
			*ok = false;
			return NULL;
		}
	}
	return ctx;
}

static void
ctx_free_all(SSL_CTX **ctx, uint32_t n)
{
	for (uint32_t i = 0; ctx != NULL && i < n; i++)
		SSL_CTX_free(ctx[i]);
	free(ctx);
}

_Bool
tls_commit(struct tls *tls)
{
	uint32_t n = tls->n_host;
	SSL_CTX **fresh = calloc(n + 1, sizeof(SSL_CTX *));
	bool ok = fresh != NULL;

	ERR_clear_error();
	for (uint32_t i = 0; ok && i < n; i++)
		fresh[i] = ctx_for_host(tls, i, &ok);
	if (!ok) {
		ctx_free_all(fresh, n);
		return 0;
	}
	ctx_free_all(tls->ctx, n);
	tls->ctx = fresh;
	for (uint32_t i = 0; i < tls->n_cert; i++)
		tls->mark[i].changed = 0;
	return 1;
}

static _Bool
is_ca(const struct tls *tls, uint32_t i)
{
	return tls->has_ca && i == tls->ca;
}

/* Parsing takes a millisecond, and of thousands of pairs a few change. */
static bool
is_known(struct tls *tls, uint32_t i, const struct tls_file *cert,
    const struct tls_file *key, uint8_t digest[32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL &&
	    EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(md, &cert->n, sizeof(cert->n)) == 1 &&
	    EVP_DigestUpdate(md, cert->p, cert->n) == 1 &&
	    EVP_DigestUpdate(md, key->p, key->n) == 1 &&
	    EVP_DigestFinal_ex(md, digest, NULL) == 1;

	EVP_MD_CTX_free(md);
	if (!ok)
		memset(digest, 0, 32);	/* like none */
	return ok && tls->pair[i].cert != NULL &&
	    memcmp(digest, tls->mark[i].digest, 32) == 0;
}

const char *
tls_pair_take(struct tls *tls, uint32_t index, const struct tls_file *cert,
    const struct tls_file *key)
{
	struct tls_pair fresh = TLS_PAIR_INIT;
	uint8_t digest[32];
	enum tls_flaw flaw;

	if (index >= tls->n_cert)
		return "is not in the configuration";
	if (is_known(tls, index, cert, key, digest))
		return NULL;
	flaw = tls_pair_parse_chain(cert, &fresh);
	if (flaw == TLS_SOUND)
		flaw = tls_pair_parse_key(key, &fresh);
	if (flaw == TLS_SOUND && tls_pair_matches(&fresh)) {
		tls_pair_free(&tls->pair[index]);
		tls->pair[index] = fresh;
		memcpy(tls->mark[index].digest, digest, sizeof(digest));
		tls->mark[index].changed = 1;
		return NULL;
	}
	tls_pair_free(&fresh);
	return flaw != TLS_SOUND ? tls_flaw_text(flaw) :
	    "does not belong to its key";
}

_Bool
tls_certs_take(struct tls *tls, int fd)
{
	struct tls_file cert, key;
	const char *wrong;

	if (!bundle_check(fd, tls->n_cert)) {
		log_errorx("tls: what certcheck made is not it");
		return 0;
	}
	for (uint32_t i = 0; i < tls->n_cert; i++) {
		wrong = !bundle_get(fd, i, &cert, &key) ? "cannot be read" :
		    is_ca(tls, i) ? tls_ca_take(tls, &cert) :
		    tls_pair_take(tls, i, &cert, &key);
		tls_file_free(&cert);
		tls_file_free(&key);
		if (wrong != NULL)
			log_errorx("tls: certificate %u %s", i, wrong);
	}
	if (tls_commit(tls))
		return 1;
	log_errorx("tls: the certificates of before stay: %s",
	    tls_error_text());
	return 0;
}

/* The first host that has a pair; host 0 is meant to. */
static SSL_CTX *
ctx_default(const struct tls *tls)
{
	for (uint32_t i = 0; i < tls->n_host; i++)
		if (tls->ctx[i] != NULL)
			return tls->ctx[i];
	return NULL;
}

_Bool
tls_ready(const struct tls *tls)
{
	return ctx_default(tls) != NULL;
}

SSL *
tls_accept(struct tls *tls, int fd)
{
	SSL_CTX *ctx = ctx_default(tls);
	SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
	BIO *bio = ssl != NULL ? tls_bio_new(fd) : NULL;

	if (bio == NULL) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

struct tls *
tls_new(const struct conf_gate_host *host, uint32_t n_host, uint32_t n_cert)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (tls == NULL)
		return NULL;
	tls->host = host;
	tls->n_host = n_host;
	tls->n_cert = n_cert;
	tls->pair = calloc(n_cert + 1, sizeof(struct tls_pair));
	tls->mark = calloc(n_cert + 1, sizeof(struct tls_mark));
	tls->ctx = calloc(n_host + 1, sizeof(SSL_CTX *));
	tls->hash = calloc(n_host + 1, sizeof(*tls->hash));
	if (tls->pair == NULL || tls->mark == NULL || tls->ctx == NULL ||
	    tls->hash == NULL) {
		tls_destroy(&tls);
		return NULL;
	}
	for (uint32_t i = 0; i < n_host; i++)
		tls->hash[i] = name_hash(host[i].name +
		    (host[i].name[0] == '*'));
	return tls;
}

void
tls_destroy(struct tls **tlsp)
{
	struct tls *tls = *tlsp;

	if (tls == NULL)
		return;
	ctx_free_all(tls->ctx, tls->n_host);
	for (uint32_t i = 0; tls->pair != NULL && i < tls->n_cert; i++)
		tls_pair_free(&tls->pair[i]);
	X509_STORE_free(tls->store);
	sk_X509_NAME_pop_free(tls->ca_names, X509_NAME_free);
	free(tls->pair);
	free(tls->mark);
	free(tls->hash);
	OPENSSL_cleanse(tls->ticket, sizeof(tls->ticket));
	free(tls);
	*tlsp = NULL;
}

_Bool
tls_warm(void)
{
	unsigned char octet;
	struct tls *tls;
	SSL_CTX *ctx;
	BIO *bio;
	bool ok;

	/* OpenSSL compares dates with gmtime_r(), which reads the zone once. */
	tzset();
	/* No openssl.cnf: what a gate does is Culver's configuration alone,
	 * and in the chroot there is none to read. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
		OPENSSL_INIT_LOAD_SSL_STRINGS |
		OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) != 1 ||
	    RAND_bytes(&octet, 1) != 1 || (tls = tls_new(NULL, 0, 0)) == NULL)
		return 0;
	ctx = ctx_new(tls);
	bio = tls_bio_new(-1);
	ok = ctx != NULL && bio != NULL;
	BIO_free(bio);
	SSL_CTX_free(ctx);
	tls_destroy(&tls);
	return ok;
}

const char *
tls_error_text(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return text != NULL ? text : "connection lost";
}
