/*
 * fuzz_sasl.c - hostile octets for every mechanism, and for the keys of SCRAM
 * in passwd files.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  Nobody may be let in who has no
 * proof, and what an exchange says and keeps must fit.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/sasl/base64.h"
#include "core/sasl/sasl.h"
#include "plugins/common/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("\0"), W(","), W("="), W("n,,"), W("y,,"), W("p=tls-exporter,,"),
	W("p=tls-unique,,"), W("a="), W("n="), W("r="), W("m="), W("n=u,r=x"),
	W("=2C"), W("=3D"), W("c=biws"), W(",p="), W("\1"), W("\1\1"),
	W("auth=Bearer "), W("user="), W("host=x\1"), W("u"), W("\xff"),
	W("0123456789abcdef0123456789abcdef"), W(" "), W("<x@y>"),
	W("4096,c2FsdA==,"), W("AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
	W("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static const uint8_t key[32] = {1, 2, 3};

/* One event; false: the exchange is over. */
static _Bool
follow(struct sasl *s, enum sasl_event e, const uint8_t *in, size_t n)
{
	const struct sasl_creds creds = {.salt = {key, 16},
	    .stored_key = {key, s->mech->has & SASL_HAS_SHA_256 ? 32 : 20},
	    .server_key = {key, s->mech->has & SASL_HAS_SHA_256 ? 32 : 20},
	    .iterations = 4096, .password = {key, 32}};

	CHECK(strlen(s->challenge) < SASL_MAX_CHALLENGE);
	CHECK(strlen(s->user) <= SASL_MAX_USER);
	switch (e) {
	case SASL_CHALLENGE:
		return 1;
	case SASL_CREDENTIALS:
		CHECK((s->mech->flags & SASL_F_SECRET) == 0);
		CHECK(s->password_n <= SASL_MAX_TOKEN);
		CHECK(s->password_n == 0 || (s->password >= in &&
		    s->password + s->password_n <= in + n));
		return sasl_denied(s) == SASL_CHALLENGE;
	case SASL_LOOKUP:
		return follow(s, sasl_creds(s, &creds, n % 2 == 0), in, n);
	case SASL_VERDICT:
		CHECK(sasl_verdict(s) == SASL_FAILED);	/* who knows the key? */
		return 0;
	case SASL_DONE:
		CHECK(0);
		return 0;
	case SASL_FAILED:
		CHECK(s->failure != SASL_OK);
	}
	return 0;
}

/* All of IN as one response, and cut into two at AT. */
static void
exchange(enum sasl_id id, const uint8_t *in, size_t n, size_t at)
{
	const struct sasl_facts facts = {.nonce = {7}, .hostname = "h",
	    .exporter = {key, 32}, .endpoint = {key, 32}, .cert_user = "u"};
	const uint8_t *part[] = {in, in + at};
	const size_t size[] = {at, n - at};
	struct sasl s;
	_Bool more = 1;

	CHECK(sasl_start(&s, id, &facts));
	for (unsigned i = 0; i < 2 && more; i++)
		more = follow(&s, sasl_step(&s, part[i], size[i]), part[i],
		    size[i]);
	sasl_wipe(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *p = n > 0 ? data : (const uint8_t *)"";
	struct plug_scram k;

	if (n > SASL_MAX_TOKEN)
		return 0;
	for (unsigned id = 0; id < SASL_MECHS; id++) {
		exchange((enum sasl_id)id, p, n, n);
		exchange((enum sasl_id)id, p, n, n / 2);
	}
	if (plug_scram_parse(n % 2 == 0, (const char *)p, n, &k))
		CHECK(k.salt_n > 0 && k.salt_n <= sizeof(k.salt) &&
		    k.key_n <= sizeof(k.stored) && k.iterations > 0);
	return 0;
}
