/*
 * trace_linux.c - kill or fail the n-th file system call; see trace.h.
 *
 * A call fails by turning it into one that does not exist and writing the
 * result over the kernel's, so it has no effect.
 */
#include "config.h"

#include "core/tools/kit/trace.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define C(name) { SYS_##name, #name }

enum { MARK_ON = -19391, MARK_OFF = -19392 };	/* no descriptors */

/* close() is not among them: failing it without doing it leaks for real. */
static const struct {
	long nr;
	const char *name;
} calls[] = {
#ifdef SYS_open
	C(open), C(creat), C(stat), C(lstat), C(mkdir), C(rmdir), C(unlink),
	C(rename), C(link),
#endif
#ifdef SYS_newfstatat
	C(newfstatat),
#endif
#ifdef SYS_renameat
	C(renameat),
#endif
	C(openat), C(fstat), C(statx), C(read), C(pread64), C(readv),
	C(preadv), C(write), C(pwrite64), C(writev), C(pwritev), C(fsync),
	C(fdatasync), C(ftruncate), C(truncate), C(fallocate), C(unlinkat),
	C(linkat), C(renameat2), C(mkdirat), C(getdents64), C(fcntl),
	C(flock), C(lseek), C(sendfile), C(copy_file_range), C(syncfs),
	C(openat2), C(mmap), C(socket), C(connect), C(sendto), C(recvfrom),
	C(sendmsg), C(recvmsg),
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

bool
trace_transfers(long nr)
{
	return nr == SYS_read || nr == SYS_pread64 || nr == SYS_write ||
	    nr == SYS_pwrite64;
}

void
trace_end(void)
{
	syscall(SYS_getppid);
}

void
trace_on(void)
{
	syscall(SYS_close, MARK_ON);
}

void
trace_off(void)
{
	int saved = errno;

	syscall(SYS_close, MARK_OFF);
	errno = saved;
}

#if defined(__x86_64__)
bool
trace_can_fail(void)
{
	return true;
}

static bool
poke(pid_t pid, size_t where, long value)
{
	return ptrace(PTRACE_POKEUSER, pid, where, value) == 0;
}

/* Let the call at whose entry PID stands do nothing. */
static bool
skip_call(pid_t pid)
{
	return poke(pid, offsetof(struct user, regs.orig_rax), -1L);
}

static bool
set_result(pid_t pid, long value)
{
	return poke(pid, offsetof(struct user, regs.rax), value);
}

/* Its third argument. */
static bool
set_count(pid_t pid, long value)
{
	return poke(pid, offsetof(struct user, regs.rdx), value);
}
#elif defined(__aarch64__)
bool
trace_can_fail(void)
{
	return true;
}

static bool
skip_call(pid_t pid)
{
	int nr = -1;
	struct iovec io = { .iov_base = &nr, .iov_len = sizeof(nr) };

	return ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io) == 0;
}

static bool
set_reg(pid_t pid, int reg, long value)
{
	struct user_regs_struct regs;
	struct iovec io = { .iov_base = &regs, .iov_len = sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) != 0)
		return false;
	regs.regs[reg] = (unsigned long)value;
	return ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io) == 0;
}

static bool
set_result(pid_t pid, long value)
{
	return set_reg(pid, 0, value);
}

static bool
set_count(pid_t pid, long value)
{
	return set_reg(pid, 2, value);
}
#else
bool
trace_can_fail(void)
{
	return false;
}

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

static bool
set_count(pid_t pid, long value)
{
	return set_result(pid, value);
}
#endif

struct progress {
	const struct trace_hooks *hooks;
	struct trace_call call;	/* the one in progress */
	bool shown;		/* ... and the hooks saw its entry */
	bool on, ended;
	int failing;		/* the errno that it gets */
};

/* What is looked at begins or ends with this call. */
static void
marks(struct progress *p)
{
	if (p->call.nr == SYS_getppid)
		p->ended = true;
	if (p->call.nr == SYS_close && (int)p->call.arg[0] == MARK_ON)
		p->on = true;
	if (p->call.nr == SYS_close && (int)p->call.arg[0] == MARK_OFF)
		p->on = false;
}

static bool
at_entry(pid_t pid, const struct __ptrace_syscall_info *info,
    struct progress *p)
{
	int err = 0, i;

	p->call = (struct trace_call){ .pid = pid,
	    .nr = (long)info->entry.nr };
	for (i = 0; i < 6; i++)
		p->call.arg[i] = info->entry.args[i];
	marks(p);
	p->shown = p->on && !p->ended && trace_name(p->call.nr) != NULL;
	if (!p->shown)
		return true;
	switch (p->hooks->entry(p->hooks->ctx, &p->call, &err)) {
	case TRACE_DIE:
		return kill(pid, SIGKILL) == 0;
	case TRACE_FAIL:
		p->failing = err;
		return skip_call(pid);
	case TRACE_HALVE:
		return set_count(pid, (long)(p->call.arg[2] / 2));
	default:
		return true;
	}
}

static bool
at_exit(pid_t pid, const struct __ptrace_syscall_info *info,
    struct progress *p)
{
	int failing = p->failing;

	p->failing = 0;
	if (failing != 0)
		return set_result(pid, -(long)failing);
	p->call.result = info->exit.rval;
	if (p->shown && p->hooks->exit != NULL)
		p->hooks->exit(p->hooks->ctx, &p->call);
	return true;
}

/* PID stopped at the entry or the exit of a system call. */
static bool
at_call(pid_t pid, struct progress *p)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		return at_exit(pid, &info, p);
	return info.op != PTRACE_SYSCALL_INFO_ENTRY ||
	    at_entry(pid, &info, p);
}

static bool
follow(pid_t pid, const struct trace_hooks *hooks, int *status)
{
	struct progress p = { .hooks = hooks, .on = !hooks->marked };
	int sig = 0;

	for (;;) {
		/* a child that was just killed may not be there to go on */
		if (ptrace(PTRACE_SYSCALL, pid, 0, sig) != 0 && errno != ESRCH)
			return false;
		if (waitpid(pid, status, 0) != pid)
			return false;
		if (WIFEXITED(*status) || WIFSIGNALED(*status))
			return true;
		sig = WSTOPSIG(*status);
		if (sig != (SIGTRAP | 0x80))
			continue;
		sig = 0;
		if (!at_call(pid, &p))
			return false;
	}
}

bool
trace_follow(int (*fn)(void *), void *arg, const struct trace_hooks *hooks,
    int *status)
{
	bool ok;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
			_exit(125);
		raise(SIGSTOP);
		_exit(fn(arg));
	}
	if (waitpid(pid, status, 0) != pid || !WIFSTOPPED(*status))
		return false;
	ok = ptrace(PTRACE_SETOPTIONS, pid, 0,
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0 &&
	    follow(pid, hooks, status);
	if (!ok) {
		kill(pid, SIGKILL);
		waitpid(pid, status, 0);
	}
	return ok;
}

/* --- one call of a run ------------------------------------------------------ */

struct one {
	const struct trace_plan *plan;
	struct trace_result *res;
};

static enum trace_verdict
one_entry(void *ctx, const struct trace_call *c, int *err)
{
	struct one *o = ctx;

	/* memory is failed elsewhere, and mmap() moves no file's octets */
	if (c->nr == SYS_mmap || ++o->res->calls != o->plan->nth)
		return TRACE_GO;
	o->res->hit = o->res->fit = true;
	o->res->nr = c->nr;
	if (o->plan->shorten) {
		o->res->fit = trace_transfers(c->nr) && c->arg[2] > 1;
		return o->res->fit ? TRACE_HALVE : TRACE_GO;
	}
	*err = o->plan->err;
	return *err == 0 ? TRACE_DIE : TRACE_FAIL;
}

bool
trace_run(int (*fn)(void *), void *arg, const struct trace_plan *plan,
    struct trace_result *res)
{
	struct one one = { plan, res };
	const struct trace_hooks hooks = { .ctx = &one, .entry = one_entry,
	    .marked = plan->marked };

	*res = (struct trace_result){ 0 };
	return trace_follow(fn, arg, &hooks, &res->status);
}
