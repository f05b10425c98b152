/*
 * upgrade.c - the running binary's successor: start it, give way to it, and
 * outlive it where whoever started this one waits for this one.
 *
 * Runs as root.  Manager says when, and nothing else: program, arguments and
 * environment are those that this process was started with.  What listens
 * travels between the two managers.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/master/master.h"

enum { INSTANCES = 256 };	/* that may still be used here */

/*
 * In the child, which stays root.  The successor finds its manager's channel
 * to ours at 0, what this one logs to at 1, a memfd for what is wrong at 2,
 * and then what the service manager passed.  Signals stay blocked: it takes
 * them up when it can.
 */
static void __attribute__((noreturn))
successor(int diag, int ready)
{
	char text[32];

	snprintf(text, sizeof(text), "%u %u", master.passed,
	    master.instances + INSTANCES);
	setenv(UPGRADE_ENV, text, 1);
	unsetenv("WATCHDOG_PID");
	dup2(ready, 0);
	dup2(master.stderr_fd, 1);
	dup2(diag, 2);
	for (int i = 0; i < (int)master.passed; i++)
		dup2(HIGH_FD + i, 3 + i);
	syscall(SYS_close_range, 3 + master.passed, ~0u, 0);
	if (chdir(master.cwd) == 0)
		execv(master.exe, master.argv);
	dprintf(2, "%s: %s\n", master.exe, strerror(errno));
	_exit(72);
}

/*
 * The successor is our parent's child, for that is who watches it when we are
 * gone: a service manager does not wait for a main process that is not its
 * own.  As process 1 of a container that talks to a service manager this
 * process could neither end nor be the main one: no.
 *
 * Our end of the managers' channel stays open until this process ends, so that
 * a successor that stops waits for all of us: whoever started it kills what is
 * left when it has ended.  Not if this one waits for the successor.
 */
_Bool
upgrade_start(struct child *manager, struct ipc_in *in)
{
	struct ipc_spawned up = {0};
	long pid = -1;

	(void)manager;
	if (fcntl(in->fd[0], F_GET_SEALS) >= 0 && !master.stopping &&
	    master.successor_fd[0] < 0 && !master.retired &&
	    (master.stays || getpid() != 1))
		pid = syscall(SYS_clone, (master.stays ? 0 : CLONE_PARENT) |
		    CLONE_PIDFD | SIGCHLD, NULL, master.successor_fd, NULL, 0);
	if (pid == 0)
		successor(in->fd[0], in->fd[1]);
	if (pid > 0) {
		up.pid = (uint32_t)(master.successor = (pid_t)pid);
		master.successor_fd[1] = fcntl(master.stays ? -1 : in->fd[2],
		    F_DUPFD_CLOEXEC, 0);
	}
	outbox_send(&master.to_manager, IPC_SPAWNED, &up);
	return 1;
}

/* The successor serves: what listens, and the name of who does, is its.  Not
 * if all was told to stop before this was known: then it ends, too. */
_Bool
upgrade_retire(void)
{
	char text[64];

	if (master.stopping)
		upgrade_cancel();
	if (master.successor == 0 || master.retired)
		return master.stopping;
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nWATCHDOG=1",
	    (int)master.successor);
	master_notify(text);
	master.retired = 1;
	fds_close(&master.lock, 1);
	syscall(SYS_close_range, HIGH_FD, HIGH_FD + master.passed - 1, 0);
	master.passed = 0;
	return 1;
}

/* It will not serve; there may be another one now. */
void
upgrade_cancel(void)
{
	if (master.retired)
		return;
	syscall(SYS_pidfd_send_signal, *master.successor_fd, SIGKILL, NULL, 0);
	fds_close(master.successor_fd, 2);
	master.successor = 0;
}

/* PID, a child of ours, was reaped: false if it is no successor, whose number
 * may be another's by now if it was no child. */
_Bool
upgrade_exit(pid_t pid, int status)
{
	if (!master.stays || pid != master.successor)
		return 0;
	master.successor = 0;
	if (master.retired) {
		master.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) :
		    EX_SOFTWARE;
		(master.stopping ? master_idle : master_stop)();
	}
	return 1;
}
