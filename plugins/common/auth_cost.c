/*
 * auth_cost.c - what checking a password takes, by the parameters of its hash.
 *
 * Runs in a pool process.  Hashes come from an administrator or from users who
 * may set their own: one must not keep a process busy until it is killed, nor
 * take the machine's memory.
 */
#include "config.h"

#include <string.h>

#include "plugins/common/auth.h"

enum { MAX_KIB = 256 * 1024, MAX_USEC = 10 * 1000 * 1000,
	LITTLE_KIB = 1024, LITTLE_USEC = 2000 };

static const struct hash_cost unknown = {UINT64_MAX, UINT64_MAX};

/* A digit of crypt(3)'s, 0 to 63; 64: none. */
static unsigned
digit(char c)
{
	return c == '.' || c == '/' ? (unsigned)(c - '.') :
	    c >= '0' && c <= '9' ? (unsigned)(c - '0') + 2 :
	    c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A') + 12 :
	    c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 38 : 64;
}

/* $y$, a flavour, log2 N, r, $: as crypt_gensalt(3) makes them, with one
 * digit each. */
static struct hash_cost
cost_yescrypt(struct span h)
{
	unsigned n = h.n > 6 ? digit(h.p[4]) : 64;
	unsigned r = h.n > 6 ? digit(h.p[5]) : 64;
	uint64_t kib;

	if (n > 40 || r > 47 || h.p[6] != '$')
		return unknown;
	kib = ((uint64_t)(r + 1) << (n + 1)) / 8;
	return (struct hash_cost){kib * 2, kib};
}

/* $7$, log2 N, five digits each of r and p. */
static struct hash_cost
cost_scrypt(struct span h)
{
	uint64_t v[2] = {0, 0}, kib;
	unsigned n = h.n > 14 ? digit(h.p[3]) : 64;

	if (n > 30)
		return unknown;
	for (unsigned i = 0; i < 10; i++) {
		unsigned d = digit(h.p[4 + i]);

		if (d == 64)
			return unknown;
		v[i / 5] |= (uint64_t)d << i % 5 * 6;
	}
	if (v[0] > 4096 || v[1] > 4096)
		return unknown;
	kib = (v[0] << n) / 8;
	return (struct hash_cost){kib * v[1] * 3, kib};
}

/* The number behind MARK at the front of H, or BASE if it is not there. */
static uint64_t
number_behind(struct span h, const char *mark, uint32_t base)
{
	size_t n = strlen(mark);
	const char *p = h.p + n;
	uint32_t v;

	if (h.n < n || memcmp(h.p, mark, n) != 0)
		return base;
	return text_number(&p, h.p + h.n, &v) ? v : UINT64_MAX / 1024;
}

/* $argon2id$v=19$m=KIB,t=PASSES,p=LANES$ */
static struct hash_cost
cost_argon2(struct span h)
{
	const char *end = h.p + h.n, *m = memchr(h.p, 'm', h.n);
	uint32_t kib, passes;

	if (m == NULL || end - m < 3)
		return unknown;
	m += 2;
	if (!text_number(&m, end, &kib) || end - m < 4)
		return unknown;
	m += 3;
	if (!text_number(&m, end, &passes))
		return unknown;
	return (struct hash_cost){(uint64_t)kib * passes, kib};
}

/* $1$SALT$ROUNDS$ */
static struct hash_cost
cost_pbkdf2(struct span h)
{
	const char *p = h.n > 3 ? memchr(h.p + 3, '$', h.n - 3) : NULL;
	uint32_t rounds;

	if (p == NULL)
		return unknown;
	p++;
	if (!text_number(&p, h.p + h.n, &rounds))
		return unknown;
	return (struct hash_cost){(uint64_t)rounds / 3, 0};
}

struct hash_cost
hash_cost(const struct method *m, struct span text)
{
	uint64_t n;

	if (m->scram != 0)
		return (struct hash_cost){number_behind(text, "", 0) / 3, 0};
	if (strncmp(m->name, "ARGON2", 6) == 0)
		return cost_argon2(text);
	if (strcmp(m->name, "PBKDF2") == 0)
		return cost_pbkdf2(text);
	if (m->prefix == NULL)
		return (struct hash_cost){m->weak ? 100 : 1, 0};
	switch (m->prefix[1]) {
	case 'y':
		return cost_yescrypt(text);
	case '7':
		return cost_scrypt(text);
	case '2':
		n = text.n > 6 ? number_behind((struct span){text.p + 4,
		    text.n - 4}, "", 0) : 64;
		return n > 31 ? unknown :
		    (struct hash_cost){UINT64_C(60) << n, 4};
	case '5':
	case '6':
		n = number_behind(text, m->prefix[1] == '5' ? "$5$rounds=" :
		    "$6$rounds=", 5000);
		return (struct hash_cost){n * 4 / 5, 0};
	default:
		return (struct hash_cost){300, 0};
	}
}

_Bool
hash_cost_bearable(const struct hash_cost *c)
{
	return c->usec <= MAX_USEC && c->kib <= MAX_KIB;
}

_Bool
hash_cost_little(const struct hash_cost *c)
{
	return c->usec <= LITTLE_USEC && c->kib <= LITTLE_KIB;
}
