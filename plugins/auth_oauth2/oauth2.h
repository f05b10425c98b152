/*
 * oauth2.h - the parts of the OAuth 2.0 plugin, for each other.
 *
 * Runs in a pool process as the auth user.  Tokens come from clients, answers
 * from an identity provider: both are hostile until checked.  Tokens are
 * nobody's to keep: all memory of the JSON and HTTP libraries is wiped when
 * it is given back (wipe.c).
 */
#ifndef OAUTH2_H
#define OAUTH2_H

#include <jansson.h>
#include <jose/cfg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <culver/auth.h>

#include "plugins/common/backoff.h"
#include "plugins/common/plug.h"

enum {
	OAUTH_MAX_TOKEN = 16384,	/* octets */
	OAUTH_MAX_KEYS = 64,
	OAUTH_MAX_KEYFILE = 262144,	/* octets of a file or an answer */
	OAUTH_MAX_ANSWER = 65536,	/* of introspection */
	OAUTH_MAX_CA = 4194304,
	OAUTH_MAX_NAME = 255
};

enum { OPT_KEYS, OPT_JWKS_URL, OPT_JWKS_REFRESH, OPT_JWKS_PAUSE,
	OPT_JWKS_MAX_AGE, OPT_ALGORITHMS, OPT_ISSUER, OPT_AUDIENCE, OPT_SCOPE,
	OPT_LEEWAY, OPT_USER_CLAIM, OPT_UNVERIFIED, OPT_USER_CASE,
	OPT_INTROSPECTION_URL, OPT_CLIENT_ID, OPT_CLIENT_SECRET, OPT_BEARER,
	OPT_TLS_CA, OPT_TIMEOUT, N_OPTIONS };

/* --- wipe.c -------------------------------------------------------------- */

/* As malloc() and its kin; what is given back is wiped. */
void *wipe_realloc(void *p, size_t n);
void wipe_free(void *p);

/* Make jansson and libcurl use them; false: libcurl cannot start. */
bool wipe_install(void);

/* --- json.c -------------------------------------------------------------- */

/* The object that N octets at P are, each member there only once; NULL if
 * they are none.  The caller gives it back with json_decref(). */
json_t *oauth_json_object(const char *p, size_t n);

/* The text of member NAME; NULL if there is none, or it is no text. */
const char *oauth_json_text(const json_t *object, const char *name);

/* Is TEXT, of N octets, one of the list? */
bool oauth_list_has(const struct culver_value *list, const char *text,
    size_t n);

/* --- file.c -------------------------------------------------------------- */

/* Read PATH whole, from 1 to MOST octets; the caller gives *BUF back with
 * free().  OK or E_TEMP. */
culver_status oauth_file_read(const char *path, size_t most, char **buf,
    size_t *n, struct plug_stamp *stamp, struct culver_call *call);

/* --- keyset.c ------------------------------------------------------------ */

/* A way to sign: with a private key only, so that nobody who knows what is
 * public can. */
struct oauth_alg {
	const char *name;	/* RFC 7518 3.1 */
	const char *kty, *crv;	/* of keys that it takes; crv NULL: any */
};

/* NULL: it is not one, or not one that is taken. */
const struct oauth_alg *oauth_alg_find(const char *name, size_t n);

/* "RS256, ...", for options and their errors. */
#define OAUTH_ALGS "RS256, RS384, RS512, PS256, PS384, PS512, ES256, " \
	"ES384, ES512"

struct oauth_key {
	json_t *jwk;		/* its public members only */
	const char *kty, *crv, *kid, *alg;	/* in jwk, or NULL */
};

struct oauth_keyset {
	unsigned n;
	struct oauth_key key[OAUTH_MAX_KEYS];
};

/* Read a JWKS, a JWK, or public keys and certificates in PEM.  False with a
 * constant text in *WHY; OUT is then empty.  Keys for other uses or of kinds
 * that cannot sign a token here are left out. */
bool oauth_keyset_parse(jose_cfg_t *cfg, const char *text, size_t n,
    struct oauth_keyset *out, const char **why);
void oauth_keyset_free(struct oauth_keyset *s);

/* --- jwt.c --------------------------------------------------------------- */

struct oauth_jwt {
	const char *part[3];	/* in the token: header, claims, signature */
	size_t n[3];
	json_t *header, *claims;
	const struct oauth_alg *alg;
	const char *kid;	/* in header; NULL: it names none */
};

enum oauth_signature { OAUTH_GOOD, OAUTH_BAD, OAUTH_NO_KEY };

/* Take TOKEN apart, which OUT borrows, and check its header (RFC 7515,
 * 8725): OK, E_DECLINE (no signed JWT) or E_AUTH.  Nothing in OUT is true
 * until its signature was found good.  Always oauth_jwt_free() it. */
culver_status oauth_jwt_parse(const struct culver_value *algorithms,
    const struct culver_str *token, struct oauth_jwt *out,
    struct culver_call *call);
void oauth_jwt_free(struct oauth_jwt *t);

/* Did one of the keys sign T?  NO_KEY: there is none that T can be of. */
enum oauth_signature oauth_jwt_signature(jose_cfg_t *cfg,
    const struct oauth_jwt *t, const struct oauth_keyset *keys);

/* --- claims.c ------------------------------------------------------------ */

/* Is the issuer one of the section's?  OK or E_DECLINE. */
culver_status oauth_claims_issuer(const struct culver_value *opt,
    const json_t *claims, struct culver_call *call);

/*
 * Does what CLAIMS say let anybody in at NOW (seconds since 1970): OK, E_AUTH
 * or E_EXPIRED.  IS_JWT: they must end some time, and issuer, audience and
 * scope be as the section says; else these matter where HAS_JWT is not set.
 */
culver_status oauth_claims_check(const struct culver_value *opt,
    const json_t *claims, int64_t now, bool is_jwt, bool has_jwt,
    struct culver_call *call);

/* Whose they are, NUL-terminated: OK, or E_AUTH, also for an e-mail address
 * that is not a verified one.  IS_COPY: other claims gave the name before, and
 * these need not say again that it is verified. */
culver_status oauth_claims_user(const struct culver_value *opt,
    const json_t *claims, bool is_copy, char out[OAUTH_MAX_NAME + 1],
    struct culver_call *call);

/* --- url.c ---------------------------------------------------------------- */

/* A server, and how it did lately. */
struct oauth_peer {
	const char *url;	/* NULL: none */
	const char *what;	/* for the log */
	struct backoff backoff;
	uint64_t resolved_at;
	void *resolved;		/* struct curl_slist: what its name is */
	char error[200];	/* of the last try */
};

/* False with a constant text: URL is not one that may be asked. */
bool oauth_url_check(const char *url, const char **why);

/* Look up the name in P's URL, unless that was just done; false: it has no
 * address. */
bool oauth_peer_resolve(const struct culver_host *host, struct oauth_peer *p);

void oauth_peer_free(struct oauth_peer *p);

/* --- http.c -------------------------------------------------------------- */

struct oauth_http {
	const struct culver_host *host;
	const struct culver_value *opt;
	void *multi;		/* CURLM: keeps connections */
	char *ca;		/* certificates that may sign servers' */
	size_t n_ca;
};

struct oauth_answer {
	char *p;		/* with a NUL behind; NULL: none */
	size_t n, most;
};

culver_status oauth_http_init(struct oauth_http *h,
    const struct culver_host *host, const struct culver_value *opt,
    struct culver_call *call);
void oauth_http_free(struct oauth_http *h);

/*
 * GET, or with BODY (N octets) POST with the section's own credentials: at
 * most OUT->most octets.  OK only for 200; else E_TEMP, also at once for a
 * time after failures.  Ends by the call's deadline, but for looking up the
 * name.  OUT is freed with oauth_answer_free().
 */
culver_status oauth_http_fetch(struct oauth_http *h, struct oauth_peer *p,
    const char *body, size_t n, struct oauth_answer *out,
    struct culver_call *call);
void oauth_answer_free(struct oauth_answer *a);

/* --- keys.c -------------------------------------------------------------- */

/* The keys that are in force, and where they are from. */
struct oauth_keys {
	struct oauth_keyset set;
	bool have;
	bool racy;		/* a file that was just changed */
	struct plug_stamp stamp;
	bool tried, failed;	/* the last fetch */
	uint64_t got_at, tried_at;	/* host->now() */
};

/* Read the file if it changed; fetch what is missing or old.  OK if there
 * are keys that may be used. */
culver_status oauth_keys_refresh(struct culver_auth *au,
    struct culver_call *call);

/* None of the keys has the name that a token gives: fetch them again, if that
 * was not just done.  OK: there are others now; E_AUTH: there are not;
 * E_TEMP: who knows. */
culver_status oauth_keys_unknown(struct culver_auth *au,
    struct culver_call *call);

/* --- verify.c ------------------------------------------------------------ */

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;
	jose_cfg_t *cfg;
	struct oauth_http http;
	struct oauth_peer jwks, introspection;
	struct oauth_keys keys;
};

/* Has the section keys of its own? */
bool oauth_is_local(const struct culver_value *opt);

culver_status oauth_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *token,
    struct culver_auth_ok *ok, struct culver_call *call);

/* --- introspect.c -------------------------------------------------------- */

/* Ask the server about TOKEN: OK with its answer in *OUT, E_AUTH if it is not
 * active, or E_TEMP. */
culver_status oauth_introspect(struct culver_auth *au,
    const struct culver_str *token, json_t **out, struct culver_call *call);

#endif /* OAUTH2_H */
