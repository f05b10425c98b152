/*
 * memstore.c - see memstore.h.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "tests/unit/memstore.h"

struct culver_store { int unused; };
struct culver_mailbox { int unused; };
struct culver_content { struct mem_message *m; size_t at; };

struct mem mem;
static struct culver_store the_store;
static struct culver_mailbox the_mailbox;
static struct culver_content the_content;

void
mem_reset(void)
{
	memset(&mem, 0, sizeof(mem));
}

/* Octets as sent, by the slow rule. */
static uint64_t
true_octets(const uint8_t *p, size_t n)
{
	uint64_t octets = 0;
	size_t i;

	for (i = 0; i < n; i++)
		octets += 1 + (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'));
	return n > 0 && p[n - 1] != '\n' ? octets + 2 : octets;
}

struct mem_message *
mem_add(const char *uid, const void *data, size_t n)
{
	struct mem_message *m = &mem.msg[mem.n++];

	*m = (struct mem_message){ .uid = uid, .data = data, .n = n, .fd = -1,
	    .octets = true_octets(data, n), .flags = CULVER_MSG_OCTETS_EXACT,
	    .fail_at = SIZE_MAX };
	return m;
}

static culver_status
mem_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	(void)host, (void)vals, (void)user, (void)call;
	*out = &the_store;
	return CULVER_OK;
}

static void
mem_destroy(struct culver_store *store)
{
	(void)store;
	mem.destroyed++;
}

static culver_status
mem_paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)store, (void)out, (void)cap, (void)call;
	*n = 0;
	return CULVER_OK;
}

static culver_status
mem_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	(void)store;
	mem.last_deadline = call->deadline;
	if (mem.open != CULVER_OK || (flags & CULVER_OPEN_EXCLUSIVE) == 0)
		return culver_fail(call, mem.open, 0, "told to\nfail");
	mem.opened++;
	*out = &the_mailbox;
	return CULVER_OK;
}

static void
mem_close(struct culver_mailbox *mb)
{
	(void)mb;
	mem.closed++;
}

static culver_status
mem_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	uint32_t i;

	(void)mb;
	if (mem.list != CULVER_OK && first > 0)
		return culver_fail(call, mem.list, 0, "told to fail");
	if (first >= mem.n)
		return CULVER_DONE;
	for (i = 0; i < cap && i < 3 && first + i < mem.n; i++) {
		const struct mem_message *m = &mem.msg[first + i];

		out[i] = (struct culver_message){ .uid = m->uid,
		    .octets = m->octets, .flags = m->flags };
	}
	*n = mem.list_n > 0 ? mem.list_n : i;
	return CULVER_OK;
}

static culver_status
mem_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	struct mem_message *m = &mem.msg[index];

	(void)mb;
	if (mem.reading)
		return culver_fail(call, CULVER_E_PERM, 0, "two readers");
	if (m->read != CULVER_OK)
		return culver_fail(call, m->read, 0, "told to fail");
	mem.reading = 1;
	the_content = (struct culver_content){ .m = m };
	*out = &the_content;
	return CULVER_OK;
}

static culver_status
mem_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	struct mem_message *m = c->m;
	uint32_t i;

	if (c->at >= m->fail_at)
		return culver_fail(call, m->next, 5, "told to fail");
	for (i = 0; i < cap && c->at < m->n && c->at < m->fail_at; i++) {
		size_t len = m->n - c->at;

		if (mem.extent > 0 && len > mem.extent)
			len = mem.extent;
		out[i] = (struct culver_extent){ .fd = m->fd, .length = len,
		    .offset = m->fd >= 0 ? c->at : 0,
		    .mem = m->fd >= 0 ? NULL :
		    (const uint8_t *)m->data + c->at };
		c->at += len;
	}
	*n = i;
	return i > 0 ? CULVER_OK : CULVER_DONE;
}

static void
mem_done(struct culver_content *c)
{
	(void)c;
	mem.reading = 0;
}

static culver_status
mem_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	uint32_t i;

	(void)mb;
	mem.expunged++;
	res->removed = mem.removed;
	if (mem.expunge != CULVER_OK)
		return culver_fail(call, mem.expunge, 0, "told to fail");
	for (i = 0; i < n; i++) {
		if (i > 0 && index[i] <= index[i - 1])
			return culver_fail(call, CULVER_E_PERM, 0, "order");
		mem.msg[index[i]].is_gone = 1;
	}
	res->removed = n;
	return CULVER_OK;
}

static culver_status
mem_put_octets(struct culver_mailbox *mb, uint32_t index, uint64_t octets,
    struct culver_call *call)
{
	(void)mb, (void)call;
	mem.msg[index].kept = octets;
	mem.msg[index].is_kept++;
	return CULVER_OK;
}

static culver_status
mem_keepalive(struct culver_mailbox *mb, struct culver_call *call)
{
	(void)mb, (void)call;
	if (mem.on_keepalive != NULL)
		mem.on_keepalive();
	return mem.keepalive;
}

const struct culver_storage_ops mem_ops = {
	.size = sizeof(mem_ops),
	.create = mem_create, .destroy = mem_destroy, .paths = mem_paths,
	.open = mem_open, .close = mem_close, .list = mem_list,
	.read = mem_read, .next = mem_next, .done = mem_done,
	.expunge = mem_expunge, .put_octets = mem_put_octets,
	.keepalive = mem_keepalive,
};
