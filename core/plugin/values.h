/*
 * values.h - a section's converted options on their way from the config role
 * to the process that runs the plugin.
 *
 * The config role encodes them into the extra part of the section's snapshot
 * (CONF_POOL, CONF_STORAGE); workers and pools decode them against the option
 * table of the module that they loaded, and distrust every octet.
 */
#ifndef PLUGIN_VALUES_H
#define PLUGIN_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include <culver/plugin.h>
#include <culver/storage.h>

#include "core/config/conf.h"
#include "core/plugin/loader.h"

enum {
	VALUES_MAX = 1 << 20,		/* octets of one section's values */
	VALUES_TEMPLATE = 4096		/* octets of an expanded template */
};

/* Owns what `c` points to. */
struct values {
	struct culver_values c;		/* what a plugin's create() takes */
	struct culver_arena *arena;
};

/*
 * Encode V (one value an option of P) into malloc'd octets that the caller
 * frees; *N is their number.  NULL: no memory, or more than VALUES_MAX.
 */
uint8_t *values_encode(const struct plugin *p, const struct culver_value *v,
    size_t *n);

/*
 * Read the values of the section whose snapshot is open at FD with HEAD, for
 * P.  USER (storage only; NULL for auth plugins) is what templates are
 * expanded from; the template "path" of a user with a location, which goes
 * before it, is empty if this user cannot have it.  NULL with one line in ERR,
 * fit for the log: malformed, not made for this module, or another template
 * that this user cannot have.
 */
struct values *values_read(int fd, const struct conf_head *head,
    const struct plugin *p, const struct culver_user *user,
    char err[PLUGIN_ERR]);

/* The same from octets in memory. */
struct values *values_decode(const uint8_t *buf, size_t n,
    const struct plugin *p, const struct culver_user *user,
    char err[PLUGIN_ERR]);

/* Wipe and free. */
void values_destroy(struct values **v);

/*
 * Expand %{user}, %{name}, %{domain} (the parts of the user before and behind
 * the last @), %{home}, %{uid}, %% and a leading ~/ of TEXT into OUT.  False
 * with the cause in ERR: unknown or empty variable, no home, a result with a
 * "." or ".." component, or too long.  USER NULL: check TEXT only.
 */
_Bool values_expand(const char *text, const struct culver_user *user,
    char out[VALUES_TEMPLATE], char err[PLUGIN_ERR]);

#endif /* PLUGIN_VALUES_H */
