/*
 * manager.c - start, reload and stop of all roles, as far as none of it needs
 * root.
 *
 * Executed by master as the config role's user, once; started again if it
 * dies.  Confined before it hears anything: no file system, no network, no
 * processes.  argv: INSTANCE, the main configuration file (for messages),
 * `run`, `again` (after one that died) or `check`, and WATCHDOG_USEC if the
 * service manager set it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/filter.h"
#include "core/manager/manager.h"

#define CERT_TIME (30 * NS_PER_S)
#define TICKET_TIME (3600 * NS_PER_S)
#define AGAIN_TIME (10 * NS_PER_S)	/* to the next look at a bad one */

struct manager manager = {.log_target = -1, .root_fd = -1,
    .stats_memory = -1,
    .children = TAILQ_HEAD_INITIALIZER(manager.children),
    .ticket = {-1, -1, -1}};

static struct loop_timer watch_timer;	/* of certificates; until there is a
					 * configuration, to the next try */
static _Bool check;			/* culverd -t */
static uint64_t ticket_at;
static int exit_status;
static _Bool starter;			/* FD_READY is there */
static _Bool upgraded;			/* and leads to an older culverd */

void
manager_end(int status)
{
	if (!manager.done)
		exit_status = status;
	manager.done = 1;
}

void
manager_note(enum ipc_note_what what)
{
	const struct ipc_note m = {.what = what};

	master_tell(IPC_NOTE, &m, NULL, 0);
}

/* --- stop ----------------------------------------------------------------- */

static void
drain(void)
{
	manager.stopping = 1;
	listen_close();
	if (manager.previous != NULL)
		gen_retire(manager.previous);
	gen_ref(manager.gen);
	gen_retire(manager.gen);
}

/* IDLE: the last session is gone, too. */
void
manager_stop(_Bool idle)
{
	manager.idle |= idle;
	if (manager.gen == NULL) {		/* still starting */
		manager_end(EX_TEMPFAIL);
	} else if (!manager.stopping) {
		manager.stopping = 1;
		upgrade_stop();
		drain();
	} else if (manager.leaving && !idle) {
		manager.leaving = 0;
		gen_hurry();
	} else {
		gen_step(manager.gen);
	}
}

/* Another culverd serves: accept nothing more, finish what there is. */
void
manager_leave(void)
{
	manager.leaving = 1;
	control_close();
	drain();
}

/* --- certificates and tickets --------------------------------------------- */

static void
certs_done(struct generation *gen, int diag)
{
	gen_tickets();
	if (gen == NULL) {
		log_text(diag);
		return;
	}
	if (gen->certs_new)
		log_info("certificates have changed: the new ones are in use");
	gen_certs(gen);
}

static void
watch_due(struct loop_timer *t)
{
	uint64_t now = clock_now();

	loop_timer_set(manager.loop, t, now + CERT_TIME);
	if (manager.stopping || manager.load != NULL ||
	    manager.gen->conf.n_cert == 0)
		return;
	load_certs(now >= ticket_at, certs_done);
	if (now >= ticket_at)
		ticket_at = now + TICKET_TIME;
}

/* --- start and reload ----------------------------------------------------- */

_Bool
log_reopen(const struct generation *gen)
{
	struct ipc_opened answer;
	int fd = master_open(OPEN_LOG, gen, 0, &answer);

	if (fd < 0)
		return 0;
	fds_close(&manager.log_target, 1);
	manager.log_target = fd;
	manager.log_syslog = answer.is_syslog != 0;
	return 1;
}

/* What only a reload has to look at. */
static _Bool
reload_fits(struct generation *gen, int diag)
{
	const struct conf_master *conf = &gen->conf;
	const struct conf_master *old = &manager.gen->conf;
	const char *fixed = strcmp(conf->run_dir, old->run_dir) != 0 ?
	    "run_dir" : conf->listen[conf->n_listen].gid !=
	    old->listen[old->n_listen].gid ? "control_group" : NULL;

	if (fixed == NULL)
		return gen_listen(gen, manager.gen, diag);
	dprintf(diag, "%s: %s cannot change in a reload: restart culverd\n",
	    manager.conf_path, fixed);
	return 0;
}

static void
reload_done(struct generation *gen, int diag)
{
	if (gen != NULL && (manager.stopping || !reload_fits(gen, diag))) {
		gen_unref(gen);
		gen = NULL;
	}
	if (gen == NULL) {
		log_errorx("reload refused: nothing has changed");
		log_text(diag);
		manager_note(NOTE_READY);
		stats_label(manager.stats, STATS_RELOADS, "refused", 1);
		control_reloaded(EINVAL, diag);
		return;
	}
	if (manager.previous != NULL)
		gen_retire(manager.previous);
	manager.previous = manager.gen;
	manager.gen = gen;
	if (!log_reopen(gen))
		log_error("%s: the old log goes on", gen->conf.log);
	log_retarget();		/* also those that finish */
	gen_start(gen);
	log_info("reloaded: generation %u", gen->number);
	lacks_say(gen->conf.lacks);
	stats_label(manager.stats, STATS_RELOADS, "done", 1);
	control_reloaded(0, -1);
}

/* Now, or when the load that is under way has ended. */
void
manager_reload(void)
{
	manager.reload_wanted = manager.load != NULL;
	if (manager.gen == NULL && manager.again && manager.load == NULL)
		loop_timer_set(manager.loop, &watch_timer, 0);	/* now */
	if (manager.reload_wanted || manager.gen == NULL || manager.stopping)
		return;
	manager_note(NOTE_RELOADING);
	control_reloading();
	if (!load_start(manager.ticket[0] < 0, reload_done)) {
		log_error("cannot reload");
		manager_note(NOTE_READY);
		control_reloaded(ENOMEM, -1);
	}
}

/* run_dir, and the folder in it to chroot to; false after a message.  Before
 * certcheck runs, which is chrooted, too. */
_Bool
manager_run_dir(const struct generation *gen)
{
	static _Bool is_open;
	struct ipc_opened answer;
	int fd;

	if (check || is_open)
		return 1;
	fd = master_open(OPEN_RUN_DIR, gen, 0, &answer);
	if (fd < 0 && errno == EBUSY)
		log_errorx("run_dir cannot change: restart culverd");
	if (fd < 0) {				/* master says why */
		manager_end(EX_UNAVAILABLE);
		return 0;
	}
	is_open = 1;
	if (manager.owner == 0)
		manager.root_fd = fd;
	else
		close(fd);
	return 1;
}

/* What a first configuration needs; false after a message. */
static _Bool
start_open(struct generation *gen, int diag)
{
	if (!manager_run_dir(gen) || !gen_listen(gen, NULL, diag))
		return 0;
	if (!log_reopen(gen)) {
		log_error("log = %s%s", gen->conf.log,
		    strcmp(gen->conf.log, "syslog") == 0 ? ", but nothing "
		    "reads /dev/log (log may name a file)" : "");
		return 0;
	}
	return 1;
}

/* The first configuration is there, or not.  A manager that was started again
 * waits until it is right: then sessions go on, and nobody is at a terminal. */
static void
start_done(struct generation *gen, int diag)
{
	static uint64_t said;
	_Bool works = gen != NULL && start_open(gen, diag);

	if (gen == NULL && manager.again) {
		said = diag_copy(diag, said);
		loop_timer_set(manager.loop, &watch_timer, clock_now() +
		    AGAIN_TIME);
		return;
	}
	diag_copy(diag, 0);
	if (!works) {
		manager_end(gen == NULL ? EX_CONFIG : EX_UNAVAILABLE);
		if (gen != NULL)
			gen_unref(gen);
		return;
	}
	manager.gen = gen;
	gen_start(gen);
	ticket_at = clock_now() + TICKET_TIME;
	watch_timer.due = watch_due;
	loop_timer_set(manager.loop, &watch_timer, clock_now() + CERT_TIME);
	log_info("culverd %s started: pid %d, at most %u connections and %u "
	    "sessions, %s", PACKAGE_VERSION, (int)getppid(),
	    gen->conf.connections, gen->conf.sessions_max,
	    manager.owner == 0 ? "a uid a user" : "not root: every role and "
	    "every session has this user's rights");
	lacks_say(manager.own_missing | gen->conf.lacks);
}

static void
start_due(struct loop_timer *t)
{
	(void)t;
	if (!load_start(1, start_done))
		manager_end(EX_OSERR);
}

static void
check_done(struct generation *gen, int diag)
{
	diag_copy(diag, 0);
	manager_end(gen == NULL ? EX_CONFIG : 0);
	if (gen != NULL)
		gen_unref(gen);
}

/* Before the first client is let in: what says that this is the culverd that
 * serves.  False after a message. */
_Bool
manager_serve(void)
{
	struct ipc_opened answer;
	int fd;

	if (manager.serving)
		return 1;
	fd = master_open(OPEN_LISTEN, manager.gen, manager.gen->conf.n_listen,
	    &answer);
	if (fd < 0 || !control_open(fd)) {
		log_error("%s/control", manager.gen->conf.run_dir);
		manager_end(EX_UNAVAILABLE);
		return 0;
	}
	manager.serving = 1;
	return 1;
}

/* A gate of the current generation serves. */
void
manager_serving(void)
{
	manager_note(NOTE_READY);
	dup2(0, FD_DIAG);		/* the terminal is not ours any more */
	if (starter && upgraded)
		upgrade_ready();
	else if (starter && write(FD_READY, "", 1) == 1)
		log_debug("the process that started culverd ends");
	if (starter && !upgraded)
		close(FD_READY);
	starter = 0;
}

/* --- main ----------------------------------------------------------------- */

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	const struct sandbox_limits limits = {.descriptors = 65536,
	    .memory = 256u << 20, .no_processes = 1};
	size_t n = filter_compile(FILTER_MANAGER, 0, filter);

	manager.own_missing = sandbox_missing();
	return sandbox_limits(&limits) && sandbox_landlock(NULL, 0, 0) &&
	    sandbox_trap() && (sandbox_seccomp(filter, n) ||
	    (manager.own_missing & SANDBOX_SECCOMP) != 0);
}

static _Bool
setup(char **argv)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	starter = fcntl(FD_READY, F_GETFD) >= 0;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	log_set_sink(diag_log);
	diag_open();
	manager.instance = (uint32_t)strtoul(argv[1], NULL, 10);
	manager.instances = manager.instance;
	manager.conf_path = argv[2];
	manager.started = clock_now();
	manager.cores = sysconf(_SC_NPROCESSORS_ONLN);
	manager.auth_memory = memfd_create("auth", MFD_CLOEXEC);
	manager.gate_memory = counts_make();
	if (!counts_open(&manager.counts, manager.gate_memory, 0))
		log_error("manager: each gate counts connections alone");
	metrics_memory(-1);
	manager.loop = loop_new();
	if (manager.loop == NULL || !asks_open() || !confine() ||
	    getsockopt(FD_CHANNEL, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0) {
		log_error("manager: cannot start");
		return 0;
	}
	manager.owner = peer.uid;
	upgraded = starter && upgrade_open(FD_READY);
	return !manager.done;
}

int
main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "manager: this program is started by "
		    "culverd(8)\n");
		return EX_USAGE;
	}
	check = strcmp(argv[3], "check") == 0;
	manager.again = strcmp(argv[3], "again") == 0;
	watch_timer.due = start_due;
	if (!setup(argv) || !load_start(!check,
	    check ? check_done : start_done))
		return EX_OSERR;
	if (!check)
		beat_start(argv[4]);
	while (!manager.done) {
		if (!loop_once(manager.loop))
			return EX_OSERR;
		asks_run();
	}
	return exit_status;
}
