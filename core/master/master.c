/*
 * master.c - culverd: start, signals, manager's life, stop.
 *
 * Runs as root (or, not as root, everything is the caller's).  See master.h
 * for what this process may do, core/DESIGN.md for why.
 */
#include "config.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/priv.h"
#include "core/master/master.h"

#define DELAY_FIRST (100 * NS_PER_MS)
#define DELAY_MAX (30 * NS_PER_S)
#define LIVED_WELL (60 * NS_PER_S)
#define KILL_TIME (10 * NS_PER_S)
#define ALIVE_TIME (30 * NS_PER_S)	/* manager says so every 10 s */
#define CAP(name) (1u << CAP_##name)
#define CAPS (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | \
    CAP(FOWNER) | CAP(KILL) | CAP(SETGID) | CAP(SETUID) | CAP(SETPCAP) | \
    CAP(NET_BIND_SERVICE) | CAP(SYS_CHROOT) | CAP(SYS_RESOURCE))

struct master master = {.lock = -1, .successor_fd = {-1, -1},
    .children = TAILQ_HEAD_INITIALIZER(master.children),
    .log_io = {.fd = -1, .ready = log_ready},
    .log = {.io = &master.log_io,
	.waiting = STAILQ_HEAD_INITIALIZER(master.log.waiting)},
    .to_manager = {.events = LOOP_READ,
	.waiting = STAILQ_HEAD_INITIALIZER(master.to_manager.waiting)}};

static void stop_now(struct loop_timer *t);
static void start_due(struct loop_timer *t);

static struct loop_io signals;
static struct loop_timer stop_timer = {.due = stop_now};
static struct loop_timer start_timer = {.due = start_due};
static uint64_t delay;			/* grows while manager keeps dying */
static unsigned kills;
static _Bool silent;			/* manager, for ALIVE_TIME */
static int ready_pipe = -1;		/* to the process that was started */

/* One datagram to the service manager, if there is one (sd_notify(3)), and it
 * is this process that it listens to. */
void
master_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n == 0 || n >= sizeof(sun.sun_path) || master.retired)
		return;
	memcpy(sun.sun_path, path, n);
	sun.sun_path[0] = path[0] == '@' ? 0 : path[0];
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un,
	    sun_path) + n)) < 0)
		log_warn("NOTIFY_SOCKET");
	fds_close(&fd, 1);
}

/* --- manager -------------------------------------------------------------- */

static void
manager_start(void)
{
	struct spawn s = {.role = R_MANAGER, .instance = ++master.instances,
	    .arg = {master.conf_path, master.check ? "check" :
		master.running ? "again" : "run",
		getenv("WATCHDOG_USEC")},
	    .fd = {[FD_DIAG - FD_CHANNEL] = master.diag_fd,
	    [FD_READY - FD_CHANNEL] = ready_pipe}};

	master.manager = child_new(&s, FD_CHANNEL, NULL);
	if (master.manager != NULL)
		master.to_manager.io = &master.manager->io;
}

/* Manager has news for the service manager, and is alive. */
_Bool
manager_note(struct child *manager, struct ipc_in *in)
{
	static const char *const state[] = {[NOTE_READY] = "READY=1",
	    [NOTE_RELOADING] = "RELOADING=1", [NOTE_ALIVE] = "WATCHDOG=1",
	    [NOTE_RETIRED] = "", [NOTE_DRAINED] = "", [NOTE_OVER] = ""};
	static _Bool heard;
	char text[64];

	(void)manager;
	if (in->m.note.what > NOTE_OVER ||
	    (in->m.note.what == NOTE_RETIRED && !upgrade_retire()))
		return 0;
	master.drained |= in->m.note.what == NOTE_DRAINED && master.retired;
	if (in->m.note.what == NOTE_OVER && master.retired && !master.stopping)
		master_stop();
	master_idle();
	silent = 0;
	loop_timer_set(master.loop, &start_timer, clock_now() + ALIVE_TIME);
	/* of which RELOADING needs the time, and no other minds it */
	snprintf(text, sizeof(text), "%s\nMONOTONIC_USEC=%" PRIu64,
	    state[in->m.note.what], clock_now() / 1000);
	/* until it serves, its predecessor speaks for a successor */
	if (heard || !master.upgraded)
		master_notify(text);
	heard |= in->m.note.what == NOTE_READY;
	return 1;
}

/*
 * Manager said nothing twice in a row (once is nothing: all of us may have
 * been stopped, and it had no time to speak yet); or it died and there may be
 * another, if all roles of the old one have ended, too.
 */
static void
start_due(struct loop_timer *t)
{
	if (master.stopping || (master.retired && master.manager == NULL))
		return;
	if (master.manager != NULL && silent) {
		child_end(master.manager, "does not answer");
		return;
	}
	silent = master.manager != NULL;
	if (!silent) {
		children_kill(0);
		if (TAILQ_EMPTY(&master.children))
			manager_start();
	}
	loop_timer_set(master.loop, t, clock_now() +
	    (master.manager != NULL ? ALIVE_TIME : DELAY_FIRST));
}

void
manager_gone(const struct child *c, int status)
{
	struct generation *gen, *next;

	master.manager = NULL;
	master.drained |= master.retired;
	upgrade_cancel();
	outbox_clear(&master.to_manager);
	for (gen = LIST_FIRST(&master.generations); gen != NULL; gen = next) {
		next = LIST_NEXT(gen, link);
		gen_forget(gen);
	}
	if (!WIFEXITED(status) || (master.running && !master.stopping &&
	    !master.retired))
		log_errorx("manager %u (pid %d) ended with status 0x%x",
		    c->instance, (int)c->pid, (unsigned)status);
	if (master.retired && !master.stopping && master.sessions > 0) {
		master_stop();		/* who would end them is gone */
	} else if (master.stopping || master.retired) {
		master_idle();
	} else if (!master.running) {
		master.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) :
		    EX_SOFTWARE;
		loop_stop(master.loop);
	} else {
		if (clock_now() - c->started > LIVED_WELL || delay == 0)
			delay = DELAY_FIRST;
		loop_timer_set(master.loop, &start_timer, clock_now() + delay);
		delay = delay * 2 > DELAY_MAX ? DELAY_MAX : delay * 2;
	}
}

/* --- stop ----------------------------------------------------------------- */

/* First what does not end by itself, the next time everything. */
static void
stop_now(struct loop_timer *t)
{
	if (master.sessions > 0)
		log_warnx("stop: %u sessions did not end in time: killed",
		    master.sessions);
	session_each(session_kill, NULL);
	children_kill(kills++ > 0);
	loop_timer_set(master.loop, t, clock_now() + KILL_TIME);
}

/* When the last session is gone for good, manager ends roles and itself. */
void
master_idle(void)
{
	const struct ipc_stop m = {.idle = 1};

	if ((!master.stopping && !master.drained) || master.sessions > 0)
		return;
	if (master.manager != NULL)
		outbox_send(&master.to_manager, IPC_STOP, &m);
	else if (!master.stays || master.successor == 0)
		loop_stop(master.loop);
}

void
master_stop(void)
{
	const struct ipc_stop m = {.idle = 0};
	const struct generation *gen;
	uint64_t grace = 0;

	if (master.stopping) {
		stop_now(&stop_timer);
		return;
	}
	master.stopping = 1;
	log_info("stopping: %u sessions may finish what they do",
	    master.sessions);
	master_notify("STOPPING=1");
	if (!master.running)			/* still starting */
		master.exit_status = EX_TEMPFAIL;
	outbox_send(&master.to_manager, IPC_STOP, &m);
	session_each(session_end, NULL);
	LIST_FOREACH (gen, &master.generations, link)
		if (gen->conf.stop_grace > grace)
			grace = gen->conf.stop_grace;
	loop_timer_set(master.loop, &stop_timer, clock_now() + grace);
	loop_timer_clear(master.loop, &start_timer);
	master_idle();
}

/* --- signals -------------------------------------------------------------- */

static void
on_signal(struct loop_io *io, unsigned events)
{
	struct signalfd_siginfo info;
	struct ipc_reload m;
	int status;
	pid_t pid;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		/* who serves gets those of a terminal itself; SIGCHLD is none
		 * that somebody sent */
		if (master.stays && master.retired && master.successor > 0 &&
		    info.ssi_code <= 0)
			kill(master.successor, (int)info.ssi_signo);
		m.upgrade = info.ssi_signo == SIGUSR2;
		if (info.ssi_signo == SIGHUP || m.upgrade != 0)
			outbox_send(&master.to_manager, IPC_RELOAD, &m);
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			master_stop();
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!session_exit(pid, status))
			child_exit(pid, status);
}

static _Bool
signals_open(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGABRT);		/* a watchdog's */
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return 0;
	signals = (struct loop_io){.ready = on_signal,
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
	return signals.fd >= 0 && loop_watch(master.loop, &signals, LOOP_READ);
}

/* --- command line --------------------------------------------------------- */

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

	if (pipe2(p, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		err(EX_OSERR, "cannot leave the terminal");
	if (pid > 0) {
		int status;

		close(p[1]);
		if (read(p[0], &c, 1) == 1)
			_exit(0);
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		    WEXITSTATUS(status) : EX_SOFTWARE);
	}
	/* session_setup() takes the numbers of the pair */
	ready_pipe = fcntl(p[1], F_DUPFD_CLOEXEC, HIGH_FD);
	setsid();
}

/* Until there is a log role. */
static void
sink_stderr(int level, const char *text)
{
	(void)level;
	dprintf(master.diag_fd, "culverd: %s\n", text);
}

/* Nobody inherits more than /dev/null; messages go to a copy of stderr. */
static void
process_setup(void)
{
	struct rlimit rl;

	umask(022);
	master.diag_fd = fcntl(2, F_DUPFD_CLOEXEC, HIGH_FD);
	master.stderr_fd = fcntl(master.upgraded ? 1 : 2, F_DUPFD_CLOEXEC,
	    HIGH_FD);
	if (master.upgraded)
		ready_pipe = fcntl(0, F_DUPFD_CLOEXEC, HIGH_FD);
	if (chdir("/") != 0 || !spawn_std_null())
		exit(EX_OSERR);
	if (master.diag_fd < 0)
		master.diag_fd = fcntl(0, F_DUPFD_CLOEXEC, HIGH_FD);
	log_set_sink(sink_stderr);
	session_setup();
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Of what this process was started with nothing stays open but what the
 * service manager says it passes (sd_listen_fds(3)), or has passed to an older
 * culverd, at HIGH_FD. */
static void
fds_keep(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *older = getenv(UPGRADE_ENV);
	unsigned n = 0;

	if (older != NULL)
		master.upgraded = sscanf(older, "%u %u", &n,
		    &master.instances) == 2;
	else if (pid != NULL && fds != NULL && strtol(pid, NULL, 10) ==
	    getpid())
		n = (unsigned)strtoul(fds, NULL, 10);
	n = n < PASSED_MAX ? n : PASSED_MAX;
	syscall(SYS_close_range, 3 + n, ~0u, 0);
	for (int fd = 3; fd < 3 + (int)n; fd++)
		master.passed += fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD) >= 0;
	syscall(SYS_close_range, 3, HIGH_FD - 1, 0);
}

int
main(int argc, char **argv)
{
	const char *override[IPC_ROLES] = {NULL};
	const char *given = SYSCONFDIR "/culver/culver.conf";
	_Bool notified = getenv("NOTIFY_SOCKET") != NULL;
	int opt;

	fds_keep();
	master.argv = argv;
	master.exe = (const char *)getauxval(AT_EXECFN);
	master.cwd = getcwd(NULL, 0);
	while ((opt = getopt(argc, argv, "c:FtVu:")) != -1) {
		if (opt == 'c')
			given = optarg;
		else if (opt == 'F')
			master.foreground = 1;
		else if (opt == 't')
			master.check = 1;
		else if (opt == 'u' && spawn_override(override, optarg))
			continue;
		else if (opt == 'V')
			return printf("culverd %s\n", PACKAGE_VERSION) < 0;
		else
			usage();
	}
	if (optind != argc)
		usage();
	master.conf_path = realpath(given, NULL);
	if (master.conf_path == NULL)
		err(EX_NOINPUT, "%s", given);
	/* a service manager waits for what its own child says */
	if (!master.check && !master.foreground && !notified &&
	    !master.upgraded)
		go_background();
	master.stays = master.foreground && !notified;
	process_setup();
	master.started = clock_now();
	if (!priv_bounds(CAPS) || (master.loop = loop_new()) == NULL ||
	    !signals_open())
		log_error("cannot start");
	else if (!spawn_setup(&master.env, override))
		return EX_NOUSER;
	else
		manager_start();
	if (master.manager == NULL || !loop_run(master.loop))
		return EX_OSERR;
	return master.exit_status;
}
