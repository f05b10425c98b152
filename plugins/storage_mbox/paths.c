/*
 * paths.c - what the plugin will touch, and making what is missing.
 *
 * Runs in the worker as the mailbox's owner, before it is confined.  With
 * `create = yes` a missing mbox is made, but only inside a directory that is
 * the user's own: a bare mount point is root's, and a mailbox that is made
 * there would look empty.  The directory of the plugin's own files is made
 * by the same rule, always.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

static culver_status
make_mbox(const struct culver_store *store, struct culver_call *call)
{
	char parent[PATH_MAX];
	culver_status status;
	bool missing;
	int fd;

	status = plug_may_make(store->path, store->uid, &missing, parent,
	    call);
	if (status != CULVER_OK || !missing)
		return status;
	fd = open(store->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return CULVER_OK;
	if (fd < 0)
		return plug_fail(call, errno, "cannot make %s", store->path);
	close(fd);
	return plug_sync_dir(parent, call);
}

/*
 * Are dotlocks taken?  And may the user not make them himself, while the
 * host can?
 */
static bool
uses_dotlock(struct culver_store *store)
{
	bool dot = false;
	size_t i;

	for (i = 0; i < MB_LOCKS; i++)
		dot |= store->locks[i] == MB_LOCK_DOT;
	store->host_dots = dot && CULVER_HAS(struct culver_host, store->host,
	    dotlock) && (store->host->provides & CULVER_HOST_DOTLOCK) != 0 &&
	    access(store->dir, W_OK | X_OK) != 0;
	return dot;
}

culver_status
mb_paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const uint32_t file = CULVER_PATH_READ | CULVER_PATH_WRITE;
	const uint32_t dir = file | CULVER_PATH_CREATE | CULVER_PATH_DIR;
	const char *path[2] = { store->index, store->path };
	uint32_t access[2] = { dir, file }, i;
	culver_status status;

	/* dotlocks are made in the directory */
	if (uses_dotlock(store) && !store->host_dots) {
		path[1] = store->dir;
		access[1] = dir;
	} else if (store->host_dots) {
		access[1] |= CULVER_PATH_DOTLOCK;
	}
	status = plug_make_dir(store->index, store->uid, call);
	if (status == CULVER_OK && store->create)
		status = make_mbox(store, call);
	if (status != CULVER_OK)
		return status;
	*n = 2;
	for (i = 0; i < *n && i < cap; i++) {
		out[i] = (struct culver_path){ .access = access[i],
		    .path = culver_strndup(store->host, call, path[i],
			strlen(path[i])) };
		if (out[i].path == NULL)
			return plug_fail(call, ENOMEM, "%s", path[i]);
	}
	return CULVER_OK;
}
