/*
 * cache.c - answers of sections in a ring of fixed size.
 *
 * Runs in the auth coordinator.  Names and passwords come from clients: the
 * tables are keyed by HMACs that nobody outside can predict.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "core/auth/cache.h"
#include "core/sasl/crypto.h"

enum { UNIT = 8, PER_BUCKET = 512 };	/* octets */

struct entry {
	uint32_t size;			/* units, this struct included */
	uint32_t next;			/* of its bucket; 0: the last */
	uint32_t n;			/* octets of data */
	int32_t status;
	uint32_t section;
	_Bool live, verifies;
	uint64_t at, user, name;
	uint8_t ask[16], password[32];
	uint8_t data[];
};

struct cache {
	uint8_t key[32];
	size_t size;			/* of the mapping */
	uint32_t buckets;		/* a power of two */
	uint32_t *first;		/* offsets of entries, in units */
	uint64_t *ring;			/* offset 0 is not used */
	uint32_t cap, head, tail, end, n;
};

/* Memory that is neither swapped nor dumped, or none. */
static void *
map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mlock2(p, size, MLOCK_ONFAULT) == 0 &&
	    madvise(p, size, MADV_DONTDUMP) == 0)
		return p;
	munmap(p, size);
	return NULL;
}

size_t
cache_size(const struct cache *c)
{
	return c->size - sizeof(*c);
}

struct cache *
cache_new(size_t size)
{
	struct cache *c = NULL;
	size_t rest;

	while ((c = map(sizeof(*c) + size)) == NULL && size > CACHE_MIN)
		size = size / 2 > CACHE_MIN ? size / 2 : CACHE_MIN;
	if (c == NULL)
		return NULL;
	c->size = sizeof(*c) + size;
	c->buckets = 1;
	while (c->buckets < size / PER_BUCKET)
		c->buckets *= 2;
	rest = size - c->buckets * sizeof(*c->first);
	c->ring = (uint64_t *)(void *)(c + 1);
	c->cap = (uint32_t)(rest / UNIT);
	c->first = (uint32_t *)(void *)(c->ring + c->cap);
	c->head = c->tail = 1;
	c->end = c->cap;
	if (getrandom(c->key, sizeof(c->key), 0) != sizeof(c->key))
		cache_destroy(&c);
	return c;
}

void
cache_destroy(struct cache **c)
{
	size_t size;

	if (*c == NULL)
		return;
	size = (*c)->size;
	explicit_bzero(*c, size);
	munmap(*c, size);
	*c = NULL;
}

/* --- keys ----------------------------------------------------------------- */

static _Bool
mac(const struct cache *c, const struct part *part, unsigned n, void *out,
    size_t out_n)
{
	uint8_t all[32];
	_Bool ok = crypto_hmac(CRYPTO_SHA256, c->key, sizeof(c->key), part, n,
	    all);

	if (ok)
		memcpy(out, all, out_n);
	explicit_bzero(all, sizeof(all));
	return ok;
}

/* A text with the NUL behind it, so that no two run together. */
static struct part
text(const char *s)
{
	return (struct part){s, strlen(s) + 1};
}

static _Bool
name_mac(const struct cache *c, const char *name, uint64_t *out)
{
	const struct part part[] = {{"n", 1}, text(name)};

	return mac(c, part, 2, out, sizeof(*out));
}

_Bool
cache_key(const struct cache *c, const struct cache_ask *a,
    struct cache_key *out)
{
	const struct part section = {(const char *)&a->section,
	    sizeof(a->section)};
	const struct part ask[] = {{a->password != NULL ? "v" : "u", 1},
	    section, {(const char *)&a->flags, sizeof(a->flags)},
	    text(a->user), text(a->service), text(a->remote),
	    text(a->local)};
	const struct part password[] = {{"p", 1}, section, text(a->user),
	    {(const char *)a->password, a->n}};

	*out = (struct cache_key){.section = a->section,
	    .verifies = a->password != NULL};
	return name_mac(c, a->user, &out->user) &&
	    mac(c, ask, 7, out->ask, sizeof(out->ask)) &&
	    (!out->verifies || mac(c, password, 4, out->password,
	    sizeof(out->password)));
}

/* --- entries -------------------------------------------------------------- */

static struct entry *
at(const struct cache *c, uint32_t offset)
{
	return (struct entry *)(void *)(c->ring + offset);
}

static uint32_t *
bucket(const struct cache *c, uint64_t user)
{
	return &c->first[user & (c->buckets - 1)];
}

/* Wipe an entry; its room is free when it is the oldest. */
static void
drop(struct cache *c, uint32_t offset)
{
	struct entry *e = at(c, offset);
	uint32_t *link = bucket(c, e->user), size = e->size;

	if (!e->live)
		return;
	while (*link != offset)
		link = &at(c, *link)->next;
	*link = e->next;
	explicit_bzero(e, size * UNIT);
	e->size = size;
}

static void
drop_oldest(struct cache *c)
{
	drop(c, c->tail);
	c->tail += at(c, c->tail)->size;
	c->n--;
	if (c->tail == c->end) {
		c->tail = 1;
		c->end = c->cap;
	}
}

/* Room for SIZE units in one piece. */
static struct entry *
room(struct cache *c, uint32_t size)
{
	struct entry *e;

	for (;;) {
		if (c->n == 0) {
			c->head = c->tail = 1;
			c->end = c->cap;
		}
		if (c->n == 0 || c->head > c->tail) {
			if (c->cap - c->head >= size)
				break;
			c->end = c->head;
			c->head = 1;
		} else if (c->tail - c->head >= size) {
			break;
		} else {
			drop_oldest(c);
		}
	}
	e = at(c, c->head);
	memset(e, 0, sizeof(*e));
	e->size = size;
	c->head += size;
	c->n++;
	return e;
}

static struct entry *
find(const struct cache *c, const struct cache_key *key)
{
	for (uint32_t o = *bucket(c, key->user); o != 0; o = at(c, o)->next)
		if (memcmp(at(c, o)->ask, key->ask, sizeof(key->ask)) == 0)
			return at(c, o);
	return NULL;
}

_Bool
cache_find(const struct cache *c, const struct cache_key *key,
    struct cache_found *out)
{
	const struct entry *e = find(c, key);

	if (e == NULL || (e->status == CULVER_OK && e->verifies &&
	    !crypto_equal(e->password, key->password, sizeof(e->password))))
		return 0;
	*out = (struct cache_found){.at = e->at,
	    .status = (culver_status)e->status, .p = e->data, .n = e->n};
	return 1;
}

void
cache_put(struct cache *c, const struct cache_key *key, culver_status status,
    const char *name, const void *p, size_t n, uint64_t now)
{
	size_t size = (sizeof(struct entry) + n + UNIT - 1) / UNIT;
	struct entry *e = find(c, key);
	uint64_t name_key;

	if (e != NULL)
		drop(c, (uint32_t)((uint64_t *)(void *)e - c->ring));
	if (size > c->cap / 4 || !name_mac(c, name, &name_key))
		return;
	e = room(c, (uint32_t)size);
	e->live = 1;
	e->verifies = key->verifies;
	e->status = (int32_t)status;
	e->at = now;
	e->section = key->section;
	e->user = key->user;
	e->name = name_key;
	e->n = (uint32_t)n;
	memcpy(e->ask, key->ask, sizeof(e->ask));
	if (status == CULVER_OK)
		memcpy(e->password, key->password, sizeof(e->password));
	memcpy(e->data, p, n);
	e->next = *bucket(c, e->user);
	*bucket(c, e->user) = (uint32_t)((uint64_t *)(void *)e - c->ring);
}

void
cache_forget(struct cache *c, const struct cache_key *key, _Bool same,
    _Bool other)
{
	uint32_t o = *bucket(c, key->user), next;

	for (; o != 0; o = next) {
		const struct entry *e = at(c, o);
		_Bool equal = crypto_equal(e->password, key->password,
		    sizeof(e->password));

		next = e->next;
		if (e->user == key->user && e->verifies &&
		    e->section == key->section && (equal ?
		    same : other))
			drop(c, o);
	}
}

void
cache_flush(struct cache *c, const char *user)
{
	uint32_t o = c->tail;
	uint64_t name = 0;

	if (user != NULL && !name_mac(c, user, &name))
		user = NULL;		/* rather too much than too little */
	for (uint32_t i = c->n; i > 0; i--) {
		const struct entry *e = at(c, o);
		uint32_t size = e->size;

		if (user == NULL || e->user == name || e->name == name)
			drop(c, o);
		o = o + size == c->end ? 1 : o + size;
	}
}
