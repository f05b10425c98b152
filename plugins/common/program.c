/*
 * program.c - start and end a program.
 *
 * Runs in a pool process as the auth user.  Between fork and exec only calls
 * are made that a signal handler could make, too.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/common/program.h"

#define KILL_TIME (200 * PROGRAM_MS)

/* --- arguments ------------------------------------------------------------ */

char **
program_argv(const struct culver_value *v, unsigned extra)
{
	size_t n = v->u.list.n;
	char **argv = calloc(n + extra + 1, sizeof(*argv));

	for (size_t i = 0; argv != NULL && i < n; i++)
		argv[i] = (char *)(uintptr_t)v->u.list.v[i].p;
	return argv;
}

culver_status
program_options(const struct culver_value *v, uint32_t first, uint32_t *bad,
    struct culver_call *call)
{
	const struct culver_value *program = &v[first + PROGRAM_PROGRAM];
	const struct culver_value *list = &v[first + PROGRAM_READ];
	const char *path = NULL;

	*bad = first + PROGRAM_PROGRAM;
	if (program->u.list.n == 0 || program->u.list.n > PROGRAM_MAX_ARGS)
		return culver_fail(call, CULVER_E_CONFIG, 0, "from 1 to %d "
		    "words are needed: the program and its arguments",
		    PROGRAM_MAX_ARGS);
	if (program->u.list.v[0].p[0] != '/')
		path = program->u.list.v[0].p;
	for (size_t i = 0; path == NULL && i < list->u.list.n; i++) {
		*bad = first + PROGRAM_READ;
		if (list->u.list.v[i].p[0] != '/')
			path = list->u.list.v[i].p;
	}
	return path == NULL ? CULVER_OK : culver_fail(call, CULVER_E_CONFIG, 0,
	    "\"%.100s\" is not an absolute path", path);
}

void
program_warn(const struct culver_host *host, const char *path)
{
	if (access(path, X_OK) != 0)
		culver_logf(host, CULVER_LOG_ERROR, "%s cannot be run as uid "
		    "%u: logins will fail", path, (unsigned)geteuid());
}

/* --- start ---------------------------------------------------------------- */

struct plan {			/* what the child does */
	char *const *argv, *const *env;
	const int *fd;
	unsigned n;
	int log, report;
	pid_t parent;
};

/* Put each descriptor in its place; false with errno. */
static bool
fds_place(struct plan *p)
{
	int above = PROGRAM_MAX_FDS + 1, from[PROGRAM_MAX_FDS];

	/* First out of the way of each other. */
	for (unsigned i = 0; i < p->n; i++) {
		from[i] = fcntl(p->fd[i] == PROGRAM_LOG ? p->log : p->fd[i],
		    F_DUPFD_CLOEXEC, above);
		if (from[i] < 0)
			return false;
	}
	p->report = fcntl(p->report, F_DUPFD_CLOEXEC, above);
	if (p->report < 0)
		return false;
	for (unsigned i = 0; i < p->n; i++)
		if (dup2(from[i], (int)i) < 0)
			return false;
	if (dup3(p->report, (int)p->n, O_CLOEXEC) < 0)
		return false;
	p->report = (int)p->n;
	return close_range(p->n + 1, UINT_MAX, 0) == 0;
}

/* To whoever would leave the group they say that it is done.  Calls of other
 * machines' numbers end a process by its role's filter. */
bool
program_apart(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsid, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setpgid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return false;
	/* a filter wants it; a pool process has it, and may not ask again */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ||
	    errno == EINVAL;	/* a kernel without: the start said so */
}

static void __attribute__((noreturn))
child(struct plan *p)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int err;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (program_apart() && getppid() == p->parent && fds_place(p))
		execve(p->argv[0], p->argv, p->env);
	err = errno;
	if (write(p->report, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* 0 once the program runs, or the errno for which it does not. */
static int
report_read(int fd)
{
	int err = 0;
	ssize_t n;

	do
		n = read(fd, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? err : 0;
}

static culver_status
start_fail(struct program *p, int err, const char *path,
    struct culver_call *call)
{
	int status;

	program_end(p, 0, &status);
	return culver_fail(call, CULVER_E_TEMP, err, "cannot run %s as uid "
	    "%u%s", path, (unsigned)geteuid(), err == EACCES ? ": it and its "
	    "interpreter must be executable for that user, and lie below "
	    "/usr, in the program's own folder or in `read'" :
	    err == ENOENT ? ": it or the interpreter in its first line" : "");
}

culver_status
program_start(struct program *p, char *const *argv, char *const *env,
    const int *fd, unsigned n, struct culver_call *call)
{
	struct plan plan = {.argv = argv, .env = env, .fd = fd, .n = n,
	    .parent = getpid()};
	int err[2] = {-1, -1}, report[2] = {-1, -1}, failed;

	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0 ||
	    pipe2(report, O_CLOEXEC) != 0 ||
	    fcntl(err[1], F_SETFL, 0) != 0 || (p->pid = fork()) < 0) {
		failed = errno;
		p->pid = 0;
		for (unsigned i = 0; i < 2; i++) {
			close(err[i]);
			close(report[i]);
		}
		return start_fail(p, failed, argv[0], call);
	}
	if (p->pid == 0) {
		plan.log = err[1];
		plan.report = report[1];
		child(&plan);
	}
	close(err[1]);
	close(report[1]);
	p->err = err[0];
	p->line_n = 0;
	failed = report_read(report[0]);
	close(report[0]);
	return failed == 0 ? CULVER_OK :
	    start_fail(p, failed, argv[0], call);
}

/* --- standard error ------------------------------------------------------- */

static void
line_log(struct program *p)
{
	p->line[p->line_n] = 0;
	if (p->line_n > 0 && p->lines++ < PROGRAM_MAX_LINES)
		culver_logf(p->host, CULVER_LOG_WARN, "%.60s: %s", p->name,
		    p->line);
	p->line_n = 0;
}

void
program_listen(struct program *p)
{
	char buf[4096];
	size_t seen = 0;
	ssize_t n = -1;

	/* A program that writes all the time must not keep us here. */
	while (p->err >= 0 && seen < 256 * 1024 &&
	    ((n = read(p->err, buf, sizeof(buf))) > 0 ||
	    (n < 0 && errno == EINTR))) {
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] == '\n')
				line_log(p);
			else if (p->line_n < PROGRAM_LINE)
				p->line[p->line_n++] =
				    buf[i] != 0 ? buf[i] : '?';
		seen += n > 0 ? (size_t)n : 0;
	}
	if (p->err >= 0 && n == 0) {	/* nobody has the other end */
		line_log(p);
		close(p->err);
		p->err = -1;
	}
}

void
program_quiet(struct program *p)
{
	if (p->lines > PROGRAM_MAX_LINES)
		culver_logf(p->host, CULVER_LOG_WARN, "%.60s: %u more lines "
		    "on its standard error", p->name,
		    p->lines - PROGRAM_MAX_LINES);
	p->lines = 0;
}

/* --- end ------------------------------------------------------------------ */

/* WNOWAIT: its number, which is also its group's, stays taken until the group
 * was killed. */
bool
program_wait(const struct program *p, uint64_t until)
{
	struct timespec pause = {.tv_nsec = 50000};
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG |
		    WNOWAIT) != 0 && errno != EINTR)
			return true;
		if (info.si_pid == p->pid)
			return true;
		if (p->host->now(p->host) >= until)
			return false;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 5000000)
			pause.tv_nsec *= 2;
	}
}

bool
program_end(struct program *p, uint64_t until, int *status)
{
	bool killed;

	*status = -1;
	if (p->pid > 0) {
		killed = !program_wait(p, until);
		kill(-p->pid, SIGKILL);
		kill(p->pid, SIGKILL);	/* before it had a group */
		if (killed &&
		    !program_wait(p, p->host->now(p->host) + KILL_TIME))
			return false;
		if (waitpid(p->pid, status, 0) != p->pid || killed)
			*status = -1;
		p->pid = 0;
	}
	program_listen(p);
	line_log(p);
	if (p->err >= 0)
		close(p->err);
	p->err = -1;
	return true;
}

const char *
program_status_text(int status, char buf[64])
{
	if (status == -1)
		return "was killed";
	if (WIFSIGNALED(status))
		snprintf(buf, 64, "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(buf, 64, "ended with status %d",
		    WEXITSTATUS(status));
	return buf;
}

int
program_left(const struct culver_host *host, uint64_t until)
{
	uint64_t now = host->now(host), left;

	if (now >= until)
		return 0;
	left = (until - now + PROGRAM_MS - 1) / PROGRAM_MS;
	return left > 60000 ? 60000 : (int)left;
}
