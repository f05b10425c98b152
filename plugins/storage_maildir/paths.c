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
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* Make the new entry in the directory PATH survive a power cut. */
static culver_status
sync_dir(const char *path, struct culver_call *call)
{
	culver_status status;
	int fd;

	status = md_open_dir(AT_FDCWD, NULL, path, &fd, call);
	if (status != CULVER_OK)
		return status;
	if (fsync(fd) != 0)
		status = md_fail(call, errno, "cannot sync %s", path);
	close(fd);
	return status;
}

/* Make PATH if it is missing and the directory that holds it is UID's. */
static culver_status
make_dir(const char *path, uint32_t uid, struct culver_call *call)
{
	char parent[PATH_MAX];
	struct stat st;
	char *slash;

	if (stat(path, &st) == 0)
		return CULVER_OK;
	if (errno != ENOENT)
		return md_fail(call, errno, "cannot look at %s", path);
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return md_fail_as(call, CULVER_E_TEMP,
		    "%s is missing, and not made in the root directory", path);
	*slash = '\0';
	if (stat(parent, &st) != 0)
		return md_fail(call, errno, "%s is missing, and so is %s",
		    path, parent);
	if (!S_ISDIR(st.st_mode) || st.st_uid != uid)
		return md_fail_as(call, CULVER_E_TEMP, "%s is missing, and not "
		    "made because %s is not a directory of uid %lu", path,
		    parent, (unsigned long)uid);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return md_fail(call, errno, "cannot make %s", path);
	return sync_dir(parent, call);
}

static culver_status
make_all(const struct culver_store *store, struct culver_call *call)
{
	static const char *const subs[] = { "", "/tmp", "/new", "/cur" };
	char path[PATH_MAX];
	culver_status status = CULVER_OK;
	size_t i;

	for (i = 0; i < 4 && status == CULVER_OK; i++) {
		snprintf(path, sizeof(path), "%s%s", store->path, subs[i]);
		status = make_dir(path, store->uid, call);
	}
	if (status == CULVER_OK)
		status = make_dir(store->index, store->uid, call);
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
			return md_fail(call, ENOMEM, "%s", path[i]);
	}
	return CULVER_OK;
}
