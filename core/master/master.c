/*
 * master.c - culverd: start, signals, reload, stop.
 *
 * Runs as root (or, not as root, everything is the caller's).  See master.h
 * for what this process may do, core/DESIGN.md for why.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/master/master.h"

#define CERT_TIME (30 * NS_PER_S)
#define TICKET_TIME (3600 * NS_PER_S)
enum { HIGH_FD = 64 };			/* above what session_setup() takes */

struct master master = {.log_target = -1,
    .children = TAILQ_HEAD_INITIALIZER(master.children),
    .ticket = {-1, -1, -1}};

static struct loop_io signals;
static struct loop_timer watch_timer, stop_timer;
static uint64_t ticket_at;
static int exit_status;
static int ready_pipe = -1;		/* to the process that was started */

/* One datagram to the service manager, if there is one (sd_notify(3)). */
void
master_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n == 0 || n >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un,
	    sun_path) + n)) < 0)
		log_warn("NOTIFY_SOCKET");
	if (fd >= 0)
		close(fd);
}

/* --- stop --------------------------------------------------------------------- */

static void
stop_now(struct loop_timer *t)
{
	struct child *c;

	(void)t;
	if (master.sessions > 0)
		log_warnx("stop: %u sessions did not end in time: killed",
		    master.sessions);
	session_kill_all();
	TAILQ_FOREACH (c, &master.children, link)
		if (c->role != R_LOG)
			kill(c->pid, SIGKILL);
}

void
master_stop(void)
{
	if (master.stopping) {
		stop_now(NULL);
		return;
	}
	master.stopping = 1;
	log_info("stopping: %u sessions may finish what they do",
	    master.sessions);
	master_notify("STOPPING=1");
	if (master.gen == NULL) {		/* still starting */
		exit_status = EX_TEMPFAIL;
		loop_stop(master.loop);
		return;
	}
	if (master.previous != NULL)
		gen_retire(master.previous);
	gen_ref(master.gen);
	session_kick(0, NULL, NULL);
	stop_timer.due = stop_now;
	loop_timer_set(master.loop, &stop_timer, clock_now() +
	    master.gen->conf.stop_grace);
	gen_retire(master.gen);
}

/* --- certificates and tickets ------------------------------------------------------ */

static void
certs_done(struct generation *gen, int diag)
{
	struct ipc_log_text text = {.level = LOG_ERROR_};

	gen_tickets();
	if (gen != NULL)
		gen_certs(gen);
	else
		child_tell(master.log, IPC_LOG_TEXT, &text, &diag, 1);
}

static void
watch_due(struct loop_timer *t)
{
	uint64_t now = clock_now();

	loop_timer_set(master.loop, t, now + CERT_TIME);
	master_notify("WATCHDOG=1");
	if (master.stopping || master.load != NULL ||
	    master.gen->conf.n_cert == 0 ||
	    (now < ticket_at && certs_stamp(master.gen) == master.gen->certs))
		return;
	if (load_certs(now >= ticket_at, certs_done) && now >= ticket_at)
		ticket_at = now + TICKET_TIME;
}

/* --- start and reload ---------------------------------------------------------------- */

static void
diag_copy(int diag)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(diag, buf, sizeof(buf), at)) > 0 &&
	       write(master.stderr_fd, buf, (size_t)n) == n)
		at += n;
}

_Bool
log_reopen(const struct generation *gen)
{
	int fd = file_open_log(master.foreground ? "stderr" : gen->conf.log,
	    &master.log_syslog);

	if (fd < 0)
		return 0;
	if (master.log_target >= 0)
		close(master.log_target);
	master.log_target = fd;
	return 1;
}

static void
reload_done(struct generation *gen, int diag)
{
	struct ipc_log_text text = {.level = LOG_ERROR_};

	if (gen != NULL && strcmp(gen->conf.run_dir,
	    master.gen->conf.run_dir) != 0) {
		dprintf(diag, "%s: run_dir cannot change in a reload: "
		    "restart culverd\n", master.conf_path);
		gen_unref(gen);
		gen = NULL;
	}
	if (gen != NULL && !gen_listen(gen, master.gen, diag)) {
		gen_unref(gen);
		gen = NULL;
	}
	if (gen == NULL) {
		log_errorx("reload refused: nothing has changed");
		child_tell(master.log, IPC_LOG_TEXT, &text, &diag, 1);
		master_notify("READY=1");
		control_reloaded(EINVAL, diag);
		return;
	}
	if (master.previous != NULL)
		gen_retire(master.previous);
	master.previous = master.gen;
	master.gen = gen;
	if (!log_reopen(gen))
		log_error("%s: the old log goes on", gen->conf.log);
	gen_start(gen);
	log_info("reloaded: generation %u", gen->number);
	control_reloaded(0, -1);
}

/* What was asked for while a load was under way comes after it. */
_Bool
master_reload(void)
{
	if (master.stopping || master.gen == NULL)
		return 0;
	if (master.load != NULL)
		return master.reload_again = 1;
	master.reload_again = 0;
	master_notify("RELOADING=1");
	return load_start("run", reload_done);
}

/* The first configuration is there, or not. */
static void
start_done(struct generation *gen, int diag)
{
	int control;

	diag_copy(diag);
	if (gen == NULL || file_run_dir(gen->conf.run_dir) < 0 ||
	    !gen_listen(gen, NULL, master.stderr_fd)) {
		exit_status = gen == NULL ? EX_CONFIG : EX_UNAVAILABLE;
		loop_stop(master.loop);
		return;
	}
	control = file_control(gen->conf.run_dir, gen->conf.control_gid);
	if (control < 0 || !control_open(control) || !log_reopen(gen)) {
		log_error("%s or its control socket", gen->conf.log);
		exit_status = EX_UNAVAILABLE;
		loop_stop(master.loop);
		return;
	}
	master.gen = gen;
	master.missing = sandbox_missing();
	gen_start(gen);
	ticket_at = clock_now() + TICKET_TIME;
	watch_timer.due = watch_due;
	loop_timer_set(master.loop, &watch_timer, clock_now() + CERT_TIME);
	log_info("culverd %s started: pid %d, %s", PACKAGE_VERSION,
	    (int)getpid(), geteuid() == 0 ? "a uid a user" : "not root: every "
	    "role and every session has this user's rights");
}

static void
check_done(struct generation *gen, int diag)
{
	diag_copy(diag);
	exit_status = gen == NULL ? EX_CONFIG : 0;
	loop_stop(master.loop);
}

/* The first gate serves: whoever started us may go. */
void
master_serving(void)
{
	if (ready_pipe >= 0) {
		if (write(ready_pipe, "", 1) != 1)
			log_warn("cannot tell the starter");
		close(ready_pipe);
		dup3(0, master.stderr_fd, O_CLOEXEC);
	}
	ready_pipe = -1;
	master_notify("READY=1");
}

/* --- signals --------------------------------------------------------------------- */

static void
on_signal(struct loop_io *io, unsigned events)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			master_reload();
		else if (info.ssi_signo != SIGCHLD)
			master_stop();
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (session_exit(pid, status)) {
			if (master.stopping)
				gen_step(master.gen);
		} else {
			child_exit(pid, status);
		}
}

static _Bool
signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return 0;
	signals = (struct loop_io){.ready = on_signal,
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
	return signals.fd >= 0 && loop_watch(master.loop, &signals, LOOP_READ);
}

/* --- command line ------------------------------------------------------------------- */

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: culverd [-FtV] [-c file] [-u role=id]\n");
	exit(EX_USAGE);
}

/* Leave the terminal; the first process waits until a gate serves. */
static void
go_background(void)
{
	int p[2];
	char c;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		perror("culverd");
		exit(EX_OSERR);
	}
	if (pid > 0) {
		int status;

		close(p[1]);
		if (read(p[0], &c, 1) == 1)
			_exit(0);
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		    WEXITSTATUS(status) : EX_SOFTWARE);
	}
	ready_pipe = fcntl(p[1], F_DUPFD_CLOEXEC, HIGH_FD);
	close(p[0]);
	close(p[1]);
	setsid();
}

/* Until there is a log role. */
static void
sink_stderr(int level, const char *text)
{
	(void)level;
	dprintf(master.stderr_fd, "culverd: %s\n", text);
}

/* Nobody inherits more than /dev/null; messages go to a copy of stderr. */
static void
process_setup(void)
{
	struct rlimit rl;
	int null;

	umask(022);
	if (chdir("/") != 0 || (null = open("/dev/null", O_RDWR)) < 0)
		exit(EX_OSERR);
	master.stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, HIGH_FD);
	if (master.stderr_fd < 0)
		master.stderr_fd = fcntl(null, F_DUPFD_CLOEXEC, HIGH_FD);
	log_set_sink(sink_stderr);
	dup2(null, 0);
	dup2(null, 1);
#ifndef WITH_SANITIZERS
	dup2(null, 2);
#endif
	session_setup();
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int
main(int argc, char **argv)
{
	const char *override[9] = {NULL}, *given;
	_Bool check = 0;
	char err[512] = "cannot give up capabilities";
	int opt;

	syscall(SYS_close_range, 3, ~0u, 0);
	master.conf_path = SYSCONFDIR "/culver/culver.conf";
	while ((opt = getopt(argc, argv, "c:FtVu:")) != -1) {
		if (opt == 'c')
			master.conf_path = optarg;
		else if (opt == 'F')
			master.foreground = 1;
		else if (opt == 't')
			check = 1;
		else if (opt == 'u' && spawn_override(override, optarg))
			continue;
		else if (opt == 'V')
			return printf("culverd %s\n", PACKAGE_VERSION) < 0;
		else
			usage();
	}
	if (optind != argc)
		usage();
	given = master.conf_path;
	master.conf_path = realpath(given, NULL);
	if (master.conf_path == NULL) {
		fprintf(stderr, "culverd: %s: %s\n", given, strerror(errno));
		return EX_NOINPUT;
	}
	if (!check && !master.foreground)
		go_background();
	process_setup();
	master.started = clock_now();
	if (!spawn_bounds() || !spawn_setup(&master.env, override, err,
	    sizeof(err))) {
		log_errorx("%s", err);
		return EX_NOUSER;
	}
	if ((master.loop = loop_new()) == NULL || !signals_open() ||
	    !load_start(check ? "check" : "run",
		check ? check_done : start_done) || !loop_run(master.loop)) {
		log_error("cannot start");
		return EX_OSERR;
	}
	return exit_status;
}
