/*
 * bundle.h - certificates and keys as certcheck found them right: all in one
 * sealed memfd.
 *
 * certcheck writes it, manager keeps and passes it unread, gates read it.  So
 * what a gate serves is what was checked, also when the files are written
 * anew at that moment, and one descriptor is enough for thousands of hosts.
 */
#ifndef TLS_BUNDLE_H
#define TLS_BUNDLE_H

#include <stdint.h>

#include "core/tls/pair.h"

enum { BUNDLE_MAX = 128 << 20 };	/* octets of all */

/* An empty one for N pairs; -1 with errno. */
int bundle_new(uint32_t n);

/* Write pair I, which was not written before.  False: no room, with errno. */
_Bool bundle_put(int fd, uint32_t i, const struct tls_file *cert,
    const struct tls_file *key);

/* Nothing can be changed any more; false with errno. */
_Bool bundle_seal(int fd);

/* Is FD a sealed bundle of N pairs? */
_Bool bundle_check(int fd, uint32_t n);

/* Read pair I into CERT and KEY, which the caller frees also after a false:
 * there is no such pair, or no memory. */
_Bool bundle_get(int fd, uint32_t i, struct tls_file *cert,
    struct tls_file *key);

#endif /* TLS_BUNDLE_H */
