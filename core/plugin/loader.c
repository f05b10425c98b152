/*
 * loader.c - find modules, open them with libltdl, list them.
 *
 * Runs in the config role, in pools and culver-plugin; never as root in a
 * daemon.  Opening a module
 * runs its constructors: the caller has dropped everything before.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/plugin/loader.h"

#define SUFFIX ".so"

/* Made by builtin.c, or by libtool for a program that is linked with
 * -dlpreopen; else absent. */
extern const lt_dlsymlist lt_preloaded_symbols[] __attribute__((weak));
static _Bool files_only;

void
plugin_files_only(void)
{
	files_only = 1;
}

static const lt_dlsymlist *
first_preloaded(void)
{
	return files_only ? NULL : lt_preloaded_symbols;
}

static _Bool
ltdl_ready(char *err)
{
	static _Bool ready;

	if (ready)
		return 1;
	if (lt_preloaded_symbols != NULL)
		lt_dlpreload_default(lt_preloaded_symbols);
	if (lt_dlinit() != 0) {
		snprintf(err, PLUGIN_ERR, "libltdl: %s", lt_dlerror());
		return 0;
	}
	ready = 1;
	return 1;
}

/* The name that libtool gave MODULE ("storage_maildir") when it was linked
 * into this program, as "storage_maildir.a"; NULL: it was not.  In the list
 * each file's name, without an address, precedes its symbols. */
static const char *
preloaded(const char *module)
{
	const lt_dlsymlist *s = first_preloaded();
	const char *file = NULL;
	char symbol[128];

	snprintf(symbol, sizeof(symbol), "%.100s" PLUGIN_SYMBOL, module);
	for (; s != NULL && s->name != NULL; s++) {
		if (s->address == NULL)
			file = s->name;
		else if (strcmp(s->name, symbol) == 0)
			return file;
	}
	return NULL;
}

static _Bool
file_at(char *path, size_t size, const char *dir, const char *name,
    const char *suffix)
{
	int n = snprintf(path, size, "%s%s%s%s", dir, *dir ? "/" : "", name,
	    suffix);

	if (n < 0 || (size_t)n >= size) {
		errno = ENAMETOOLONG;
		return 0;
	}
	return access(path, F_OK) == 0;
}

static _Bool
find_by_path(const char *name, char *path, char *err)
{
	size_t n = strlen(name);

	if (name[0] != '/') {
		snprintf(err, PLUGIN_ERR, "%.900s: wanted a plugin's name or "
		    "an absolute path", name);
		return 0;
	}
	if ((n > 3 && strcmp(name + n - 3, SUFFIX) == 0 &&
	    file_at(path, PLUGIN_PATH, "", name, "")) ||
	    file_at(path, PLUGIN_PATH, "", name, SUFFIX))
		return 1;
	snprintf(err, PLUGIN_ERR, "%.900s: %s", name, strerror(errno));
	return 0;
}

_Bool
plugin_find(const char *dir, const char *name, unsigned kind,
    char path[PLUGIN_PATH], char err[PLUGIN_ERR])
{
	char module[80];

	if (strchr(name, '/') != NULL)
		return find_by_path(name, path, err);
	snprintf(module, sizeof(module), "%s_%s", plugin_kind_name(kind),
	    name);
	if (strlen(name) > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyz"
	    "0123456789_") != strlen(name)) {
		snprintf(err, PLUGIN_ERR, "\"%.200s\" cannot be the name of a "
		    "plugin: wanted lower-case letters, digits and _", name);
		return 0;
	}
	if (preloaded(module) != NULL) {
		snprintf(path, PLUGIN_PATH, "%s", module);
		return 1;
	}
	if (file_at(path, PLUGIN_PATH, dir, module, SUFFIX))
		return 1;
	snprintf(err, PLUGIN_ERR, "no %s plugin \"%s\": %.900s: %s",
	    plugin_kind_name(kind), name, path, strerror(errno));
	return 0;
}

static lt_dlhandle
module_open(const char *path, _Bool is_file, char *err)
{
	const char *file = is_file ? path : preloaded(path);
	lt_dlhandle handle = NULL;
	lt_dladvise advise;

	if (file != NULL && lt_dladvise_init(&advise) == 0) {
		/* A preloaded file is found by its exact name only. */
		if ((is_file ? lt_dladvise_ext(&advise) :
		    lt_dladvise_preload(&advise)) == 0 &&
		    lt_dladvise_local(&advise) == 0 &&
		    lt_dladvise_resident(&advise) == 0)
			handle = lt_dlopenadvise(file, advise);
		lt_dladvise_destroy(&advise);
	}
	if (handle == NULL)
		snprintf(err, PLUGIN_ERR, "%s: %s", path,
		    file != NULL ? lt_dlerror() : "not in this program");
	return handle;
}

_Bool
plugin_load(const char *path, unsigned kind, const struct plugin_rules *rules,
    struct plugin *out, char err[PLUGIN_ERR])
{
	_Bool is_file = strchr(path, '/') != NULL;
	const struct culver_plugin *desc;
	lt_dlhandle handle;

	if (strlen(path) >= PLUGIN_PATH || !ltdl_ready(err)) {
		if (strlen(path) >= PLUGIN_PATH)
			snprintf(err, PLUGIN_ERR, "%.900s: too long", path);
		return 0;
	}
	/* libltdl alone would bind lazily, and report whatever goes wrong as
	 * "file not found" */
	if (is_file && ((rules->check_owner &&
	    !plugin_owner_check(path, rules->owner, err)) ||
	    plugin_open(path, err) == NULL))
		return 0;
	handle = module_open(path, is_file, err);
	if (handle == NULL)
		return 0;
	desc = lt_dlsym(handle, "culver_plugin");
	if (desc == NULL) {
		const char *base = is_file ? strrchr(path, '/') + 1 : path;

		snprintf(err, PLUGIN_ERR, "%s: symbol: wanted %.*s%s, got "
		    "none: it is not a plugin, or its file was renamed", path,
		    (int)strcspn(base, "."), base, PLUGIN_SYMBOL);
		return 0;
	}
	return plugin_accept(desc, path, kind, rules, out, err);
}

static int
is_module(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 3 && strcmp(d->d_name + n - 3, SUFFIX) == 0 &&
	    (strncmp(d->d_name, "storage_", 8) == 0 ||
	    strncmp(d->d_name, "auth_", 5) == 0);
}

static _Bool
kind_fits(const char *module, unsigned kind)
{
	const char *name = plugin_kind_name(kind);

	return kind == 0 || (strncmp(module, name, strlen(name)) == 0 &&
	    module[strlen(name)] == '_');
}

static void
each_preloaded(unsigned kind, void (*seen)(void *, const char *), void *ctx)
{
	const lt_dlsymlist *s = first_preloaded();
	char module[128];

	for (; s != NULL && s->name != NULL; s++) {
		const char *end = strstr(s->name, PLUGIN_SYMBOL);

		if (s->address == NULL || end == NULL ||
		    (size_t)(end - s->name) >= sizeof(module))
			continue;
		snprintf(module, sizeof(module), "%.*s",
		    (int)(end - s->name), s->name);
		if (kind_fits(module, kind))
			seen(ctx, module);
	}
}

/* Then a file of that name is not used. */
static _Bool
is_preloaded(const char *file)
{
	char module[128];

	snprintf(module, sizeof(module), "%.*s",
	    (int)(strlen(file) - strlen(SUFFIX)), file);
	return preloaded(module) != NULL;
}

_Bool
plugin_each(const char *dir, unsigned kind,
    void (*seen)(void *ctx, const char *path), void *ctx)
{
	char path[PLUGIN_PATH];
	struct dirent **list;
	int n;

	each_preloaded(kind, seen, ctx);
	n = scandir(dir, &list, is_module, alphasort);
	if (n < 0)
		return 0;
	for (int i = 0; i < n; i++) {
		if (kind_fits(list[i]->d_name, kind) &&
		    !is_preloaded(list[i]->d_name) &&
		    file_at(path, sizeof(path), dir, list[i]->d_name, ""))
			seen(ctx, path);
		free(list[i]);
	}
	free(list);
	return 1;
}
