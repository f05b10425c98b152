/*
 * settings.h - what a user's data says about logins of that user.
 *
 * Runs in the auth coordinator and in culverctl, on fields that a plugin gave.
 */
#ifndef AUTH_SETTINGS_H
#define AUTH_SETTINGS_H

#include <stdint.h>

#include "core/ipc/ipc.h"

struct settings {
	_Bool closed;			/* nologin */
	const char *nets;		/* allow_nets; NULL: everywhere */
	uint32_t expire_days;		/* as in USERDATA; 0: nothing said */
	uint64_t login_delay;		/* ns */
	_Bool has_delay;
};

/* Read FIELDS, name NUL value NUL ...; OUT borrows from them.  NULL, or the
 * name of a field whose value cannot be understood. */
const char *settings_read(const struct ipc_bytes *fields,
    struct settings *out);

/* May a client at REMOTE ("unix": of this machine) log in? */
_Bool settings_allow(const struct settings *s, const char *remote);

#endif /* AUTH_SETTINGS_H */
