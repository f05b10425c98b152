/*
 * box.c - calls of a storage plugin's table, with what each must keep.
 *
 * Runs in a check, in the process that the plugin runs in.  What the plugin is
 * to fill is full of 0xA5 before, so that what it leaves out is seen.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/tools/kit/box.h"
#include "core/tools/kit/subject.h"

enum { ARENA = 256 << 20, BATCH = 200 };

#define CALL_TIME (30 * NS_PER_S)	/* as a worker gives it */

struct box_hooks box_hooks;

/* --- around a call -------------------------------------------------------- */

struct culver_call *
box_begin(struct box *b, const char *doing)
{
	uint64_t deadline = b->over ? clock_now() :
	    clock_now() + (b->time != 0 ? b->time : CALL_TIME);

	arena_reset(b->arena);
	b->doing = doing;
	b->call.c = plugin_call(b->arena, &b->err, deadline);
	if (b->newer)
		b->call.c.size += BOX_TAIL;
	kit_shared->operations++;
	if (box_hooks.before != NULL)
		box_hooks.before(b);
	return &b->call.c;
}

void
box_error(const struct box *b, culver_status st)
{
	const char *p = b->err.text;
	size_t n = strnlen(p, sizeof(b->err.text)), i;

	if (n == sizeof(b->err.text))
		kit_fail("%s: call->err->text has no end", b->doing);
	if (n == 0)
		kit_fail("%s: failed with %d and said nothing in "
		    "call->err->text", b->doing, (int)st);
	for (i = 0; i < n; i++)
		if (p[i] == '\r' || p[i] == '\n')
			kit_fail("%s: call->err->text has a line end",
			    b->doing);
}

culver_status
box_end(struct box *b, culver_status st, bool done_allowed)
{
	if (box_hooks.after != NULL)
		box_hooks.after(b, st);
	if (st == CULVER_OK || (st == CULVER_DONE && done_allowed))
		return st;
	if (st > CULVER_OK || st < CULVER_E_CONFIG)
		kit_fail("%s: returned %d, which is no status of a storage "
		    "plugin", b->doing, (int)st);
	box_error(b, st);
	return st;
}

static void __attribute__((noreturn))
fail_call(const struct box *b, culver_status st)
{
	kit_fail("%s: returned %d: %s", b->doing, (int)st, b->err.text);
}

/* A call that returns nothing. */
static void
end_void(struct box *b)
{
	if (box_hooks.after != NULL)
		box_hooks.after(b, CULVER_OK);
}

/* --- store ---------------------------------------------------------------- */

void
box_check_path(const struct culver_path *p, const char *home)
{
	size_t n = strlen(home);
	bool below;

	if (p->path == NULL || p->path[0] != '/')
		kit_fail("paths: \"%s\" is not absolute",
		    p->path != NULL ? p->path : "(null)");
	if (p->reserved0 != 0)
		kit_fail("paths: reserved0 of %s is not zero", p->path);
	if (p->access == 0 || (p->access & ~(uint32_t)0x3f) != 0)
		kit_fail("paths: access 0x%x of %s", p->access, p->path);
	below = n == 0 || (strncmp(p->path, home, n) == 0 &&
	    (p->path[n] == '/' || p->path[n] == '\0'));
	if (!below && (p->access & ~(uint32_t)(CULVER_PATH_READ |
	    CULVER_PATH_DIR)) != 0)
		kit_fail("paths: %s is written to, and is not in the test's "
		    "home %s: set the option that names it to a path below "
		    "\"~/\" or \"%%{home}\"", p->path, home);
}

static culver_status
get_paths(struct box *b)
{
	struct culver_path path[65];
	uint32_t cap = 1 + kit_below(&b->rng, 8), n, i;
	culver_status st;

	for (;;) {
		memset(path, 0xA5, sizeof(path));
		n = UINT32_MAX;
		st = box_end(b, b->ops->paths(b->store, path, cap, &n,
		    box_begin(b, "paths")), false);
		if (st != CULVER_OK)
			return st;
		if (n > 64)
			kit_fail("paths: %u paths", n);
		for (i = 0; i < n && i < cap; i++)
			box_check_path(&path[i], b->k->home);
		if (((unsigned char *)&path[cap])[0] != 0xA5)
			kit_fail("paths: wrote behind the %u of CAP", cap);
		if (n <= cap)
			return st;
		cap = n;
	}
}

/* host.c finds its own struct by the address that it gave: so not ours. */
static void
host_log(const struct culver_host *h, int32_t level, const char *text)
{
	const struct plugin_host *own = &((const struct box_host *)h)->own;

	own->host.log(&own->host, level, text);
}

static void
host_count(const struct culver_host *h, const char *name, uint64_t add)
{
	const struct plugin_host *own = &((const struct box_host *)h)->own;

	own->host.count(&own->host, name, add);
}

void
box_init(struct box *b, struct kit *k, uint64_t seed)
{
	*b = (struct box){ .k = k, .ops = &k->plugin.storage,
	    .caps = k->plugin.desc.caps, .rng = seed,
	    .arena = arena_new(ARENA) };
	memset(b->call.later, 0xA5, sizeof(b->call.later));
	subject_user(k, &b->user);
	b->values = subject_values(k, k->plugin.desc.kind ==
	    CULVER_KIND_STORAGE ? &b->user.u : NULL);
	plugin_host_init(&b->host.own, b->k->plugin.desc.name);
	b->host.h = b->host.own.host;
	b->host.h.log = host_log;
	b->host.h.count = host_count;
	memset(b->host.later, 0xA5, sizeof(b->host.later));
	if (box_hooks.host != NULL)
		box_hooks.host(b);
}

static culver_status
create(struct box *b, struct kit *k, uint64_t seed)
{
	culver_status st;

	box_init(b, k, seed);
	st = box_end(b, b->ops->create(&b->store, &b->host.h,
	    &b->values->c, &b->user.u, box_begin(b, "create")), false);
	if (st != CULVER_OK) {
		b->store = NULL;
		return st;
	}
	if (b->store == NULL)
		kit_fail("create: OK, and no store");
	return st;
}

culver_status
box_create(struct box *b, struct kit *k, uint64_t seed)
{
	culver_status st = create(b, k, seed);

	return st == CULVER_OK ? get_paths(b) : st;
}

culver_status
box_create_only(struct box *b, struct kit *k)
{
	culver_status st = create(b, k, 0);

	box_stop(b);
	return st;
}

void
box_start(struct box *b, struct kit *k, uint64_t seed)
{
	culver_status st = box_create(b, k, seed);

	if (st != CULVER_OK)
		fail_call(b, st);
}

void
box_close(struct box *b)
{
	uint32_t i;

	if (b->mb != NULL) {
		box_begin(b, "close");
		b->ops->close(b->mb);
		end_void(b);
	}
	b->mb = NULL;
	for (i = 0; i < b->n; i++)
		free((void *)(uintptr_t)b->msg[i].uid);
	free(b->msg);
	b->msg = NULL;
	b->n = 0;
}

void
box_stop(struct box *b)
{
	box_close(b);
	if (b->store != NULL) {
		box_begin(b, "destroy");
		b->ops->destroy(b->store);
		end_void(b);
	}
	b->store = NULL;
	values_destroy(&b->values);
	arena_free(&b->arena);
}

/* --- listing -------------------------------------------------------------- */

static void
check_message(const struct culver_message *m, uint32_t i, uint64_t caps)
{
	size_t n;

	if (m->uid == NULL)
		kit_fail("list: message %u has no uid", i);
	for (n = 0; n <= 70 && m->uid[n] >= 0x21 && m->uid[n] <= 0x7e; n++)
		continue;
	if (n == 0 || n > 70 || m->uid[n] != '\0')
		kit_fail("list: the uid of message %u is not 1 to 70 octets "
		    "of 0x21 to 0x7e", i);
	if (m->reserved0 != 0 || m->reserved[0] != 0 || m->reserved[1] != 0 ||
	    m->reserved[2] != 0)
		kit_fail("list: reserved members of message %u are not zero",
		    i);
	if ((m->flags & ~(uint32_t)CULVER_MSG_OCTETS_EXACT) != 0)
		kit_fail("list: unknown flags 0x%x of message %u", m->flags,
		    i);
	if ((caps & CULVER_ST_EXACT_OCTETS) != 0 && m->flags == 0)
		kit_fail("list: CULVER_ST_EXACT_OCTETS, but message %u is not "
		    "CULVER_MSG_OCTETS_EXACT", i);
	if (m->octets > INT64_MAX || m->stored > INT64_MAX)
		kit_fail("list: impossible sizes of message %u", i);
}

/* All of list(), in batches, into malloc'd *OUT; the uids are the plugin's. */
static culver_status
list_all(struct box *b, struct culver_message **out, uint32_t *total)
{
	struct culver_message batch[BATCH + 1];
	uint32_t n, cap, i, room = 0;
	culver_status st;

	*out = NULL;
	*total = 0;
	for (;;) {
		cap = 1 + kit_below(&b->rng, BATCH);
		if (kit_below(&b->rng, 4) == 0)
			cap = 1 + kit_below(&b->rng, 3);
		memset(batch, 0xA5, sizeof(batch));
		n = UINT32_MAX;
		st = box_end(b, b->ops->list(b->mb, *total, batch, cap, &n,
		    box_begin(b, "list")), true);
		if (st < CULVER_OK)
			return st;
		if (st == CULVER_DONE ? n != 0 : n == 0 || n > cap)
			kit_fail("list: status %d with %u messages, CAP %u",
			    (int)st, n, cap);
		if (((unsigned char *)&batch[cap])[0] != 0xA5)
			kit_fail("list: wrote behind the %u of CAP", cap);
		if (st == CULVER_DONE)
			return CULVER_OK;
		if (*total + n > room) {
			room = (*total + n) * 2;
			*out = realloc(*out, room * sizeof(**out));
			if (*out == NULL)
				kit_fail("no memory");
		}
		for (i = 0; i < n; i++)
			check_message(&batch[i], *total + i, b->caps);
		memcpy(*out + *total, batch, n * sizeof(*batch));
		*total += n;
	}
}

static int
by_uid(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
check_unique(const struct box *b)
{
	const char **uid = calloc(b->n + 1, sizeof(*uid));
	uint32_t i;

	if (uid == NULL)
		kit_fail("no memory");
	for (i = 0; i < b->n; i++)
		uid[i] = b->msg[i].uid;
	qsort(uid, b->n, sizeof(*uid), by_uid);
	for (i = 1; i < b->n; i++)
		if (strcmp(uid[i - 1], uid[i]) == 0) {
			kit_shared->duplicates++;
			kit_fail("list: two messages have the uid %s", uid[i]);
		}
	free(uid);
}

culver_status
box_open(struct box *b, uint32_t flags)
{
	culver_status st;
	uint32_t i;

	b->mb = NULL;
	b->flags = flags;
	st = box_end(b, b->ops->open(b->store, flags, &b->mb,
	    box_begin(b, "open")), false);
	if (st != CULVER_OK) {
		b->mb = NULL;
		return st;
	}
	if (b->mb == NULL)
		kit_fail("open: OK, and no mailbox");
	st = list_all(b, &b->msg, &b->n);
	for (i = 0; i < b->n; i++)
		b->msg[i].uid = strdup(b->msg[i].uid);
	check_unique(b);
	return st;
}

void
box_must_open(struct box *b, uint32_t flags)
{
	culver_status st = box_open(b, flags);

	if (st != CULVER_OK)
		fail_call(b, st);
}

void
box_relist(struct box *b)
{
	struct culver_message *again;
	culver_status st;
	uint32_t n, i;

	box_list_any(b);

	st = list_all(b, &again, &n);
	if (st != CULVER_OK)
		fail_call(b, st);
	if (n != b->n)
		kit_fail("list: %u messages, and %u when it was opened: the "
		    "snapshot is not frozen", n, b->n);
	for (i = 0; i < n; i++)
		if (strcmp(again[i].uid, b->msg[i].uid) != 0)
			kit_fail("list: message %u was %s and is %s", i,
			    b->msg[i].uid, again[i].uid);
	free(again);
}
