/*
 * paths.c - which directories the plugin will touch, and making them.
 *
 * Runs in the worker as the mailbox's owner, before it is confined.  With
 * `create = yes` missing directories are made, but only inside one that is
 * the user's own: a bare mount point is root's, and a mailbox that is made
 * there would look empty.
 */
#include "config.h"

#include "maildir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <culver/util.h>

static culver_status
make_all(const struct culver_store *store, struct culver_call *call)
{
	static const char *const subs[] = { "", "/tmp", "/new", "/cur" };
	char path[PATH_MAX];
	culver_status status = CULVER_OK;
	size_t i;

	for (i = 0; i < 4 && status == CULVER_OK; i++) {
		snprintf(path, sizeof(path), "%s%s", store->path, subs[i]);
		status = plug_make_dir(path, store->uid, call);
	}
	if (status == CULVER_OK)
		status = plug_make_dir(store->index, store->uid, call);
	return status;
}

culver_status
md_paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const char *const path[] = { store->path, store->index };
	culver_status status;
	uint32_t i;

	if (store->create && (status = make_all(store, call)) != CULVER_OK)
		return status;
	*n = strcmp(store->path, store->index) == 0 ? 1 : 2;
	for (i = 0; i < *n && i < cap; i++) {
		out[i] = (struct culver_path){
		    .path = culver_strndup(store->host, call, path[i],
			strlen(path[i])),
		    .access = CULVER_PATH_READ | CULVER_PATH_WRITE |
			CULVER_PATH_CREATE | CULVER_PATH_DIR };
		if (out[i].path == NULL)
			return plug_fail(call, ENOMEM, "%s", path[i]);
	}
	return CULVER_OK;
}
