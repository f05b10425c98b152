/*
 * nets.h - Dovecot's allow_nets: the networks from which a user may come.
 *
 * Runs in a pool process, and in the coordinator for what all plugins say.
 * The address is what the gate saw, the list an administrator's.
 */
#ifndef PLUGINS_COMMON_NETS_H
#define PLUGINS_COMMON_NETS_H

#include <stddef.h>

struct span {
	const char *p;
	size_t n;
};

/*
 * Is REMOTE (an address, or "" or "unix" for a client of this machine) in NETS:
 * addresses and networks with a comma between, "local" for the latter?  What is
 * malformed has nobody in it.
 */
_Bool auth_nets_have(struct span nets, const char *remote);

#endif /* PLUGINS_COMMON_NETS_H */
