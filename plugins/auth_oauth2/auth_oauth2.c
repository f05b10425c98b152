/*
 * auth_oauth2.c - users by OAuth 2.0 bearer tokens; see culver-oauth2(5).
 *
 * Runs in a pool process as the auth user, confined to the folder of its keys
 * and the network.  Tokens come from clients, keys and answers from an
 * identity provider.
 */
#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"
#include "plugins/common/paths.h"

static const char *const cases[] = {"keep", "lower", NULL};

#define S_NS INT64_C(1000000000)

static const struct culver_option options[N_OPTIONS] = {
	[OPT_KEYS] = {.name = "keys", .type = CULVER_OPT_PATH,
	    .help = "file of the keys that sign tokens: a JWKS, or public "
		"keys and certificates in PEM"},
	[OPT_JWKS_URL] = {.name = "jwks_url", .type = CULVER_OPT_STRING,
	    .help = "where the keys are fetched from instead (https)"},
	[OPT_JWKS_REFRESH] = {.name = "jwks_refresh", .type = CULVER_OPT_TIME,
	    .min = 10 * S_NS, .max = 86400 * S_NS, .def = "1h",
	    .help = "how old fetched keys may be before they are fetched "
		"again"},
	[OPT_JWKS_PAUSE] = {.name = "jwks_pause", .type = CULVER_OPT_TIME,
	    .min = S_NS, .max = 3600 * S_NS, .def = "30s",
	    .help = "least time between two fetches because of a key that is "
		"not known, or after one that failed"},
	[OPT_JWKS_MAX_AGE] = {.name = "jwks_max_age", .type = CULVER_OPT_TIME,
	    .min = 60 * S_NS, .max = 30 * 86400 * S_NS, .def = "1d",
	    .help = "how long fetched keys are used while newer ones cannot "
		"be had"},
	[OPT_ALGORITHMS] = {.name = "algorithms", .type = CULVER_OPT_LIST,
	    .def = "{" OAUTH_ALGS "}",
	    .help = "how tokens may be signed, of these"},
	[OPT_ISSUER] = {.name = "issuer", .type = CULVER_OPT_LIST,
	    .help = "whose tokens are taken: the claim iss is one of these"},
	[OPT_AUDIENCE] = {.name = "audience", .type = CULVER_OPT_LIST,
	    .help = "for whom a token must be: the claim aud has one of "
		"these"},
	[OPT_SCOPE] = {.name = "scope", .type = CULVER_OPT_LIST,
	    .help = "what a token must be good for: the claim scope (or scp) "
		"has all of these"},
	[OPT_LEEWAY] = {.name = "leeway", .type = CULVER_OPT_TIME, .min = 0,
	    .max = 300 * S_NS, .def = "30s",
	    .help = "how wrong clocks may be, for exp and nbf"},
	[OPT_USER_CLAIM] = {.name = "user_claim", .type = CULVER_OPT_STRING,
	    .min = 1, .max = 60, .def = "email",
	    .help = "the claim with the user's name"},
	[OPT_UNVERIFIED] = {.name = "allow_unverified",
	    .type = CULVER_OPT_BOOL, .def = "no",
	    .help = "whether the claim email names a user if email_verified "
		"is missing; not if anybody can change his own address"},
	[OPT_USER_CASE] = {.name = "user_case", .type = CULVER_OPT_ENUM,
	    .choices = cases, .def = "lower",
	    .help = "whether the user's name is turned to lower case; if it "
		"is not set, the top level's user_case"},
	[OPT_INTROSPECTION_URL] = {.name = "introspection_url",
	    .type = CULVER_OPT_STRING,
	    .help = "where a server says whether a token is good (https)"},
	[OPT_CLIENT_ID] = {.name = "client_id", .type = CULVER_OPT_STRING,
	    .help = "the name that this section has there"},
	[OPT_CLIENT_SECRET] = {.name = "client_secret",
	    .type = CULVER_OPT_STRING, .flags = CULVER_OPT_SECRET,
	    .help = "its password"},
	[OPT_BEARER] = {.name = "introspection_token",
	    .type = CULVER_OPT_STRING, .flags = CULVER_OPT_SECRET,
	    .help = "a bearer token to ask with instead"},
	[OPT_TLS_CA] = {.name = "tls_ca", .type = CULVER_OPT_PATH,
	    .help = "file of certificates that may sign the servers'; by "
		"default the system's"},
	[OPT_TIMEOUT] = {.name = "timeout", .type = CULVER_OPT_TIME,
	    .min = S_NS / 10, .max = 20 * S_NS, .def = "5s",
	    .help = "how long one request may take"},
};

/* --- options ------------------------------------------------------------- */

static bool
is_set(const struct culver_value *v, unsigned i)
{
	return v[i].u.s.n > 0;
}

static culver_status
url_check(const struct culver_host *host, const struct culver_value *v,
    uint32_t i, uint32_t *bad, struct culver_call *call)
{
	const char *why;

	*bad = i;
	if (!is_set(v, i))
		return CULVER_OK;
	if (!oauth_url_check(v[i].u.s.p, &why))
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s", why);
	if ((host->provides & CULVER_HOST_NET) == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "the section "
		    "does not allow the network: add `allow = {net}' to it");
	return CULVER_OK;
}

/* What makes a token that was not meant for this server be refused: a server
 * that is asked knows that it gave the token, not what for. */
static culver_status
purpose_options_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	*bad = OPT_AUDIENCE;
	if (v[OPT_AUDIENCE].u.list.n == 0 && v[OPT_SCOPE].u.list.n == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "audience or "
		    "scope is needed: else a token for any other service of "
		    "the provider would open mailboxes");
	return CULVER_OK;
}

static culver_status
local_options_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	*bad = OPT_JWKS_URL;
	if (is_set(v, OPT_KEYS) && is_set(v, OPT_JWKS_URL))
		return culver_fail(call, CULVER_E_CONFIG, 0, "keys and "
		    "jwks_url exclude each other");
	*bad = OPT_ISSUER;
	if (v[OPT_ISSUER].u.list.n == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "is needed: whose "
		    "tokens are taken");
	*bad = OPT_ALGORITHMS;
	if (v[OPT_ALGORITHMS].u.list.n == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "the list is "
		    "empty");
	for (size_t i = 0; i < v[OPT_ALGORITHMS].u.list.n; i++) {
		const struct culver_str *s = &v[OPT_ALGORITHMS].u.list.v[i];

		if (oauth_alg_find(s->p, s->n) == NULL)
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.40s\" is not one of " OAUTH_ALGS, s->p);
	}
	return CULVER_OK;
}

static culver_status
remote_options_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	*bad = OPT_BEARER;
	if (is_set(v, OPT_BEARER) && is_set(v, OPT_CLIENT_ID))
		return culver_fail(call, CULVER_E_CONFIG, 0, "client_id and "
		    "introspection_token exclude each other");
	*bad = OPT_CLIENT_ID;
	if (!is_set(v, OPT_BEARER) && !is_set(v, OPT_CLIENT_ID))
		return culver_fail(call, CULVER_E_CONFIG, 0, "is needed for "
		    "introspection_url, or introspection_token");
	*bad = OPT_CLIENT_SECRET;
	if (is_set(v, OPT_CLIENT_ID) != is_set(v, OPT_CLIENT_SECRET))
		return culver_fail(call, CULVER_E_CONFIG, 0, "client_id and "
		    "client_secret go together: set both or none");
	return CULVER_OK;
}

static culver_status
oauth2_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	bool local = oauth_is_local(v), remote = is_set(v,
	    OPT_INTROSPECTION_URL);
	culver_status st;

	*bad = OPT_KEYS;
	if (!local && !remote)
		return culver_fail(call, CULVER_E_CONFIG, 0, "one of keys, "
		    "jwks_url and introspection_url is needed");
	st = local ? local_options_check(v, bad, call) : CULVER_OK;
	if (st == CULVER_OK && remote)
		st = remote_options_check(v, bad, call);
	if (st == CULVER_OK)
		st = purpose_options_check(v, bad, call);
	if (st == CULVER_OK)
		st = url_check(host, v, OPT_JWKS_URL, bad, call);
	return st == CULVER_OK ? url_check(host, v,
	    OPT_INTROSPECTION_URL, bad, call) : st;
}

/* --- life ---------------------------------------------------------------- */

/* libjose's own words go to stderr by default. */
static void
say_nothing(void *misc, const char *file, int line, uint64_t err,
    const char *format, va_list args)
{
	(void)misc;
	(void)file;
	(void)line;
	(void)err;
	(void)format;
	(void)args;
}

static void
oauth2_destroy(struct culver_auth *au)
{
	if (au == NULL)
		return;
	oauth_keyset_free(&au->keys.set);
	oauth_peer_free(&au->jwks);
	oauth_peer_free(&au->introspection);
	oauth_http_free(&au->http);
	jose_cfg_decref(au->cfg);
	curl_global_cleanup();
	free(au);
}

static culver_status
oauth2_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au;
	culver_status st = CULVER_OK;
	size_t seed;

	if (!wipe_install())
		return culver_fail(call, CULVER_E_TEMP, 0, "cannot start "
		    "libcurl");
	au = calloc(1, sizeof(*au));
	if (au == NULL || (au->cfg = jose_cfg()) == NULL) {
		free(au);
		curl_global_cleanup();
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	}
	host->random(host, &seed, sizeof(seed));
	json_object_seed(seed | 1);	/* later it would open /dev/urandom */
	jose_cfg_set_err_func(au->cfg, say_nothing, NULL);
	au->host = host;
	au->opt = vals->v;
	au->jwks = (struct oauth_peer){.what = "jwks_url"};
	au->introspection = (struct oauth_peer){.what = "introspection_url"};
	if (is_set(au->opt, OPT_JWKS_URL))
		au->jwks.url = au->opt[OPT_JWKS_URL].u.s.p;
	if (is_set(au->opt, OPT_INTROSPECTION_URL))
		au->introspection.url = au->opt[OPT_INTROSPECTION_URL].u.s.p;
	if (au->jwks.url != NULL || au->introspection.url != NULL)
		st = oauth_http_init(&au->http, host, au->opt, call);
	if (st != CULVER_OK)
		oauth2_destroy(au);
	else
		*out = au;
	return st;
}

/* --- paths --------------------------------------------------------------- */

static culver_status
oauth2_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	*n = 0;
	if (au->jwks.url != NULL || au->introspection.url != NULL)
		plug_paths_net(out, cap, n);
	return !is_set(au->opt, OPT_KEYS) ? CULVER_OK :
	    plug_paths_file(au->host, au->opt[OPT_KEYS].u.s.p, out, cap, n,
	    call);
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = oauth2_create,
	.destroy = oauth2_destroy,
	.paths = oauth2_paths,
	.verify_plain = oauth_verify,
};

CULVER_PLUGIN(auth_oauth2) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	/* Only the coordinator could know when a token runs out. */
	.caps = CULVER_AU_TOKEN | CULVER_AU_NO_CACHE,
	.name = "oauth2",
	.version = VERSION,
	.summary = "users by OAuth 2.0 bearer tokens",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = oauth2_check_options,
	.ops = {.auth = &ops},
	.wants = CULVER_NEED_NET,	/* if it has a URL */
};
