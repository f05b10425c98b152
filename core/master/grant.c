/*
 * grant.c - whom the configuration lets a worker become.
 *
 * Runs as root in master and in culverctl, on what a user database said.
 */
#include "config.h"

#include <unistd.h>

#include "core/master/grant.h"

const char *
grant_check(const struct conf_master *c, const struct spawn_env *env,
    const struct ipc_grant *g)
{
	_Bool in_range = c->n_range == 0;

	for (uint32_t i = 0; i < c->n_range; i++)
		in_range |= g->uid >= c->range[i].first &&
		    g->uid <= c->range[i].last;
	if (g->uid == 0 || g->gid == 0 || g->uid == UINT32_MAX ||
	    g->gid == UINT32_MAX)
		return "uid or gid 0";
	if (g->uid < c->uid_min)
		return "uid below uid_min";
	if (g->gid < c->gid_min)
		return "gid below gid_min";
	if (!in_range)
		return "uid outside uid_ranges";
	if (g->section >= c->n_storage)
		return "unknown storage section";
	if (geteuid() != 0)
		return g->uid == getuid() && g->gid == getgid() ? NULL :
		    "not this user, and not root";
	for (unsigned i = 0; i < IPC_ROLES; i++)
		if (i != 0 && i != 5 && i != 8 &&
		    (g->gid == env->ids[i].gid || g->uid == env->ids[i].uid))
			return "an id of one of Culver's own roles";
	return NULL;
}
