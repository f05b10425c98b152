/*
 * counts.c - see counts.h.
 *
 * The memory is a head and PARTS parts of equal size.  Only its owner writes a
 * part, so a share needs no lock: it is one word, written and read whole.
 * Each part is a table of sets with WAYS places; a key may be in one set only.
 */
#include "config.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/counts.h"
#include "core/base/memfd.h"

enum {
	PARTS = 512,		/* gates that serve, and old ones that drain */
	SETS = 512,
	WAYS = 16
};

/* A word is a tag of 32 bits and a count of 32; 0 is free. */
typedef _Atomic uint64_t word;

struct part {
	word set[SETS][WAYS];
};

struct counts_table {
	uint64_t seed[2];	/* so that nobody outside can choose a set */
	_Atomic uint32_t owner[PARTS];
	struct part part[PARTS];
};

int
counts_make(void)
{
	int fd = memfd_new("counts");
	uint64_t seed[2];

	if (fd < 0)
		return -1;
	if (getrandom(seed, sizeof(seed), 0) == sizeof(seed) &&
	    ftruncate(fd, sizeof(struct counts_table)) == 0 &&
	    pwrite(fd, seed, sizeof(seed), 0) == sizeof(seed) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK |
		F_SEAL_GROW) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
part_take(struct counts_table *t, uint32_t owner)
{
	for (int i = 0; i < PARTS; i++) {
		uint32_t nobody = 0;

		if (atomic_compare_exchange_strong(&t->owner[i], &nobody,
		    owner))
			return i;
	}
	return -1;
}

_Bool
counts_open(struct counts *c, int fd, uint32_t owner)
{
	*c = (struct counts){.part = -1,
	    .table = memfd_share(fd, sizeof(struct counts_table))};
	if (c->table != NULL && owner != 0)
		c->part = part_take(c->table, owner);
	return c->table != NULL;
}

void
counts_close(struct counts *c)
{
	if (c->table != NULL)
		munmap(c->table, sizeof(*c->table));
	*c = (struct counts){.part = -1};
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

/* Which set KEY is in, and the tag of its word there. */
static uint32_t
locate(const struct counts_table *t, const uint64_t key[2], uint64_t *tag)
{
	uint64_t h = mix(mix(key[0] ^ t->seed[0]) ^ key[1] ^ t->seed[1]);

	*tag = h & ~(uint64_t)UINT32_MAX;
	return (uint32_t)h % SETS;
}

_Bool
counts_set(const struct counts *c, const uint64_t key[2], uint32_t n)
{
	word *set, *place = NULL;
	uint64_t tag, v;

	if (c->part < 0)
		return n == 0 || c->table == NULL;
	set = c->table->part[c->part].set[locate(c->table, key, &tag)];
	for (int i = 0; i < WAYS; i++) {
		v = atomic_load(&set[i]);
		if (v != 0 && (v & ~(uint64_t)UINT32_MAX) == tag) {
			place = &set[i];
			break;
		}
		if (v == 0 && place == NULL)
			place = &set[i];
	}
	if (place == NULL)
		return n == 0;
	atomic_store(place, n == 0 ? 0 : tag | n);
	return 1;
}

uint64_t
counts_others(const struct counts *c, const uint64_t key[2])
{
	uint64_t tag, sum = 0, v;
	uint32_t set;

	if (c->table == NULL)
		return 0;
	set = locate(c->table, key, &tag);
	for (int part = 0; part < PARTS; part++) {
		if (part == c->part || atomic_load(&c->table->owner[part]) ==
		    0)
			continue;
		for (int i = 0; i < WAYS; i++) {
			v = atomic_load(&c->table->part[part].set[set][i]);
			if (v != 0 && (v & ~(uint64_t)UINT32_MAX) == tag)
				sum += v & UINT32_MAX;
		}
	}
	return sum;
}

void
counts_drop(const struct counts *c, uint32_t owner)
{
	for (int i = 0; c->table != NULL && i < PARTS; i++) {
		if (atomic_load(&c->table->owner[i]) != owner)
			continue;
		/* empty before anybody else can take it */
		memset(&c->table->part[i], 0, sizeof(struct part));
		atomic_store(&c->table->owner[i], 0);
	}
}
