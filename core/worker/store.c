/*
 * store.c - call a storage plugin and check what it says; see store.h.
 *
 * Runs in worker, as the mailbox's owner.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/plugin/host.h"
#include "core/worker/store-private.h"
#include "core/worker/store.h"

enum {
	ARENA_MAX = 64 << 20,
	SIDE_MAX = 1 << 20
};

_Bool
store_init(struct store *s, const struct culver_storage_ops *ops,
    uint64_t caps)
{
	*s = (struct store){ .ops = ops, .caps = caps,
	    .arena = arena_new(ARENA_MAX), .side = arena_new(SIDE_MAX) };
	return s->arena != NULL && s->side != NULL;
}

struct culver_call
store_begin(struct store *s, uint64_t time)
{
	arena_reset(s->arena);
	return plugin_call(s->arena, &s->err, clock_now() + time);
}

/* Statuses of storage calls; anything else is a failure of the plugin. */
static culver_status
normal(culver_status st, bool may_be_done)
{
	if (st == CULVER_OK || (st == CULVER_DONE && may_be_done))
		return st;
	return st < CULVER_OK && st >= CULVER_E_QUOTA ? st : CULVER_E_TEMP;
}

static int
level_of(culver_status st)
{
	switch (st) {
	case CULVER_E_IN_USE:
	case CULVER_E_GONE:
	case CULVER_E_QUOTA:
		return LOG_INFO_;
	case CULVER_E_PERM:
	case CULVER_E_CORRUPT:
	case CULVER_E_CONFIG:
	case CULVER_E_UNSUPPORTED:
		return LOG_ERROR_;
	default:
		return LOG_WARN_;
	}
}

/* A normal failure, for people. */
static const char *
status_text(culver_status st)
{
	static const char *const text[] = {
		[-CULVER_E_TEMP] = "a temporary failure",
		[-CULVER_E_PERM] = "an administrator must act",
		[-CULVER_E_IN_USE] = "the mailbox is in use",
		[-CULVER_E_STALE] = "another program changed the mailbox",
		[-CULVER_E_GONE] = "the message is gone",
		[-CULVER_E_NOSPACE] = "no space is left",
		[-CULVER_E_CORRUPT] = "the mailbox is damaged",
		[-CULVER_E_TIMEOUT] = "it took too long",
		[-CULVER_E_NOMEM] = "out of memory",
		[-CULVER_E_UNSUPPORTED] = "the plugin cannot do that",
		[-CULVER_E_CONFIG] = "the options are wrong",
		[-CULVER_E_QUOTA] = "over quota",
	};

	return text[-st];
}

/* The end of every call: one log line for a failure, a status to go on with. */
culver_status
store_end(struct store *s, const char *what, culver_status st,
    _Bool may_be_done)
{
	culver_status n = normal(st, may_be_done);
	const char *sep = "", *text = "";

	if (n >= CULVER_OK || (n == CULVER_E_IN_USE && s->waits))
		return n;
	if (s->err.sys_errno != 0) {
		sep = ": ";
		text = strerror(s->err.sys_errno);
	}
	log_at(level_of(n), "storage: %s: %s%s%s (%s)", what,
	    plugin_error_text(&s->err), sep, text, status_text(n));
	return n;
}

/* The plugin broke its contract: that is never the client's fault. */
culver_status
store_broken(const char *what, const char *how)
{
	log_errorx("storage: %s: the plugin returned %s", what, how);
	return CULVER_E_CORRUPT;
}

culver_status
store_create(struct store *s, const struct culver_host *host,
    const struct culver_values *values, const struct culver_user *user)
{
	struct culver_call call = store_begin(s, STORE_SHORT_CALL);
	culver_status st;

	st = store_end(s, "create", s->ops->create(&s->store, host, values,
	    user, &call), false);
	if (st != CULVER_OK)
		s->store = NULL;
	else if (s->store == NULL)
		st = store_broken("create", "no store");
	return st;
}

culver_status
store_paths(struct store *s, struct culver_path paths[STORE_PATHS],
    uint32_t *n)
{
	struct culver_call call;
	culver_status st;
	uint32_t i, cap = 8;

	for (;;) {
		call = store_begin(s, STORE_SHORT_CALL);
		memset(paths, 0, cap * sizeof(*paths));
		*n = 0;
		st = store_end(s, "paths", s->ops->paths(s->store, paths, cap,
		    n, &call), false);
		if (st != CULVER_OK)
			return st;
		if (*n <= cap)
			break;
		if (cap == STORE_PATHS || *n > STORE_PATHS)
			return store_broken("paths", "too many paths");
		cap = STORE_PATHS;
	}
	for (i = 0; i < *n; i++)
		if (paths[i].path == NULL || paths[i].path[0] != '/')
			return store_broken("paths",
			    "a path that is not absolute");
	return CULVER_OK;
}

/* --- listing ------------------------------------------------------------- */

/*
 * UIDLs seen so far.  Most listings are in the order of their UIDLs, so that
 * none can be there twice; from the first that is not on, there is a table in
 * open addressing, at most half full.
 */
struct seen {
	uint64_t *slot;		/* index + 1 below 32 bits of the hash, or 0 */
	size_t mask, n;
	uint64_t seed;
};

/* Length of a legal UIDL (RFC 1939 7: 1 to 70 of 0x21..0x7E), or 0. */
static uint32_t
uid_length(const char *uid)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t n = strnlen(uid, STORE_UID_MAX + 1), i;
	uint64_t bad = 0, w;

	/* a high bit is there, or comes by taking 0x21 or by adding 1 */
	for (i = 0; i < n; i += sizeof(w)) {
		w = '!' * ones;
		memcpy(&w, uid + i, n - i < sizeof(w) ? n - i : sizeof(w));
		bad |= w | (w - 0x21 * ones) | (w + ones);
	}
	return n <= STORE_UID_MAX && (bad & 0x80 * ones) == 0 ?
	    (uint32_t)n : 0;
}

/* 32 bits of it are kept, and more are not used. */
static uint64_t
uid_hash(const struct seen *t, const char *uid, size_t n)
{
	uint64_t h = t->seed, w;

	for (; n > 0; uid += sizeof(w), n -= n < 8 ? n : 8) {
		w = 0;
		memcpy(&w, uid, n < 8 ? n : 8);
		h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h >> 32;
}

static void
seen_put(struct seen *t, uint64_t slot)
{
	size_t at = (slot >> 32) & t->mask;

	while (t->slot[at] != 0)
		at = (at + 1) & t->mask;
	t->slot[at] = slot;
}

static bool
seen_grow(struct seen *t)
{
	size_t i, had = t->slot == NULL ? 0 : t->mask + 1;
	size_t size = had == 0 ? 256 : had * 4;
	uint64_t *old = t->slot;

	while (size / 2 <= t->n)
		size *= 4;
	t->slot = calloc(size, sizeof(*t->slot));
	if (t->slot == NULL) {
		t->slot = old;
		return false;
	}
	t->mask = size - 1;
	for (i = 0; i < had; i++)
		if (old[i] != 0)
			seen_put(t, old[i]);
	free(old);
	return true;
}

/* The first UIDL out of order: a table of those before it. */
static bool
seen_begin(struct seen *t, const struct store *s)
{
	uint32_t i;

	if (!seen_grow(t))
		return false;
	for (i = 0; i < t->n; i++)
		seen_put(t, uid_hash(t, s->msg[i].uid, s->msg[i].uid_n) << 32 |
		    (i + 1));
	return true;
}

static culver_status
seen_no_memory(uint32_t index)
{
	log_errorx("storage: no memory for %u messages", index);
	return CULVER_E_NOMEM;
}

/* Is this UIDL, of message INDEX, new?  Remember it. */
static culver_status
seen_add(struct seen *t, const struct store *s, uint32_t index)
{
	const struct store_message *m = &s->msg[index];
	uint64_t h;
	size_t at;

	if (t->slot == NULL && (index == 0 ||
	    strcmp(m[-1].uid, m->uid) < 0)) {
		t->n++;
		return CULVER_OK;
	}
	if (t->slot == NULL ? !seen_begin(t, s) : t->n * 2 >= t->mask &&
	    !seen_grow(t))
		return seen_no_memory(index);
	h = uid_hash(t, m->uid, m->uid_n);
	for (at = h & t->mask; t->slot[at] != 0; at = (at + 1) & t->mask)
		if (t->slot[at] >> 32 == h && strcmp(s->msg[
		    (uint32_t)t->slot[at] - 1].uid, m->uid) == 0)
			return store_broken("list", "the same UIDL twice");
	t->slot[at] = h << 32 | (index + 1);
	t->n++;
	return CULVER_OK;
}

static bool
dates_grow(struct store *s, uint32_t n)
{
	int64_t *received = reallocarray(s->received, n, sizeof(*received));

	if (received == NULL) {
		log_errorx("storage: no memory for %u messages", n);
		return false;
	}
	s->received = received;
	return true;
}

static culver_status
list_add(struct store *s, const struct culver_message *m, uint32_t n,
    struct seen *seen, uint32_t *cap)
{
	culver_status st;
	uint32_t i, uid_n;

	if (n > *cap - s->n) {
		uint32_t more = s->n + n > *cap * 2 ? s->n + n : *cap * 2;
		struct store_message *msg = reallocarray(s->msg, more,
		    sizeof(*msg));

		if (msg == NULL) {
			log_errorx("storage: no memory for %u messages", more);
			return CULVER_E_NOMEM;
		}
		s->msg = msg;
		if (s->want_dates && !dates_grow(s, more))
			return CULVER_E_NOMEM;
		*cap = more;
	}
	for (i = 0; i < n; i++) {
		uid_n = m[i].uid != NULL ? uid_length(m[i].uid) : 0;
		if (uid_n == 0)
			return store_broken("list", "an illegal UIDL");
		s->msg[s->n] = (struct store_message){ .uid = m[i].uid,
		    .uid_n = uid_n, .octets = m[i].octets,
		    .flags = (m[i].flags & CULVER_MSG_OCTETS_EXACT) != 0 ?
		    STORE_EXACT : 0 };
		if (s->want_dates)
			s->received[s->n] = m[i].received;
		if (m[i].octets > INT64_MAX / STORE_MAX_MESSAGES)
			return store_broken("list", "an impossible size");
		st = seen_add(seen, s, s->n);
		if (st != CULVER_OK)
			return st;
		s->n++;
	}
	return CULVER_OK;
}

static culver_status
list_all(struct store *s, struct seen *seen)
{
	enum { BATCH = 64 };	/* on the stack: a session keeps few pages */
	struct culver_message batch[BATCH];
	uint32_t n, cap = 0;
	culver_status st;

	for (;;) {
		struct culver_call call = store_begin(s, STORE_LONG_CALL);

		n = 0;
		memset(batch, 0, sizeof(batch));
		st = store_end(s, "list", s->ops->list(s->mailbox, s->n, batch,
		    BATCH, &n, &call), true);
		if (st == CULVER_DONE && n == 0)
			return CULVER_OK;
		if (st < CULVER_OK)
			return st;
		if (n == 0 || n > BATCH)
			return store_broken("list", "an impossible count");
		if (s->n + n > STORE_MAX_MESSAGES)
			return store_broken("list", "too many messages");
		st = list_add(s, batch, n, seen, &cap);
		if (st != CULVER_OK)
			return st;
	}
}

culver_status
store_open(struct store *s, uint32_t flags)
{
	struct culver_call call = store_begin(s, STORE_LONG_CALL);
	struct seen seen = { .slot = NULL };
	culver_status st;

	/* a place in memory that nobody outside knows */
	seen.seed = clock_now() ^ (uintptr_t)&call ^ (uintptr_t)s->arena << 20;
	if (s->want_dates)
		flags |= CULVER_OPEN_DATES;
	st = store_end(s, "open", s->ops->open(s->store, flags, &s->mailbox,
	    &call), false);
	if (st != CULVER_OK)
		s->mailbox = NULL;
	else if (s->mailbox == NULL)
		st = store_broken("open", "no mailbox");
	if (st == CULVER_OK)
		st = list_all(s, &seen);
	free(seen.slot);
	if (st != CULVER_OK)
		store_close(s);
	return st;
}

void
store_close(struct store *s)
{
	if (s->mailbox != NULL)
		s->ops->close(s->mailbox);
	s->mailbox = NULL;
	free(s->msg);
	free(s->received);
	s->msg = NULL;
	s->received = NULL;
	s->n = 0;
}

void
store_destroy(struct store *s)
{
	store_close(s);
	if (s->store != NULL)
		s->ops->destroy(s->store);
	s->store = NULL;
	arena_free(&s->arena);
	arena_free(&s->side);
}

/* --- checking ------------------------------------------------------------ */

culver_status
store_check(struct store *s, void (*found)(void *arg, const char *line),
    void *arg, uint32_t *n)
{
	enum { FINDINGS = 100 };
	static struct culver_str line[FINDINGS];
	struct culver_call call = store_begin(s, STORE_CHECK_CALL);
	culver_status st;
	uint32_t i;

	*n = 0;
	if ((s->caps & CULVER_ST_CHECK) == 0)
		return CULVER_OK;
	memset(line, 0, sizeof(line));
	st = store_end(s, "check", s->ops->check(s->store, line, FINDINGS, n,
	    &call), false);
	if (st != CULVER_OK) {
		*n = 0;
		return st;
	}
	if (*n > FINDINGS)
		return store_broken("check", "an impossible count");
	for (i = 0; i < *n; i++) {
		if (line[i].p == NULL || line[i].p[line[i].n] != '\0')
			return store_broken("check", "a line without an end");
		found(arg, line[i].p);
	}
	return CULVER_OK;
}

/* --- changing ------------------------------------------------------------ */

culver_status
store_expunge(struct store *s, const uint32_t *index, uint32_t n,
    uint32_t *removed)
{
	struct culver_call call = store_begin(s, STORE_LONG_CALL);
	struct culver_expunge_result res = { .size = sizeof(res) };
	culver_status st;

	st = store_end(s, "expunge", s->ops->expunge(s->mailbox, index, n, &res,
	    &call), false);
	*removed = res.removed <= n ? res.removed : n;
	if (st == CULVER_E_GONE && res.removed == n)
		st = CULVER_OK;		/* others removed some: as good */
	if (st == CULVER_OK)
		*removed = n;
	return st;
}

culver_status
store_keepalive(struct store *s)
{
	struct culver_call call;

	if ((s->caps & CULVER_ST_KEEPALIVE) == 0 || s->mailbox == NULL)
		return CULVER_OK;
	arena_reset(s->side);
	call = plugin_call(s->side, &s->err, clock_now() + STORE_SHORT_CALL);
	return store_end(s, "keepalive", s->ops->keepalive(s->mailbox, &call),
	    false);
}
