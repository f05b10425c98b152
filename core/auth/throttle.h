/*
 * throttle.h - how soon a login may be tried after others failed.
 *
 * Runs in the auth coordinator.  Pure: the caller passes the time.  Bounded:
 * three tables of fixed size, in which what matters least gives way.  They lie
 * in memory that a coordinator may leave to the next one, and shares with it
 * while it finishes: what is read there is believed only as far as it harms
 * nobody for long.
 *
 * A password is verified only when its slot has come, so what bounds the
 * guesses is not how patient a client is:
 *  - An address (an IPv6 /64) that failed gets one slot after another, each
 *    DELAY later than the last, doubling to DELAY_MAX a failure.
 *  - So does a user that somebody failed to be, for the addresses that have
 *    failures of their own.  An address without any gets the next of slots
 *    that are DELAY apart, so that those who guess do not lock the user out.
 *  - An address from which that very user has logged in before is asked to
 *    wait for its own failures with this user only, until there are too many.
 *  - Who has not failed takes no slot: right passwords do not wait for each
 *    other.
 * A failure is forgotten when it no longer changes the rate.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <stddef.h>
#include <stdint.h>

struct throttle;

enum { THROTTLE_KEY = 16 };	/* octets of the secret of the hashes */

enum throttle_lane {
	LANE_CLEAN,		/* an address without failures */
	LANE_DIRTY,
	LANE_KNOWN		/* this user logged in from here before */
};

/* Who tries, as keyed hashes. */
struct throttle_key {
	uint64_t addr, user, pair;
};

/* What throttle_begin() took, for the call that ends the attempt. */
struct throttle_slot {
	enum throttle_lane lane;
	uint64_t start;
	uint64_t addr_end, user_end, pair_end;	/* 0: nothing reserved */
};

/*
 * Tables for ENTRIES (a power of two, at least 8) addresses, users and pairs
 * each.  DELAY 0 switches all of it off.  MEMORY is a memfd that is empty or
 * holds the tables of another coordinator, with their secret; with others in
 * it (of another version) or -1 they are nobody else's.  It stays the caller's.
 * NULL: no memory.
 */
struct throttle *throttle_new(uint64_t delay, uint64_t delay_max,
    size_t entries, const uint8_t secret[THROTTLE_KEY], int memory);
void throttle_destroy(struct throttle **t);

/* Octets that nobody outside knows; the same as long as the tables live. */
void throttle_secret(const struct throttle *t, uint8_t out[THROTTLE_KEY]);

/* The keys of REMOTE (address text; anything else counts as it is) and USER. */
struct throttle_key throttle_key(const struct throttle *t, const char *remote,
    const char *user);

/* When may KEY's next attempt be verified?  At once if that is not after NOW.
 * Reserves nothing. */
uint64_t throttle_ask(const struct throttle *t, const struct throttle_key *key,
    uint64_t now, enum throttle_lane *lane_r);

/* Its verification begins: take the slot. */
struct throttle_slot throttle_begin(struct throttle *t,
    const struct throttle_key *key, uint64_t now);

/* It failed.  The client may hear so at the time returned, not before. */
uint64_t throttle_failed(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot, uint64_t now);

/* It was right: the slot is given back.  True if others may gain by that. */
_Bool throttle_passed(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot, uint64_t now);

/* Nobody can say whether it was right: the slot is given back, and what failed
 * before still counts.  True if others may gain by that. */
_Bool throttle_spared(struct throttle *t, const struct throttle_key *key,
    const struct throttle_slot *slot);

#endif /* AUTH_THROTTLE_H */
