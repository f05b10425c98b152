/*
 * test_config_filter.c - the seccomp filters that the config role compiles: a
 * process below each does what it must and must not.
 *
 * There is nothing to test in a build without filters, nor in one with
 * sanitizers, which need calls that the filters refuse.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/config/filter.h"
#include "tests/unit/configkit.h"

static int
fails(long result, int error)
{
	return result == -1 && errno == error;
}

/* What must and must not work below a storage plugin's filter; 0, or the
 * number of the line that was wrong. */
#define MUST(x) do { if (!(x)) return __LINE__; } while (0)

static int
try_storage(const char *dir)
{
	char path[4096];
	struct rlimit rl;
	int fd;

	snprintf(path, sizeof(path), "%s/probe", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0);
	MUST(fchmod(fd, 0600) == 0 && futimens(fd, NULL) == 0);
	MUST(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}) == 0);
	MUST(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	MUST(malloc(1 << 22) != NULL);
	MUST(fails(chmod(path, 0644), EPERM));
	MUST(fails(chown(path, getuid(), getgid()), EPERM));
	MUST(fails(truncate(path, 0), EPERM));
	MUST(fails(utimensat(AT_FDCWD, path, NULL, 0), ENOSYS));
	MUST(fails(syscall(SYS_setxattr, path, "user.x", "", 0, 0), EPERM));
	MUST(fails(syscall(SYS_lremovexattr, path, "user.x"), EPERM));
	MUST(fails(syscall(452, AT_FDCWD, path, 0644, 0), ENOSYS));
	MUST(fails(kill(getppid(), 0), EPERM));
	MUST(fails(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM));
	MUST(fails(syscall(SYS_pidfd_open, getppid(), 0), EPERM));
	MUST(fails(fcntl(fd, F_SETOWN, getppid()), ENOSYS));
	MUST(fails(ioctl(fd, 0x8901 /* FIOSETOWN */, &fd), ENOSYS));
	MUST(fails(prlimit(getppid(), RLIMIT_NOFILE, NULL, &rl), ENOSYS));
	MUST(fails(setrlimit(RLIMIT_NOFILE, &rl), ENOSYS));
	MUST(fails(setpriority(PRIO_PROCESS, 0, 1), EPERM));
	MUST(fails(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM));
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(socket(AF_UNIX, SOCK_STREAM, 0), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	MUST(fails(syscall(425 /* io_uring_setup */, 1, NULL), ENOSYS));
	MUST(fails(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), ENOSYS));
	MUST(mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	MUST(unlink(path) == 0);
	return 0;
}

static int
try_pool(const char *dir)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)dir;
	MUST(fd >= 0);
	MUST(fails(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS));
	MUST(fails(listen(fd, 1), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	return 0;
}

static int
try_gate(const char *dir)
{
	int pair[2];

	(void)dir;
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(fails(open("/etc/passwd", O_RDONLY), EPERM));
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(kill(getppid(), 0), EPERM));
	MUST((sandbox_missing() & SANDBOX_SECCOMP) == 0);
	return 0;
}

static int
try_auth(const char *dir)
{
	int pair[2];

	(void)dir;
	MUST(fails(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EPERM));
	MUST(fails(open("/etc/passwd", O_RDONLY), EPERM));
	MUST(fails(syscall(SYS_accept4, 0, NULL, NULL, 0), ENOSYS));
	return 0;
}

static void *
thread(void *arg)
{
	return arg;
}

static int
try_threads(const char *dir)
{
	pthread_t t;
	void *got = NULL;

	(void)dir;
	MUST(pthread_create(&t, NULL, thread, &got) == 0);
	MUST(pthread_join(t, &got) == 0 && got == &got);
	MUST(fails(fork(), EPERM) || errno == ENOSYS);
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	return 0;
}

static int
try_exec(const char *dir)
{
	char sh[] = "sh", c[] = "-c", script[] = "exit $(/bin/echo 7 | cat)";
	char *const argv[] = {sh, c, script, NULL};
	char bad[] = "exec unshare -U true 2>/dev/null";
	char *const denied[] = {sh, c, bad, NULL};
	int status = 0, fd;
	pid_t pid;

	(void)dir;
	MUST(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	/* unknown to the filter, and no end of a program without a handler */
	MUST(posix_spawn(&pid, "/bin/sh", NULL, NULL, denied, environ) == 0);
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);	/* syslog */
	MUST(fd >= 0 && close(fd) == 0);
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), ENOSYS));
	MUST(fails(socket(AF_NETLINK, SOCK_RAW, 0), EAFNOSUPPORT));
	MUST(fails(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM));
	/* no namespace, in which it would be root */
	MUST(fails(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
	    ENOSYS));
	MUST(fails(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0),
	    ENOSYS));
	MUST(fails(syscall(SYS_unshare, CLONE_NEWUSER), ENOSYS));
	MUST(fails(syscall(435 /* clone3 */, NULL, 0), ENOSYS));
	return 0;
}

static int
try_names(const char *dir)
{
	struct addrinfo *found = NULL;

	(void)dir;
	MUST(getaddrinfo("localhost", "110", NULL, &found) == 0);
	freeaddrinfo(found);
	return 0;
}

static void
quiet(int level, const char *text)
{
	(void)level, (void)text;
}

static void
below(const struct sock_filter *filter, size_t n, const char *what,
    int (*try_it)(const char *dir))
{
	int status;
	pid_t pid;

	assert_in_range(n, 10, CONF_MAX_FILTER);
	pid = fork();
	if (pid == 0) {
		log_set_sink(quiet);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    !sandbox_trap() || !sandbox_seccomp(filter, n))
			_exit(1);
		int line = try_it(modules);
		char text[64];
		int len = snprintf(text, sizeof(text), "line %d: errno %d\n",
		    line, errno);

		if (line != 0 && write(2, text, (size_t)len) != len)
			_exit(3);
		_exit(line != 0 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: status %#x", what, (unsigned)status);
}

/* The filter in the snapshot of KIND. */
static void
below_filter(enum conf_kind kind, void *conf, size_t size,
    int (*try_it)(const char *dir))
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	int fd = snap_fd(kind, 0);
	char what[16];

	snprintf(what, sizeof(what), "kind %d", (int)kind);
	assert_true(conf_read(fd, kind, conf, size));
	below(filter, conf_filter(fd, conf, filter), what, try_it);
}

static void
needs_add_what_they_say(void **state)
{
	static struct sock_filter filter[CONF_MAX_FILTER];

	(void)state;
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_THREADS,
	    filter), "threads", try_threads);
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_EXEC, filter),
	    "exec", try_exec);
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_NET, filter),
	    "net", try_names);
	below(filter, filter_compile(FILTER_WORKER, CULVER_NEED_NET, filter),
	    "net", try_names);
	/* What a storage plugin cannot have, it does not get either. */
	below(filter, filter_compile(FILTER_WORKER, CULVER_NEED_EXEC |
	    CULVER_NEED_THREADS, filter), "storage", try_storage);
}

static void
filters_allow_what_is_needed_and_no_more(void **state)
{
	static union {
		struct conf_section section;
		struct conf_gate gate;
		struct conf_auth auth;
		struct conf_log log;
		struct conf_certcheck certcheck;
	} c;

	(void)state;
	run_role("run", good, NULL);
	below_filter(CONF_STORAGE, &c, sizeof(c.section), try_storage);
	below_filter(CONF_POOL, &c, sizeof(c.section), try_pool);
	below_filter(CONF_GATE, &c, sizeof(c.gate), try_gate);
	below_filter(CONF_AUTH, &c, sizeof(c.auth), try_auth);
	below_filter(CONF_LOG, &c, sizeof(c.log), try_auth);
	below_filter(CONF_CERTCHECK, &c, sizeof(c.certcheck), try_auth);
	run_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(filters_allow_what_is_needed_and_no_more),
	    cmocka_unit_test(needs_add_what_they_say),
	};

	return cmocka_run_group_tests(tests, modules_make, modules_remove);
}
