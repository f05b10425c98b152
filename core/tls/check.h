/*
 * check.h - what is wrong with a certificate and its key, for people.
 */
#ifndef TLS_CHECK_H
#define TLS_CHECK_H

#include <stdint.h>
#include <time.h>

#include "core/tls/pair.h"

struct conf_cert;

struct check_files {		/* descriptors, or the errno of opening */
	int cert_fd, key_fd;	/* -1: none */
	uint32_t cert_error, key_error;
	/* what was read and checked; the caller frees both */
	struct tls_file cert, key;
	uint64_t expires;	/* seconds since 1970; 0: unknown */
};

/*
 * Check one pair as it would serve at time NOW and write a line to OUT_FD for
 * each mistake, `FILE:LINE: tls: certificate PATH: what is wrong and what
 * would be right`, or `FILE:LINE: warning: tls: ...` for what works all the
 * same.  HOST is the name that it is for, or "" for the default.  Returns the
 * number of mistakes, warnings aside.  The descriptors stay the caller's.
 */
unsigned check_pair(const struct conf_cert *where,
    struct check_files *files, const char *host, time_t now, int out_fd);

/* The same for the certificates of those who vouch for clients, which are in
 * the file of the certificate, as is, once more, what FILES has as key. */
unsigned check_ca(const struct conf_cert *where, struct check_files *files,
    time_t now, int out_fd);

#endif /* TLS_CHECK_H */
