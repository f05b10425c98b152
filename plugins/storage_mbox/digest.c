/*
 * digest.c - SipHash-1-3-128; see digest.h.
 *
 * Runs in the worker as the mailbox's owner.  No library is loaded for
 * this: that would cost more than opening a mailbox.
 */
#include "config.h"

#include "plugins/storage_mbox/digest.h"

#include <endian.h>
#include <string.h>

static inline uint64_t
rotl64(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl64(v[1], 13) ^ v[0];
	v[0] = rotl64(v[0], 32);
	v[2] += v[3];
	v[3] = rotl64(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl64(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl64(v[1], 17) ^ v[2];
	v[2] = rotl64(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t w)
{
	v[3] ^= w;
	sip_round(v);
	v[0] ^= w;
}

void
sip_init(struct sip *s, const unsigned char key[16])
{
	uint64_t k[2];

	memcpy(k, key, sizeof(k));
	k[0] = le64toh(k[0]);
	k[1] = le64toh(k[1]);
	*s = (struct sip){ .v = { k[0] ^ 0x736f6d6570736575u,
	    k[1] ^ 0x646f72616e646f6du ^ 0xee, k[0] ^ 0x6c7967656e657261u,
	    k[1] ^ 0x7465646279746573u } };
}

void
sip_add(struct sip *s, const void *buf, size_t n)
{
	const unsigned char *p = buf;
	uint64_t v[4], w;
	size_t k;

	s->total += n;
	if (s->tail_n > 0) {
		k = sizeof(s->tail) - s->tail_n;
		if (k > n)
			k = n;
		memcpy(s->tail + s->tail_n, p, k);
		s->tail_n += k;
		p += k;
		n -= k;
		if (s->tail_n < sizeof(s->tail))
			return;
		memcpy(&w, s->tail, sizeof(w));
		sip_word(s->v, le64toh(w));
	}
	memcpy(v, s->v, sizeof(v));
	for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		sip_word(v, le64toh(w));
	}
	memcpy(s->v, v, sizeof(v));
	memcpy(s->tail, p, n);
	s->tail_n = n;
}

void
sip_end(struct sip *s, uint64_t out[2])
{
	uint64_t w = s->total << 56;
	size_t i;

	for (i = 0; i < s->tail_n; i++)
		w |= (uint64_t)s->tail[i] << (8 * i);
	sip_word(s->v, w);
	s->v[2] ^= 0xee;
	for (i = 0; i < 3; i++)
		sip_round(s->v);
	out[0] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
	s->v[1] ^= 0xdd;
	for (i = 0; i < 3; i++)
		sip_round(s->v);
	out[1] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}
