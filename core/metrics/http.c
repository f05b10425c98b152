/*
 * http.c - see http.h.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/metrics/http.h"
#include "core/metrics/openmetrics.h"

/* RFC 9110, section 5.6.2. */
static _Bool
is_token(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') ||
		    (p[i] >= 'A' && p[i] <= 'Z') ||
		    (p[i] >= '0' && p[i] <= '9') ||
		    (p[i] != 0 && strchr("!#$%&'*+-.^_`|~", p[i]) != NULL)))
			return 0;
	return n > 0;
}

static _Bool
is_word(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(p, word, n) == 0;
}

/* "NAME: value", without its end. */
static _Bool
is_field(const char *p, size_t n, _Bool *host)
{
	const char *colon = memchr(p, ':', n);

	if (colon == NULL || !is_token(p, (size_t)(colon - p)))
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 ? p[i] != '\t' : p[i] == 0x7f)
			return 0;
	if (colon - p == 4 && strncasecmp(p, "host", 4) == 0) {
		if (*host)
			return 0;	/* two of them */
		*host = 1;
	}
	return 1;
}

/* Octets of the line at P up to its CRLF; N: it has not ended. */
static size_t
line_length(const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n", 2);

	return end != NULL ? (size_t)(end - p) : n;
}

/* The request line. */
static enum http_what
read_line(const char *p, size_t n, _Bool *old)
{
	const char *target = memchr(p, ' ', n), *version;
	size_t path = 0, length;
	enum http_what what;

	if (target == NULL || !is_token(p, (size_t)(target - p)))
		return HTTP_BAD;
	what = is_word(p, (size_t)(target - p), "GET") ? HTTP_GET :
	    is_word(p, (size_t)(target - p), "HEAD") ? HTTP_HEAD :
	    HTTP_METHOD;
	target++;
	version = memchr(target, ' ', n - (size_t)(target - p));
	if (version == NULL || version == target)
		return HTTP_BAD;
	length = (size_t)(version - target);
	for (size_t i = 0; i < length; i++)
		if (target[i] <= 0x20 || target[i] > 0x7e)
			return HTTP_BAD;
	while (path < length && target[path] != '?')
		path++;
	version++;
	n -= (size_t)(version - p);
	*old = is_word(version, n, "HTTP/1.0");
	if (!*old && !is_word(version, n, "HTTP/1.1"))
		return n == 8 && memcmp(version, "HTTP/", 5) == 0 ?
		    HTTP_VERSION : HTTP_BAD;
	if (what == HTTP_METHOD)
		return what;
	return is_word(target, path, "/") || is_word(target, path,
	    "/metrics") ? what : HTTP_NOT_FOUND;
}

enum http_what
http_read(const char *p, size_t n)
{
	_Bool old = 0, host = 0, good = 1;
	enum http_what what;
	size_t at, k;

	if (memmem(p, n, "\r\n\r\n", 4) == NULL)
		return n >= HTTP_REQUEST_MAX ? HTTP_LARGE : HTTP_MORE;
	at = line_length(p, n);
	what = read_line(p, at, &old);
	for (at += 2; good && (k = line_length(p + at, n - at)) > 0;
	     at += k + 2)
		good = is_field(p + at, k, &host);
	if (!good || what == HTTP_BAD)
		return HTTP_BAD;
	return host || old || what == HTTP_VERSION ? what : HTTP_BAD;
}

size_t
http_head(char out[HTTP_HEAD_MAX], enum http_what what, size_t n, time_t now)
{
	static const char *const said[] = {
		[HTTP_GET] = "200 OK", [HTTP_HEAD] = "200 OK",
		[HTTP_BAD] = "400 Bad Request",
		[HTTP_NOT_FOUND] = "404 Not Found",
		[HTTP_METHOD] = "405 Method Not Allowed",
		[HTTP_LARGE] = "431 Request Header Fields Too Large",
		[HTTP_VERSION] = "505 HTTP Version Not Supported",
		[HTTP_AWAY] = "503 Service Unavailable",
	};
	_Bool good = what == HTTP_GET || what == HTTP_HEAD;
	size_t size = good ? n : strlen(said[what]) + 1;
	struct tm tm = {0};
	char date[40];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return (size_t)snprintf(out, HTTP_HEAD_MAX, "HTTP/1.1 %s\r\n"
	    "Date: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
	    "Connection: close\r\n\r\n%s%s", said[what], date, good ?
	    OPENMETRICS_TYPE : "text/plain", size, what == HTTP_METHOD ?
	    "Allow: GET, HEAD\r\n" : "", good ? "" : said[what],
	    good ? "" : "\n");
}
