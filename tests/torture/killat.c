/*
 * killat.c - kill a running process at its n-th system call from now.
 *
 *	killat PID N		that process
 *	killat -c PID N		the next child that it makes
 *
 * For test_kills.py; Linux only, runs as root.  Writes "ready" when it is
 * attached, then "killed PID N CALL" or "ended PID CALLS" (N never came).
 * The call itself is not made.  SIGTERM: let go of the process.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t let_go;

static void
on_term(int sig)
{
	(void)sig;
	let_go = 1;
}

static void __attribute__((noreturn))
fail(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Wait for PID to stop, or until SIGTERM; false if it is gone. */
static _Bool
stopped(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0) {
		if (errno != EINTR)
			return 0;
		if (let_go)
			ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	}
	return WIFSTOPPED(*status);
}

static void
seize(pid_t pid, long options)
{
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | options) != 0)
		fail("PTRACE_SEIZE");
	puts("ready");
	fflush(stdout);
}

/* The signal to go on with: those that the process really got. */
static int
passed_on(int status)
{
	int sig = WSTOPSIG(status);

	return status >> 16 != 0 || sig == (SIGTRAP | 0x80) ? 0 : sig;
}

/* The next child of PID, which is left stopped; PID goes on untraced. */
static pid_t
next_child(pid_t pid)
{
	unsigned long child;
	int status, event;

	seize(pid, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
	    PTRACE_O_TRACECLONE);
	while (stopped(pid, &status)) {
		event = status >> 16;
		if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
		    event == PTRACE_EVENT_CLONE) {
			if (ptrace(PTRACE_GETEVENTMSG, pid, 0, &child) != 0)
				fail("PTRACE_GETEVENTMSG");
			ptrace(PTRACE_DETACH, pid, 0, 0);
			return (pid_t)child;
		}
		if (let_go) {
			ptrace(PTRACE_DETACH, pid, 0, passed_on(status));
			break;
		}
		ptrace(PTRACE_CONT, pid, 0, passed_on(status));
	}
	printf("ended 0 0\n");
	exit(0);
}

/* Count PID's calls from the stop that it is in, and kill it at the N-th. */
static void
count(pid_t pid, unsigned long n, int status)
{
	struct __ptrace_syscall_info info;
	unsigned long calls = 0;

	for (;;) {
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) >
		    0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
		    ++calls == n) {
			kill(pid, SIGKILL);
			printf("killed %d %lu %llu\n", (int)pid, calls,
			    (unsigned long long)info.entry.nr);
			return;
		}
		if (let_go) {
			ptrace(PTRACE_DETACH, pid, 0, passed_on(status));
			break;
		}
		if (ptrace(PTRACE_SYSCALL, pid, 0, passed_on(status)) != 0 ||
		    !stopped(pid, &status))
			break;
	}
	printf("ended %d %lu\n", (int)pid, calls);
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	_Bool child = argc == 4 && strcmp(argv[1], "-c") == 0;
	unsigned long n;
	int status;
	pid_t pid;

	if (argc != 3 && !child) {
		fprintf(stderr, "usage: killat [-c] PID N\n");
		return 64;
	}
	sigaction(SIGTERM, &sa, NULL);
	pid = (pid_t)strtol(argv[argc - 2], NULL, 10);
	n = strtoul(argv[argc - 1], NULL, 10);
	if (child) {
		pid = next_child(pid);
	} else {
		seize(pid, 0);
		if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0)
			fail("PTRACE_INTERRUPT");
	}
	if (stopped(pid, &status))
		count(pid, n, status);
	else
		printf("ended %d 0\n", (int)pid);
	return 0;
}
