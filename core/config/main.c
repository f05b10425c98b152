/*
 * main.c - the config role: reads the configuration, says what is wrong, and
 * gives every other role its part.
 *
 *	config INSTANCE PLUGINDIR MODE
 *
 * Runs as culver-config, one a (re)load, and exits.  It is confined before it
 * reads any text: no network, no program, no file that it could write.  What
 * it reads is an administrator's; the modules that it loads are a plugin
 * author's and run confined to reading themselves and their libraries.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/features.h"
#include "core/base/log.h"
#include "core/base/memfd.h"
#include "core/config/filter.h"
#include "core/config/mem.h"
#include "core/config/print.h"
#include "core/config/snap.h"
#include "core/ipc/ipc.h"
#include "core/ipc/ipclog.h"
#include "core/plugin/loader.h"

enum { WAIT_MS = 10000 };

enum mode { RUN, CHECK, PRINT, PRINT_JSON, PLUGINS, PLUGINS_JSON, RUN_DIR,
	MODES };
static const char *const mode_names[MODES] = {"run", "check", "print",
    "print-json", "plugins", "plugins-json", "run-dir"};

static struct ipc_in in;
static const char *plugin_dir;

/* --- talking to master ----------------------------------------------- */

static _Bool
channel_wait(short events)
{
	struct pollfd pfd = {.fd = FD_CHANNEL, .events = events};

	return poll(&pfd, 1, WAIT_MS) == 1;
}

static _Bool
master_send(enum ipc_type type, const void *msg, const int *fds, unsigned n)
{
	culver_status st;

	while ((st = ipc_send(FD_CHANNEL, type, msg, fds, n)) ==
	    CULVER_E_TEMP)
		if (!channel_wait(POLLOUT))
			break;
	return st == CULVER_OK;
}

static _Bool
master_receive(enum ipc_type type)
{
	enum ipc_result r;

	while ((r = ipc_recv(FD_CHANNEL, &in, R_MASTER, R_CONFIG, P_RUN)) ==
	    IPC_AGAIN)
		if (!channel_wait(POLLIN))
			return 0;
	return r == IPC_GOT && in.type == type;
}

/* All of FD, at most CF_MAX_SIZE octets; 0 or an errno. */
static int
read_all(int fd, const char **text, size_t *n)
{
	struct stat st;
	size_t size;
	char *buf;
	ssize_t got;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	if (st.st_size > CF_MAX_SIZE)
		return EFBIG;
	size = (size_t)st.st_size;
	buf = mem_get(size + 1);
	for (*n = 0; *n < size; *n += (size_t)got) {
		got = read(fd, buf + *n, size - *n);
		if (got < 0)
			return errno;
		if (got == 0)
			break;
	}
	*text = buf;
	return 0;
}

/* cf_source.open: ask master, which opens what may be opened. */
static int
source_open(void *ctx, const char *name, const char **path, const char **text,
    size_t *n)
{
	const struct ipc_config_open ask = {.name = name};
	int error = EIO;

	(void)ctx;
	if (!master_send(IPC_CONFIG_OPEN, &ask, NULL, 0))
		return EIO;
	if (!master_receive(IPC_CONFIG_FILE)) {
		ipc_done(&in);
		return EIO;
	}
	*path = mem_copy(in.m.config_file.path, strlen(in.m.config_file.path));
	if (in.m.config_file.error != 0)
		error = (int)in.m.config_file.error;
	else if (in.nfds == 1)
		error = read_all(in.fd[0], text, n);
	ipc_done(&in);
	return error;
}

static _Bool
snapshot_send(void *ctx, enum conf_kind kind, uint32_t index, int fd)
{
	const struct ipc_config_snap snap = {.kind = kind, .index = index};

	(void)ctx;
	return master_send(IPC_CONFIG_SNAP, &snap, &fd, 1);
}

/* What only a reader of files can see of the machine: SANDBOX_*. */
static unsigned
machine_lacks(void)
{
	FILE *f = fopen("/proc/sys/fs/suid_dumpable", "re");
	_Bool weak = f != NULL && getc(f) == '1';

	if (f != NULL)
		fclose(f);
	return (weak ? SANDBOX_UNDUMPABLE : 0) |
	    (memfd_noexec() ? 0 : SANDBOX_NOEXEC);
}

/* What this machine cannot give: said with the mistakes. */
static void
machine_warnings(FILE *out, const struct cf_env *env)
{
	unsigned lacks = sandbox_missing() | env->lacks;

	for (unsigned i = 0; i < n_features; i++)
		if (lacks & features[i].part)
			fprintf(out, "warning: this machine does not give "
			    "%s (%s): %s\n", features[i].name,
			    features[i].since, features[i].without);
}

/* What that means where users share uids, if that was not accepted. */
static void
sharing_warning(FILE *out, const struct cf_config *c)
{
	if ((sandbox_missing() & SANDBOX_APART) != 0 &&
	    c->limits.v[O_SHARED_UID].u.i == 0)
		fprintf(out, "warning: so of several users with one uid only "
		    "the first who comes is let in: use a kernel with "
		    "Landlock and seccomp (5.19 or later, and not switched "
		    "off), or accept the risk with limits { shared_uid = "
		    "unconfined }\n");
}

/* --- confinement ----------------------------------------------------- */

/* Nothing but reading, and of that later only what modules need. */
static _Bool
landlock(const char *const *paths, size_t n)
{
	struct sandbox_path list[64] = {{.fd = -1}};
	size_t used = 0;
	_Bool ok;

	for (size_t i = 0; i < n && used < 64; i++) {
		struct stat st;
		int fd = open(paths[i], O_PATH | O_CLOEXEC);

		if (fd < 0)
			continue;	/* what is not there is not needed */
		list[used] = (struct sandbox_path){.fd = fd,
		    .access = CULVER_PATH_READ};
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
			list[used].access |= CULVER_PATH_DIR;
		used++;
	}
	ok = sandbox_landlock(list, used, 0);
	while (used > 0)
		close(list[--used].fd);
	return ok;
}

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	static const char *const all[] = {"/"};
	const struct sandbox_limits limits = {.descriptors = 256,
	    .memory = 256u << 20, .no_processes = 1};
	size_t n;

	errno = 0;
	n = filter_compile(FILTER_CONFIG, 0, filter);
	if (n == 0 && errno != 0)
		return 0;
	return sandbox_limits(&limits) && landlock(all, 1) &&
	    sandbox_trap() && sandbox_seccomp(filter, n);
}

static const char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == path ? "/" : mem_copy(path, (size_t)(slash - path));
}

/* cf_env.before_modules: no text is read any more. */
static void
confine_again(const struct cf_config *c)
{
	const char *paths[64] = {"/etc/passwd", "/etc/group",
	    "/etc/ld.so.cache", "/lib", "/lib64", "/usr", "/opt",
	    plugin_dir};
	const struct cf_section *lists[2] = {NULL, NULL};
	size_t n = 8;

	if (c != NULL) {
		lists[0] = c->auth;
		lists[1] = c->storage;
	}
	for (int i = 0; i < 2; i++)
		for (const struct cf_section *s = lists[i]; s != NULL;
		     s = s->next) {
			enum cf_opt o = i == 0 ? O_AUTH_PLUGIN :
			    O_STORAGE_PLUGIN;

			if (s->set[o] != NULL && !s->bad[o] && n < 64 &&
			    s->v[o].u.s.p[0] == '/')
				paths[n++] = folder_of(s->v[o].u.s.p);
		}
	if (!landlock(paths, n)) {
		log_error("config: Landlock");
		exit(EX_OSERR);
	}
}

/* mem_full: the file cannot be read for it, and diag needs memory itself. */
static void
say_full(void)
{
	const struct ipc_config_done done = {.status = EX_CONFIG};

	dprintf(FD_DIAG, "the configuration is too large for the memory that "
	    "reading it may use: make it shorter\n");
	master_send(IPC_CONFIG_DONE, &done, NULL, 0);
}

/* --- the work -------------------------------------------------------- */

static void
facts(struct cf_env *env, enum mode mode)
{
	struct rlimit rl;
	static char name[256];
	struct ucred peer;
	socklen_t len = sizeof(peer);
	cpu_set_t set;

	*env = (struct cf_env){.source = {.open = source_open},
	    .plugindir = plugin_dir, .cpus = 1, .hostname = "localhost",
	    .passwd = "/etc/passwd", .group = "/etc/group",
	    .before_modules = confine_again, .check_owner = 1,
	    .lacks = machine_lacks()};
	/* Who made the channel is master: modules must be its user's. */
	if (getsockopt(FD_CHANNEL, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		env->owner = peer.uid;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 &&
	    CPU_COUNT(&set) > 0)
		env->cpus = (unsigned)CPU_COUNT(&set) < 256 ?
		    (unsigned)CPU_COUNT(&set) : 256;
	/* What is printed is what was written.  The roles inherit the same. */
	if ((mode == RUN || mode == CHECK) &&
	    getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_max < UINT32_MAX)
		env->descriptors = rl.rlim_max;
	if (gethostname(name, sizeof(name) - 1) == 0 && name[0] != 0)
		env->hostname = name;
}

static int
work(enum mode mode, const struct cf_env *env, FILE *out)
{
	static struct cf_config config;

	if (mode == PLUGINS || mode == PLUGINS_JSON) {
		confine_again(NULL);
		print_plugins(out, env, mode == PLUGINS_JSON);
		return 0;
	}
	diag_start();
	cf_load(&config, env);
	if (mode == RUN_DIR && config.top.v[O_RUN_DIR].u.s.p != NULL &&
	    !config.top.bad[O_RUN_DIR]) {
		/* Whatever else is wrong: what runs must be found. */
		fprintf(out, "%s\n", config.top.v[O_RUN_DIR].u.s.p);
		diag_print(out);
		return 0;
	}
	if (diag_errors() > 0 || mode == RUN || mode == CHECK)
		diag_print(out);
	if (diag_errors() > 0)
		return EX_CONFIG;
	if (mode == PRINT || mode == PRINT_JSON) {
		print_config(out, &config, mode == PRINT_JSON);
		return 0;
	}
	sharing_warning(out, &config);
	if (snap_all(&config, env, snapshot_send, NULL))
		return 0;
	fprintf(out, "the configuration is right but cannot be passed on: "
	    "%s\n", strerror(errno));
	return EX_OSERR;
}

int
main(int argc, char **argv)
{
	struct ipc_config_done done = {.status = EX_USAGE};
	int mode = MODES;
	struct cf_env env;
	FILE *out;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	for (int i = 0; argc == 4 && i < MODES; i++)
		if (strcmp(argv[3], mode_names[i]) == 0)
			mode = i;
	if (mode == MODES) {
		fprintf(stderr, "config: this program is started by "
		    "culverd(8)\n");
		return EX_USAGE;
	}
	ipclog_open(FD_LOG);
	if (getenv(PLUGIN_LINKED) == NULL)
		plugin_files_only();
	/* culverd names it relative to its own file: show people less. */
	plugin_dir = realpath(argv[2], NULL);
	if (plugin_dir == NULL)
		plugin_dir = argv[2];
	mem_full = say_full;
	facts(&env, (enum mode)mode);
	out = fdopen(FD_DIAG, "w");
	if (out == NULL) {
		log_error("config: %s", strerror(errno));
		return EX_OSERR;
	}
	if (mode == RUN || mode == CHECK)
		machine_warnings(out, &env);
	if (!confine()) {
		log_error("config: cannot confine itself");
		return EX_OSERR;
	}
	done.status = (uint32_t)work((enum mode)mode, &env, out);
	if (fflush(out) != 0 && done.status == 0)
		done.status = EX_IOERR;
	master_send(IPC_CONFIG_DONE, &done, NULL, 0);
	return (int)done.status;
}
