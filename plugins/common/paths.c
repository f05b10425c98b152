/*
 * paths.c - what auth plugins answer to paths().
 *
 * Runs in a pool process as the auth user, before it is confined.  The paths
 * are an administrator's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/common/paths.h"

/* The folder of PATH into the arena; NULL: no memory. */
static const char *
folder_of(const struct culver_host *host, const char *path,
    struct culver_call *call)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL || slash == path ? 1 : (size_t)(slash - path);

	return culver_strndup(host, call, path, n);
}

culver_status
plug_paths_file(const struct culver_host *host, const char *path,
    struct culver_path *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	char *real = realpath(path, NULL);
	const char *dir[2] = {folder_of(host, path, call),
	    real != NULL ? folder_of(host, real, call) : NULL};
	unsigned count = real != NULL ? 2 : 1;

	free(real);
	for (unsigned i = 0; i < count; i++) {
		if (dir[i] == NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "paths");
		if (*n < cap)
			out[*n] = (struct culver_path){.path = dir[i],
			    .access = CULVER_PATH_READ | CULVER_PATH_DIR};
		(*n)++;
	}
	return CULVER_OK;
}

void
plug_paths_present(const char *const *file, size_t count,
    struct culver_path *out, uint32_t cap, uint32_t *n)
{
	for (size_t i = 0; i < count; i++) {
		if (file[i] == NULL || file[i][0] != '/' ||
		    access(file[i], R_OK) != 0)
			continue;
		if (*n < cap)
			out[*n] = (struct culver_path){.path = file[i],
			    .access = CULVER_PATH_READ};
		(*n)++;
	}
}

void
plug_paths_net(struct culver_path *out, uint32_t cap, uint32_t *n)
{
	static const char *const files[] = {"/etc/hosts", "/etc/resolv.conf",
	    "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf",
	    "/etc/services", PLUG_SYSTEM_CA};

	plug_paths_present(files, sizeof(files) / sizeof(files[0]), out, cap,
	    n);
}
