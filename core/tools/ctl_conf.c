/*
 * ctl_conf.c - the configuration, read by a config role as master would.
 *
 * Runs in culverctl as its caller: it opens the files that the role asks for
 * by master's own rules and reads nothing but checked snapshots.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/master/conffile.h"
#include "core/tools/ctl_conf.h"

enum { PATIENCE_MS = 30000 };

static struct ipc_in in;

static void
send_file(const struct ctl_role *r, const char *path, const char *name,
    unsigned *files)
{
	struct ipc_config_file m = {.path = *name ? name : path,
	    .error = EMFILE};
	int fd = -1;

	if ((*files)++ < CONFFILE_MAX)
		fd = conffile_open(path, name, &m.error);
	ipc_send(r->channel, IPC_CONFIG_FILE, &m, &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
}

static int *
snap_place(struct ctl_conf *c, uint32_t kind, uint32_t i)
{
	switch (kind) {
	case CONF_MASTER:
		return &c->master_snap;
	case CONF_AUTH:
		return &c->auth_snap;
	case CONF_POOL:
		return i < CONF_MAX_AUTH ? &c->pool_snap[i] : NULL;
	case CONF_STORAGE:
		return i < CONF_MAX_STORAGE ? &c->storage_snap[i] : NULL;
	default:
		return NULL;	/* for roles that culverctl does not start */
	}
}

/* Serve a config role until its last word; its status, or -1. */
static int
serve(const struct ctl_role *r, const char *path, struct ctl_conf *c)
{
	struct pollfd pfd = {.fd = r->channel, .events = POLLIN};
	unsigned files = 0;
	int status = -1, *place;

	while (status < 0 && poll(&pfd, 1, PATIENCE_MS) == 1 &&
	    ipc_recv(r->channel, &in, R_CONFIG, R_MASTER, P_START) ==
	    IPC_GOT) {
		if (in.type == IPC_CONFIG_OPEN) {
			send_file(r, path, in.m.config_open.name, &files);
		} else if (in.type == IPC_CONFIG_DONE) {
			status = in.m.config_done.status != 0 ? EX_CONFIG : 0;
		} else if (in.type == IPC_CONFIG_SNAP &&
		    (place = snap_place(c, in.m.config_snap.kind,
		    in.m.config_snap.index)) != NULL && *place < 0) {
			*place = in.fd[0];
			in.fd[0] = -1;
		}
		ipc_done(&in);
	}
	return status;
}

static _Bool
complete(struct ctl_conf *c)
{
	_Bool ok = conf_read(c->master_snap, CONF_MASTER, &c->master,
	    sizeof(c->master));

	for (uint32_t i = 0; ok && i < c->master.n_auth; i++)
		ok = c->pool_snap[i] >= 0;
	for (uint32_t i = 0; ok && i < c->master.n_storage; i++)
		ok = c->storage_snap[i] >= 0;
	return ok && c->auth_snap >= 0;
}

/* The role's last word, or that it had none. */
static int
finish(struct ctl_role *r, const struct ctl_conf *c, int status)
{
	int ended;

	if (status < 0)
		kill(r->pid, SIGKILL);
	ended = role_end(r, 0);
	if (status >= 0)
		return status;
	if (ended == 72)
		ctl_warnx("cannot execute %s/config as its user: is Culver "
		    "installed, and can others search the folders above?",
		    c->env.libexec);
	else
		ctl_warnx("the config role gave no answer (status %d)",
		    ended);
	return EX_SOFTWARE;
}

int
conf_load(struct ctl *ctl, const char *mode, struct ctl_conf *c, int *text)
{
	_Bool run = strcmp(mode, "run") == 0;
	struct spawn s = {.role = R_CONFIG, .fd = {-1, -1, -1, -1, -1, -1}};
	char *path = realpath(ctl->config, NULL);
	struct ctl_role r;
	int status = EX_OSERR, diag = memfd_create("diagnosis", MFD_CLOEXEC);

	memset(c, 0xff, sizeof(*c));	/* no descriptor is open */
	if (path == NULL) {
		ctl_warn("%s", ctl->config);
		status = EX_NOINPUT;
		goto out;
	}
	if (diag < 0)
		ctl_warn("memfd");
	if (diag < 0 || !spawn_setup(&c->env, ctl->override))
		goto out;
	s.fd[FD_DIAG - FD_CHANNEL] = diag;
	s.arg[0] = c->env.plugins;
	s.arg[1] = mode;
	if (!role_start(&r, &c->env, &s, 0))
		goto out;
	status = finish(&r, c, serve(&r, path, c));
	if (status != 0)
		ctl_copy_text(diag, 0, 2);
	if (status == 0 && run && !complete(c)) {
		ctl_warnx("the config role left something out");
		status = EX_SOFTWARE;
	}
	if (status == 0 && text != NULL) {
		*text = diag;
		diag = -1;
	}
out:
	if (diag >= 0)
		close(diag);
	free(path);
	return status;
}

void
conf_close(struct ctl_conf *c)
{
	if (c->master_snap >= 0)
		close(c->master_snap);
	if (c->auth_snap >= 0)
		close(c->auth_snap);
	for (int i = 0; i < CONF_MAX_AUTH; i++)
		if (c->pool_snap[i] >= 0)
			close(c->pool_snap[i]);
	for (int i = 0; i < CONF_MAX_STORAGE; i++)
		if (c->storage_snap[i] >= 0)
			close(c->storage_snap[i]);
}

int
conf_control_path(struct ctl *ctl, char **out, int *diag, off_t *at)
{
	static struct ctl_conf c;
	char dir[CONF_PATH], *end;
	int status;
	ssize_t n;

	*diag = -1;
	/* The members of control_group may look without reading the
	 * configuration: without -c the socket is where it is by default. */
	if (!ctl->config_given && access(ctl->config, R_OK) != 0) {
		*out = strdup("/run/culver/control");
		return *out != NULL ? 0 : EX_OSERR;
	}
	status = conf_load(ctl, "run-dir", &c, diag);
	conf_close(&c);
	if (status != 0)
		return status;
	n = pread(*diag, dir, sizeof(dir), 0);
	end = n > 0 ? memchr(dir, '\n', (size_t)n) : NULL;
	if (end == NULL || asprintf(out, "%.*s/control", (int)(end - dir),
	    dir) < 0)
		return EX_OSERR;
	*at = end - dir + 1;
	return 0;
}

/* Both print what a config role makes of the file. */
static int
print(struct ctl *ctl, const char *mode, const char *mode_json)
{
	static struct ctl_conf c;
	int status, text = -1;

	if (ctl->argc != 1)
		return ctl_usage(ctl);
	status = conf_load(ctl, ctl->json ? mode_json : mode, &c, &text);
	if (status == 0)
		ctl_copy_text(text, 0, 1);
	if (text >= 0)
		close(text);
	conf_close(&c);
	return status;
}

int
ctl_config(struct ctl *ctl)
{
	return print(ctl, "print", "print-json");
}

int
ctl_plugins(struct ctl *ctl)
{
	return print(ctl, "plugins", "plugins-json");
}
