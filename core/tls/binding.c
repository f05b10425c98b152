/*
 * binding.c - what distinguishes a TLS connection from all others, for
 * mechanisms that bind a login to it.
 *
 * Runs in gate.
 */
#include "config.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "core/tls/tls.h"

/* RFC 5929 4.1: the hash of the certificate's signature; SHA-256 for those
 * that nobody should use any more. */
static const EVP_MD *
endpoint_hash(const X509 *cert)
{
	int hash = NID_undef;

	if (X509_get_signature_info((X509 *)(uintptr_t)cert, &hash, NULL,
	    NULL, NULL) != 1 || hash == NID_undef)
		return NULL;	/* such as Ed25519: none is defined */
	return hash == NID_md5 || hash == NID_sha1 ? EVP_sha256() :
	    EVP_get_digestbynid(hash);
}

static void
endpoint_get(SSL *ssl, struct tls_binding *out)
{
	const X509 *cert = SSL_get_certificate(ssl);
	const EVP_MD *md = cert != NULL ? endpoint_hash(cert) : NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (md == NULL || X509_digest(cert, md, digest, &n) != 1 ||
	    n > sizeof(out->endpoint))
		return;
	memcpy(out->endpoint, digest, n);
	out->endpoint_n = n;
}

/* The first Finished message: the client's, or ours in a resumed session.
 * Without the extended master secret two connections may have the same
 * (RFC 7627). */
static void
unique_get(SSL *ssl, struct tls_binding *out)
{
	if (SSL_get_extms_support(ssl) != 1)
		return;
	out->unique_n = SSL_session_reused(ssl) ?
	    SSL_get_finished(ssl, out->unique, sizeof(out->unique)) :
	    SSL_get_peer_finished(ssl, out->unique, sizeof(out->unique));
	if (out->unique_n > sizeof(out->unique))
		out->unique_n = 0;
}

void
tls_binding_get(SSL *ssl, struct tls_binding *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	*out = (struct tls_binding){.exporter_n = 0};
	endpoint_get(ssl, out);
	if (SSL_version(ssl) < TLS1_3_VERSION)
		unique_get(ssl, out);
	else if (SSL_export_keying_material(ssl, out->exporter,
	    sizeof(out->exporter), label, sizeof(label) - 1, NULL, 0, 1) == 1)
		out->exporter_n = sizeof(out->exporter);
}
