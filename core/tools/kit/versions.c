/*
 * versions.c - group versions: hosts older and newer than the plugin.
 *
 * Runs in a check.  An older host's structs end where that minor's did; a
 * newer one's go on with octets that mean nothing to this plugin, under a
 * higher minor.  The plugin must behave the same with both.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include "core/tools/kit/auth.h"
#include "core/tools/kit/model.h"
#include "core/tools/kit/walk.h"

enum { SESSIONS = 8 };

/* How large each struct was in each minor: one line for each that grew. */
static const struct minor {
	uint16_t minor;
	uint32_t host, call, user;
} minors[] = {
	{ 0, offsetof(struct culver_host, count) +
	    sizeof(((struct culver_host *)0)->count),
	    sizeof(struct culver_call), sizeof(struct culver_user) },
};

static const struct minor *older;

static void
be_older(struct box *b)
{
	struct culver_host *h = &b->host.h;
	unsigned char *end = (unsigned char *)h + older->host;

	h->abi_minor = older->minor;
	h->size = older->host;
	b->user.u.size = older->user;
	/* what a later minor appended is not there */
	memset(end, 0xA5, sizeof(*h) - older->host);
	memset((unsigned char *)&b->user.u + older->user, 0xA5,
	    sizeof(b->user.u) - older->user);
}

static void
be_newer(struct box *b)
{
	struct culver_host *h = &b->host.h;

	b->newer = true;
	h->abi_minor = CULVER_ABI_MINOR + 1;
	h->size += BOX_TAIL;
	h->provides = UINT64_C(1) << 63;
	b->user.u.size += BOX_TAIL;
}

static void
walk(struct kit *k)
{
	if (k->plugin.desc.kind == CULVER_KIND_AUTH) {
		auth_rounds(k);
		return;
	}
	if (!model_can_put(k))
		kit_skip("no CULVER_ST_DELIVER and no --fixture");
	kit_fresh_home(k);
	walk_one(k, k->seed, SESSIONS);
}

static void
older_hosts(struct kit *k)
{
	size_t i;

	for (i = 0; i < sizeof(minors) / sizeof(minors[0]); i++) {
		older = &minors[i];
		if (older->minor < k->plugin.desc.need_minor)
			continue;
		box_hooks = (struct box_hooks){ .host = be_older };
		walk(k);
	}
}

static void
newer_host(struct kit *k)
{
	box_hooks = (struct box_hooks){ .host = be_newer };
	walk(k);
}

const struct kit_check kit_versions[] = {
	{ "versions", "a host of every older minor", older_hosts, 300, 0 },
	{ "versions", "a host of the next minor", newer_host, 300, 0 },
	{ .group = NULL },
};
