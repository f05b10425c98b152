/*
 * filter.c - which system calls each role may make, and the compiled filter.
 *
 * Runs in the config role.  A role has what `common` lists and its own list;
 * anything else raises SIGSYS, whose handler (base/sandbox_linux.c) makes the
 * call return ENOSYS and logs its number once, so that a plugin or library
 * which tries something unusual is not killed for it.  Another architecture's
 * calls kill the process.
 *
 * To amend a list, add a line with the reason if it is not obvious.  The
 * worker's list is the base set of the plugin ABI (culver-plugin(7)): it only
 * grows, and each line is part of a promise.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/config/conf.h"
#include "core/config/filter.h"

#ifdef WITH_SANDBOX

#include <seccomp.h>

/* One allowed call; with a condition on one argument if `test` says so. */
enum test { ANY, ARG_IS, ARG_LACKS };	/* LACKS: no bit of VALUE is set */

struct call {
	int nr;
	enum test test;
	unsigned arg;
	uint64_t value;
};

#define CALL(name) {SCMP_SYS(name), ANY, 0, 0}
#define CALL_IF(name, arg, value) {SCMP_SYS(name), ARG_IS, arg, value}
#define CALL_WITHOUT(name, arg, bits) {SCMP_SYS(name), ARG_LACKS, arg, bits}
#define LIST_END {0, ANY, 99, 0}

/* Memory, time, signals to itself, descriptors it has. */
static const struct call common[] = {
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64),
	CALL(pwrite64), CALL(close), CALL(lseek), CALL(fstat),
	CALL_WITHOUT(mmap, 2, PROT_EXEC), CALL(munmap), CALL(mremap),
	CALL_WITHOUT(mprotect, 2, PROT_EXEC), CALL(madvise), CALL(brk),
	CALL(mlock), CALL(munlock), CALL(futex), CALL(getrandom),
	CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep),
	CALL(nanosleep), CALL(gettimeofday), CALL(time),
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
	CALL(sigaltstack), CALL(restart_syscall), CALL(sched_yield),
	CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid),
	CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getresuid),
	CALL(getresgid), CALL(getrusage), CALL(uname), CALL(sysinfo),
	CALL(sched_getaffinity),	/* sysconf(_SC_NPROCESSORS_ONLN) */
	CALL(exit), CALL(exit_group),
	CALL(poll), CALL(ppoll), CALL(select), CALL(pselect6),
	CALL(sendmsg), CALL(recvmsg), CALL(sendto), CALL(recvfrom),
	CALL(getsockopt), CALL(shutdown),
	/* fcntl without F_SETOWN, F_SETOWN_EX and F_SETSIG: they send
	 * signals to others */
	CALL_IF(fcntl, 1, F_DUPFD), CALL_IF(fcntl, 1, F_DUPFD_CLOEXEC),
	CALL_IF(fcntl, 1, F_GETFD), CALL_IF(fcntl, 1, F_SETFD),
	CALL_IF(fcntl, 1, F_GETFL), CALL_IF(fcntl, 1, F_SETFL),
	CALL_IF(fcntl, 1, F_GETLK), CALL_IF(fcntl, 1, F_SETLK),
	CALL_IF(fcntl, 1, F_SETLKW), CALL_IF(fcntl, 1, F_OFD_GETLK),
	CALL_IF(fcntl, 1, F_OFD_SETLK), CALL_IF(fcntl, 1, F_OFD_SETLKW),
	CALL_IF(fcntl, 1, F_ADD_SEALS), CALL_IF(fcntl, 1, F_GET_SEALS),
	CALL_IF(prlimit64, 0, 0),	/* its own limits */
	LIST_END
};

static const struct call loop[] = {
	CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_ctl),
	LIST_END
};

/* Names in the file system: Landlock says which. */
static const struct call files[] = {
	CALL(open), CALL(openat), CALL(stat), CALL(lstat), CALL(newfstatat),
	CALL(statx), CALL(access), CALL(faccessat), CALL(faccessat2),
	CALL(readlink), CALL(readlinkat), CALL(getdents64), CALL(getcwd),
	CALL(statfs), CALL(fstatfs), CALL(fadvise64), CALL(readahead),
	CALL(ftruncate), CALL(memfd_create),
	LIST_END
};

/* The base set for plugins: changing files, but by path only what Landlock
 * guards; chmod, chown, truncate, utimes and xattr by descriptor only. */
static const struct call plugin[] = {
	CALL(creat), CALL(unlink), CALL(unlinkat), CALL(rename),
	CALL(renameat), CALL(renameat2), CALL(link), CALL(linkat),
	CALL(mkdir), CALL(mkdirat), CALL(rmdir), CALL(fallocate),
	CALL(fsync), CALL(fdatasync), CALL(sync_file_range), CALL(syncfs),
	CALL(flock), CALL(fchmod), CALL(fchown), CALL(fsetxattr),
	CALL(fgetxattr), CALL(flistxattr), CALL(fremovexattr),
	CALL_IF(utimensat, 1, 0),	/* futimens() */
	CALL(copy_file_range), CALL(sendfile), CALL(splice), CALL(msync),
	CALL(mincore), CALL(dup), CALL(dup2), CALL(dup3), CALL(pipe2),
	CALL(eventfd2), CALL(timerfd_create), CALL(timerfd_settime),
	CALL(timerfd_gettime), CALL(epoll_create1), CALL(preadv),
	CALL(pwritev), CALL(preadv2), CALL(pwritev2), CALL(getgroups),
	CALL(setitimer), CALL(getitimer), CALL(times), CALL(getpgrp),
	LIST_END
};

static const struct call worker[] = {
	/* the client's socket */
	CALL(setsockopt), CALL(getsockname), CALL(getpeername),
	LIST_END
};

static const struct call pool[] = {
	/* its deadline: a call that hangs ends the process */
	CALL(alarm), CALL(timer_create), CALL(timer_settime),
	CALL(timer_delete),
	LIST_END
};

static const struct call net[] = {
	CALL(socket), CALL(connect), CALL(bind), CALL(setsockopt),
	CALL(getsockname), CALL(getpeername), CALL(sendmmsg), CALL(recvmmsg),
	LIST_END
};

static const struct call threads[] = {
	CALL_IF(clone, 0, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
	    CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
	    CLONE_CHILD_CLEARTID),
	CALL(set_robust_list), CALL(rseq), CALL(sched_setaffinity),
	LIST_END
};

static const struct call exec[] = {
	CALL(clone), CALL(fork), CALL(vfork), CALL(execve), CALL(wait4),
	CALL(waitid), CALL(kill), CALL(pipe), CALL(arch_prctl), CALL(chdir),
	CALL(setpgid), CALL(setsid), CALL(umask), CALL(close_range),
	CALL(mmap), CALL(mprotect), CALL(set_tid_address),
	CALL(set_robust_list), CALL(rseq), CALL(ioctl), CALL(prlimit64),
	CALL(socketpair),
	LIST_END
};

static const struct call gate[] = {
	CALL(accept4), CALL(socketpair), CALL(setsockopt), CALL(getsockname),
	LIST_END
};

static const struct call certcheck[] = {
	CALL(memfd_create),	/* ticket keys */
	LIST_END
};

static const struct call logger[] = {
	CALL(fsync), CALL(fdatasync),
	LIST_END
};

/* It loads plugins (executable mappings) and looks at their owners. */
static const struct call config[] = {
	CALL(mmap), CALL(mprotect), CALL(memfd_create), CALL(getgroups),
	LIST_END
};

static const struct call *const lists[][5] = {
	[FILTER_CONFIG] = {common, files, config},
	[FILTER_CERTCHECK] = {common, certcheck},
	[FILTER_GATE] = {common, loop, gate},
	[FILTER_AUTH] = {common, loop},
	[FILTER_POOL] = {common, files, plugin, pool},
	[FILTER_WORKER] = {common, files, plugin, worker},
	[FILTER_LOG] = {common, loop, logger},
};

static int
list_add(scmp_filter_ctx ctx, const struct call *c)
{
	int r = 0;

	for (; r == 0 && c->arg != 99; c++) {
		/* EQ compares with A; MASKED_EQ masks with A, compares with B */
		struct scmp_arg_cmp cmp = {.arg = c->arg,
		    .op = c->test == ARG_IS ? SCMP_CMP_EQ : SCMP_CMP_MASKED_EQ,
		    .datum_a = c->value, .datum_b = 0};

		if (c->nr < 0)		/* not on this architecture */
			continue;
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, c->nr,
		    c->test == ANY ? 0 : 1, &cmp);
	}
	return r;
}

static int
rules_add(scmp_filter_ctx ctx, enum filter_kind kind, uint64_t needs)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < 5 && lists[kind][i] != NULL; i++)
		r = list_add(ctx, lists[kind][i]);
	if (r == 0 && (needs & CULVER_NEED_NET))
		r = list_add(ctx, net);
	if (r == 0 && (needs & CULVER_NEED_THREADS))
		r = list_add(ctx, threads);
	if (r == 0 && (needs & CULVER_NEED_EXEC))
		r = list_add(ctx, exec);
	/* glibc asks for clone3 first and falls back when it is not there. */
	if (r == 0 && (needs & (CULVER_NEED_THREADS | CULVER_NEED_EXEC)))
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	return r;
}

#ifdef WITH_SANITIZERS
/* A sanitizer's runtime calls what it likes; what matters for tests of the
 * separation stays denied in every other build. */
#define DEFAULT_ACTION SCMP_ACT_ALLOW
#else
#define DEFAULT_ACTION SCMP_ACT_TRAP
#endif

size_t
filter_compile(enum filter_kind kind, uint64_t needs, struct sock_filter *out)
{
	scmp_filter_ctx ctx = seccomp_init(DEFAULT_ACTION);
	int fd = memfd_create("filter", MFD_CLOEXEC), r = -1;
	ssize_t n = -1;

	errno = ENOMEM;
	if (ctx == NULL || fd < 0)
		goto out;
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) != 0)
		goto out;
#ifndef WITH_SANITIZERS
	r = rules_add(ctx, kind, needs);
#else
	(void)rules_add, (void)needs, (void)kind;
	r = 0;
#endif
	if (r != 0 || (r = seccomp_export_bpf(ctx, fd)) != 0) {
		errno = -r;
		goto out;
	}
	n = pread(fd, out, CONF_MAX_FILTER * sizeof(*out), 0);
	if (n == (ssize_t)(CONF_MAX_FILTER * sizeof(*out))) {
		errno = E2BIG;
		n = -1;
	}
out:
	if (ctx != NULL)
		seccomp_release(ctx);
	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n / sizeof(*out) : 0;
}

#else /* !WITH_SANDBOX */

size_t
filter_compile(enum filter_kind kind, uint64_t needs, struct sock_filter *out)
{
	(void)kind, (void)needs, (void)out;
	errno = ENOTSUP;
	return 0;
}

#endif
