/*
 * throttle.c - slots for logins; the rules are in throttle.h.
 *
 * Runs in the auth coordinator.  Addresses and names come from clients and
 * gates; the tables are keyed by hashes that nobody outside can predict, and
 * never grow.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/auth/throttle.h"

enum {
	WAYS = 8,		/* places that one key can have in a table */
	KEEP = 4,		/* times delay_max that a failure is kept */
	AHEAD = 4096,		/* times delay_max: no slot is further off */
	KNOWN_FAILURES = 10	/* then a known pair is like any other */
};

struct entry {
	uint64_t key;		/* 0: free */
	uint64_t next;		/* when the next slot is */
	uint64_t clean_next;	/* users: the same for clean addresses */
	uint64_t used;		/* pairs: last success */
	uint32_t failures;
};

struct table {
	size_t mask;		/* number of sets - 1 */
	struct entry *entry;
};

struct head {			/* of the memory; the tables follow */
	uint64_t magic, entries;
	uint64_t k0, k1;
};
#define MAGIC UINT64_C(0x314c54485456434c)

enum { ADDR, USER, PAIR };

struct throttle {
	uint64_t delay, delay_max;
	uint64_t k0, k1;
	struct table table[3];
	void *memory;
	size_t size;
};

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

static struct entry *
table_find(const struct table *table, uint64_t key)
{
	struct entry *set = &table->entry[(key & table->mask) * WAYS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

/* Forget what no coordinator in its right mind can have left of KEY. */
static void
table_check(const struct throttle *t, const struct table *table, uint64_t key,
    uint64_t now)
{
	struct entry *e = table_find(table, key);
	uint64_t most = now + AHEAD * t->delay_max;

	if (e != NULL && (e->next > most || e->clean_next > most))
		*e = (struct entry){.key = 0};
}

/* KEY's entry, if need be in the place of the one that matters least: least
 * recently used (pairs), or with the earliest slot. */
static struct entry *
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

/* --- slots --------------------------------------------------------------- */

static uint64_t
max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* How far the slot behind FAILURES failures is from the one before. */
static uint64_t
spacing(const struct throttle *t, uint32_t failures)
{
	uint64_t d = t->delay;

	for (uint32_t i = 1; i < failures && d < t->delay_max; i++)
		d *= 2;
	return d < t->delay_max ? d : t->delay_max;
}

/* The entry of KEY if it has failures that still count.  A pause of KEEP
 * times delay_max makes up for a new start at DELAY. */
static struct entry *
failing(const struct throttle *t, const struct table *table, uint64_t key,
    uint64_t now)
{
	struct entry *e = table_find(table, key);

	if (e == NULL || e->failures == 0 ||
	    now > e->next + KEEP * t->delay_max)
		return NULL;
	return e;
}

/* The entry of the pair if it is known and has not failed too often. */
static struct entry *
known(const struct throttle *t, const struct throttle_key *key)
{
	struct entry *pair = table_find(&t->table[PAIR], key->pair);

	return pair != NULL && pair->failures < KNOWN_FAILURES ? pair : NULL;
}

static enum throttle_lane
lane_of(const struct throttle *t, const struct throttle_key *key,
    uint64_t now)
{
	if (known(t, key) != NULL)
		return LANE_KNOWN;
	return failing(t, &t->table[ADDR], key->addr, now) != NULL ?
	    LANE_DIRTY : LANE_CLEAN;
}

uint64_t
throttle_ask(const struct throttle *t, const struct throttle_key *key,
    uint64_t now, enum throttle_lane *lane_r)
{
	const struct entry *addr, *user, *pair;
	enum throttle_lane lane;
	uint64_t at = 0;

	table_check(t, &t->table[ADDR], key->addr, now);
	table_check(t, &t->table[USER], key->user, now);
	table_check(t, &t->table[PAIR], key->pair, now);
	pair = known(t, key);
	lane = lane_of(t, key, now);
	*lane_r = lane;
	if (t->delay == 0)
		return 0;
	if (pair != NULL)
		return pair->next;
	addr = failing(t, &t->table[ADDR], key->addr, now);
	user = failing(t, &t->table[USER], key->user, now);
	if (addr != NULL)
		at = addr->next;
	if (user != NULL)
		at = max64(at, lane == LANE_CLEAN ? user->clean_next :
		    user->next);
	return at;
}

struct throttle_slot
throttle_begin(struct throttle *t, const struct throttle_key *key,
    uint64_t now)
{
	struct throttle_slot s = {.lane = lane_of(t, key, now), .start = now};
	struct entry *e = known(t, key);

	if (t->delay == 0)
		return s;
	if (e != NULL) {
		if (e->failures > 0)
			s.pair_end = e->next = max64(e->next, now) +
			    spacing(t, e->failures + 1);
		return s;
	}
	e = failing(t, &t->table[ADDR], key->addr, now);
	if (e != NULL)
		s.addr_end = e->next = max64(e->next, now) +
		    spacing(t, e->failures + 1);
	e = failing(t, &t->table[USER], key->user, now);
	if (e == NULL)
		return s;
	if (s.lane == LANE_DIRTY)
		s.user_end = e->next = max64(e->next, now) +
		    spacing(t, e->failures + 1);
	else
		s.user_end = e->clean_next = max64(e->clean_next, now) +
		    t->delay;
	return s;
}

/* When the slot that began at START ends, LENGTH later; if the verification
 * took longer, later by whole delays, so that the end does not tell how long
 * that was. */
static uint64_t
slot_end(const struct throttle *t, uint64_t start, uint64_t length,
    uint64_t now)
{
	uint64_t end = start + length;

	return end >= now ? end : end + (now - end + t->delay - 1) /
	    t->delay * t->delay;
}

/* Count a failure in E, of an attempt that began at START; its slot is the
 * reserved one or the next free. */
static uint64_t
count(const struct throttle *t, struct entry *e, uint64_t end,
    uint64_t start, uint64_t now)
{
	if (e->failures > 0 && now > e->next + KEEP * t->delay_max)
		e->failures = 0;
	if (e->failures < UINT32_MAX)
		e->failures++;
	if (end == 0)
		end = slot_end(t, max64(e->next, start),
		    spacing(t, e->failures), now);
	e->next = max64(e->next, end);
	return end;
}

uint64_t
throttle_failed(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot, uint64_t now)
{
	struct entry *pair, *user;
	uint64_t addr_end;

	if (t->delay == 0)
		return 0;
	addr_end = count(t, table_get(&t->table[ADDR], key->addr),
	    slot->addr_end, slot->start, now);
	user = table_get(&t->table[USER], key->user);
	count(t, user, slot->lane == LANE_DIRTY ? slot->user_end : 0,
	    slot->start, now);
	user->clean_next = max64(user->clean_next, slot->start + t->delay);
	addr_end = slot_end(t, addr_end, 0, now);
	pair = table_find(&t->table[PAIR], key->pair);
	if (pair == NULL || slot->lane != LANE_KNOWN)
		return addr_end;
	return count(t, pair, slot->pair_end, slot->start, now);
}

static _Bool
give_back(struct table *table, uint64_t key, uint64_t end, uint64_t start)
{
	struct entry *e = end != 0 ? table_find(table, key) : NULL;

	if (e != NULL && e->next == end)
		e->next = start;
	if (e != NULL && e->clean_next == end)
		e->clean_next = start;
	return e != NULL;
}

_Bool
throttle_spared(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot)
{
	_Bool gave = give_back(&t->table[ADDR], key->addr, slot->addr_end,
	    slot->start);

	gave |= give_back(&t->table[USER], key->user, slot->user_end,
	    slot->start);
	gave |= give_back(&t->table[PAIR], key->pair, slot->pair_end,
	    slot->start);
	return gave;
}

_Bool
throttle_passed(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot, uint64_t now)
{
	struct entry *pair;
	_Bool gave;

	if (t->delay == 0)
		return 0;
	gave = throttle_spared(t, key, slot);
	pair = table_get(&t->table[PAIR], key->pair);
	gave |= pair->failures > 0;
	pair->failures = 0;
	pair->next = 0;
	pair->used = now;
	return gave;
}
