/*
 * loader.h - find a module, open it, and agree with it on the ABI.
 *
 * Runs in the config role, in workers and auth pools and in culver-plugin,
 * always unprivileged: root opens no module, and runs nothing of those that
 * are linked into culverd.  A module is trusted only as far as its owner is;
 * its descriptor is checked before anything uses it, and from then on the host
 * uses its own copies.  The rules and their order are those of
 * culver-plugin(7).
 */
#ifndef PLUGIN_LOADER_H
#define PLUGIN_LOADER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <culver/auth.h>
#include <culver/plugin.h>
#include <culver/storage.h>

/* Behind a module's name: the symbol of its descriptor. */
#define PLUGIN_SYMBOL "_LTX_culver_plugin"

/* In the environment of a role: modules are linked into what started it, which
 * may be of another build than the role's program, while a host is upgraded. */
#define PLUGIN_LINKED "CULVER_LINKED"

enum {
	PLUGIN_PATH = 1024,
	PLUGIN_ERR = 1600,	/* room for a message with a path in it */
	PLUGIN_MAX_OPTIONS = 256
};

struct plugin_rules {
	uint32_t allow;		/* CULVER_NEED_* that the section allows */
	_Bool check_owner;	/* of the file and its parents */
	uid_t owner;		/* who may own them besides root */
};

/* A module that was accepted.  It stays mapped until the process ends. */
struct plugin {
	char path[PLUGIN_PATH];	/* file, or module name if preloaded */
	struct culver_plugin desc;	/* copies: what an older module lacks */
	struct culver_storage_ops storage;	/* is zero here; caps has the */
	struct culver_auth_ops auth;	/* bits that this host knows */
};

/* "storage", "auth"; "?" if unknown. */
const char *plugin_kind_name(unsigned kind);

/*
 * Where is module NAME of KIND?  NAME is a plugin's name, looked up among the
 * preloaded modules and then in DIR, or an absolute path (with or without
 * ".so").  Writes the name that plugin_load() takes to PATH; false with one
 * line in ERR.
 */
_Bool plugin_find(const char *dir, const char *name, unsigned kind,
    char path[PLUGIN_PATH], char err[PLUGIN_ERR]);

/*
 * Open the module at PATH and check it (KIND 0: any).  False with one line in
 * ERR: path, field, wanted, got.  May block on the file system; runs the
 * module's constructors.
 */
_Bool plugin_load(const char *path, unsigned kind,
    const struct plugin_rules *rules, struct plugin *out,
    char err[PLUGIN_ERR]);

/*
 * The same for a module that plugin_load() accepted before, in the config
 * role: a worker does it for each login.  Its owner is not looked at again.
 */
_Bool plugin_load_known(const char *path, unsigned kind,
    const struct plugin_rules *rules, struct plugin *out,
    char err[PLUGIN_ERR]);

/* Are modules linked into this program? */
_Bool plugin_any_linked(void);

/* From now on modules are found in files only. */
void plugin_files_only(void);

/* Map the file at PATH and bind everything now, for good; NULL with one line
 * in ERR. */
void *plugin_open(const char *path, char err[PLUGIN_ERR]);

/* The part of plugin_load() behind the opening: accept DESC, which came from
 * PATH, into OUT, or say in ERR why not. */
_Bool plugin_accept(const struct culver_plugin *desc, const char *path,
    unsigned kind, const struct plugin_rules *rules, struct plugin *out,
    char err[PLUGIN_ERR]);

/* The module's option I (below desc.n_options), whatever size it has there. */
struct culver_option plugin_option(const struct plugin *p, uint32_t i);

/* Is PATH, with its parents, writable by nobody but root and OWNER?  Sticky
 * folders pass.  False with one line in ERR. */
_Bool plugin_owner_check(const char *path, uid_t owner, char err[PLUGIN_ERR]);

/* "net, exec": CULVER_NEED_* bits for people; static storage, one at a time. */
const char *plugin_needs_text(uint64_t needs);

/*
 * Call SEEN for each module of KIND (0: all) that is preloaded, or in DIR and
 * not hidden by one that is, in name order, with the path for plugin_load().
 * False with errno if DIR cannot be read; the preloaded ones were seen then.
 */
_Bool plugin_each(const char *dir, unsigned kind,
    void (*seen)(void *ctx, const char *path), void *ctx);

#endif /* PLUGIN_LOADER_H */
