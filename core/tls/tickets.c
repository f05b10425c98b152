/*
 * tickets.c - session tickets (RFC 5077, RFC 8446 4.6.1) under keys that all
 * gates share and that change every hour.
 *
 * Runs in gate, confined.  Keys are made by certcheck; master passes their
 * descriptors on unread.  A ticket from a client is hostile until its MAC is
 * verified, which OpenSSL does with the key that is set here.
 */
#include "config.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include "core/tls/tls-private.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool
key_read(int fd, struct ticket_key *key)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
	    st.st_size == TLS_TICKET_SIZE &&
	    pread(fd, key, sizeof(*key), 0) == (ssize_t)sizeof(*key);
}

_Bool
tls_tickets_take(struct tls *tls, const int *fds, unsigned n)
{
	struct ticket_key fresh[TLS_TICKET_KEYS];
	bool ok = n > 0 && n <= TLS_TICKET_KEYS;

	_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_SIZE,
	    "the memfd is the struct");
	memset(fresh, 0, sizeof(fresh));
	for (unsigned i = 0; ok && i < n; i++)
		ok = key_read(fds[i], &fresh[i]);
	if (ok) {
		memcpy(tls->ticket, fresh, sizeof(fresh));
		tls->n_ticket = n;
		for (uint32_t i = 0; i < tls->n_host; i++)
			if (tls->ctx[i] != NULL)
				tickets_apply(tls, tls->ctx[i]);
	}
	OPENSSL_cleanse(fresh, sizeof(fresh));
	return ok;
}

static bool
mac_init(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key->hmac,
		    sizeof(key->hmac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
		    sizeof(digest) - 1),
		OSSL_PARAM_END};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int
ticket_encrypt(struct tls *tls, unsigned char name[16], unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct ticket_key *key = &tls->ticket[0];

	if (tls->n_ticket == 0)
		return 0;
	memcpy(name, key->name, sizeof(key->name));
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes,
		iv) != 1 || !mac_init(mac, key))
		return -1;
	return 1;
}

static int
ticket_decrypt(struct tls *tls, const unsigned char name[16],
    const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	for (unsigned i = 0; i < tls->n_ticket; i++) {
		struct ticket_key *key = &tls->ticket[i];

		if (memcmp(name, key->name, sizeof(key->name)) != 0)
			continue;
		if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL,
			key->aes, iv) != 1 || !mac_init(mac, key))
			return -1;
		return i == 0 ? 1 : 2;	/* 2: and send a new ticket */
	}
	return 0;
}

static int
ticket_key(SSL *ssl, unsigned char name[16], unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	return encrypt ? ticket_encrypt(tls, name, iv, cipher, mac) :
	    ticket_decrypt(tls, name, iv, cipher, mac);
}

void
tickets_apply(const struct tls *tls, SSL_CTX *ctx)
{
	/* One is enough: a mail client opens one connection at a time. */
	SSL_CTX_set_num_tickets(ctx, tls->n_ticket > 0 ? 1 : 0);
	if (tls->n_ticket > 0)
		SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	else
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key);
}
