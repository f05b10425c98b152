/*
 * exec.c - what a child of spawn.c does once it has dropped: arrange its
 * descriptors and become its role.
 *
 * Runs as the role's user (a locker's: and group), not as root any more.
 */
#include "config.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/locker/locker.h"
#include "core/master/spawn.h"
#include "core/plugin/loader.h"

/* Put FD[i] at 3 + i, and nothing else above 2. */
static _Bool
fds_place(const struct spawn *s)
{
	for (int i = 0; i < SPAWN_MAX_FDS; i++)
		if (s->fd[i] < 3)
			close(3 + i);
		else if (s->fd[i] < SPAWN_FD_MIN || dup2(s->fd[i], 3 + i) < 0)
			return 0;
	return syscall(SYS_close_range, SPAWN_FD_MIN, ~0u, 0) == 0;
}

void
spawn_exec(const struct spawn_env *env, const struct spawn *s)
{
	char path[640], number[16];
	char *argv[3 + SPAWN_MAX_ARGS] = {NULL};
	char *envp[4] = {(char *)(uintptr_t)"PATH=/usr/bin:/bin"}, **more =
	    envp + 1;
	char *tz = getenv("TZ");
	sigset_t none;

	sigemptyset(&none);
	snprintf(path, sizeof(path), "%s/%s", env->libexec,
	    ipc_role_name(s->role));
	snprintf(number, sizeof(number), "%u", s->instance);
	argv[0] = (char *)(uintptr_t)ipc_role_name(s->role);
	argv[1] = number;
	for (int i = 0; i < SPAWN_MAX_ARGS && s->arg[i] != NULL; i++)
		argv[2 + i] = (char *)(uintptr_t)s->arg[i];
	if (tz != NULL)
		*more++ = tz - strlen("TZ=");
	if (plugin_any_linked())
		*more = (char *)(uintptr_t)PLUGIN_LINKED "=1";
	if (!spawn_std_null() || !fds_place(s) ||
	    sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		_exit(71);
	execve(path, argv, envp);
	_exit(72);
}

void
spawn_locker_run(uid_t owner, int snapshot, int channel)
{
	sigset_t none;

	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0 ||
	    dup2(channel, LOCKER_CHANNEL) < 0 ||
	    dup2(snapshot, LOCKER_SNAPSHOT) < 0 ||
	    syscall(SYS_close_range, LOCKER_SNAPSHOT + 1, ~0u, 0) != 0)
		_exit(71);
	_exit(locker_main(owner));
}
