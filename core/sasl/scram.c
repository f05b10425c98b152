/*
 * scram.c - SCRAM-SHA-1 and SCRAM-SHA-256, with and without a binding to the
 * TLS channel (RFC 5802, 7677, 9266, 5929).
 *
 * Runs in the auth coordinator, on octets that a client sent and on keys from
 * a section.  No password is seen here, and nothing slow is computed: who has
 * only a password gets keys from its plugin.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sasl/base64.h"
#include "core/sasl/sasl-private.h"

static enum crypto_hash
hash_of(const struct sasl *s)
{
	return s->scram->sha256 ? CRYPTO_SHA256 : CRYPTO_SHA1;
}

static struct part
part_of(const char *text)
{
	return (struct part){text, strlen(text)};
}

static _Bool
part_equal(const struct part *a, const char *text)
{
	return a->n == strlen(text) && memcmp(a->p, text, a->n) == 0;
}

#define KEEP(to, from) do { \
	(to).n = (from).n <= sizeof((to).octets) ? (from).n : 0; \
	if ((to).n > 0) \
		memcpy((to).octets, (from).p, (to).n); \
} while (0)

_Bool
scram_start(struct sasl *s, const struct sasl_facts *facts)
{
	struct sasl_scram *x = calloc(1, sizeof(*x));

	s->scram = x;
	if (x == NULL || facts == NULL)
		return 0;
	x->sha256 = s->id == SASL_SCRAM_SHA_256 ||
	    s->id == SASL_SCRAM_SHA_256_PLUS;
	base64_encode(facts->nonce, SASL_NONCE, x->nonce);
	KEEP(x->exporter, facts->exporter);
	KEEP(x->endpoint, facts->endpoint);
	KEEP(x->unique, facts->unique);
	x->binding_offered = facts->binding_offered;
	return 1;
}

/* --- the client's first message ------------------------------------------ */

/* Write what c= has to be; false: there is no such channel. */
static _Bool
bound_make(struct sasl_scram *x, const struct scram_client_first *m)
{
	uint8_t text[SCRAM_MAX_FIRST + SASL_MAX_BINDING];
	const uint8_t *p = NULL;
	size_t n = 0;

	if (m->flag == SCRAM_BOUND) {
		if (part_equal(&m->binding, "tls-exporter")) {
			p = x->exporter.octets;
			n = x->exporter.n;
		} else if (part_equal(&m->binding, "tls-server-end-point")) {
			p = x->endpoint.octets;
			n = x->endpoint.n;
		} else if (part_equal(&m->binding, "tls-unique")) {
			p = x->unique.octets;
			n = x->unique.n;
		}
		if (n == 0)
			return 0;
	}
	memcpy(text, m->head.p, m->head.n);
	if (n > 0)
		memcpy(text + m->head.n, p, n);
	base64_encode(text, m->head.n + n, x->bound);
	return 1;
}

static enum sasl_event
first_step(struct sasl *s, const uint8_t *in, size_t n)
{
	struct sasl_scram *x = s->scram;
	_Bool plus = (s->mech->flags & SASL_F_BINDING) != 0;
	struct scram_client_first m;
	enum sasl_failure wrong = scram_parse_first((const char *)in, n, &m);

	if (wrong != SASL_OK)
		return sasl_fail(s, wrong);
	/* Who could bind, and believes that we cannot, was lied to. */
	if (plus != (m.flag == SCRAM_BOUND) ||
	    (m.flag == SCRAM_COULD && x->binding_offered) ||
	    !bound_make(x, &m))
		return sasl_fail(s, SASL_BINDING);
	if (!sasl_take_user(s, (const uint8_t *)m.user, strlen(m.user)) ||
	    !sasl_take_authzid(s, (const uint8_t *)m.authzid,
	    strlen(m.authzid)))
		return SASL_FAILED;
	memcpy(x->bare, m.bare.p, m.bare.n);
	snprintf(x->both, sizeof(x->both), "%.*s%s", (int)m.nonce.n,
	    m.nonce.p, x->nonce);
	return SASL_LOOKUP;
}

/* Our answer to it.  What does not fit is as if there were nothing. */
enum sasl_event
scram_creds(struct sasl *s, const struct sasl_creds *c, _Bool fake)
{
	struct sasl_scram *x = s->scram;
	size_t key_n = crypto_size(hash_of(s));
	char salt[BASE64_ROOM(SASL_MAX_SALT)];

	if (c->salt.n == 0 || c->salt.n > SASL_MAX_SALT ||
	    c->iterations == 0)
		return sasl_fail(s, SASL_MISMATCH);
	x->fake = fake || c->stored_key.n != key_n ||
	    c->server_key.n != key_n;
	if (!x->fake) {
		memcpy(x->stored_key, c->stored_key.p, key_n);
		memcpy(x->server_key, c->server_key.p, key_n);
	}
	base64_encode(c->salt.p, c->salt.n, salt);
	snprintf(x->first, sizeof(x->first), "r=%s,s=%s,i=%u", x->both, salt,
	    (unsigned)c->iterations);
	return sasl_challenge(s, x->first);
}

/* --- the client's final message ------------------------------------------ */

/* RFC 5802 3.  False: the proof is wrong. */
static _Bool
proof_check(struct sasl *s, const struct scram_client_final *m)
{
	struct sasl_scram *x = s->scram;
	enum crypto_hash h = hash_of(s);
	size_t n = crypto_size(h);
	const struct part text[] = {part_of(x->bare), {",", 1},
	    part_of(x->first), {",", 1}, m->unproven};
	uint8_t key[SASL_MAX_KEY], made[SASL_MAX_KEY], mine[SASL_MAX_KEY];
	const struct part client_key = {(const char *)key, n};
	_Bool ok = crypto_hmac(h, x->stored_key, n, text, 5, key) &&
	    crypto_hmac(h, x->server_key, n, text, 5, mine);

	for (size_t i = 0; i < n; i++)
		key[i] ^= m->proof[i];
	ok = ok && crypto_digest(h, &client_key, 1, made) &&
	    crypto_equal(made, x->stored_key, n) && !x->fake;
	if (ok) {
		memcpy(x->final, "v=", 2);
		base64_encode(mine, n, x->final + 2);
	}
	explicit_bzero(key, sizeof(key));
	explicit_bzero(made, sizeof(made));
	return ok;
}

static enum sasl_event
final_step(struct sasl *s, const uint8_t *in, size_t n)
{
	struct sasl_scram *x = s->scram;
	struct scram_client_final m;
	enum sasl_failure wrong = scram_parse_final((const char *)in, n,
	    crypto_size(hash_of(s)), &m);

	if (wrong != SASL_OK)
		return sasl_fail(s, wrong);
	if (!part_equal(&m.nonce, x->both))
		return sasl_fail(s, SASL_MALFORMED);
	if (!part_equal(&m.bound, x->bound))
		return sasl_fail(s, SASL_BINDING);
	s->good = proof_check(s, &m);
	return SASL_VERDICT;
}

enum sasl_event
scram_verdict(struct sasl *s)
{
	return sasl_challenge(s, s->scram->final);
}

enum sasl_event
scram_step(struct sasl *s, const uint8_t *in, size_t n)
{
	struct sasl_scram *x = s->scram;

	if (s->good)		/* an empty one, after our proof */
		return n == 0 ? SASL_DONE : sasl_fail(s, SASL_MALFORMED);
	if (in == NULL)
		return sasl_challenge(s, "");
	return x->first[0] == 0 ? first_step(s, in, n) :
	    final_step(s, in, n);
}
