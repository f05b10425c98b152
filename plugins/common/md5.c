/*
 * md5.c - MD5; see md5.h.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.  No
 * library is loaded for this: that would cost more than opening a mailbox.
 */
#include "config.h"

#include "plugins/common/md5.h"

#include <endian.h>
#include <string.h>

static const uint32_t md5_k[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
	0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
	0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
	0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
	0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391
};

static void
md5_block(struct md5 *m, const unsigned char *p)
{
	static const unsigned char shift[16] = { 7, 12, 17, 22, 5, 9, 14, 20,
	    4, 11, 16, 23, 6, 10, 15, 21 };
	uint32_t a = m->h[0], b = m->h[1], c = m->h[2], d = m->h[3];
	uint32_t w[16], f, t;
	unsigned i, g, s;

	memcpy(w, p, sizeof(w));
	for (i = 0; i < 64; i++) {
		if (i < 16) {
			f = (b & c) | (~b & d);
			g = i;
		} else if (i < 32) {
			f = (d & b) | (~d & c);
			g = (5 * i + 1) % 16;
		} else if (i < 48) {
			f = b ^ c ^ d;
			g = (3 * i + 5) % 16;
		} else {
			f = c ^ (b | ~d);
			g = 7 * i % 16;
		}
		s = shift[i / 16 * 4 + i % 4];
		t = a + f + md5_k[i] + le32toh(w[g]);
		a = d;
		d = c;
		c = b;
		b += t << s | t >> (32 - s);
	}
	m->h[0] += a;
	m->h[1] += b;
	m->h[2] += c;
	m->h[3] += d;
}

void
md5_init(struct md5 *m)
{
	*m = (struct md5){ .h = { 0x67452301, 0xefcdab89, 0x98badcfe,
	    0x10325476 } };
}

void
md5_add(struct md5 *m, const void *buf, size_t n)
{
	const unsigned char *p = buf;
	size_t have = m->total % sizeof(m->block), k;

	m->total += n;
	while (n > 0) {
		k = sizeof(m->block) - have;
		if (k > n)
			k = n;
		memcpy(m->block + have, p, k);
		p += k;
		n -= k;
		have = (have + k) % sizeof(m->block);
		if (have == 0)
			md5_block(m, m->block);
	}
}

void
md5_end(struct md5 *m, unsigned char out[16])
{
	static const unsigned char pad[64] = { 0x80 };
	uint64_t bits = htole64(m->total * 8);
	unsigned i;

	md5_add(m, pad, 1 + (119 - m->total % 64) % 64);
	md5_add(m, &bits, sizeof(bits));
	for (i = 0; i < 4; i++)
		m->h[i] = htole32(m->h[i]);
	memcpy(out, m->h, 16);
}
