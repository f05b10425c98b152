/*
 * uids.c - which UIDLs are in the mbox, for many deliveries in a row that
 * bring their own: those of a mailbox that is copied.
 *
 * Runs in the worker as the mailbox's owner, with the mbox locked for
 * writing.  The set is in memory only, and holds while nobody else changes
 * the file.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int
uid_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

void
mb_uids_forget(struct culver_store *store)
{
	tdestroy(store->uids, free);
	store->uids = NULL;
	store->uids_size = UINT64_MAX;
}

void
mb_uids_add(struct culver_store *store, const struct mb_file *f,
    const char *uid)
{
	char *copy = strdup(uid);

	plug_stamp_set(&store->uids_file, &f->st);
	store->uids_size = (uint64_t)f->st.st_size;
	/* one that is there is refused before */
	if (copy == NULL || tsearch(copy, &store->uids, uid_order) == NULL) {
		free(copy);
		mb_uids_forget(store);
	}
}

bool
mb_uids_hold(const struct culver_store *store, const struct mb_file *f)
{
	struct plug_stamp now;

	plug_stamp_set(&now, &f->st);
	return store->uids_size == (uint64_t)f->st.st_size &&
	    plug_stamp_equal(&now, &store->uids_file);
}

culver_status
mb_uids_load(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, struct culver_call *call)
{
	struct mb_list l = { 0 };
	struct mb_cache cache;
	struct mb_snap snap;
	struct mb_look look;
	culver_status status;
	size_t i;

	mb_uids_forget(store);
	mb_cache_load(store, ix, &cache, call);
	status = mb_load(store, ix, f, &cache, &l, &snap, &look, call);
	mb_list_free(&cache.list);
	if (status != CULVER_OK)
		return status;
	plug_stamp_set(&store->uids_file, &f->st);
	store->uids_size = (uint64_t)f->st.st_size;
	for (i = 0; i < l.n && store->uids_size != UINT64_MAX; i++)
		mb_uids_add(store, f, mb_uid(&l, &l.rec[i]));
	mb_list_free(&l);
	return store->uids_size != UINT64_MAX ? CULVER_OK :
	    plug_fail(call, ENOMEM, "%s", store->path);
}

bool
mb_uids_have(const struct culver_store *store, const char *uid)
{
	return tfind(uid, &store->uids, uid_order) != NULL;
}
