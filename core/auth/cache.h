/*
 * cache.h - what sections answered, for a while.
 *
 * Runs in the auth coordinator.  Memory of a fixed size that is locked and
 * left out of core dumps; what is oldest gives way.
 * Passwords are there as HMACs under a key that nobody else has and that ends
 * with the process.  Pure: the caller passes the time.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>

struct cache;

/* What was asked, and of whom: all that an answer may depend on. */
struct cache_ask {
	uint32_t section, flags;
	const char *user, *service, *remote, *local;
	const uint8_t *password;	/* NULL: who the user is */
	size_t n;
};

/* Keyed hashes of that. */
struct cache_key {
	uint32_t section;
	uint64_t user;
	uint8_t ask[16];		/* all but the password */
	uint8_t password[32];
	_Bool verifies;			/* there is one */
};

struct cache_found {
	uint64_t at;			/* when it was kept */
	culver_status status;
	const uint8_t *p;		/* until the next change */
	size_t n;
};

enum { CACHE_MIN = 65536 };	/* octets */

/* SIZE octets (at least CACHE_MIN), or as many as can be locked; NULL: not even
 * so many, or no random octets. */
struct cache *cache_new(size_t size);
size_t cache_size(const struct cache *c);
void cache_destroy(struct cache **c);

/* False: libcrypto failed, and nothing can be kept or found. */
_Bool cache_key(const struct cache *c, const struct cache_ask *ask,
    struct cache_key *out);

/*
 * What was answered to KEY: with STATUS OK only if the password is the one that
 * was right then; any other status is about the user.  False: nothing.
 */
_Bool cache_find(const struct cache *c, const struct cache_key *key,
    struct cache_found *out);

/*
 * Keep N octets in the place of what KEY has; NAME is the user's canonical
 * name, also for cache_flush().  What is too large is not kept.
 */
void cache_put(struct cache *c, const struct cache_key *key,
    culver_status status, const char *name, const void *p, size_t n,
    uint64_t now);

/* Forget what KEY's section said of KEY's user: where the password is (SAME)
 * or is not that of KEY, or of any password (both). */
void cache_forget(struct cache *c, const struct cache_key *key, _Bool same,
    _Bool other);

/* Forget what was asked about USER, or answered with that name; all, if it is
 * NULL. */
void cache_flush(struct cache *c, const char *user);

#endif /* AUTH_CACHE_H */
