/*
 * open.c - open the file of a module that was found and accepted before.
 *
 * Runs at each login in a worker, and below loader.c; never as root in a
 * daemon.  Opening a module runs its constructors: the caller has dropped
 * everything before.  No libltdl here, so that culverd is linked with it only
 * if modules are linked into it.
 */
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/loader.h"

void *
plugin_open(const char *path, char err[PLUGIN_ERR])
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

/* As lt_dlsym() finds it: with the module's name before its own, so that there
 * may be several in one program, or without. */
static const void *
descriptor(void *handle, const char *path)
{
	char symbol[PLUGIN_PATH + sizeof(PLUGIN_SYMBOL)];
	const char *base = strrchr(path, '/') + 1, *dot = strchr(base, '.');
	size_t n = dot != NULL ? (size_t)(dot - base) : strlen(base);
	const void *desc;

	/* by hand: on the way to +OK printf costs a new process its pages */
	if (n >= PLUGIN_PATH)
		return NULL;
	memcpy(symbol, base, n + 1);	/* with the dot, for a moment */
	memcpy(symbol + n, PLUGIN_SYMBOL, sizeof(PLUGIN_SYMBOL));
	desc = dlsym(handle, symbol);
	return desc != NULL ? desc : dlsym(handle, "culver_plugin");
}

_Bool
plugin_load_known(const char *path, unsigned kind,
    const struct plugin_rules *rules, struct plugin *out,
    char err[PLUGIN_ERR])
{
	const void *desc;
	void *handle;

	if (strchr(path, '/') == NULL) {
#ifdef WITH_STATIC_MODULES
		return plugin_load(path, kind, rules, out, err);
#else
		snprintf(err, PLUGIN_ERR, "%s: not in this program", path);
		return 0;
#endif
	}
	handle = plugin_open(path, err);
	if (handle == NULL)
		return 0;
	desc = descriptor(handle, path);
	if (desc == NULL) {
		snprintf(err, PLUGIN_ERR, "%s: symbol: none: the file was "
		    "replaced", path);
		return 0;
	}
	return plugin_accept(desc, path, kind, rules, out, err);
}
