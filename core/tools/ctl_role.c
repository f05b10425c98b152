/*
 * ctl_role.c - start a role for one answer, and end it.
 *
 * Runs in culverctl as its caller, often root; the role itself drops in
 * spawn.c before it executes anything.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/tools/ctl_conf.h"

_Bool
role_start(struct ctl_role *r, const struct spawn_env *env, struct spawn *s,
    _Bool pool)
{
	int chan[2] = {-1, -1}, log[2] = {-1, -1}, end[2] = {-1, -1};
	_Bool ok = 1;

	*r = (struct ctl_role){.pid = -1, .channel = -1, .log = -1,
	    .pool = -1};
	if (ipc_pair(chan) && ipc_pair(log) && (!pool || ipc_pair(end))) {
		s->instance = 1;
		s->fd[0] = chan[1];
		s->fd[1] = log[1];
		s->fd[FD_POOL - FD_CHANNEL] = end[1];
		for (int i = 0; i < SPAWN_MAX_FDS; i++)
			if (s->fd[i] >= 3)
				ok &= (s->fd[i] = fcntl(s->fd[i],
				    F_DUPFD_CLOEXEC, SPAWN_FD_MIN)) >= 0;
		r->pid = ok ? spawn_role(env, s) : -1;
		for (int i = 0; i < SPAWN_MAX_FDS; i++)
			if (s->fd[i] >= SPAWN_FD_MIN)
				close(s->fd[i]);
	}
	if (r->pid < 0)
		ctl_warn("cannot start role %s", ipc_role_name(s->role));
	r->channel = chan[0];
	r->log = log[0];
	r->pool = end[0];
	if (chan[1] >= 0)
		close(chan[1]);
	if (log[1] >= 0)
		close(log[1]);
	if (end[1] >= 0)
		close(end[1]);
	if (r->pid < 0)
		role_end(r, 0);
	return r->pid > 0;
}

static void
print_log(const struct ctl_role *r, _Bool verbose)
{
	static struct ipc_in in;
	static const enum ipc_role from[] = {R_CONFIG, R_POOL};

	/* The sender is known: nobody else holds the other end. */
	while (ipc_recv(r->log, &in, from[r->pool >= 0], R_LOG, P_ANY) ==
	    IPC_GOT) {
		if (in.type == IPC_LOG_LINE &&
		    (verbose || in.m.log_line.level >= LOG_WARN_))
			ctl_warnx("%s", in.m.log_line.text);
		ipc_done(&in);
	}
}

int
role_end(struct ctl_role *r, _Bool verbose)
{
	int status = 0;

	if (r->channel >= 0)
		close(r->channel);
	r->channel = -1;
	while (r->pid > 0 && waitpid(r->pid, &status, 0) < 0 &&
	    errno == EINTR)
		;
	if (r->log >= 0) {
		print_log(r, verbose);
		close(r->log);
	}
	if (r->pool >= 0)
		close(r->pool);
	r->log = r->pool = -1;
	if (r->pid <= 0)
		return EX_OSERR;
	r->pid = -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}
