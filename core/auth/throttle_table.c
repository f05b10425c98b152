/*
 * throttle_table.c - where throttle.c keeps what it knows of addresses, users
 * and pairs of these: memory that the next coordinator may take over, and the
 * keyed hashes by which it is found.
 *
 * Runs in the auth coordinator.  Addresses and names come from clients and
 * gates; nobody outside can predict a hash, and the tables never grow.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auth/throttle_table.h"

enum { WAYS = 8 };		/* places that one key can have in a table */

struct head {			/* of the memory; the tables follow */
	uint64_t magic, entries;
	uint64_t k0, k1;
};
#define MAGIC UINT64_C(0x314c54485456434c)

/* --- SipHash-1-3 --------------------------------------------------------- */

static uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* The hash of N octets, as one of the kind TAG; never 0. */
static uint64_t
sip_hash(const struct throttle *t, uint8_t tag, const void *data, size_t n)
{
	uint64_t v[4] = {t->k0 ^ UINT64_C(0x736f6d6570736575),
	    t->k1 ^ UINT64_C(0x646f72616e646f6d) ^ tag,
	    t->k0 ^ UINT64_C(0x6c7967656e657261),
	    t->k1 ^ UINT64_C(0x7465646279746573)};
	const uint8_t *p = data;
	uint64_t last = (uint64_t)n << 56;

	for (size_t left = n; ; left -= 8, p += 8) {
		uint64_t m = 0;

		for (size_t i = 0; i < 8 && i < left; i++)
			m |= (uint64_t)p[i] << (8 * i);
		if (left < 8)
			m |= last;
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
		if (left < 8)
			break;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	v[0] ^= v[1] ^ v[2] ^ v[3];
	return v[0] != 0 ? v[0] : 1;
}

struct throttle_key
throttle_key(const struct throttle *t, const char *remote, const char *user)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t a[16];
	struct throttle_key key = {.user = sip_hash(t, 1, user,
	    strlen(user))};
	uint64_t both[2] = {0, key.user};

	if (inet_pton(AF_INET, remote, a) == 1)
		key.addr = sip_hash(t, 4, a, 4);
	else if (inet_pton(AF_INET6, remote, a) == 1 &&
	    memcmp(a, mapped, sizeof(mapped)) == 0)
		key.addr = sip_hash(t, 4, a + 12, 4);
	else if (inet_pton(AF_INET6, remote, a) == 1)
		key.addr = sip_hash(t, 6, a, 8);
	else
		key.addr = sip_hash(t, 2, remote, strlen(remote));
	both[0] = key.addr;
	key.pair = sip_hash(t, 3, both, sizeof(both));
	return key;
}

/* --- tables -------------------------------------------------------------- */

struct entry *
table_find(const struct table *table, uint64_t key)
{
	struct entry *set = &table->entry[(key & table->mask) * WAYS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

void
table_check(const struct table *table, uint64_t key, uint64_t most)
{
	struct entry *e = table_find(table, key);

	if (e != NULL && (e->next > most || e->clean_next > most))
		*e = (struct entry){.key = 0};
}

struct entry *
table_get(struct table *table, uint64_t key)
{
	struct entry *set = &table->entry[(key & table->mask) * WAYS];
	struct entry *e = table_find(table, key), *least = &set[0];

	if (e != NULL)
		return e;
	for (size_t i = 1; i < WAYS && least->key != 0; i++)
		if (set[i].key == 0 || set[i].used < least->used ||
		    (set[i].used == least->used && set[i].next < least->next))
			least = &set[i];
	*least = (struct entry){.key = key};
	return least;
}

/* --- the memory ----------------------------------------------------------- */

/* Is MEMORY empty (it has SIZE octets then), or tables of ENTRIES already? */
static _Bool
memory_fits(int memory, size_t size, size_t entries)
{
	struct head h;
	struct stat st;

	if (memory < 0 || fstat(memory, &st) != 0)
		return 0;
	if (st.st_size == 0)
		return ftruncate(memory, (off_t)size) == 0;
	return (size_t)st.st_size == size &&
	    pread(memory, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    (h.magic == 0 || (h.magic == MAGIC && h.entries == entries));
}

struct throttle *
throttle_new(uint64_t delay, uint64_t delay_max, size_t entries,
    const uint8_t secret[THROTTLE_KEY], int memory)
{
	struct throttle *t = calloc(1, sizeof(*t));
	_Bool shared;
	struct entry *e;
	struct head *h;

	if (t == NULL)
		return NULL;
	t->delay = delay;
	t->delay_max = delay_max > delay ? delay_max : delay;
	t->size = sizeof(*h) + 3 * entries * sizeof(*e);
	shared = memory_fits(memory, t->size, entries);
	h = t->memory = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
	    shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
	    shared ? memory : -1, 0);
	if (h == MAP_FAILED) {
		free(t);
		return NULL;
	}
	if (h->magic == 0) {
		h->entries = entries;
		memcpy(&h->k0, secret, sizeof(h->k0));
		memcpy(&h->k1, secret + sizeof(h->k0), sizeof(h->k1));
		h->magic = MAGIC;
	}
	t->k0 = h->k0;
	t->k1 = h->k1;
	e = (struct entry *)(h + 1);
	for (int i = ADDR; i <= PAIR; i++, e += entries)
		t->table[i] = (struct table){.mask = entries / WAYS - 1,
		    .entry = e};
	return t;
}

void
throttle_secret(const struct throttle *t, uint8_t out[THROTTLE_KEY])
{
	memcpy(out, &t->k0, sizeof(t->k0));
	memcpy(out + sizeof(t->k0), &t->k1, sizeof(t->k1));
}

void
throttle_destroy(struct throttle **t)
{
	if (*t == NULL)
		return;
	munmap((*t)->memory, (*t)->size);
	free(*t);
	*t = NULL;
}
