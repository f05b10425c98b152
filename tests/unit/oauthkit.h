/*
 * oauthkit.h - tokens and keys for tests of the OAuth 2.0 plugin, and a section
 * of it over a file of keys, in one process.
 *
 * The keys are those of the examples in RFC 7515 A.2 (RSA) and A.3 (EC), whose
 * private parts are public knowledge.
 */
#ifndef TESTS_UNIT_OAUTHKIT_H
#define TESTS_UNIT_OAUTHKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins/auth_oauth2/oauth2.h"
#include "tests/unit/fakehost.h"

extern const struct culver_plugin auth_oauth2_LTX_culver_plugin;

#define OK_EC_PUBLIC "\"kty\":\"EC\",\"crv\":\"P-256\"," \
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define OK_EC_PRIVATE OK_EC_PUBLIC "," \
	"\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""
#define OK_RSA_N "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPd" \
	"dxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_" \
	"YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
	"xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qC" \
	"o5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM" \
	"Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define OK_RSA_PUBLIC "\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" OK_RSA_N "\""
#define OK_JWKS "{\"keys\":[{" OK_EC_PUBLIC ",\"kid\":\"ec\"},{" \
	OK_RSA_PUBLIC ",\"kid\":\"rsa\",\"use\":\"sig\"}]}"

#define OK_HEADER "{\"alg\":\"ES256\",\"kid\":\"ec\"}"
#define OK_ISS "https://id.example.org/"
#define OK_AUD "mail"

struct oauthkit {
	char dir[64], path[96];
	struct culver_value v[N_OPTIONS];
	struct culver_values vals;
	struct culver_str issuer, audience, scope[2], alg[9];
	struct fakehost host;
	const struct culver_auth_ops *ops;
	struct culver_auth *au;		/* NULL until oauthkit_start() */
	struct culver_auth_ok ok;
	char token[200000];
};

/* cmocka fixtures: *STATE is a section with OK_JWKS, not started yet. */
int oauthkit_setup(void **state);
int oauthkit_teardown(void **state);

/* check_options() and create(); they must work. */
void oauthkit_start(struct oauthkit *k);

void oauthkit_text(struct oauthkit *k, unsigned option, const char *text);

/* Put another file of keys in the place of the old one. */
void oauthkit_keys(struct oauthkit *k, const char *text);

/* Make k->token: HEADER and CLAIMS as JSON, and a signature by the key of
 * RFC 7515 A.3, whatever the header says; or SIGNATURE as it is. */
void oauthkit_sign(struct oauthkit *k, const char *header, const char *claims);
void oauthkit_join(struct oauthkit *k, const char *header, const char *claims,
    const char *signature);

/* The N octets at P as base64url; freed by the caller. */
char *oauthkit_b64(const void *p, size_t n);

/* Ask for the user NAME with k->token; with CLAIMS, of the format's: sign
 * them before, NOW and so on replaced. */
culver_status oauthkit_verify(struct oauthkit *k, const char *name);
culver_status oauthkit_claims(struct oauthkit *k, const char *name,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Was the last token refused with these words? */
void oauthkit_assert_why(struct oauthkit *k, const char *words);

#define OK_T(f) cmocka_unit_test_setup_teardown(f, oauthkit_setup, \
	oauthkit_teardown)

#endif /* TESTS_UNIT_OAUTHKIT_H */
