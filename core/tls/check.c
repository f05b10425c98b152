/*
 * check.c - find what is wrong with a certificate before a client does.
 *
 * Runs in certcheck, confined.  Certificates may come from anywhere, so their
 * names are printed with every control octet escaped.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/config/conf.h"
#include "core/tls/check.h"
#include "core/tls/pair.h"

struct check {
	const struct conf_cert *where;
	const char *host;
	time_t now;
	bool is_ca;
	int out;
	unsigned mistakes;
};

enum half { CERTIFICATE, KEY };

static void __attribute__((format(printf, 4, 0)))
say(struct check *c, enum half half, const char *warning, const char *fmt,
    va_list ap)
{
	const struct conf_cert *w = c->where;
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	dprintf(c->out, "%s:%u: %stls: %s %s: %s\n", w->file, w->line, warning,
	    half == KEY ? "key" : c->is_ca ? "client_ca" : "certificate",
	    half == KEY ? w->key : w->cert,
	    text);
}

static void __attribute__((format(printf, 3, 4)))
mistake(struct check *c, enum half half, const char *fmt, ...)
{
	va_list ap;

	c->mistakes++;
	va_start(ap, fmt);
	say(c, half, "", fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
warning(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, CERTIFICATE, "warning: ", fmt, ap);
	va_end(ap);
}

struct text {
	char s[256];
};

static struct text
bio_text(BIO *bio)
{
	struct text t = {.s = "?"};
	int n = bio != NULL ? BIO_read(bio, t.s, sizeof(t.s) - 1) : -1;

	t.s[n > 0 ? n : 1] = 0;
	BIO_free(bio);
	return t;
}

static struct text
name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL)
		X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE);
	return bio_text(bio);
}

static struct text
time_text(const ASN1_TIME *at)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL)
		ASN1_TIME_print(bio, at);
	return bio_text(bio);
}

static void
check_dates(struct check *c, const struct tls_pair *pair)
{
	time_t now = c->now;

	if (X509_cmp_time(X509_get0_notAfter(pair->cert), &now) <= 0)
		mistake(c, CERTIFICATE, "has expired on %s; renew it",
		    time_text(X509_get0_notAfter(pair->cert)).s);
	if (X509_cmp_time(X509_get0_notBefore(pair->cert), &now) > 0)
		warning(c, "is not valid before %s; check this machine's "
		    "clock", time_text(X509_get0_notBefore(pair->cert)).s);
	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		const X509 *x = sk_X509_value(pair->chain, i);

		if (X509_cmp_time(X509_get0_notAfter(x), &now) <= 0)
			warning(c, "its chain holds an expired certificate "
			    "(%s); take the present chain from your issuer",
			    name_text(X509_get_subject_name(x)).s);
	}
}

static uint64_t
expiry(const struct check *c, const struct tls_pair *pair)
{
	int days = 0, seconds = 0;

	return ASN1_TIME_diff(&days, &seconds, NULL,
	    X509_get0_notAfter(pair->cert)) == 1 ? (uint64_t)(c->now +
	    (time_t)days * 86400 + seconds) : 0;
}

static bool
digest_is_weak(X509 *x)
{
	int digest = NID_undef;

	return X509_get_signature_info(x, &digest, NULL, NULL, NULL) == 1 &&
	    (digest == NID_md5 || digest == NID_sha1 || digest == NID_md4 ||
	    digest == NID_md2);
}

static void
check_strength(struct check *c, const struct tls_pair *pair)
{
	int id = EVP_PKEY_get_base_id(pair->key);
	int bits = EVP_PKEY_get_bits(pair->key);

	if (id != EVP_PKEY_RSA && id != EVP_PKEY_RSA_PSS &&
	    id != EVP_PKEY_EC && id != EVP_PKEY_ED25519 &&
	    id != EVP_PKEY_ED448)
		mistake(c, KEY, "is of a kind that TLS cannot use; make an "
		    "ECDSA (P-256) or RSA (2048 bits) key");
	else if (EVP_PKEY_get_security_bits(pair->key) < 112)
		mistake(c, KEY, "is too weak (%d bits); use RSA with at least "
		    "2048 bits or ECDSA with P-256", bits);
	if (digest_is_weak(pair->cert))
		mistake(c, CERTIFICATE, "is signed with MD5 or SHA-1, which "
		    "clients refuse; get one signed with SHA-256");
	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		X509 *x = sk_X509_value(pair->chain, i);

		/* Nobody looks at a root's signature of itself. */
		if (digest_is_weak(x) && X509_self_signed(x, 0) != 1)
			mistake(c, CERTIFICATE, "its chain holds one signed "
			    "with MD5 or SHA-1 (%s); take the present chain "
			    "from your issuer",
			    name_text(X509_get_subject_name(x)).s);
	}
}

static void
check_chain(struct check *c, const struct tls_pair *pair)
{
	X509 *below = pair->cert;

	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		X509 *x = sk_X509_value(pair->chain, i);

		if (X509_check_issued(x, below) != X509_V_OK) {
			warning(c, "the chain is out of order: %s did not "
			    "issue %s; put each certificate right behind the "
			    "one that it issued",
			    name_text(X509_get_subject_name(x)).s,
			    name_text(X509_get_subject_name(below)).s);
			return;
		}
		below = x;
	}
}

static void
check_use(struct check *c, const struct tls_pair *pair)
{
	if (X509_check_purpose(pair->cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
		warning(c, "its key usage does not allow a TLS server; get "
		    "one with serverAuth");
	/* "*.x" asks for a wildcard certificate: try any name under it. */
	if (c->host[0] != 0) {
		char name[300];

		snprintf(name, sizeof(name), "%s%s",
		    c->host[0] == '*' ? "any" : "",
		    c->host + (c->host[0] == '*'));
		if (X509_check_host(pair->cert, name, 0, 0, NULL) != 1)
			warning(c, "is not for the name %s; get one that "
			    "lists it", c->host);
	}
}

/* A key that fits a later certificate of the chain tells what went wrong. */
static void
explain_mismatch(struct check *c, const struct tls_pair *pair)
{
	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		if (X509_check_private_key(sk_X509_value(pair->chain, i),
			pair->key) == 1) {
			mistake(c, CERTIFICATE, "the chain is out of order: "
			    "the server's own certificate is number %d; put "
			    "it first", i + 2);
			return;
		}
	}
	mistake(c, KEY, "does not belong to the certificate %s; give the key "
	    "that it was made with", c->where->cert);
}

static void
explain_error(struct check *c, enum half half, uint32_t error)
{
	mistake(c, half, "cannot be opened: %s; give the path of a file that "
	    "exists", strerror((int)error));
}

static void
explain_flaw(struct check *c, enum half half, enum tls_flaw flaw)
{
	if (flaw == TLS_UNREADABLE)
		mistake(c, half, "%s: %s", tls_flaw_text(flaw),
		    strerror(errno));
	else if (flaw != TLS_SOUND)
		mistake(c, half, "%s", tls_flaw_text(flaw));
}

static enum tls_flaw
read_chain(struct check_files *f, struct tls_pair *pair)
{
	enum tls_flaw flaw = tls_file_read(f->cert_fd, &f->cert);

	return flaw == TLS_SOUND ? tls_pair_parse_chain(&f->cert, pair) : flaw;
}

static enum tls_flaw
read_key(struct check_files *f, struct tls_pair *pair)
{
	enum tls_flaw flaw = tls_file_read(f->key_fd, &f->key);

	return flaw == TLS_SOUND ? tls_pair_parse_key(&f->key, pair) : flaw;
}

unsigned
check_pair(const struct conf_cert *where, struct check_files *f,
    const char *host, time_t now, int out_fd)
{
	struct check c = {.where = where, .host = host, .now = now,
	    .out = out_fd};
	struct tls_pair pair = TLS_PAIR_INIT;
	bool has_cert = false;

	if (f->cert_error != 0 || f->cert_fd < 0)
		explain_error(&c, CERTIFICATE, f->cert_error);
	else
		explain_flaw(&c, CERTIFICATE, read_chain(f, &pair));
	has_cert = c.mistakes == 0;
	if (f->key_error != 0 || f->key_fd < 0)
		explain_error(&c, KEY, f->key_error);
	else
		explain_flaw(&c, KEY, read_key(f, &pair));
	if (has_cert) {
		check_dates(&c, &pair);
		f->expires = expiry(&c, &pair);
	}
	if (has_cert && pair.key != NULL) {
		if (!tls_pair_matches(&pair))
			explain_mismatch(&c, &pair);
		check_strength(&c, &pair);
		check_chain(&c, &pair);
		check_use(&c, &pair);
	}
	ERR_clear_error();
	tls_pair_free(&pair);
	return c.mistakes;
}

unsigned
check_ca(const struct conf_cert *where, struct check_files *f, time_t now,
    int out_fd)
{
	struct check c = {.where = where, .host = "", .now = now,
	    .is_ca = true, .out = out_fd};
	struct tls_pair pair = TLS_PAIR_INIT;

	if (f->cert_error != 0 || f->cert_fd < 0)
		explain_error(&c, CERTIFICATE, f->cert_error);
	else
		explain_flaw(&c, CERTIFICATE, read_chain(f, &pair));
	if (c.mistakes == 0) {
		check_dates(&c, &pair);
		if (f->key_fd < 0 ||
		    tls_file_read(f->key_fd, &f->key) != TLS_SOUND)
			explain_error(&c, CERTIFICATE, f->key_error);
	}
	ERR_clear_error();
	tls_pair_free(&pair);
	return c.mistakes;
}
