/*
 * open.c - lock a mailbox, take its snapshot, and give both up again.
 *
 * Runs in the worker as the mailbox's owner, confined to the directories that
 * paths() named.  An absent mailbox, or one whose mail was replaced, is an
 * error and never an empty one: clients forget what they have seen.
 */
#include "config.h"

#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

bool
md_memory_differs(const struct md_memory *mem, const struct md_snap *snap)
{
	int i;

	for (i = 0; mem->valid && i < MD_DIRS; i++)
		if (mem->dev[i] != snap->dir[i].dev ||
		    mem->ino[i] != snap->dir[i].ino)
			return true;
	return false;
}

culver_status
md_fail_replaced(const struct culver_mailbox *mb, const char *name,
    struct culver_call *call)
{
	/* short: an error text has 247 bytes, and the advice stands last */
	return plug_fail_as(call, CULVER_E_TEMP,
	    "%s: all known messages are gone and new/ or cur/ is another "
	    "directory: is a disk not mounted? If this is right, remove %s",
	    mb->store->path, name);
}

/* Does the cached listing hold, so that no directory need be read? */
static culver_status
cache_holds(struct culver_mailbox *mb, const struct md_cache *cache,
    bool *holds, struct culver_call *call)
{
	const unsigned enough = MD_STAT |
	    (md_names_suffice(mb->store) ? MD_NAMED : 0u);
	culver_status status;
	size_t i;

	*holds = false;
	status = md_snap_take(mb->store, mb->dir, &mb->snap, call);
	if (status == CULVER_OK)
		status = md_uidl_stamp(&mb->index, &mb->uidl, call);
	if (status != CULVER_OK || cache->list.block == NULL ||
	    !plug_stamp_equal(&cache->uidl, &mb->uidl) ||
	    !md_snap_holds(&cache->snap, &mb->snap, MD_NEW) ||
	    !md_snap_holds(&cache->snap, &mb->snap, MD_CUR))
		return status;
	for (i = 0; i < cache->list.n; i++)
		if ((cache->list.rec[i].flags & enough) == 0)
			return CULVER_OK;
	*holds = true;
	return CULVER_OK;
}

static culver_status
take_snapshot(struct culver_mailbox *mb, struct culver_call *call)
{
	struct md_cache cache;
	culver_status status;
	size_t missing = 0;
	bool holds;

	md_cache_load(mb->store, &mb->index, &cache, call);
	status = cache_holds(mb, &cache, &holds, call);
	if (status != CULVER_OK)
		goto out;
	if (holds) {
		mb->list = cache.list;
		mb->snap = cache.snap;
		return CULVER_OK;
	}
	status = md_scan(mb->store, mb->dir, &cache.list, &cache.snap,
	    &mb->list, &mb->snap, &missing, call);
	if (status != CULVER_OK)
		goto out;
	if (cache.list.n > 0 && missing == cache.list.n &&
	    md_memory_differs(&cache.mem, &mb->snap)) {
		status = md_fail_replaced(mb, MD_CACHE, call);
		goto out;
	}
	status = md_uidl_assign(mb, &cache, call);
	if (mb->lock >= 0)
		md_clean_tmp(mb->store, call);
	mb->dirty = true;
out:
	md_list_free(&cache.list);
	return status;
}

static void
release(struct culver_mailbox *mb)
{
	int i;

	md_done(&mb->content);
	md_ahead_stop(mb);
	md_list_free(&mb->list);
	md_list_free(&mb->names);
	free(mb->order);
	for (i = 0; i < MD_DIRS; i++)
		if (mb->dir[i] >= 0)
			close(mb->dir[i]);
	if (mb->index.fd >= 0)
		close(mb->index.fd);
	if (mb->lock >= 0)
		close(mb->lock);
	free(mb);
}

static culver_status
open_dirs(struct culver_mailbox *mb, struct culver_call *call)
{
	const char *path = mb->store->path;
	culver_status status;
	int top;

	status = plug_open_dir(AT_FDCWD, NULL, path, &top, call);
	if (status != CULVER_OK)
		return status;
	status = plug_open_dir(top, "new", path, &mb->dir[MD_NEW], call);
	if (status == CULVER_OK)
		status = plug_open_dir(top, "cur", path, &mb->dir[MD_CUR],
		    call);
	mb->index.path = mb->store->index;
	if (status == CULVER_OK && strcmp(path, mb->store->index) == 0) {
		mb->index.fd = top;
		return CULVER_OK;
	}
	close(top);
	if (status != CULVER_OK)
		return status;
	return plug_open_dir(AT_FDCWD, NULL, mb->store->index, &mb->index.fd,
	    call);
}

culver_status
md_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	struct culver_mailbox *mb = malloc(sizeof(*mb));
	culver_status status;
	bool made;

	if (mb == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	store->dates = (flags & CULVER_OPEN_DATES) != 0;
	*mb = (struct culver_mailbox){ .store = store, .flags = flags,
	    .dir = { -1, -1 }, .index = { .fd = -1 }, .lock = -1,
	    .content = { .fd = -1 } };
	status = open_dirs(mb, call);
	if (status == CULVER_OK && (flags & CULVER_OPEN_EXCLUSIVE) != 0)
		status = plug_lock(&mb->index, PLUG_LOCK, &mb->lock, &made,
		    call);
	if (status == CULVER_OK)
		status = take_snapshot(mb, call);
	if (status == CULVER_OK && !md_list_number(&mb->list, &mb->order))
		status = plug_fail(call, ENOMEM, "%s", store->path);
	if (status == CULVER_OK)
		*out = mb;
	else
		release(mb);
	return status;
}

void
md_close(struct culver_mailbox *mb)
{
	if (mb->dirty && mb->lock >= 0)
		md_cache_save(mb);
	release(mb);
}
