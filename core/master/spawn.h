/*
 * spawn.h - start one unprivileged process that executes a role's program.
 *
 * Runs as root in master and in culverctl, up to the drop.
 */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include <sys/types.h>

#include "core/base/priv.h"
#include "core/ipc/ipc.h"

enum { SPAWN_MAX_FDS = 7, SPAWN_MAX_ARGS = 4,
	SPAWN_FD_MIN = 3 + SPAWN_MAX_FDS };

struct spawn {
	enum ipc_role role;	/* program, and argv[0] */
	uint32_t instance;	/* argv[1] */
	const char *arg[SPAWN_MAX_ARGS];	/* argv[2] ..., NULL ends */
	int fd[SPAWN_MAX_FDS];	/* become 3, 4, ..., so they are SPAWN_FD_MIN
				 * or more; below 3: left closed */
	_Bool keep_chroot;	/* see priv_drop() */
	gid_t group;		/* supplementary; 0: none */
};

/* Who the roles are; and the folder with their programs. */
struct spawn_env {
	struct priv_ids ids[IPC_ROLES];	/* by bit number of enum ipc_role */
	char libexec[512], plugins[512];
};

/*
 * Fill in ENV: programs relative to /proc/self/exe, ids from configure's
 * names or, where OVERRIDE[i] is not NULL, that name or number, looked up in
 * /etc/passwd only.  Not as root everything is the caller's.  On failure a
 * line in the log says what to do.
 */
_Bool spawn_setup(struct spawn_env *env, const char *const override[IPC_ROLES]);

/* "-u ROLE=ID" of a command line, for config, gate, auth and log: certcheck
 * and lmtp are the gate's user, a pool the coordinator's, manager the config
 * role's, metrics the log role's.  ARG stays in use; false: no such role. */
_Bool spawn_override(const char *override[IPC_ROLES], const char *arg);

/* Bit number of a role, as an index. */
unsigned spawn_index(enum ipc_role role);

/* Start it; -1 with errno.  The descriptors stay the caller's. */
pid_t spawn_role(const struct spawn_env *env, const struct spawn *s);

/*
 * In a worker's process before its drop: start the locker of the mailboxes of
 * OWNER, as the gates' user in the group GID, as another child of its parent.
 * SNAPSHOT, above 3, is the section's.  *END is the worker's end of the
 * channel; 0 if GID is 0 (no locker is wanted) or nobody here is root.
 */
_Bool spawn_locker(const struct spawn_env *env, uid_t owner, gid_t gid,
    int snapshot, int *end);

/* exec.c, in a child that has dropped: become the role, or the locker. */
void spawn_exec(const struct spawn_env *env, const struct spawn *s)
    __attribute__((noreturn));
void spawn_locker_run(uid_t owner, int snapshot, int channel)
    __attribute__((noreturn));

/* Make descriptors 0 to 2 /dev/null, as they are in every role; only a build
 * with sanitizers keeps stderr for what those say. */
_Bool spawn_std_null(void);

#endif /* MASTER_SPAWN_H */
