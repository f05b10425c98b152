/*
 * dirs.c - paths from options, and making directories that are missing.
 *
 * Runs in a worker as the mailbox's owner, before it is confined.  Something
 * is made only inside a directory that is the user's own: a bare mount point
 * is root's, and a mailbox that is made there would look empty.
 */
#include "config.h"

#include "plugins/common/plug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *
plug_opt_text(const struct culver_values *vals, uint32_t i)
{
	const char *s = i < vals->n ? vals->v[i].u.s.p : NULL;

	return s != NULL && *s != '\0' ? s : NULL;
}

const char *
plug_location(const struct culver_user *user, const struct culver_values *vals,
    uint32_t i)
{
	const char *s = user->location;

	if (s == NULL || *s == '\0')
		s = plug_opt_text(vals, i);
	return s != NULL ? s : "";
}

char *
plug_make_path(const char *path, const char *home)
{
	size_t n = strlen(path), h = 0;
	char *out;

	if (path[0] == '~' && path[1] == '/' && home != NULL) {
		h = strlen(home);
		path++;
		n--;
	}
	/* room for "/new" and a file name */
	if (h + n == 0 || h + n >= PATH_MAX - NAME_MAX - 8 ||
	    (h > 0 ? home : path)[0] != '/')
		return NULL;
	out = malloc(h + n + 1);
	if (out == NULL)
		return NULL;
	if (h > 0)
		memcpy(out, home, h);
	memcpy(out + h, path, n);
	for (n += h; n > 1 && out[n - 1] == '/';)
		n--;
	out[n] = '\0';
	return out;
}

char *
plug_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

culver_status
plug_sync_dir(const char *path, struct culver_call *call)
{
	culver_status status;
	int fd;

	status = plug_open_dir(AT_FDCWD, NULL, path, &fd, call);
	if (status != CULVER_OK)
		return status;
	if (fsync(fd) != 0)
		status = plug_fail(call, errno, "cannot sync %s", path);
	close(fd);
	return status;
}

culver_status
plug_may_make(const char *path, uint32_t uid, bool *missing,
    char parent[PATH_MAX], struct culver_call *call)
{
	struct stat st;
	char *slash;

	*missing = false;
	if (stat(path, &st) == 0)
		return CULVER_OK;
	if (errno != ENOENT)
		return plug_fail(call, errno, "cannot look at %s", path);
	snprintf(parent, PATH_MAX, "%s", path);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s is missing, and not made in the root directory", path);
	*slash = '\0';
	if (stat(parent, &st) != 0)
		return plug_fail(call, errno, "%s is missing, and so is %s",
		    path, parent);
	if (!S_ISDIR(st.st_mode) || st.st_uid != uid)
		return plug_fail_as(call, CULVER_E_TEMP, "%s is missing, and "
		    "not made because %s is not a directory of uid %lu", path,
		    parent, (unsigned long)uid);
	*missing = true;
	return CULVER_OK;
}

culver_status
plug_make_dir(const char *path, uint32_t uid, struct culver_call *call)
{
	char parent[PATH_MAX];
	culver_status status;
	bool missing;

	status = plug_may_make(path, uid, &missing, parent, call);
	if (status != CULVER_OK || !missing)
		return status;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return plug_fail(call, errno, "cannot make %s", path);
	return plug_sync_dir(parent, call);
}
