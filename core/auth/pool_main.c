/*
 * pool_main.c - the program of a pool process: one plugin of one auth section,
 * one login at a time.
 *
 * Executed by master as the auth user.  It loads the plugin, lets it say which
 * paths it needs, and confines itself to them before the first login.  A call
 * that outlives its deadline ends the process; master starts another.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/auth/pool.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipclog.h"
#include "core/plugin/host.h"
#include "core/plugin/loader.h"
#include "core/plugin/values.h"

enum { MAX_PATHS = 256 };
#define START_TIME (30 * NS_PER_S)
#define GRACE (2 * NS_PER_S)

static struct conf_section conf;
static struct plugin plugin;
static struct plugin_host host;
static struct pool_run run;
static struct ipc_in in;

/* SIGALRM ends this process GRACE after DEADLINE; 0: not at all.  The signal
 * is left to the kernel, which no plugin can keep busy. */
static void
watchdog(uint64_t deadline)
{
	struct itimerval it = {.it_value = {0, 0}};
	uint64_t now = clock_now(), left = START_TIME;

	if (deadline != 0) {
		if (deadline < now + left)
			left = deadline > now ? deadline - now : 0;
		left += GRACE;
		it.it_value.tv_sec = (time_t)(left / NS_PER_S);
		it.it_value.tv_usec = (suseconds_t)(left % NS_PER_S / 1000);
	}
	setitimer(ITIMER_REAL, &it, NULL);
}

/* What the plugin executes gets none of our channels. */
static _Bool
channels_close_on_exec(void)
{
	for (int fd = FD_CHANNEL; fd < FD_CHANNEL + 7; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && errno != EBADF)
			return 0;
	return 1;
}

static void
signals_init(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- start --------------------------------------------------------------- */

static _Bool
plugin_start(void)
{
	const struct plugin_rules rules = {.allow = conf.allow,
	    .check_owner = 1, .owner = conf.owner};
	static char err[PLUGIN_ERR];
	static struct values *values;	/* the plugin's until it ends */
	struct culver_call call;
	culver_status st;

	if (!plugin_load(conf.module, CULVER_KIND_AUTH, &rules, &plugin,
	    err) || (values = values_read(FD_SNAPSHOT, &conf.head, &plugin,
	    NULL, err)) == NULL) {
		log_errorx("auth %s: %s", conf.name, err);
		return 0;
	}
	plugin_host_init(&host, plugin.desc.name);
	run.ops = &plugin.auth;
	run.caps = plugin.desc.caps;
	run.arena = arena_new(POOL_ARENA);
	if (run.arena == NULL) {
		log_error("auth %s", conf.name);
		return 0;
	}
	call = plugin_call(run.arena, &run.err, clock_now() + START_TIME);
	st = plugin.auth.create(&run.au, &host.host, &values->c, &call);
	if (st != CULVER_OK)
		log_errorx("auth %s: create: %s%s%s", conf.name,
		    plugin_error_text(&run.err), run.err.sys_errno > 0 ?
		    ": " : "", run.err.sys_errno > 0 ?
		    strerror(run.err.sys_errno) : "");
	return st == CULVER_OK;
}

/* Open what the plugin may touch.  What is not there now could not be opened
 * later either, so it is an error: the next process looks again. */
static _Bool
paths_open(const struct culver_path *path, uint32_t n,
    struct sandbox_path *out)
{
	for (uint32_t i = 0; i < n; i++) {
		_Bool dir = (path[i].access & CULVER_PATH_DIR) != 0;

		out[i].access = path[i].access;
		out[i].fd = path[i].path == NULL ? -1 : open(path[i].path,
		    O_PATH | O_CLOEXEC | (dir ? O_DIRECTORY : 0));
		if (out[i].fd < 0) {
			log_error("auth %s: cannot open %s as uid %u",
			    conf.name, path[i].path != NULL ? path[i].path :
			    "(no path)", (unsigned)geteuid());
			return 0;
		}
	}
	return 1;
}

static _Bool
landlock(void)
{
	static struct culver_path path[MAX_PATHS];
	static struct sandbox_path fds[MAX_PATHS];
	struct culver_call call = plugin_call(run.arena, &run.err,
	    clock_now() + START_TIME);
	uint32_t n = 0;

	if (plugin.auth.paths(run.au, path, MAX_PATHS, &n, &call) !=
	    CULVER_OK || n > MAX_PATHS) {
		log_errorx("auth %s: paths: %s", conf.name, n > MAX_PATHS ?
		    "too many" : plugin_error_text(&run.err));
		return 0;
	}
	if (!paths_open(path, n, fds))
		return 0;
	if (!sandbox_landlock(fds, n,
	    (plugin.desc.needs & CULVER_NEED_NET) != 0)) {
		log_error("auth %s: cannot confine itself", conf.name);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		close(fds[i].fd);
	return 1;
}

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	const struct sandbox_limits limits = {.descriptors = 256,
	    .memory = UINT64_C(4) << 30,
	    .no_processes = (plugin.desc.needs & (CULVER_NEED_EXEC |
		CULVER_NEED_THREADS)) == 0};
	size_t n = conf_filter(FD_SNAPSHOT, &conf.head, filter);

	close(FD_SNAPSHOT);
	if (!landlock())
		return 0;
	if (n == 0 && (sandbox_missing() & SANDBOX_SECCOMP) != 0)
		return sandbox_limits(&limits);
	if (!sandbox_limits(&limits) || !sandbox_trap() ||
	    !sandbox_seccomp(filter, n)) {
		log_error("auth %s: cannot confine itself", conf.name);
		return 0;
	}
	return 1;
}

/* --- work ---------------------------------------------------------------- */

/* Do what was asked for and say what came of it. */
static culver_status
login_answer(const struct ipc_pool_login *m)
{
	struct ipc_pool_answer answer;
	struct ipc_pool_creds creds;
	_Bool wants_creds = (m->want & IPC_WANT_CREDS) != 0;

	watchdog(m->deadline);
	if (wants_creds)
		pool_creds(&run, m, &creds);
	else
		pool_answer(&run, m, &answer);
	watchdog(0);
	return wants_creds ?
	    ipc_send(FD_POOL, IPC_POOL_CREDS, &creds, NULL, 0) :
	    ipc_send(FD_POOL, IPC_POOL_ANSWER, &answer, NULL, 0);
}

/* One login; false: the coordinator is gone. */
static _Bool
login_serve(void)
{
	culver_status st;

	switch (ipc_recv(FD_POOL, &in, R_AUTH, R_POOL, P_RUN)) {
	case IPC_AGAIN:
		return 1;
	case IPC_EOF:
		return 0;
	case IPC_BREACH:
		log_errorx("the coordinator broke the protocol");
		return 0;
	case IPC_GOT:
		break;
	}
	st = login_answer(&in.m.pool_login);
	pool_clean(&run);
	ipc_done(&in);
	if (st != CULVER_OK)
		log_warnx("auth %s: the coordinator does not take an answer",
		    conf.name);
	return st == CULVER_OK;
}

/* manager only asks whether this process is there; false: it ends. */
static _Bool
manager_serve(void)
{
	enum ipc_result r = ipc_recv(FD_CHANNEL, &in, R_MANAGER, R_POOL,
	    P_RUN);

	if (r == IPC_GOT) {
		ipc_pong(FD_CHANNEL, NULL, 0);
		ipc_done(&in);
	}
	return r == IPC_GOT || r == IPC_AGAIN;
}

/* Serve until the coordinator's or manager's channel closes. */
static void
serve(void)
{
	struct pollfd p[] = {{.fd = FD_POOL, .events = POLLIN},
	    {.fd = FD_CHANNEL, .events = POLLIN}};

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR) {
			log_error("poll");
			return;
		}
		if (p[1].revents != 0 && !manager_serve())
			return;
		if (p[0].revents != 0 && !login_serve())
			return;
	}
}

int
main(int argc, char **argv)
{
	const struct sandbox_limits none = {.descriptors = 0};
	struct ipc_ready ready = {.status = 0};
	_Bool works;

	(void)argc;
	(void)argv;
	signals_init();
	ipclog_open(FD_LOG);
	if (!sandbox_limits(&none) || !channels_close_on_exec() ||
	    !conf_read(FD_SNAPSHOT, CONF_POOL, &conf, sizeof(conf))) {
		log_errorx("its configuration is not one");
		return 1;
	}
	watchdog(clock_now() + START_TIME);
	works = plugin_start() && confine();
	watchdog(0);
	if (!works)
		ready.status = (uint32_t)CULVER_E_TEMP;
	ready.missing = sandbox_missing();
	if (ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0) != CULVER_OK ||
	    !works)
		return 1;
	pool_clean(&run);
	serve();
	plugin.auth.destroy(run.au);
	pool_clean(&run);
	return 0;
}
