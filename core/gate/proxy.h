/*
 * proxy.h - the header of the PROXY protocol, versions 1 and 2
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
 *
 * Runs in gate, on octets of a proxy that the configuration names.  What the
 * proxy says of its client is believed; how it says it is not.
 */
#ifndef GATE_PROXY_H
#define GATE_PROXY_H

#include <stddef.h>
#include <stdint.h>

enum {
	PROXY_V1_MAX = 107,	/* octets, CRLF included (2.1) */
	PROXY_MAX = 4096,	/* of version 2: what we take */
	PROXY_SIGNATURE = 12	/* octets that version 2 begins with */
};

enum proxy_result {
	PROXY_MORE,		/* all that is there belongs to it */
	PROXY_GOT,
	PROXY_BAD
};

struct proxy_said {
	size_t used;		/* octets of the header */
	int family;		/* AF_INET, AF_INET6; AF_UNSPEC: it says of no
				 * client (LOCAL, UNKNOWN, a Unix socket), so
				 * the connection's own addresses count */
	uint8_t client[16], server[16];		/* IPv4: the first 4 */
	_Bool tls;		/* the client has TLS with the proxy (2.2.5) */
};

/*
 * Parse the N octets at P.  MORE only while the header can still become one;
 * that is never longer than PROXY_MAX.  OUT counts with GOT.  Allocates
 * nothing.
 */
enum proxy_result proxy_parse(const uint8_t *p, size_t n,
    struct proxy_said *out);

/* Could the N octets at P be the beginning of a header, and are they enough
 * to be no accident? */
_Bool proxy_resembles(const uint8_t *p, size_t n);

#endif /* GATE_PROXY_H */
