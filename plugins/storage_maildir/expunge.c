/*
 * expunge.c - remove the messages that a session deleted.
 *
 * Runs in the worker as the mailbox's owner, in the UPDATE state.  A message
 * is removed under the name it has now, under every name it has, and the
 * directories are synced before the client is told.
 */
#include "config.h"

#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <culver/util.h>

/* What a call has done so far. */
struct removed {
	bool touched[MD_DIRS];
	bool count;		/* somebody keeps a sum of what is there */
	int64_t size, files;
};

/* Remove the file NAME of DIR; false with errno. */
static bool
remove_file(int dir, const char *name, struct removed *rm)
{
	struct stat st = { .st_size = 0 };

	if (rm->count && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (unlinkat(dir, name, 0) != 0)
		return false;
	rm->size += st.st_size;
	rm->files++;
	return true;
}

/* Remove the file of message INDEX; all of them if there are several. */
static culver_status
remove_one(struct culver_mailbox *mb, uint32_t index, struct removed *rm,
    struct culver_call *call)
{
	struct md_rec *r = md_rec_of(mb, index);
	bool again = false;
	char name[NAME_MAX + 1];
	culver_status status;
	unsigned dir = MD_NEW;
	int missed = 0;

	while (missed < MD_SCANS) {
		status = md_locate(mb, index, again, &dir, name, call);
		if (status == CULVER_E_GONE) {
			/* whoever removed it need not have synced */
			rm->touched[MD_NEW] = rm->touched[MD_CUR] = true;
			return CULVER_OK;
		}
		if (status != CULVER_OK)
			return status;
		if (remove_file(mb->dir[dir], name, rm)) {
			rm->touched[dir] = true;
			if ((r->flags & MD_DUP) == 0) {
				r->flags |= MD_GONE;
				return CULVER_OK;
			}
		} else if (errno == ENOENT)
			missed++;
		else
			return plug_fail(call, errno, "%s: cannot remove %s",
			    mb->store->path, name);
		again = true;
	}
	return plug_fail_as(call, CULVER_E_TEMP,
	    "%s: %s changes its name all the time", mb->store->path,
	    md_base(&mb->list, r));
}

culver_status
md_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	static const char *const names[MD_DIRS] = { "new", "cur" };
	struct removed rm = { .count = md_quota_is_kept(mb->store) };
	culver_status status = CULVER_OK;
	uint32_t i;
	int d;

	res->removed = 0;
	if ((mb->flags & CULVER_OPEN_READONLY) != 0)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s was opened for reading only", mb->store->path);
	for (i = 0; i < n && status == CULVER_OK; i++) {
		if (index[i] >= mb->list.n)
			status = plug_fail_as(call, CULVER_E_TEMP,
			    "%s: there is no message %lu", mb->store->path,
			    (unsigned long)index[i]);
		else if ((status = md_in_time(mb->store, call)) == CULVER_OK)
			status = remove_one(mb, index[i], &rm, call);
		if (status == CULVER_OK)
			res->removed++;
	}
	if (n > 0)
		mb->changed = mb->dirty = true;
	for (d = 0; d < MD_DIRS; d++)
		if (rm.touched[d] && fsync(mb->dir[d]) != 0 &&
		    status == CULVER_OK)
			status = plug_fail(call, errno, "cannot sync %s/%s",
			    mb->store->path, names[d]);
	if (rm.files > 0 && rm.count)
		md_quota_removed(mb->store, rm.size, rm.files);
	return status;
}
