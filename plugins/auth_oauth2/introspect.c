/*
 * introspect.c - ask the server that gave a token whether it is good (RFC
 * 7662).
 *
 * Runs in a pool process.  Its answer is bounded, and anything but a plain
 * yes or no is a failure of the server, never of the token.
 */
#include "config.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

/* The form that asks about TOKEN (RFC 7662 2.1); wipe_free() it. */
static char *
form_make(const struct culver_str *token, size_t *n)
{
	static const char format[] = "token=%s&token_type_hint=access_token";
	char *value = curl_easy_escape(NULL, token->p, (int)token->n);
	char *form = NULL;

	if (value != NULL) {
		*n = strlen(value) + sizeof(format) - 3;
		form = wipe_realloc(NULL, *n + 1);
	}
	if (form != NULL)
		snprintf(form, *n + 1, format, value);
	curl_free(value);
	return form;
}

culver_status
oauth_introspect(struct culver_auth *au, const struct culver_str *token,
    json_t **out, struct culver_call *call)
{
	struct oauth_answer a = {.most = OAUTH_MAX_ANSWER};
	const json_t *active;
	culver_status st;
	size_t n = 0;
	char *form;

	*out = NULL;
	if (token->n > OAUTH_MAX_TOKEN)
		return culver_fail(call, CULVER_E_AUTH, 0, "it has more than "
		    "%d octets", OAUTH_MAX_TOKEN);
	form = form_make(token, &n);
	if (form == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "introspection");
	st = oauth_http_fetch(&au->http, &au->introspection, form, n, &a,
	    call);
	wipe_free(form);
	if (st == CULVER_OK)
		*out = oauth_json_object(a.p, a.n);
	oauth_answer_free(&a);
	if (st != CULVER_OK)
		return st;
	active = json_object_get(*out, "active");
	if (json_is_true(active))
		return CULVER_OK;
	st = json_is_false(active) ? culver_fail(call, CULVER_E_AUTH, 0,
	    "the server says that it is not active") : culver_fail(call,
	    CULVER_E_TEMP, 0, "introspection: %.120s answers no JSON with "
	    "\"active\"", au->introspection.url);
	json_decref(*out);
	*out = NULL;
	return st;
}
