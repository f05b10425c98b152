/*
 * url.c - URLs of identity providers, and the addresses of their names.
 *
 * Runs in a pool process.  Names are looked up here, because libcurl would
 * start a thread for that; the resolver knows no deadline.
 */
#include "config.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "plugins/auth_oauth2/oauth2.h"

#define RESOLVED_FOR 60000000000ull	/* ns */

enum { MAX_ADDRESSES = 8 };

/* --- URLs -------------------------------------------------------------------- */

/* The part WHICH of URL; NULL: it has none.  curl_free() it. */
static char *
url_part(CURLU *u, CURLUPart which, unsigned flags)
{
	char *text = NULL;

	return curl_url_get(u, which, &text, flags) == CURLUE_OK ? text : NULL;
}

bool
oauth_url_check(const char *url, const char **why)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *user = NULL, *fragment = NULL;

	*why = NULL;
	for (const char *p = url; *p != 0; p++)
		if (*p < 0x21 || *p > 0x7e)
			*why = "has spaces or octets that are no ASCII";
	if (*why != NULL || u == NULL || curl_url_set(u, CURLUPART_URL, url,
	    0) != CURLUE_OK) {
		*why = *why != NULL ? *why : "is not a URL";
	} else {
		scheme = url_part(u, CURLUPART_SCHEME, 0);
		user = url_part(u, CURLUPART_USER, 0);
		fragment = url_part(u, CURLUPART_FRAGMENT, 0);
		if (scheme == NULL || strcmp(scheme, "https") != 0)
			*why = "must begin with https://";
		else if (user != NULL || fragment != NULL)
			*why = "has a user or a fragment";
	}
	curl_free(scheme);
	curl_free(user);
	curl_free(fragment);
	curl_url_cleanup(u);
	return *why == NULL;
}

/* --- names ------------------------------------------------------------------- */

/* "HOST:PORT:ADDRESS,...", as libcurl wants it; false: it has no address. */
static bool
addresses_text(const char *host, const char *port, char *out, size_t room)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	unsigned n = 0;
	size_t at = (size_t)snprintf(out, room, "+%s:%s:", host, port);

	if (at >= room || getaddrinfo(host, port, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *a = list; a != NULL && n < MAX_ADDRESSES;
	    a = a->ai_next) {
		char text[64];

		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text),
		    NULL, 0, NI_NUMERICHOST) != 0 || strchr(text, '%') != NULL)
			continue;
		at += (size_t)snprintf(out + at, room - at, a->ai_family ==
		    AF_INET6 ? "%s[%s]" : "%s%s", n > 0 ? "," : "", text);
		n++;
	}
	freeaddrinfo(list);
	return n > 0;
}

static bool
is_address(const char *host)
{
	struct in_addr a;

	return host[0] == '[' || inet_pton(AF_INET, host, &a) == 1;
}

bool
oauth_peer_resolve(const struct culver_host *host, struct oauth_peer *p)
{
	uint64_t now = host->now(host);
	char text[1024], *name, *port;
	CURLU *u = curl_url();
	bool found = false;

	if (p->resolved != NULL && now - p->resolved_at < RESOLVED_FOR) {
		curl_url_cleanup(u);
		return true;
	}
	if (u == NULL || curl_url_set(u, CURLUPART_URL, p->url, 0) !=
	    CURLUE_OK) {
		curl_url_cleanup(u);
		return false;
	}
	name = url_part(u, CURLUPART_HOST, 0);
	port = url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (name != NULL && is_address(name)) {
		found = true;
	} else if (name != NULL && port != NULL && strlen(name) < 256 &&
	    addresses_text(name, port, text, sizeof(text))) {
		curl_slist_free_all(p->resolved);
		p->resolved = curl_slist_append(NULL, text);
		p->resolved_at = host->now(host);
		found = p->resolved != NULL;
	}
	curl_free(name);
	curl_free(port);
	curl_url_cleanup(u);
	return found;
}

void
oauth_peer_free(struct oauth_peer *p)
{
	curl_slist_free_all(p->resolved);
	p->resolved = NULL;
}
