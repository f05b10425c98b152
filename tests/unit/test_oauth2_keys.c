/*
 * test_oauth2_keys.c - keys of tokens: what is one, files that change, and the
 * options around them.
 */
#include "config.h"

#include <netdb.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "tests/unit/oauthkit.h"

#define ANNA "anna@example.org"
#define CLAIMS "{\"iss\":\"" OK_ISS "\",\"aud\":\"mail\",\"exp\":%lld," \
	"\"email\":\"" ANNA "\",\"email_verified\":true}"
#define SOON ((long long)time(NULL) + 600)

/* How many usable keys are in TEXT; 0 with *WHY. */
static unsigned
parse(const char *text, const char **why)
{
	struct oauth_keyset s;
	unsigned n;

	if (!oauth_keyset_parse(NULL, text, strlen(text), &s, why)) {
		assert_int_equal(s.n, 0);
		return 0;
	}
	n = s.n;
	for (unsigned i = 0; i < n; i++)
		assert_null(json_object_get(s.key[i].jwk, "d"));
	oauth_keyset_free(&s);
	return n;
}

static void
test_jwks(void **state)
{
	static const struct { const char *text; unsigned n; } c[] = {
		{OK_JWKS, 2}, {"{" OK_EC_PUBLIC "}", 1},
		{" \r\n{\"keys\":[{" OK_EC_PRIVATE "}]}", 1},
		/* other uses and kinds are left out */
		{"{\"keys\":[{" OK_EC_PUBLIC ",\"use\":\"enc\"},{"
		    OK_EC_PUBLIC ",\"use\":\"sig\"}]}", 1},
		{"{\"keys\":[{" OK_EC_PUBLIC ",\"key_ops\":[\"encrypt\"]}]}",
		    0},
		{"{\"keys\":[{" OK_EC_PUBLIC ",\"key_ops\":[\"verify\"]}]}",
		    1},
		{"{\"keys\":[{" OK_EC_PUBLIC ",\"alg\":\"ECDH-ES\"}]}", 0},
		{"{\"keys\":[{" OK_EC_PUBLIC ",\"alg\":\"HS256\"}]}", 0},
		{"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0c2VjcmV0\"}]}",
		    0},
		{"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
		    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 0},
		{"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}]}",
		    0},
		/* not on the curve */
		{"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\",\"y\":"
		    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}", 0},
		{"{\"keys\":[7,null,[],{}]}", 0}, {"{\"keys\":{}}", 0},
		{"{\"keys\":[]}", 0}, {"{}", 0}, {"{", 0}, {"[]", 0},
		{"{\"keys\":[],\"keys\":[{" OK_EC_PUBLIC "}]}", 0},
		{"", 0}, {"x", 0},
	};
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		assert_int_equal(parse(c[i].text, &why), c[i].n);
}

static void
test_too_many(void **state)
{
	static char text[64 * 1024];
	const char *why = NULL;
	size_t n = (size_t)snprintf(text, sizeof(text), "{\"keys\":[");

	(void)state;
	for (unsigned i = 0; i < 65; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{"
		    OK_EC_PUBLIC "}", i > 0 ? "," : "");
	snprintf(text + n, sizeof(text) - n, "]}");
	assert_int_equal(parse(text, &why), 0);
	assert_string_equal(why, "has more than 64 keys");
}

/* --- PEM ----------------------------------------------------------------- */

enum { PEM_PUBLIC, PEM_CERTIFICATE, PEM_PRIVATE };

static void
pem_write(BIO *bio, EVP_PKEY *key, int what)
{
	X509 *x;

	switch (what) {
	case PEM_PUBLIC:
		assert_true(PEM_write_bio_PUBKEY(bio, key));
		break;
	case PEM_PRIVATE:
		assert_true(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
		    NULL, NULL));
		break;
	default:
		x = X509_new();
		assert_true(X509_set_pubkey(x, key));
		X509_gmtime_adj(X509_getm_notBefore(x), 0);
		X509_gmtime_adj(X509_getm_notAfter(x), 60);
		assert_true(X509_sign(x, key, EVP_sha256()) > 0);
		assert_true(PEM_write_bio_X509(bio, x));
		X509_free(x);
	}
}

static unsigned
pem_count(const char *curve, const int *what, unsigned n, const char **why)
{
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *key = curve[0] == 'P' ? EVP_EC_gen(curve) :
	    EVP_PKEY_Q_keygen(NULL, NULL, curve);
	unsigned found;
	char *text, *copy;
	long len;

	assert_non_null(key);
	for (unsigned i = 0; i < n; i++)
		pem_write(bio, key, what[i]);
	len = BIO_get_mem_data(bio, &text);
	copy = strndup(text, (size_t)len);
	assert_non_null(copy);
	found = parse(copy, why);
	/* cut off, it is none: half a file is no key less */
	copy[len - 8] = 0;
	assert_int_equal(parse(copy, &(const char *){NULL}), 0);
	free(copy);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return found;
}

static void
test_pem(void **state)
{
	static const int both[] = {PEM_PUBLIC, PEM_CERTIFICATE};
	static const int wrong[] = {PEM_PUBLIC, PEM_PRIVATE};
	const char *why = NULL;

	(void)state;
	assert_int_equal(pem_count("P-256", both, 2, &why), 2);
	assert_int_equal(pem_count("P-521", both, 1, &why), 1);
	assert_int_equal(pem_count("P-384", wrong, 2, &why), 0);
	assert_non_null(strstr(why, "private key"));
	assert_int_equal(pem_count("ED25519", both, 1, &why), 0);
	assert_non_null(strstr(why, "something else"));
}

/* --- the file ------------------------------------------------------------ */

static void
test_file_changes(void **state)
{
	struct oauthkit *k = *state;
	struct utimbuf old = {time(NULL) - 100, time(NULL) - 100};
	char text[1024];

	oauthkit_keys(k, "{\"keys\":[{" OK_RSA_PUBLIC "}]}");
	oauthkit_start(k);
	assert_int_equal(oauthkit_claims(k, ANNA, CLAIMS, SOON),
	    CULVER_E_AUTH);
	oauthkit_assert_why(k, "no key has its kid and algorithm");
	oauthkit_keys(k, OK_JWKS);
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_OK);
	/* broken: nobody gets in by what it said before, or is told that his
	 * token is wrong */
	snprintf(text, sizeof(text), "%.*s", 100, OK_JWKS);
	oauthkit_keys(k, text);
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_TEMP);
	unlink(k->path);
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_TEMP);
	oauthkit_keys(k, "{" OK_EC_PUBLIC "}");
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_OK);
	/* a new inode with an old time is another file, too */
	oauthkit_keys(k, "{" OK_RSA_PUBLIC "}");
	assert_int_equal(utime(k->path, &old), 0);
	assert_int_equal(oauthkit_verify(k, ANNA), CULVER_E_AUTH);
}

static void
test_paths(void **state)
{
	struct oauthkit *k = *state;
	struct culver_path path[16];
	uint32_t n;

	oauthkit_start(k);
	assert_int_equal(k->ops->paths(k->au, path, 16, &n,
	    fakehost_call(&k->host)), CULVER_OK);
	assert_int_equal(n, 2);
	assert_string_equal(path[0].path, k->dir);
	assert_int_equal(path[0].access, CULVER_PATH_READ | CULVER_PATH_DIR);
}

/* --- options ------------------------------------------------------------- */

static void
refused(struct oauthkit *k, uint32_t option, const char *why)
{
	uint32_t bad = N_OPTIONS;

	assert_int_equal(auth_oauth2_LTX_culver_plugin.check_options(
	    &k->host.host, &k->vals, &bad, fakehost_call(&k->host)),
	    CULVER_E_CONFIG);
	if (strstr(k->host.err.text, why) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", why, k->host.err.text);
	assert_int_equal(bad, option);
}

static void
test_options(void **state)
{
	struct oauthkit *k = *state;
	struct culver_value list = k->v[OPT_ISSUER];

	k->alg[8] = (struct culver_str){"HS256", 5};
	refused(k, OPT_ALGORITHMS, "\"HS256\" is not one of RS256");
	k->alg[8] = (struct culver_str){"none", 4};
	refused(k, OPT_ALGORITHMS, "\"none\" is not one of");
	k->v[OPT_ALGORITHMS].u.list.n = 8;
	k->v[OPT_AUDIENCE].u.list.n = 0;
	refused(k, OPT_AUDIENCE, "audience or scope is needed");
	k->v[OPT_AUDIENCE].u.list.n = 1;
	k->v[OPT_ISSUER].u.list.n = 0;
	refused(k, OPT_ISSUER, "is needed");
	k->v[OPT_ISSUER] = list;
	oauthkit_text(k, OPT_JWKS_URL, "https://id.example.org/keys");
	refused(k, OPT_JWKS_URL, "exclude each other");
	oauthkit_text(k, OPT_KEYS, "");
	refused(k, OPT_JWKS_URL, "add `allow = {net}'");
	k->host.host.provides |= CULVER_HOST_NET;
	oauthkit_text(k, OPT_JWKS_URL, "http://id.example.org/keys");
	refused(k, OPT_JWKS_URL, "must begin with https://");
	oauthkit_text(k, OPT_JWKS_URL, "https://me:pw@id.example.org/keys");
	refused(k, OPT_JWKS_URL, "has a user");
	oauthkit_text(k, OPT_JWKS_URL, "https://id.example.org/a b");
	refused(k, OPT_JWKS_URL, "has spaces");
	oauthkit_text(k, OPT_JWKS_URL, "file:///etc/passwd");
	refused(k, OPT_JWKS_URL, "must begin with https://");
	oauthkit_text(k, OPT_JWKS_URL, "");
	refused(k, OPT_KEYS, "one of keys, jwks_url and introspection_url");
	oauthkit_text(k, OPT_INTROSPECTION_URL, "https://id.example.org/i");
	refused(k, OPT_CLIENT_ID, "is needed for introspection_url");
	oauthkit_text(k, OPT_CLIENT_ID, "mail");
	refused(k, OPT_CLIENT_SECRET, "go together");
	oauthkit_text(k, OPT_BEARER, "t");
	refused(k, OPT_BEARER, "exclude each other");
	oauthkit_text(k, OPT_CLIENT_ID, "");
	k->v[OPT_AUDIENCE].u.list.n = 0;
	refused(k, OPT_AUDIENCE, "audience or scope is needed");
}

/* --- a slow resolver ------------------------------------------------------ */

static struct fakehost *resolver_clock;

/* Instead of libc's: takes a minute, then knows an address. */
int
getaddrinfo(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **out)
{
	struct addrinfo *a = calloc(1, sizeof(*a));
	struct sockaddr_in *in = calloc(1, sizeof(*in));

	(void)node;
	(void)service;
	(void)hints;
	assert_non_null(resolver_clock);
	assert_non_null(a);
	assert_non_null(in);
	resolver_clock->clock += 60 * UINT64_C(1000000000);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*a = (struct addrinfo){.ai_family = AF_INET, .ai_addr =
	    (struct sockaddr *)in, .ai_addrlen = sizeof(*in)};
	*out = a;
	return 0;
}

void
freeaddrinfo(struct addrinfo *a)
{
	free(a->ai_addr);
	free(a);
}

/* What it took is not given to the request once more. */
static void
test_slow_resolver(void **state)
{
	struct oauthkit *k = *state;
	struct oauth_answer a = {.most = 100};
	struct culver_call *call;

	oauthkit_text(k, OPT_KEYS, "");
	oauthkit_text(k, OPT_JWKS_URL, "https://id.example.org:1/keys");
	oauthkit_text(k, OPT_TLS_CA, k->path);	/* is not looked at */
	k->host.host.provides |= CULVER_HOST_NET;
	k->host.clock = 1000 * UINT64_C(1000000000);
	resolver_clock = &k->host;
	oauthkit_start(k);
	call = fakehost_call(&k->host);
	call->deadline = k->host.clock + 30 * UINT64_C(1000000000);
	assert_int_equal(oauth_http_fetch(&k->au->http, &k->au->jwks, NULL, 0,
	    &a, call), CULVER_E_TEMP);
	if (strstr(k->host.err.text, "looking up its name") == NULL)
		fail_msg("%s", k->host.err.text);
	/* the address is known for a while: the request is made, and fails */
	k->host.clock += UINT64_C(10000000000);
	call->deadline = k->host.clock + 30 * UINT64_C(1000000000);
	assert_int_equal(oauth_http_fetch(&k->au->http, &k->au->jwks, NULL, 0,
	    &a, call), CULVER_E_TEMP);
	assert_null(strstr(k->host.err.text, "looking up"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jwks), cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_pem), OK_T(test_file_changes),
		OK_T(test_paths), OK_T(test_options),
		OK_T(test_slow_resolver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
