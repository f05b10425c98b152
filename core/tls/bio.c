/*
 * bio.c - send and receive without ever blocking on a blocking socket.
 *
 * Runs in gate, confined, on octets of the network.
 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/tls/bio.h"

static int
bio_fd(BIO *bio)
{
	return (int)(intptr_t)BIO_get_data(bio);
}

static int
sock_write(BIO *bio, const char *p, int n)
{
	ssize_t sent = send(bio_fd(bio), p, (size_t)n,
	    MSG_DONTWAIT | MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)sent;
}

static int
sock_read(BIO *bio, char *p, int n)
{
	ssize_t got = recv(bio_fd(bio), p, (size_t)n, MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	else if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static long
sock_ctrl(BIO *bio, int cmd, long num, void *p)
{
	(void)num, (void)p;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static BIO_METHOD *
method(void)
{
	static BIO_METHOD *m;

	if (m != NULL)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
	    "client socket");
	if (m == NULL)
		return NULL;
	BIO_meth_set_write(m, sock_write);
	BIO_meth_set_read(m, sock_read);
	BIO_meth_set_ctrl(m, sock_ctrl);
	return m;
}

BIO *
tls_bio_new(int fd)
{
	const BIO_METHOD *m = method();
	BIO *bio = m != NULL ? BIO_new(m) : NULL;

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	return bio;
}
