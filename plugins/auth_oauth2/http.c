/*
 * http.c - one request to an identity provider, by libcurl.
 *
 * Runs in a pool process, one request at a time.  A handle lives for one
 * request, so that nothing of it stays in memory; the connection is kept by
 * the multi handle.  HTTPS only, no redirection, no proxy, no compression, no
 * more octets than were asked for.
 */
#include "config.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

#define MS 1000000ull
#define PAUSE_MAX (3000 * MS)
#define MARGIN (500 * MS)	/* for the answer to the core */

/* --- life ---------------------------------------------------------------------- */

culver_status
oauth_http_init(struct oauth_http *h, const struct culver_host *host,
    const struct culver_value *opt, struct culver_call *call)
{
	const char *path = opt[OPT_TLS_CA].u.s.p;
	struct plug_stamp stamp;

	h->host = host;
	h->opt = opt;
	if (path == NULL || path[0] == 0)
		path = curl_version_info(CURLVERSION_NOW)->cainfo;
	if (path == NULL)
		return culver_fail(call, CULVER_E_TEMP, 0, "set tls_ca: "
		    "libcurl knows of no certificates on this system");
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "libcurl");
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 2L);
	return oauth_file_read(path, OAUTH_MAX_CA, &h->ca, &h->n_ca, &stamp,
	    call);
}

void
oauth_http_free(struct oauth_http *h)
{
	curl_multi_cleanup(h->multi);
	h->multi = NULL;
	free(h->ca);
	h->ca = NULL;
}

void
oauth_answer_free(struct oauth_answer *a)
{
	wipe_free(a->p);
	a->p = NULL;
	a->n = 0;
}

/* --- a request ------------------------------------------------------------------ */

static size_t
answer_take(char *p, size_t one, size_t n, void *arg)
{
	struct oauth_answer *a = arg;
	char *grown;

	n *= one;
	if (n > a->most - a->n)
		return 0;
	grown = wipe_realloc(a->p, a->n + n + 1);
	if (grown == NULL)
		return 0;
	memcpy(grown + a->n, p, n);
	a->p = grown;
	a->n += n;
	a->p[a->n] = 0;
	return n;
}

#define SET(option, value) \
	if (curl_easy_setopt(e, (option), (value)) != CURLE_OK) \
		return false

/* Who asks: RFC 6749 2.3.1 (each encoded as in a form), or RFC 6750. */
static bool
credentials_set(struct oauth_http *h, CURL *e)
{
	const struct culver_str *id = &h->opt[OPT_CLIENT_ID].u.s;
	const struct culver_str *secret = &h->opt[OPT_CLIENT_SECRET].u.s;
	char *name, *password;
	bool ok;

	if (h->opt[OPT_BEARER].u.s.n > 0) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, h->opt[OPT_BEARER].u.s.p);
		return true;
	}
	SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	name = curl_easy_escape(NULL, id->p, (int)id->n);
	password = curl_easy_escape(NULL, secret->p, (int)secret->n);
	ok = name != NULL && password != NULL &&
	    curl_easy_setopt(e, CURLOPT_USERNAME, name) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PASSWORD, password) == CURLE_OK;
	curl_free(name);
	curl_free(password);
	return ok;
}

static bool
request_set(struct oauth_http *h, struct oauth_peer *p, CURL *e,
    const char *body, size_t n, struct curl_slist *headers, char *error)
{
	struct curl_blob ca = {.data = h->ca, .len = h->n_ca,
	    .flags = CURL_BLOB_NOCOPY};

	SET(CURLOPT_ERRORBUFFER, error);
	SET(CURLOPT_URL, p->url);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAINFO_BLOB, &ca);
	SET(CURLOPT_CAPATH, (char *)NULL);
	SET(CURLOPT_HTTPHEADER, headers);
	if (body == NULL)
		return true;
	SET(CURLOPT_POSTFIELDSIZE, (long)n);
	SET(CURLOPT_POSTFIELDS, body);
	return credentials_set(h, e);
}

/* How long it may take, what takes its answer, where to find the server. */
static bool
request_bound(struct oauth_peer *p, CURL *e, long ms, struct oauth_answer *out)
{
	SET(CURLOPT_TIMEOUT_MS, ms);
	SET(CURLOPT_WRITEFUNCTION, answer_take);
	SET(CURLOPT_WRITEDATA, out);
	if (p->resolved == NULL)	/* an address */
		return true;
	SET(CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	SET(CURLOPT_RESOLVE, p->resolved);
	return true;
}

/* Milliseconds that a request may take; 0: there is no time left. */
static long
time_given(struct oauth_http *h, const struct culver_call *call)
{
	uint64_t now = h->host->now(h->host);
	uint64_t most = (uint64_t)h->opt[OPT_TIMEOUT].u.i;

	if (call->deadline != UINT64_MAX) {
		if (now + MARGIN >= call->deadline)
			return 0;
		if (call->deadline - now - MARGIN < most)
			most = call->deadline - now - MARGIN;
	}
	return (long)(most / MS);
}

/* Run E to its end, which its own time-out brings. */
static CURLcode
request_run(struct oauth_http *h, CURL *e)
{
	CURLcode result = CURLE_OUT_OF_MEMORY;
	const CURLMsg *m;
	int running = 0, left;

	if (curl_multi_add_handle(h->multi, e) != CURLM_OK)
		return result;
	do {
		if (curl_multi_perform(h->multi, &running) != CURLM_OK ||
		    (running > 0 && curl_multi_poll(h->multi, NULL, 0, 1000,
		    NULL) != CURLM_OK))
			break;
	} while (running > 0);
	while ((m = curl_multi_info_read(h->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE && m->easy_handle == e)
			result = m->data.result;
	curl_multi_remove_handle(h->multi, e);
	return result;
}

/* What came of a request; false: no answer, as P->error says. */
static bool
request_result(struct oauth_peer *p, CURL *e, CURLcode result,
    const char *error, const struct oauth_answer *a)
{
	long status = 0;

	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
	if (result == CURLE_WRITE_ERROR)
		snprintf(p->error, sizeof(p->error), "its answer has more "
		    "than %zu octets", a->most);
	else if (result != CURLE_OK)
		snprintf(p->error, sizeof(p->error), "%.190s", error[0] != 0 ?
		    error : curl_easy_strerror(result));
	else if (status == 401 || status == 403)
		snprintf(p->error, sizeof(p->error), "it answers with HTTP "
		    "status %ld: it does not let this section ask", status);
	else if (status != 200)
		snprintf(p->error, sizeof(p->error), "it answers with HTTP "
		    "status %ld", status);
	else if (a->n == 0)
		snprintf(p->error, sizeof(p->error), "its answer is empty");
	else
		return true;
	return false;
}

static bool
request(struct oauth_http *h, struct oauth_peer *p, const char *body,
    size_t n, struct oauth_answer *out, const struct culver_call *call)
{
	struct curl_slist *headers = curl_slist_append(NULL,
	    "Accept: application/json");
	CURL *e = curl_easy_init();
	char error[CURL_ERROR_SIZE] = "";
	bool ok = false;
	long ms;

	snprintf(p->error, sizeof(p->error), "no memory");
	if (e == NULL || headers == NULL)
		goto out;
	if (!oauth_peer_resolve(h->host, p)) {
		snprintf(p->error, sizeof(p->error), "its name has no "
		    "address");
		goto out;
	}
	/* The resolver knows no deadline. */
	ms = time_given(h, call);
	if (ms == 0) {
		snprintf(p->error, sizeof(p->error), "looking up its name "
		    "took too long");
		goto out;
	}
	if (!request_set(h, p, e, body, n, headers, error) ||
	    !request_bound(p, e, ms, out))
		goto out;
	ok = request_result(p, e, request_run(h, e), error, out);
out:
	curl_easy_cleanup(e);
	curl_slist_free_all(headers);
	return ok;
}

culver_status
oauth_http_fetch(struct oauth_http *h, struct oauth_peer *p, const char *body,
    size_t n, struct oauth_answer *out, struct culver_call *call)
{
	uint64_t now = h->host->now(h->host);
	long ms = time_given(h, call);
	bool may = now >= p->backoff.not_before && ms > 0;

	if (may && request(h, p, body, n, out, call)) {
		if (p->backoff.failures > 0)
			culver_logf(h->host, CULVER_LOG_INFO, "%s: %.150s "
			    "answers again", p->what, p->url);
		backoff_over(&p->backoff);
		return CULVER_OK;
	}
	if (may) {
		backoff_failed(&p->backoff, h->host->now(h->host), 0,
		    PAUSE_MAX);
		if (p->backoff.failures == 1)
			culver_logf(h->host, CULVER_LOG_WARN, "%s: %.150s: %s",
			    p->what, p->url, p->error);
	}
	oauth_answer_free(out);
	return culver_fail(call, CULVER_E_TEMP, 0, "%s: %.60s: %.150s",
	    p->what, p->url, ms <= 0 ? "there is no time left to ask it" :
	    p->error);
}
