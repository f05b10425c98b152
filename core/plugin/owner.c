/*
 * owner.c - who could have changed a module's file?
 *
 * Runs where loader.c runs.  Whoever can write to the file or rename one of
 * its folders can run code in every role that loads it.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/plugin/loader.h"

static _Bool
part_ok(const char *path, uid_t owner, char *err)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		snprintf(err, PLUGIN_ERR, "%s: %s", path, strerror(errno));
		return 0;
	}
	if (st.st_uid != 0 && st.st_uid != owner) {
		if (owner == 0)
			snprintf(err, PLUGIN_ERR, "%s: owner: wanted root, "
			    "got uid %lu", path, (unsigned long)st.st_uid);
		else
			snprintf(err, PLUGIN_ERR, "%s: owner: wanted root or "
			    "uid %lu, got uid %lu", path,
			    (unsigned long)owner, (unsigned long)st.st_uid);
		return 0;
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 &&
	    !(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0)) {
		snprintf(err, PLUGIN_ERR, "%s: mode: wanted writable by its "
		    "owner only, got %04o", path,
		    (unsigned)(st.st_mode & 07777));
		return 0;
	}
	return 1;
}

/* PATH and every folder above it. */
static _Bool
parts_ok(const char *path, uid_t owner, char *err)
{
	char part[PLUGIN_PATH];
	size_t n = strlen(path);

	if (n >= sizeof(part) || path[0] != '/') {
		snprintf(err, PLUGIN_ERR, "%.900s: wanted an absolute path of "
		    "at most %u octets", path, (unsigned)sizeof(part) - 1);
		return 0;
	}
	memcpy(part, path, n + 1);
	for (;;) {
		if (!part_ok(n == 0 ? "/" : part, owner, err))
			return 0;
		if (n == 0)
			return 1;
		while (n > 0 && part[n - 1] != '/')
			n--;
		while (n > 0 && part[n - 1] == '/')
			n--;
		part[n] = 0;
	}
}

_Bool
plugin_owner_check(const char *path, uid_t owner, char err[PLUGIN_ERR])
{
	char *real;
	_Bool ok;

	if (!parts_ok(path, owner, err))
		return 0;
	real = realpath(path, NULL);
	if (real == NULL) {
		snprintf(err, PLUGIN_ERR, "%s: %s", path, strerror(errno));
		return 0;
	}
	ok = strcmp(real, path) == 0 || parts_ok(real, owner, err);
	free(real);
	return ok;
}
