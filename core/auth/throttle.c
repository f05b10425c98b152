/*
 * throttle.c - slots for logins; the rules are in throttle.h.
 *
 * Runs in the auth coordinator.  Addresses and names come from clients and
 * gates; what is known of them is in the tables of throttle_table.c.
 */
#include "config.h"

#include "core/auth/throttle_table.h"

enum {
	KEEP = 4,		/* times delay_max that a failure is kept */
	AHEAD = 4096,		/* times delay_max: no slot is further off */
	KNOWN_FAILURES = 10	/* then a known pair is like any other */
};

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
	uint64_t most = now + AHEAD * t->delay_max, at = 0;

	table_check(&t->table[ADDR], key->addr, most);
	table_check(&t->table[USER], key->user, most);
	table_check(&t->table[PAIR], key->pair, most);
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
