/*
 * tlskit.c - certificates made on the spot, for tests.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "core/tls/bundle.h"
#include "tests/unit/tlskit.h"

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
extension_add(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

/* An RSA key of usual size takes long to make: one serves all. */
static EVP_PKEY *
key_make(int rsa_bits)
{
	static EVP_PKEY *usual;

	if (rsa_bits == 0)
		return EVP_EC_gen("P-256");
	if (rsa_bits != 2048)
		return EVP_RSA_gen((unsigned)rsa_bits);
	if (usual == NULL)
		usual = EVP_RSA_gen(2048);
	must(usual != NULL && EVP_PKEY_up_ref(usual) == 1);
	return usual;
}

struct kit_pair
kit_make(const struct kit_cert *what)
{
	static long serial = 1;
	struct kit_pair p = {.x = X509_new()};
	const struct kit_pair *issuer = what->issuer;
	X509_NAME *name = X509_NAME_new();
	char alt[300];

	p.key = key_make(what->rsa_bits);
	must(p.x != NULL && p.key != NULL && name != NULL);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)what->name, -1, -1, 0);
	snprintf(alt, sizeof(alt), "DNS:%s", what->name);
	X509_set_version(p.x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(p.x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(p.x),
	    what->from != 0 ? what->from : -3600);
	X509_gmtime_adj(X509_getm_notAfter(p.x),
	    what->to != 0 ? what->to : 86400);
	X509_set_subject_name(p.x, name);
	X509_set_issuer_name(p.x, issuer != NULL ?
	    X509_get_subject_name(issuer->x) : name);
	X509_set_pubkey(p.x, p.key);
	extension_add(p.x, NID_subject_alt_name, alt);
	must(X509_sign(p.x, issuer != NULL ? issuer->key : p.key,
	    EVP_get_digestbyname(what->digest != NULL ? what->digest :
		"SHA256")) > 0);
	X509_NAME_free(name);
	return p;
}

void
kit_pair_free(struct kit_pair *p)
{
	X509_free(p->x);
	EVP_PKEY_free(p->key);
	*p = (struct kit_pair){.x = NULL};
}

static int
bio_file(BIO *bio)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);
	int fd = memfd_create("kit", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && write(fd, p, (size_t)n) == n);
	BIO_free(bio);
	return fd;
}

int
kit_cert_file(X509 *const *x, int n)
{
	BIO *bio = BIO_new(BIO_s_mem());

	for (int i = 0; i < n; i++)
		must(PEM_write_bio_X509(bio, x[i]) == 1);
	return bio_file(bio);
}

int
kit_key_file(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_PKCS8PrivateKey(bio, key,
	    passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
	    (void *)(uintptr_t)passphrase) == 1);
	return bio_file(bio);
}

/* Of kit_cert_file() or kit_key_file(), which it closes. */
static struct tls_file
file_take(int fd)
{
	struct tls_file f;

	must(tls_file_read(fd, &f) == TLS_SOUND);
	close(fd);
	return f;
}

struct kit_files
kit_files(const struct kit_pair *p)
{
	return (struct kit_files){.cert = file_take(kit_cert_file(&p->x, 1)),
	    .key = file_take(kit_key_file(p->key, NULL))};
}

void
kit_files_free(struct kit_files *f)
{
	tls_file_free(&f->cert);
	tls_file_free(&f->key);
}

int
kit_bundle(const struct kit_pair *p)
{
	struct kit_files f = kit_files(p);
	int fd = bundle_new(1);

	must(fd >= 0 && bundle_put(fd, 0, &f.cert, &f.key) &&
	    bundle_seal(fd));
	kit_files_free(&f);
	return fd;
}

int
kit_text_file(const char *text)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(BIO_puts(bio, text) >= 0);
	return bio_file(bio);
}

int
kit_ticket_file(unsigned char seed)
{
	unsigned char key[80];
	int fd = memfd_create("ticket", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memset(key, seed, sizeof(key));
	must(fd >= 0 && write(fd, key, sizeof(key)) == sizeof(key) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
		F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
	return fd;
}
