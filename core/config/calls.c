/*
 * calls.c - which system calls every role may make: lists, and no code.
 *
 * Compiled by filter.c in the config role; the result is installed in every
 * role.
 *
 * How to amend: add the call to the list of the role that needs it, with the
 * reason beside it if it is not plain, and the narrowest condition on its
 * arguments.  `calls_plugin_base' is part of the plugin ABI and only grows.
 */
#include "config.h"

#include "core/config/calls.h"

#ifdef WITH_SANDBOX

#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <culver/plugin.h>

#include "plugins/common/dotlock.h"

#define EQ(a, v) .cond = C_EQ, .arg = (a), .value = (v)
#define AND_EQ(a, v) .cond2 = C_EQ, .arg2 = (a), .value2 = (v)
#define CLEAR(a, bits) .cond = C_CLEAR, .arg = (a), .value = (bits)
#define HAS(a, bits) .cond = C_SET, .arg = (a), .value = (bits)
#define END {.name = NULL}

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
/* Mount, cgroup, UTS, IPC, user, PID and network namespaces (sched.h) */
#define CLONE_NEW 0x7e020000
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

/* What the C library does under any program: memory without execution,
 * clocks, own signals, open descriptors, the end. */
static const struct call common[] = {
	{"brk"}, {"mmap", CLEAR(2, PROT_EXEC)}, {"munmap"},
	{"mprotect", CLEAR(2, PROT_EXEC)}, {"mremap"}, {"madvise"},
	{"futex"},			/* locks, also without threads */
	{"getrandom"},
	{"clock_gettime"}, {"clock_getres"}, {"gettimeofday"}, {"time"},
	{"nanosleep"}, {"clock_nanosleep"}, {"restart_syscall"},
	{"rt_sigaction"}, {"rt_sigprocmask"}, {"rt_sigreturn"},
	{"sigaltstack"},
	{"exit"}, {"exit_group"},
	{"getpid"}, {"getppid"}, {"gettid"}, {"getuid"}, {"geteuid"},
	{"getgid"}, {"getegid"}, {"getresuid"}, {"getresgid"},
	{"getgroups"}, {"getpgrp"}, {"getrusage"}, {"times"}, {"sysinfo"},
	{"uname"},
	{"getcpu"}, {"sched_yield"}, {"sched_getaffinity"},
	/* getrlimit(): own limits, nothing set */
	{"prlimit64", EQ(0, 0), AND_EQ(2, 0)}, {"getrlimit"},
	{"prctl", EQ(0, PR_SET_NAME)}, {"prctl", EQ(0, PR_GET_NAME)},
	{"prctl", EQ(0, PR_GET_DUMPABLE)},
	{"prctl", EQ(0, PR_SET_VMA)},	/* malloc of newer glibc */
	/* sandbox_missing() asks what the kernel can */
	{"prctl", EQ(0, PR_GET_SECCOMP)},
	{"landlock_create_ruleset", EQ(0, 0)},
	{"close"}, {"close_range"}, {"read"}, {"readv"}, {"pread64"},
	{"preadv"}, {"preadv2"}, {"write"}, {"writev"}, {"lseek"},
	/* glibc 2.33 to 2.38 make fstat() of it */
	{"fstat"}, {"newfstatat", HAS(3, AT_EMPTY_PATH)},
	{"dup"}, {"dup2"}, {"dup3"},
	/* by command, so that no owner of signals is set (F_SETOWN) */
	{"fcntl", EQ(1, F_GETFD)}, {"fcntl", EQ(1, F_SETFD)},
	{"fcntl", EQ(1, F_GETFL)}, {"fcntl", EQ(1, F_SETFL)},
	{"fcntl", EQ(1, F_DUPFD)}, {"fcntl", EQ(1, F_DUPFD_CLOEXEC)},
	{"fcntl", EQ(1, F_GET_SEALS)},
	/* by request, for the same reason (FIOSETOWN) */
	{"ioctl", EQ(1, FIONREAD)}, {"ioctl", EQ(1, FIONBIO)},
	{"ioctl", EQ(1, TCGETS)},	/* stdio asks whether it is a tty */
	END
};

/* Waiting for, and talking over, sockets that somebody else made. */
static const struct call channels[] = {
	{"poll"}, {"ppoll"}, {"select"}, {"pselect6"},
	{"epoll_create1"}, {"epoll_ctl"}, {"epoll_wait"}, {"epoll_pwait"},
	{"epoll_pwait2"},
	{"recvmsg"}, {"recvfrom"}, {"recvmmsg"}, {"sendmsg"}, {"sendto"},
	{"sendmmsg"}, {"shutdown"}, {"getsockopt"}, {"setsockopt"},
	{"getsockname"}, {"getpeername"},
	END
};

/* Files, within what Landlock leaves.  Path forms that Landlock does not
 * know (chmod, chown, truncate, utimes, xattr) are not here: another
 * mailbox of the same uid would be open to them. */
static const struct call files[] = {
	{"open"}, {"openat"}, {"openat2"}, {"creat"},
	{"stat"}, {"lstat"}, {"newfstatat"}, {"statx"}, {"statfs"},
	{"fstatfs"}, {"access"}, {"faccessat"}, {"faccessat2"},
	{"readlink"}, {"readlinkat"}, {"getcwd"}, {"getdents64"},
	{"mkdir"}, {"mkdirat"}, {"rmdir"}, {"unlink"}, {"unlinkat"},
	{"link"}, {"linkat"}, {"rename"}, {"renameat"}, {"renameat2"},
	{"pwrite64"}, {"pwritev"}, {"pwritev2"}, {"ftruncate"},
	{"fallocate"}, {"fsync"}, {"fdatasync"}, {"syncfs"},
	{"sync_file_range"}, {"msync"}, {"mincore"}, {"fadvise64"},
	{"readahead"}, {"sendfile"}, {"copy_file_range"}, {"flock"},
	{"fchmod"}, {"fchown"},
	{"utimensat", EQ(1, 0)},	/* futimens(): no path */
	{"fsetxattr"}, {"fgetxattr"}, {"flistxattr"}, {"fremovexattr"},
	{"mlock"}, {"munlock"},		/* secrets */
	{"memfd_create"}, {"pipe2"}, {"pipe"}, {"eventfd2"}, {"splice"},
	{"timerfd_create"}, {"timerfd_settime"}, {"timerfd_gettime"},
	{"fcntl", EQ(1, F_GETLK)}, {"fcntl", EQ(1, F_SETLK)},
	{"fcntl", EQ(1, F_SETLKW)}, {"fcntl", EQ(1, F_OFD_GETLK)},
	{"fcntl", EQ(1, F_OFD_SETLK)}, {"fcntl", EQ(1, F_OFD_SETLKW)},
	{"fcntl", EQ(1, F_ADD_SEALS)},
	END
};

const struct call *const calls_plugin_base[] = {common, channels, files,
    NULL};

/* CULVER_NEED_NET: streams and datagrams, and what getaddrinfo() does. */
static const struct call need_net[] = {
	{"socket", EQ(0, AF_INET)}, {"socket", EQ(0, AF_INET6)},
	{"socket", EQ(0, AF_UNIX)},	/* databases, resolvers */
	{"socket", EQ(0, AF_NETLINK)},	/* which addresses are there */
	{"connect"}, {"bind"}, {"socketpair", EQ(0, AF_UNIX)},
	/* NSS modules are loaded at the first name */
	{"mmap", CLEAR(3, MAP_ANONYMOUS)},
	END
};

/* CULVER_NEED_EXEC: an auth plugin's helper programs.  No new namespaces: in
 * a user namespace of its own a process has all capabilities.  So no clone3()
 * either, whose flags a filter cannot read.  To a process without capabilities
 * the kernel gives no ids but its own.  Sockets of this machine are syslog,
 * nscd and sssd. */
static const struct call need_exec[] = {
	{"clone", CLEAR(0, CLONE_NEW)}, {"fork"}, {"vfork"}, {"execve"},
	{"execveat"}, {"wait4"}, {"waitid"}, {"kill"}, {"tgkill"},
	{"pidfd_open"}, {"pidfd_send_signal"},
	{"set_robust_list"}, {"rseq"}, {"set_tid_address"}, {"arch_prctl"},
	{"setpgid"}, {"setsid"}, {"getpgrp"}, {"getpgid"}, {"umask"},
	{"chdir"}, {"fchdir"}, {"sysinfo"}, {"prlimit64", EQ(0, 0)},
	{"mmap"}, {"mprotect"},		/* a program's loader */
	{"socketpair", EQ(0, AF_UNIX)},	/* to talk to it */
	{"socket", EQ(0, AF_UNIX)}, {"connect"},
	{"prctl", EQ(0, PR_SET_PDEATHSIG)},
	/* fewer calls still, so that programs stay in their group */
	{"prctl", EQ(0, PR_SET_SECCOMP), AND_EQ(1, SECCOMP_MODE_FILTER)},
	{"setuid"}, {"setgid"}, {"setgroups"}, {"setreuid"}, {"setregid"},
	{"setresuid"}, {"setresgid"}, {"setfsuid"}, {"setfsgid"},
	/* what interpreters do */
	{"ioctl", EQ(1, FIOCLEX)}, {"ioctl", EQ(1, FIONCLEX)}, {"getsid"},
	{"pause"}, {"alarm"}, {"setitimer"}, {"getitimer"},
	{"rt_sigpending"}, {"rt_sigsuspend"}, {"rt_sigtimedwait"},
	END
};

/* CULVER_NEED_THREADS. */
static const struct call need_threads[] = {
	{"clone", HAS(0, 0x00010000)},	/* CLONE_THREAD: excludes NEWUSER */
	{"set_robust_list"}, {"rseq"}, {"sched_setaffinity", EQ(0, 0)},
	{"sched_getparam"}, {"sched_getscheduler"}, {"membarrier"},
	END
};

/* A gate: connections, and the inner ends of its TLS. */
static const struct call gate[] = {
	{"accept4"}, {"socketpair", EQ(0, AF_UNIX)},
	END
};

/* A pool: a call that hangs past its deadline ends the process. */
static const struct call pool[] = {
	{"setitimer"},
	END
};

/* certcheck: sealed memfds with fresh ticket keys. */
static const struct call certcheck[] = {
	{"memfd_create"}, {"ftruncate"}, {"pwrite64"},
	{"fcntl", EQ(1, F_ADD_SEALS)},
	END
};

/* lmtp: connections, channels to workers, files in its spool. */
static const struct call lmtp[] = {
	{"accept4"}, {"socketpair", EQ(0, AF_UNIX)},
	{"openat"}, {"unlinkat"}, {"getdents64"}, {"newfstatat"},
	END
};

/* A locker: the directory, dotlocks in it, and Landlock once the worker said
 * which directory that is. */
static const struct call locker[] = {
	{"openat", EQ(2, O_PATH | O_DIRECTORY | O_CLOEXEC)},
	{"openat", EQ(2, DOTLOCK_LOOK)},
	{"openat", EQ(2, DOTLOCK_MAKE), AND_EQ(3, DOTLOCK_MODE)},
	{"newfstatat"}, {"statx"}, {"linkat"}, {"unlinkat", EQ(2, 0)},
	{"renameat"}, {"renameat2"}, {"fsync"},
	{"utimensat", EQ(1, 0)},	/* futimens(): no path */
	{"fcntl", EQ(1, F_OFD_SETLK)},
	{"landlock_create_ruleset"}, {"landlock_add_rule"},
	{"landlock_restrict_self"},
	END
};

/* Sockets between roles, culverctl's connections, diagnoses. */
static const struct call manager[] = {
	{"socketpair"}, {"accept4"}, {"memfd_create"}, {"pwrite64"}, END
};

/* log: one file or socket that master opened. */
static const struct call log_role[] = {
	{"fsync"}, {"fdatasync"},
	END
};

/* metrics: connections; what it tells comes as a descriptor. */
static const struct call metrics[] = {
	{"accept4"},
	END
};

/* config: reads files, loads modules, makes memfds; Landlock again. */
static const struct call config_role[] = {
	{"open"}, {"openat"}, {"stat"}, {"lstat"}, {"newfstatat"}, {"statx"},
	{"access"}, {"faccessat"}, {"faccessat2"}, {"readlink"},
	{"readlinkat"}, {"getcwd"}, {"getdents64"}, {"fstatfs"},
	{"mmap", CLEAR(3, MAP_ANONYMOUS)},	/* modules */
	/* libraries of modules ask which capabilities there are */
	{"prctl", EQ(0, PR_CAPBSET_READ)}, {"prctl", EQ(0, PR_GET_SECUREBITS)},
	{"prctl", EQ(0, PR_GET_NO_NEW_PRIVS)},
	{"prctl", EQ(0, PR_CAP_AMBIENT), AND_EQ(1, PR_CAP_AMBIENT_IS_SET)},
	{"memfd_create"}, {"ftruncate"}, {"pwrite64"},
	{"fcntl", EQ(1, F_ADD_SEALS)},
	{"landlock_create_ruleset"}, {"landlock_add_rule"},
	{"landlock_restrict_self"},
	END
};

const char *const calls_denied[] = {
	"socket", "connect", "bind", "listen", "socketpair",
	"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	"pidfd_open", "pidfd_send_signal", "pidfd_getfd",
	"ptrace", "process_vm_readv", "process_vm_writev",
	"prlimit64", "setrlimit", "setpriority", "ioprio_set",
	"sched_setaffinity", "sched_setscheduler", "sched_setparam",
	"sched_setattr", "execve", "execveat", "fork", "vfork", "clone",
	"chmod", "fchmodat", "chown", "lchown", "fchownat", "truncate",
	"utime", "utimes", "futimesat", "utimensat", "setxattr",
	"lsetxattr", "removexattr", "lremovexattr", "getxattr", "lgetxattr",
	"listxattr", "llistxattr", "mknod", "mknodat", "symlink",
	"symlinkat", "chdir", "fchdir", "chroot", "umask",
	"mmap", "mprotect", "prctl", "fcntl", "ioctl",
	/* roles without files: the C library looks for locales and the like */
	"open", "openat", "openat2", "stat", "lstat", "newfstatat", "statx",
	"access", "faccessat", "faccessat2", "readlink", "readlinkat",
	NULL
};

#ifdef WITH_SANITIZERS
/* What AddressSanitizer and its kin do in a process, in any role. */
static const struct call sanitizers[] = {
	{"mmap"}, {"mprotect"}, {"clone"}, {"wait4"}, {"tgkill"}, {"kill"},
	{"openat"}, {"open"}, {"readlink"}, {"readlinkat"}, {"newfstatat"},
	{"stat"}, {"prctl"}, {"sched_yield"}, {"personality"},
	{"set_robust_list"}, {"rseq"}, {"getrlimit"}, {"setrlimit"},
	{"prlimit64", EQ(0, 0)}, {"sysinfo"}, {"pipe2"}, {"dup2"},
	{"ptrace"}, {"process_vm_readv"}, {"msync"}, {"mincore"},
	END
};
#endif

struct role {
	const struct call *lists[5];
};

static const struct role roles[] = {
	[FILTER_CONFIG] = {{common, channels, config_role, NULL}},
	[FILTER_GATE] = {{common, channels, gate, NULL}},
	[FILTER_AUTH] = {{common, channels, NULL}},
	[FILTER_LOG] = {{common, channels, log_role, NULL}},
	[FILTER_LMTP] = {{common, channels, lmtp, NULL}},
	[FILTER_METRICS] = {{common, channels, metrics, NULL}},
	[FILTER_LOCKER] = {{common, channels, locker, NULL}},
	[FILTER_MANAGER] = {{common, channels, manager, NULL}},
	[FILTER_CERTCHECK] = {{common, channels, certcheck, NULL}},
	[FILTER_POOL] = {{common, channels, files, pool, NULL}},
	[FILTER_WORKER] = {{common, channels, files, NULL}},
};

void
calls_collect(enum filter_kind kind, uint64_t needs,
    const struct call *all[CALLS_MAX_LISTS])
{
	size_t n = 0;

	for (; roles[kind].lists[n] != NULL; n++)
		all[n] = roles[kind].lists[n];
	if (kind == FILTER_POOL || kind == FILTER_WORKER) {
		if (needs & CULVER_NEED_NET)
			all[n++] = need_net;
		if ((needs & CULVER_NEED_EXEC) && kind == FILTER_POOL)
			all[n++] = need_exec;
		if ((needs & CULVER_NEED_THREADS) && kind == FILTER_POOL)
			all[n++] = need_threads;
	}
#ifdef WITH_SANITIZERS
	all[n++] = sanitizers;
#endif
	all[n] = NULL;
}

#endif /* WITH_SANDBOX */
