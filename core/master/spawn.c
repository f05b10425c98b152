/*
 * spawn.c - start a role: fork, drop, verify; exec.c does the rest.
 *
 * The child is root until priv_drop() returns, and does nothing else until
 * then.  Ids are looked up in /etc/passwd by fgetpwent(), never through NSS,
 * which would load libraries.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/master/spawn.h"

/* By index: the user of a role, and whose index counts for it. */
static const struct {
	const char *user;
	unsigned as;
} users[IPC_ROLES] = {
	[1] = {CULVER_USER_CONFIG, 1}, [9] = {CULVER_USER_CONFIG, 1},
	[2] = {CULVER_USER_GATE, 2}, [6] = {CULVER_USER_GATE, 2},
	[10] = {CULVER_USER_GATE, 2},
	[3] = {CULVER_USER_AUTH, 3}, [4] = {CULVER_USER_AUTH, 3},
	[7] = {CULVER_USER_LOG, 7}, [12] = {CULVER_USER_LOG, 7},
};

unsigned
spawn_index(enum ipc_role role)
{
	return (unsigned)__builtin_ctz(role);
}

static _Bool
passwd_find(const char *name, struct priv_ids *out)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *pw = NULL;

	if (f == NULL)
		return 0;
	while ((pw = fgetpwent(f)) != NULL && strcmp(pw->pw_name, name) != 0)
		;
	if (pw != NULL)
		*out = (struct priv_ids){.uid = pw->pw_uid, .gid = pw->pw_gid};
	fclose(f);
	return pw != NULL;
}

static _Bool
ids_find(const char *who, struct priv_ids *out)
{
	char *end;
	unsigned long n = strtoul(who, &end, 10);

	if (*who < '0' || *who > '9' || *end != 0)
		return passwd_find(who, out) && out->uid != 0 && out->gid != 0;
	*out = (struct priv_ids){.uid = (uid_t)n, .gid = (gid_t)n};
	return n > 0 && n < UINT32_MAX;
}

static _Bool
folders_find(struct spawn_env *env)
{
	char *exe = realpath("/proc/self/exe", NULL);
	char *slash = exe != NULL ? strrchr(exe, '/') : NULL;

	if (slash == NULL)
		return 0;
	*slash = 0;
	snprintf(env->libexec, sizeof(env->libexec), "%s/%s", exe,
	    REL_LIBEXEC);
	snprintf(env->plugins, sizeof(env->plugins), "%s/%s", exe, REL_PLUGIN);
	free(exe);
	return 1;
}

_Bool
spawn_setup(struct spawn_env *env, const char *const override[IPC_ROLES])
{
	if (!folders_find(env)) {
		log_errorx("/proc/self/exe: cannot tell where the programs "
		    "are; is /proc mounted?");
		return 0;
	}
	for (unsigned i = 0; i < IPC_ROLES; i++) {
		const char *who = override[users[i].as] ?
		    override[users[i].as] : users[i].user;

		env->ids[i] = (struct priv_ids){.uid = getuid(),
		    .gid = getgid()};
		if (geteuid() != 0 || who == NULL ||
		    ids_find(who, &env->ids[i]))
			continue;
		log_errorx("user '%1$s' of role %2$s is not in /etc/passwd (or "
		    "is root): create it, or name another with -u %2$s=NAME-OR-"
		    "NUMBER", who, ipc_role_name(1u << i));
		return 0;
	}
	return 1;
}

_Bool
spawn_override(const char *override[IPC_ROLES], const char *arg)
{
	for (unsigned i = 1; i < IPC_ROLES; i++) {
		size_t n = strlen(ipc_role_name(1u << i));

		if (users[i].as == i && strncmp(arg,
		    ipc_role_name(1u << i), n) == 0 && arg[n] == '=') {
			override[i] = arg + n + 1;
			return 1;
		}
	}
	return 0;
}

_Bool
spawn_std_null(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

#ifdef WITH_SANITIZERS
	return null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1;
#else
	return null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
	    dup2(null, 2) == 2;
#endif
}

pid_t
spawn_role(const struct spawn_env *env, const struct spawn *s)
{
	struct priv_ids ids = env->ids[spawn_index(s->role)];
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (s->role == R_AUTH)	/* it looks what became of that */
		(void)setrlimit(RLIMIT_MEMLOCK, &all);
	if (s->group != 0)
		ids.groups[ids.n_groups++] = s->group;
	if (priv_drop(&ids, s->keep_chroot))
		spawn_exec(env, s);
	_exit(71);
}

_Bool
spawn_locker(const struct spawn_env *env, uid_t owner, gid_t gid,
    int snapshot, int *end)
{
	const struct priv_ids ids = {.gid = gid,
	    .uid = env->ids[spawn_index(R_GATE)].uid};
	int pair[2];
	long pid;

	*end = 0;
	if (gid == 0 || geteuid() != 0)
		return 1;
	if (!ipc_pair(pair))
		return 0;
	/* reaped by whom reaps the worker, also after that is gone */
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0 && priv_drop(&ids, 0))
		spawn_locker_run(owner, snapshot, pair[1]);
	if (pid == 0)
		_exit(71);
	close(pair[1]);
	*end = pair[0];
	return pid > 0;
}
