/*
 * fuzz_ipc.c - hostile octets for the one decoder of all messages.
 *
 * A libFuzzer target, and with run.c a program that tries a fixed set of
 * inputs.  What decodes must encode to the same octets again; and a message
 * of any type, filled from the input, must survive the way there and back.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("\0\0\0\0"), W("\1\0\0\0"), W("\4\0\0\0bob\0"), W("\3\0\0\0bob\0"),
	W("\377\377\377\377"), W("\0"), W("\2\0\0\0\5\0\0\0\1\0\0\0\0"),
	W("\42\0\0\0"), W("\50\0\0\0"), W("\63\0\0\0\100\0\0\0"),
	W("\74\0\0\0"), W("\26\0\0\0"), W("\130\0\0\0\20\0\0\0"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static uint8_t again[IPC_MAX];

static void
raw(const uint8_t *data, size_t n)
{
	union ipc_any m;
	enum ipc_type type;
	unsigned nfds;

	if (!ipc_decode(data, n, &type, &nfds, &m))
		return;
	CHECK(nfds <= IPC_MAX_FDS);
	CHECK(ipc_encode(type, &m, nfds, again, sizeof(again)) == n);
	CHECK(memcmp(again, data, n) == 0);
}

/* The same with a length in the header that fits, so that more of the input
 * is reached. */
static void
mended(const uint8_t *data, size_t n)
{
	uint8_t *copy;
	size_t rest = n - IPC_HEADER;

	if (n < IPC_HEADER)
		return;
	copy = malloc(n);
	CHECK(copy != NULL);
	memcpy(copy, data, n);
	for (int i = 0; i < 4; i++)
		copy[4 + i] = (uint8_t)(rest >> (8 * i));
	raw(copy, n);
	free(copy);
}

struct feed {
	const uint8_t *p;
	size_t n;
};

static uint64_t
feed_number(struct feed *f)
{
	uint64_t v = 0;

	for (int i = 0; i < 8 && f->n > 0; i++, f->p++, f->n--)
		v = v << 8 | *f->p;
	return v;
}

static struct ipc_bytes
feed_bytes(struct feed *f, uint32_t max)
{
	uint32_t n = (uint32_t)(feed_number(f) % (max + 2u));
	struct ipc_bytes b;

	if (n > f->n)
		n = (uint32_t)f->n;
	b.p = f->p;
	b.n = n;
	f->p += n;
	f->n -= n;
	return b;
}

static const char *
feed_text(struct feed *f, uint32_t max, char *buf, size_t size)
{
	struct ipc_bytes b = feed_bytes(f, max);

	if (b.n >= size)
		b.n = (uint32_t)size - 1;
	memcpy(buf, b.p, b.n);
	buf[b.n] = 0;
	return buf;
}

/* Types and least numbers of descriptors, and a comparison, by name. */
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
enum { type_##name = nr, fds_##name = fmin }; \
static void \
compare_##name(const struct ipc_##name *a, const struct ipc_##name *b) \
{
#define U32(name, f_) CHECK(a->f_ == b->f_);
#define U64(name, f_) CHECK(a->f_ == b->f_);
#define TEXT(name, f_, max) CHECK(strcmp(a->f_, b->f_) == 0);
#define BYTES(name, f_, max) CHECK(a->f_.n == b->f_.n && \
	(a->f_.n == 0 || memcmp(a->f_.p, b->f_.p, a->f_.n) == 0));
#define END(name) }
#include "core/ipc/messages.def"
#undef BEGIN
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

/* A message fits if nothing in it is too long, and then it arrives as it
 * was. */
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
static void \
roundtrip_##name(struct feed f) \
{ \
	static char text[24][5000]; \
	unsigned t = 0, nfds; \
	struct ipc_##name m; \
	union ipc_any out; \
	enum ipc_type type; \
	size_t n; \
	_Bool fits = 1; \
	memset(&m, 0, sizeof(m));
#define U32(name, f_) m.f_ = (uint32_t)feed_number(&f);
#define U64(name, f_) m.f_ = feed_number(&f);
#define TEXT(name, f_, max) \
	m.f_ = feed_text(&f, max, text[t], sizeof(text[0])); \
	fits &= strlen(m.f_) <= (max); \
	t++;
#define BYTES(name, f_, max) \
	m.f_ = feed_bytes(&f, max); \
	fits &= m.f_.n <= (max);
#define END(name) \
	n = ipc_encode((enum ipc_type)type_##name, &m, fds_##name, again, \
	    sizeof(again)); \
	CHECK((n > 0) == fits); \
	if (n > 0) { \
		CHECK(ipc_decode(again, n, &type, &nfds, &out)); \
		CHECK((int)type == type_##name && nfds == fds_##name); \
		compare_##name(&m, &out.name); \
	} \
	(void)t, (void)text; \
}
#include "core/ipc/messages.def"
#undef BEGIN
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) roundtrip_##name,
#define U32(name, f_)
#define U64(name, f_)
#define TEXT(name, f_, max)
#define BYTES(name, f_, max)
#define END(name)
static void (*const roundtrips[])(struct feed f) = {
#include "core/ipc/messages.def"
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	raw(data, n);
	mended(data, n);
	for (size_t i = 0; i < sizeof(roundtrips) / sizeof(roundtrips[0]); i++)
		roundtrips[i]((struct feed){data, n});
	return 0;
}
