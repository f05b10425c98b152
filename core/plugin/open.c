/*
 * open.c - open a module and find its descriptor.
 *
 * Runs in the config role, in workers, pools and culver-plugin; never as root
 * in a daemon.  Opening a module runs its constructors: the caller has
 * dropped everything before.  A worker does this for each login, so a file is
 * opened by dlopen() and no more, and culverd is linked with libltdl only if
 * modules are linked into it.
 */
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/loader.h"

#ifdef WITH_STATIC_MODULES
#define HAS_PRELOADED 1
#else
#pragma weak plugin_preloaded	/* may be in no file that is linked */
#define HAS_PRELOADED (plugin_preloaded != NULL)
#endif

/* Bind everything now, so that what is missing is missing here. */
static void *
file_open(const char *path, char *err)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *text;

	if (handle != NULL)
		return handle;
	text = dlerror();
	if (text == NULL)
		text = "cannot be opened";
	if (strncmp(text, path, strlen(path)) == 0)
		snprintf(err, PLUGIN_ERR, "%s", text);
	else
		snprintf(err, PLUGIN_ERR, "%s: %s", path, text);
	return NULL;
}

/* The descriptor has the module's name in its own, as libtool gives it when
 * there are several in one program. */
static const void *
file_descriptor(const char *path, char *err)
{
	const char *base = strrchr(path, '/') + 1;
	int n = (int)strcspn(base, ".");
	void *handle = file_open(path, err);
	char symbol[PLUGIN_PATH + sizeof(PLUGIN_SYMBOL)];
	const void *desc;

	if (handle == NULL)
		return NULL;
	memcpy(symbol, base, (size_t)n);
	memcpy(symbol + n, PLUGIN_SYMBOL, sizeof(PLUGIN_SYMBOL));
	desc = dlsym(handle, symbol);
	if (desc == NULL)
		snprintf(err, PLUGIN_ERR, "%s: symbol: wanted %s, got none: "
		    "it is not a plugin, or its file was renamed", path,
		    symbol);
	return desc;
}

_Bool
plugin_load(const char *path, unsigned kind, const struct plugin_rules *rules,
    struct plugin *out, char err[PLUGIN_ERR])
{
	_Bool is_file = strchr(path, '/') != NULL;
	const void *desc = NULL;

	if (strlen(path) >= PLUGIN_PATH)
		snprintf(err, PLUGIN_ERR, "%.900s: too long", path);
	else if (is_file && rules->check_owner &&
	    !plugin_owner_check(path, rules->owner, err))
		;		/* it said so */
	else if (is_file)
		desc = file_descriptor(path, err);
	else if (HAS_PRELOADED)
		desc = plugin_preloaded(path, err);
	else
		snprintf(err, PLUGIN_ERR, "%s: not in this program", path);
	return desc != NULL && plugin_accept(desc, path, kind, rules, out,
	    err);
}
