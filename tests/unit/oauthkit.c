/*
 * oauthkit.c - tokens and keys for tests of the OAuth 2.0 plugin.
 */
#include "config.h"

#include <jose/b64.h>
#include <jose/jws.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/oauthkit.h"

void
oauthkit_text(struct oauthkit *k, unsigned option, const char *text)
{
	k->v[option].is_set = 1;
	k->v[option].u.s = (struct culver_str){text, strlen(text)};
}

static void
list_set(struct oauthkit *k, unsigned option, struct culver_str *list,
    const char *one)
{
	*list = (struct culver_str){one, strlen(one)};
	k->v[option].u.list.v = list;
	k->v[option].u.list.n = 1;
}

void
oauthkit_keys(struct oauthkit *k, const char *text)
{
	char new[112];
	FILE *f;

	snprintf(new, sizeof(new), "%s.new", k->path);
	f = fopen(new, "w");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(new, k->path), 0);
}

int
oauthkit_setup(void **state)
{
	static const char *const algs[] = {"RS256", "RS384", "RS512", "PS256",
	    "PS384", "PS512", "ES256", "ES384", "ES512"};
	struct oauthkit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	snprintf(k->dir, sizeof(k->dir), "/tmp/culver-oauth-XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	snprintf(k->path, sizeof(k->path), "%s/jwks.json", k->dir);
	for (unsigned i = 0; i < N_OPTIONS; i++)
		oauthkit_text(k, i, "");
	oauthkit_text(k, OPT_KEYS, k->path);
	oauthkit_text(k, OPT_USER_CLAIM, "email");
	list_set(k, OPT_ISSUER, &k->issuer, OK_ISS);
	list_set(k, OPT_AUDIENCE, &k->audience, OK_AUD);
	k->v[OPT_SCOPE].u.list.n = 0;
	for (unsigned i = 0; i < 9; i++)
		k->alg[i] = (struct culver_str){algs[i], strlen(algs[i])};
	k->v[OPT_ALGORITHMS].u.list.v = k->alg;
	k->v[OPT_ALGORITHMS].u.list.n = 9;
	k->v[OPT_LEEWAY].u.i = 30000000000;
	k->v[OPT_USER_CASE].u.i = 1;
	k->v[OPT_TIMEOUT].u.i = 5000000000;
	k->vals = (struct culver_values){.size = sizeof(k->vals),
	    .n = N_OPTIONS, .v = k->v};
	k->ops = auth_oauth2_LTX_culver_plugin.ops.auth;
	fakehost_init(&k->host);
	oauthkit_keys(k, OK_JWKS);
	*state = k;
	return 0;
}

int
oauthkit_teardown(void **state)
{
	struct oauthkit *k = *state;

	k->ops->destroy(k->au);
	unlink(k->path);
	rmdir(k->dir);
	fakehost_free(&k->host);
	free(k);
	return 0;
}

void
oauthkit_start(struct oauthkit *k)
{
	uint32_t bad;

	assert_int_equal(auth_oauth2_LTX_culver_plugin.check_options(
	    &k->host.host, &k->vals, &bad, fakehost_call(&k->host)),
	    CULVER_OK);
	assert_int_equal(k->ops->create(&k->au, &k->host.host, &k->vals,
	    fakehost_call(&k->host)), CULVER_OK);
}

/* --- tokens -------------------------------------------------------------- */

char *
oauthkit_b64(const void *p, size_t n)
{
	size_t len = jose_b64_enc_buf(p, n, NULL, 0);
	char *text = calloc(1, len + 1);

	assert_non_null(text);
	assert_int_equal(jose_b64_enc_buf(p, n, text, len), len);
	return text;
}

void
oauthkit_join(struct oauthkit *k, const char *header, const char *claims,
    const char *signature)
{
	char *h = oauthkit_b64(header, strlen(header));
	char *c = oauthkit_b64(claims, strlen(claims));
	int n = snprintf(k->token, sizeof(k->token), "%s.%s.%s", h, c,
	    signature);

	assert_in_range(n, 0, sizeof(k->token) - 1);
	free(h);
	free(c);
}

void
oauthkit_sign(struct oauthkit *k, const char *header, const char *claims)
{
	json_t *jwk = json_loads("{" OK_EC_PRIVATE "}", 0, NULL);
	char *h = oauthkit_b64(header, strlen(header));
	char *c = oauthkit_b64(claims, strlen(claims));
	json_t *jws = json_pack("{s:s}", "payload", c);
	json_t *sig = json_pack("{s:s}", "protected", h);

	assert_true(jose_jws_sig(NULL, jws, sig, jwk));
	oauthkit_join(k, header, claims, oauth_json_text(jws, "signature"));
	json_decref(jws);
	json_decref(sig);
	json_decref(jwk);
	free(h);
	free(c);
}

culver_status
oauthkit_verify(struct oauthkit *k, const char *name)
{
	struct culver_auth_req rq = {.size = sizeof(rq), .user = name,
	    .flags = CULVER_RQ_TOKEN, .service = "pop3",
	    .remote = "192.0.2.1", .local = "192.0.2.2", .session = "1"};
	struct culver_str token = {k->token, strlen(k->token)};

	fakehost_reset(&k->host);
	k->ok = (struct culver_auth_ok){.size = sizeof(k->ok)};
	return k->ops->verify_plain(k->au, &rq, &token, &k->ok,
	    fakehost_call(&k->host));
}

culver_status
oauthkit_claims(struct oauthkit *k, const char *name, const char *format, ...)
{
	char claims[4096];
	va_list ap;

	va_start(ap, format);
	vsnprintf(claims, sizeof(claims), format, ap);
	va_end(ap);
	oauthkit_sign(k, OK_HEADER, claims);
	return oauthkit_verify(k, name);
}

void
oauthkit_assert_why(struct oauthkit *k, const char *words)
{
	if (strstr(k->host.log, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, k->host.log);
}
