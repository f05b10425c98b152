/*
 * sandbox_linux.c - Landlock, seccomp and resource limits.
 *
 * Runs unprivileged, in every role, on itself.
 */
#include "config.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#ifdef WITH_SANDBOX
#include <linux/landlock.h>
#endif
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/base/log.h"
#include "core/base/sandbox.h"

/* Rights and attributes that this build's header may not know yet. */
#define LL_EXECUTE (1ull << 0)
#define LL_READ_FILE (1ull << 2)
#define LL_READ_DIR (1ull << 3)
#define LL_WRITE_FILE (1ull << 1)
#define LL_REMOVE_DIR (1ull << 4)
#define LL_REMOVE_FILE (1ull << 5)
#define LL_MAKE_DIR (1ull << 7)
#define LL_MAKE_REG (1ull << 8)
#define LL_REFER (1ull << 13)
#define LL_TRUNCATE (1ull << 14)

struct ll_attr {		/* struct landlock_ruleset_attr of ABI 6 */
	uint64_t fs, net, scoped;
};

#ifdef WITH_SANITIZERS
/* Leaks are looked for by a helper that reads /proc and uses ptrace: a
 * confined process would die of it at its end. */
static _Bool confined;
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return confined;
}
#endif

long
sandbox_landlock_abi(void)
{
#ifdef WITH_SANDBOX
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : abi;
#else
	return 0;
#endif
}

unsigned
sandbox_lacks(long abi)
{
	static const unsigned came[] = {0, SANDBOX_LANDLOCK, SANDBOX_REFER,
	    SANDBOX_TRUNCATE, SANDBOX_NET, SANDBOX_IOCTL, SANDBOX_SCOPE};
	unsigned lacks = 0;

	for (int i = 1; i < (int)(sizeof(came) / sizeof(came[0])); i++)
		if (abi < i)
			lacks |= came[i];
	return lacks;
}

unsigned
sandbox_missing(void)
{
	unsigned missing = sandbox_lacks(sandbox_landlock_abi());

#ifdef WITH_SANDBOX
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		missing |= SANDBOX_SECCOMP;
#else
	missing |= SANDBOX_SECCOMP;
#endif
	return missing;
}

_Bool
sandbox_may_chroot(void)
{
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_CHROOT, 0,
	    0) == 1;
}

#ifdef WITH_SANDBOX
static uint64_t
rights_of(uint32_t access, uint64_t handled)
{
	uint64_t rights = 0;

	if (access & CULVER_PATH_READ)
		rights |= LL_READ_FILE;
	if ((access & CULVER_PATH_READ) && (access & CULVER_PATH_DIR))
		rights |= LL_READ_DIR;
	if (access & CULVER_PATH_WRITE)
		rights |= LL_WRITE_FILE | LL_TRUNCATE;
	if (access & CULVER_PATH_CREATE)
		rights |= LL_MAKE_REG | LL_MAKE_DIR | LL_REMOVE_FILE |
		    LL_REMOVE_DIR | LL_REFER;
	if (access & CULVER_PATH_EXEC)
		rights |= LL_EXECUTE;
	return rights & handled;
}

/* Landlock 1 forbids link() and rename() between folders, whatever the rules
 * are: who does that, as every storage does, cannot be confined by it. */
static _Bool
moves_files(const struct sandbox_path *paths, size_t n)
{
	const uint32_t tree = CULVER_PATH_CREATE | CULVER_PATH_DIR;

	for (size_t i = 0; i < n; i++)
		if ((paths[i].access & tree) == tree)
			return 1;
	return 0;
}

static _Bool
rules_add(int set, const struct sandbox_path *paths, size_t n,
    uint64_t handled)
{
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr rule = {
		    .allowed_access = rights_of(paths[i].access, handled),
		    .parent_fd = paths[i].fd};

		if (syscall(SYS_landlock_add_rule, set,
		    LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
			return 0;
	}
	return 1;
}
#endif

_Bool
sandbox_landlock(const struct sandbox_path *paths, size_t n, _Bool net)
{
#ifdef WITH_SANITIZERS
	confined = 1;
#endif
#ifdef WITH_SANDBOX
	long abi = sandbox_landlock_abi();
	struct ll_attr attr = {.fs = (1ull << 13) - 1};
	size_t size = sizeof(attr);
	_Bool ok;
	int set;

	if (abi < 1 || (abi < 2 && moves_files(paths, n)))
		return 1;
	if (abi >= 2)
		attr.fs |= LL_REFER;
	if (abi >= 3)
		attr.fs |= LL_TRUNCATE;
	if (abi >= 5)
		attr.fs |= 1ull << 15;	/* ioctl on devices */
	if (abi >= 4 && !net)
		attr.net = 3;		/* bind and connect */
	if (abi >= 6)
		attr.scoped = 3;	/* abstract sockets, signals */
	else
		size = abi >= 4 ? 16 : 8;
	set = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (set < 0)
		return 0;
	ok = rules_add(set, paths, n, attr.fs) &&
	    syscall(SYS_landlock_restrict_self, set, 0) == 0;
	close(set);
	return ok;
#else
	(void)paths, (void)n, (void)net;
	return 1;
#endif
}

_Bool
sandbox_seccomp(const struct sock_filter *filter, size_t n)
{
#ifdef WITH_SANDBOX
	struct sock_fprog prog = {.len = (unsigned short)n,
	    .filter = (struct sock_filter *)(uintptr_t)filter};

	if (n == 0 || n > BPF_MAXINSNS) {
		errno = EINVAL;
		return 0;
	}
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0;
#else
	(void)filter, (void)n;
	return 1;
#endif
}

static void
on_trap(int sig, siginfo_t *info, void *context)
{
	static uint64_t seen[16];	/* a bit a system call number */
	ucontext_t *uc = context;
	unsigned nr = (unsigned)info->si_syscall;
	int saved = errno;

	(void)sig;
#if defined(__x86_64__)
	uc->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
	uc->uc_mcontext.regs[0] = (unsigned long long)-ENOSYS;
#else
#error "say where this machine returns the result of a system call"
#endif
	if (nr < 1024 && (seen[nr / 64] & (1ull << nr % 64)) == 0) {
		seen[nr / 64] |= 1ull << nr % 64;
		/* The trap is synchronous: it happens only at the calls of
		 * this thread, so formatting here is as safe as there. */
		log_warnx("system call %u is not allowed here: ENOSYS", nr);
	}
	errno = saved;
}

_Bool
sandbox_trap(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap,
	    .sa_flags = SA_SIGINFO | SA_NODEFER};

	return sigaction(SIGSYS, &sa, NULL) == 0;
}

/* No process here may raise a limit: one that is lower already stays. */
static _Bool
limit_set(int what, uint64_t value)
{
	struct rlimit rl = {.rlim_cur = value, .rlim_max = value};
	struct rlimit now;

	if (setrlimit((__rlimit_resource_t)what, &rl) == 0)
		return 1;
	if (getrlimit((__rlimit_resource_t)what, &now) != 0 ||
	    now.rlim_max >= value)
		return 0;
	rl.rlim_cur = rl.rlim_max = now.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &rl) == 0;
}

_Bool
sandbox_limits(const struct sandbox_limits *l)
{
	/* An exec made the process dumpable again. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 0;
#ifdef WITH_SANITIZERS
	(void)l;		/* shadow memory is larger than any limit */
	return limit_set(RLIMIT_CORE, 0);
#else
	return limit_set(RLIMIT_CORE, 0) &&
	    (l->descriptors == 0 || limit_set(RLIMIT_NOFILE, l->descriptors)) &&
	    (l->memory == 0 || limit_set(RLIMIT_DATA, l->memory)) &&
	    (!l->no_processes || limit_set(RLIMIT_NPROC, 0));
#endif
}
