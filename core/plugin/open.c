/*
 * open.c - open the file of a module that was found and accepted before.
 *
 * Runs at each login in a worker, and below loader.c; never as root in a
 * daemon.  Opening a module runs its constructors: the caller has dropped
 * everything before.  Nothing of libltdl but a type, so that culverd is not
 * linked with it.
 */
#include "config.h"

#include <dlfcn.h>
#include <ltdl.h>
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

/* Made by builtin.c, or by libtool for a program that is linked with
 * -dlpreopen; else absent. */
extern const lt_dlsymlist lt_preloaded_symbols[] __attribute__((weak));

_Bool
plugin_any_linked(void)
{
	return lt_preloaded_symbols != NULL;
}

static const void *
find_builtin(const char *symbol)
{
	const lt_dlsymlist *s = lt_preloaded_symbols;

	for (; s != NULL && s->name != NULL; s++)
		if (s->address != NULL && strcmp(s->name, symbol) == 0)
			return s->address;
	return NULL;
}

/* As lt_dlsym() finds it: with the module's name before its own, so that there
 * may be several in one program, or without.  HANDLE is NULL for a module that
 * is linked in, and PATH then its name. */
static const void *
descriptor(void *handle, const char *path)
{
	char symbol[PLUGIN_PATH + sizeof(PLUGIN_SYMBOL)];
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	const char *dot = strchr(base, '.');
	size_t n = dot != NULL ? (size_t)(dot - base) : strlen(base);
	const void *desc;

	/* by hand: on the way to +OK printf costs a new process its pages */
	if (n >= PLUGIN_PATH)
		return NULL;
	memcpy(symbol, base, n + 1);	/* with the dot, for a moment */
	memcpy(symbol + n, PLUGIN_SYMBOL, sizeof(PLUGIN_SYMBOL));
	if (handle == NULL)
		return find_builtin(symbol);
	desc = dlsym(handle, symbol);
	return desc != NULL ? desc : dlsym(handle, "culver_plugin");
}

_Bool
plugin_load_known(const char *path, unsigned kind,
    const struct plugin_rules *rules, struct plugin *out,
    char err[PLUGIN_ERR])
{
	const _Bool is_file = strchr(path, '/') != NULL;
	void *handle = is_file ? plugin_open(path, err) : NULL;
	const void *desc;

	if (is_file && handle == NULL)
		return 0;
	desc = descriptor(handle, path);
	if (desc == NULL) {
		snprintf(err, PLUGIN_ERR, "%s: %s", path, is_file ?
		    "symbol: none: the file was replaced" :
		    "not in this program");
		return 0;
	}
	return plugin_accept(desc, path, kind, rules, out, err);
}
