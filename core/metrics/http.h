/*
 * http.h - as much of HTTP/1.1 (RFC 9112) as a scraper of metrics needs.
 *
 * Runs in the metrics role, on octets of whoever may connect.  Pure: no
 * sockets.
 */
#ifndef METRICS_HTTP_H
#define METRICS_HTTP_H

#include <stddef.h>
#include <time.h>

enum { HTTP_REQUEST_MAX = 4096 };	/* octets, with all fields */

enum http_what {
	HTTP_MORE,		/* it has not ended yet */
	HTTP_GET, HTTP_HEAD,
	HTTP_BAD, HTTP_NOT_FOUND, HTTP_METHOD, HTTP_LARGE, HTTP_VERSION,
	HTTP_AWAY		/* of ours: there is nothing to tell now */
};

/*
 * What the N octets at P, the first of a connection, ask for.  A request is
 * whole when its fields have ended; of a body nothing is read.  HTTP_LARGE:
 * there are HTTP_REQUEST_MAX octets, and it is not.
 */
enum http_what http_read(const char *p, size_t n);

enum { HTTP_HEAD_MAX = 512 };

/* The head of the answer to WHAT at NOW, whose body has N octets, into OUT;
 * returns how long it is.  The body of an error is in OUT, too. */
size_t http_head(char out[HTTP_HEAD_MAX], enum http_what what, size_t n,
    time_t now);

#endif /* METRICS_HTTP_H */
