/*
 * builtin.c - the list of the storage plugins that are linked into a program,
 * as libtool makes one for a program that is linked with -dlpreopen.
 *
 * In culverd, whose workers then open no file for them, in culverctl and in the
 * config role, which decides that.  Nothing of theirs runs as root.
 */
#include "config.h"

#include <ltdl.h>
#include <stddef.h>
#include <stdint.h>

#include <culver/plugin.h>

#include "core/plugin/loader.h"

/* The name of the file that libtool would have made, and its one symbol. */
#define MODULE(name) {#name ".a", NULL}, {#name PLUGIN_SYMBOL, \
	(void *)(uintptr_t)&name##_LTX_culver_plugin}

extern const struct culver_plugin storage_maildir_LTX_culver_plugin;
extern const struct culver_plugin storage_mbox_LTX_culver_plugin;

extern const lt_dlsymlist lt_preloaded_symbols[];
const lt_dlsymlist lt_preloaded_symbols[] = {
	{"@PROGRAM@", NULL},
#ifdef BUILTIN_MAILDIR
	MODULE(storage_maildir),
#endif
#ifdef BUILTIN_MBOX
	MODULE(storage_mbox),
#endif
	{NULL, NULL}
};
