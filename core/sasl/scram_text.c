/*
 * scram_text.c - take the client's messages of SCRAM apart (RFC 5802 7).
 *
 * Runs in the auth coordinator; the octets are a client's.
 */
#include "config.h"

#include <string.h>

#include "core/sasl/base64.h"
#include "core/sasl/sasl-private.h"

/* What is up to the next comma, off *TEXT with the comma; the rest if there
 * is none. */
static struct part
attribute_next(struct part *text)
{
	const char *comma = text->n > 0 ? memchr(text->p, ',', text->n) : NULL;
	struct part a = {text->p, comma != NULL ? (size_t)(comma - text->p) :
	    text->n};
	size_t used = comma != NULL ? a.n + 1 : a.n;

	text->p += used;
	text->n -= used;
	return a;
}

static _Bool
starts(const struct part *a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a->n >= n && memcmp(a->p, prefix, n) == 0;
}

/* saslname: "," is =2C and "=" is =3D */
static enum sasl_failure
name_decode(struct part in, char out[SASL_MAX_USER + 1])
{
	size_t n = 0;

	if (in.n == 0)
		return SASL_MALFORMED;
	while (in.n > 0) {
		size_t used = 1;
		char c = in.p[0];

		if (starts(&in, "=2C")) {
			c = ',';
			used = 3;
		} else if (starts(&in, "=3D")) {
			c = '=';
			used = 3;
		} else if (c == '=' || c == 0) {
			return SASL_MALFORMED;
		}
		if (n == SASL_MAX_USER)
			return SASL_TOO_LONG;
		out[n++] = c;
		in.p += used;
		in.n -= used;
	}
	out[n] = 0;
	return SASL_OK;
}

enum sasl_failure
gs2_parse(const char *in, size_t n, struct scram_client_first *out)
{
	struct part rest = {in, n}, flag, zid;

	memset(out, 0, sizeof(*out));
	flag = attribute_next(&rest);
	if (starts(&flag, "p=") && flag.n > 2) {
		out->flag = SCRAM_BOUND;
		out->binding = (struct part){flag.p + 2, flag.n - 2};
	} else if (flag.n == 1 && (*flag.p == 'n' || *flag.p == 'y')) {
		out->flag = *flag.p == 'y' ? SCRAM_COULD : SCRAM_NONE;
	} else {
		return SASL_MALFORMED;
	}
	zid = attribute_next(&rest);
	out->head = (struct part){in, n - rest.n};
	if (in + out->head.n == zid.p + zid.n)	/* no second comma */
		return SASL_MALFORMED;
	if (zid.n == 0)
		return SASL_OK;
	if (!starts(&zid, "a="))
		return SASL_MALFORMED;
	return name_decode((struct part){zid.p + 2, zid.n - 2}, out->authzid);
}

/* printable: %x21-2B / %x2D-7E */
static _Bool
nonce_ok(const struct part *nonce)
{
	for (size_t i = 0; i < nonce->n; i++)
		if (nonce->p[i] < 0x21 || nonce->p[i] > 0x7e)
			return 0;
	return nonce->n > 0;
}

enum sasl_failure
scram_parse_first(const char *in, size_t n, struct scram_client_first *out)
{
	enum sasl_failure wrong = n >= SCRAM_MAX_FIRST ? SASL_TOO_LONG :
	    gs2_parse(in, n, out);
	struct part rest, name, nonce;

	if (wrong != SASL_OK)
		return wrong;
	out->bare = (struct part){in + out->head.n, n - out->head.n};
	if (out->bare.n > 0 && memchr(out->bare.p, 0, out->bare.n) != NULL)
		return SASL_MALFORMED;
	rest = out->bare;
	/* m= would be an extension that we have to know, and do not */
	name = attribute_next(&rest);
	nonce = attribute_next(&rest);
	if (!starts(&name, "n=") || !starts(&nonce, "r="))
		return SASL_MALFORMED;
	out->nonce = (struct part){nonce.p + 2, nonce.n - 2};
	if (!nonce_ok(&out->nonce))
		return SASL_MALFORMED;
	if (out->nonce.n > SCRAM_MAX_NONCE)
		return SASL_TOO_LONG;
	return name_decode((struct part){name.p + 2, name.n - 2}, out->user);
}

enum sasl_failure
scram_parse_final(const char *in, size_t n, size_t key_n,
    struct scram_client_final *out)
{
	struct part rest = {in, n}, bound, nonce, proof;
	size_t made;

	memset(out, 0, sizeof(*out));
	bound = attribute_next(&rest);
	nonce = attribute_next(&rest);
	do {			/* extensions may stand between */
		proof = attribute_next(&rest);
	} while (rest.n > 0);
	if (!starts(&bound, "c=") || !starts(&nonce, "r=") ||
	    !starts(&proof, "p=") || proof.p + proof.n != in + n)
		return SASL_MALFORMED;
	out->bound = (struct part){bound.p + 2, bound.n - 2};
	out->nonce = (struct part){nonce.p + 2, nonce.n - 2};
	out->unproven = (struct part){in, (size_t)(proof.p - in) - 1};
	if (!base64_decode((const uint8_t *)proof.p + 2, proof.n - 2,
	    out->proof, key_n, &made) || made != key_n)
		return SASL_MALFORMED;
	return SASL_OK;
}
