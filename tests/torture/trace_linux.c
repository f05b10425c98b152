/*
 * trace_linux.c - kill or fail the n-th file system call; see trace.h.
 */
#include "config.h"

#include "tests/torture/trace.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <elf.h>
#include <unistd.h>

#define C(name) { SYS_##name, #name }

/* close() is not among them: failing it without doing it leaks for real. */
static const struct {
	long nr;
	const char *name;
} calls[] = {
#ifdef SYS_open
	C(open), C(stat), C(lstat), C(mkdir), C(unlink), C(rename), C(link),
#endif
#ifdef SYS_newfstatat
	C(newfstatat),
#endif
#ifdef SYS_renameat
	C(renameat),
#endif
	C(openat), C(fstat), C(statx), C(read), C(pread64), C(write),
	C(pwrite64), C(fsync), C(fdatasync), C(ftruncate), C(unlinkat),
	C(linkat), C(renameat2), C(mkdirat), C(getdents64), C(fcntl),
};

const char *
trace_name(long nr)
{
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].nr == nr)
			return calls[i].name;
	return NULL;
}

void
trace_end(void)
{
	syscall(SYS_getppid);
}

#if defined(__x86_64__)
/* Let the call at whose entry PID stands do nothing. */
static bool
skip_call(pid_t pid)
{
	return ptrace(PTRACE_POKEUSER, pid,
	    offsetof(struct user, regs.orig_rax), -1L) == 0;
}

static bool
set_result(pid_t pid, long value)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax),
	    value) == 0;
}
#elif defined(__aarch64__)
static bool
skip_call(pid_t pid)
{
	int nr = -1;
	struct iovec io = { .iov_base = &nr, .iov_len = sizeof(nr) };

	return ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io) == 0;
}

static bool
set_result(pid_t pid, long value)
{
	struct user_regs_struct regs;
	struct iovec io = { .iov_base = &regs, .iov_len = sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) != 0)
		return false;
	regs.regs[0] = (unsigned long)value;
	return ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io) == 0;
}
#else
static bool
skip_call(pid_t pid)
{
	(void)pid;
	return false;
}

static bool
set_result(pid_t pid, long value)
{
	(void)pid;
	(void)value;
	return false;
}
#endif

/* What to do at a stop: go on, and with which call in progress. */
struct progress {
	bool ended, failing;
};

/* PID stopped at the entry or the exit of a system call. */
static bool
at_call(pid_t pid, const struct trace_plan *plan, struct trace_result *res,
    struct progress *p)
{
	struct __ptrace_syscall_info info;
	long nr;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		if (!p->failing)
			return true;
		p->failing = false;
		return set_result(pid, -(long)plan->err);
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return true;
	nr = (long)info.entry.nr;
	if (nr == SYS_getppid)
		p->ended = true;
	if (p->ended || trace_name(nr) == NULL || ++res->calls != plan->nth)
		return true;
	res->hit = true;
	res->nr = nr;
	if (plan->err == 0)
		return kill(pid, SIGKILL) == 0;
	p->failing = true;
	return skip_call(pid);
}

static bool
follow(pid_t pid, const struct trace_plan *plan, struct trace_result *res)
{
	struct progress p = { false, false };
	int sig = 0;

	for (;;) {
		/* a child that was just killed may not be there to go on */
		if (ptrace(PTRACE_SYSCALL, pid, 0, sig) != 0 && errno != ESRCH)
			return false;
		if (waitpid(pid, &res->status, 0) != pid)
			return false;
		if (WIFEXITED(res->status) || WIFSIGNALED(res->status))
			return true;
		sig = WSTOPSIG(res->status);
		if (sig != (SIGTRAP | 0x80))
			continue;
		sig = 0;
		if (!at_call(pid, plan, res, &p))
			return false;
	}
}

bool
trace_run(int (*fn)(void *), void *arg, const struct trace_plan *plan,
    struct trace_result *res)
{
	int status;
	bool ok;
	pid_t pid;

	*res = (struct trace_result){ 0 };
	pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
			_exit(125);
		raise(SIGSTOP);
		_exit(fn(arg));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return false;
	ok = ptrace(PTRACE_SETOPTIONS, pid, 0,
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0 &&
	    follow(pid, plan, res);
	if (!ok) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return ok;
}
