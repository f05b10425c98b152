/*
 * requests.c - what manager and the config roles ask master for.
 *
 * Runs as root.  Neither is trusted: manager says which role starts when and
 * which of its own descriptors it gets, never a name, a user or a capability;
 * what a configuration names comes straight from a config role, which read
 * files that master opened.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/priv.h"
#include "core/master/conffile.h"
#include "core/master/master.h"

enum { INSTANCE_MAX = 0xffffff };	/* 24 bits of a session's number */

/* --- generations ---------------------------------------------------------- */

static struct generation *
gen_find(uint32_t number)
{
	struct generation *gen;

	LIST_FOREACH (gen, &master.generations, link)
		if (gen->number == number && !gen->forgotten)
			return gen;
	return NULL;
}

static struct generation *
gen_new(uint32_t number)
{
	struct generation *gen = calloc(1, sizeof(*gen));

	if (gen == NULL)
		return NULL;
	gen->number = number;
	gen->refs = 1;
	gen->snap = -1;
	memset(gen->storage_snap, 0xff, sizeof(gen->storage_snap));
	LIST_INSERT_HEAD(&master.generations, gen, link);
	return gen;
}

void
gen_unref(struct generation *gen)
{
	if (--gen->refs > 0)
		return;
	LIST_REMOVE(gen, link);
	fds_close(&gen->snap, 1);
	fds_close(gen->storage_snap, CONF_MAX_STORAGE);
	free(gen);
}

void
gen_forget(struct generation *gen)
{
	if (gen->forgotten)
		return;
	gen->forgotten = 1;
	gen_unref(gen);
}

/* --- the config role ------------------------------------------------------ */

static void
send_file(struct child *c, const char *name)
{
	struct ipc_config_file m = {.path = *name ? name : master.conf_path};
	int fd = -1;

	m.error = EMFILE;	/* too many files */
	if (c->gen->files++ < CONFFILE_MAX)
		fd = conffile_open(master.conf_path, name, &m.error);
	child_tell(c, IPC_CONFIG_FILE, &m, &fd, fd >= 0);
	fds_close(&fd, 1);
}

/* Keep master's own snapshot, and those for workers; false: malformed. */
static _Bool
snap_keep(struct generation *gen, const struct ipc_config_snap *m, int fd)
{
	int *place = NULL;

	if (m->kind == CONF_MASTER)
		place = &gen->snap;
	else if (m->kind == CONF_STORAGE && m->index < CONF_MAX_STORAGE)
		place = &gen->storage_snap[m->index];
	else
		return m->kind != CONF_STORAGE;
	if (*place >= 0 || (*place = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
		return 0;
	return place != &gen->snap || conf_read_master(fd, &gen->conf);
}

void
config_message(struct child *c, struct ipc_in *in)
{
	if (in->type == IPC_CONFIG_OPEN)
		send_file(c, in->m.config_open.name);
	else if (in->type == IPC_CONFIG_SNAP &&
	    !snap_keep(c->gen, &in->m.config_snap, in->fd[0]))
		child_end(c, "sent a malformed snapshot");
	else
		child_tell(master.manager, in->type, &in->m, in->fd,
		    in->nfds);
}

/* --- manager -------------------------------------------------------------- */

/* Start what manager asks for; arguments, channels to master, the right to
 * chroot and a coordinator's configuration are master's to give. */
static _Bool
role_spawn(const struct ipc_in *in)
{
	const struct ipc_spawn *m = &in->m.spawn;
	struct spawn s = {.role = (enum ipc_role)m->role,
	    .instance = m->instance};
	struct ipc_spawned up = {.instance = m->instance};
	struct generation *gen = NULL;
	unsigned n = 0, channel = 0;
	struct child *c;

	if (m->instance <= master.instances || m->instance > INSTANCE_MAX ||
	    m->slots >> FD_MASTER != 0)
		return 0;
	master.instances = m->instance;
	for (unsigned i = 0; i < SPAWN_MAX_FDS; i++)
		if ((m->slots & 1u << (FD_CHANNEL + i)) && n < in->nfds)
			s.fd[i] = in->fd[n++];
	switch (m->role) {
	case R_CONFIG:
		s.arg[0] = master.env.plugins;
		s.arg[1] = master.check ? "check" : "run";
		channel = FD_CHANNEL;
		if ((gen = gen_new(m->instance)) == NULL)
			return 0;
		break;
	case R_AUTH:
		channel = FD_MASTER;
		if ((gen = gen_find(m->generation)) == NULL)
			return 0;
		break;
	case R_GATE:
		channel = FD_MASTER;
		s.keep_chroot = geteuid() == 0;	/* or it does not run */
		break;
	case R_CERTCHECK:
		s.keep_chroot = s.fd[FD_ROOT - FD_CHANNEL] > 0;
		break;
	case R_POOL:
	case R_LOG:
		break;
	default:
		return 0;
	}
	c = child_new(&s, channel, gen);
	up.pid = c != NULL ? (uint32_t)c->pid : 0;
	outbox_send(&master.to_manager, IPC_SPAWNED, &up);
	return 1;
}

static _Bool
open_for(struct child *manager, const struct ipc_open *m)
{
	struct generation *gen = gen_find(m->generation);
	struct ipc_opened answer = {0};
	int fd;

	if (gen == NULL || gen->snap < 0)
		return 0;
	fd = file_open(m->kind, m->index, gen, &answer.is_syslog);
	answer.error = fd < 0 ? (uint32_t)errno : 0;
	child_tell(manager, IPC_OPENED, &answer, &fd, fd >= 0);
	fds_close(&fd, 1);
	return 1;
}

/*
 * Answer with what master knows: a copy of it, dropped to the log role's
 * user, writes the records, so that none of that runs as root.
 */
static void
report(const struct ipc_in *in)
{
	pid_t pid = fork();
	struct ipc_ctl_answer no = {.status = (uint32_t)errno};

	if (pid < 0)
		ipc_send(in->fd[0], IPC_CTL_ANSWER, &no, NULL, 0);
	if (pid != 0)
		return;
	if (!priv_drop(&master.env.ids[spawn_index(R_LOG)], 0))
		_exit(71);
	report_send(in);
	_exit(0);
}

static void
kick(const struct ipc_in *in)
{
	const struct ipc_kick *m = &in->m.kick;
	struct ipc_ctl_answer answer = {.count = session_kick(m->session,
	    m->user, m->generation)};

	answer.status = answer.count > 0 ? 0 : ESRCH;
	if (in->nfds > 0)
		ipc_send(in->fd[0], IPC_CTL_ANSWER, &answer, NULL, 0);
}

/* The end of a child that manager has started, if it is still there. */
static void
role_kill(uint32_t instance)
{
	struct child *c = child_find(~0u, instance);

	if (c != NULL)
		kill(c->pid, SIGKILL);
}

static void
note(uint32_t what)
{
	if (what == NOTE_READY)
		master_serving();
	master_notify(what == NOTE_READY ? "READY=1" :
	    what == NOTE_RELOADING ? "RELOADING=1" : "WATCHDOG=1");
}

void
manager_message(struct child *c, struct ipc_in *in)
{
	struct generation *gen;
	_Bool ok = 1;

	switch (in->type) {
	case IPC_SPAWN:
		ok = role_spawn(in);
		break;
	case IPC_OPEN:
		ok = open_for(c, &in->m.open);
		break;
	case IPC_KILL:
		role_kill(in->m.kill.instance);
		break;
	case IPC_FORGET:
		if ((gen = gen_find(in->m.forget.generation)) != NULL)
			gen_forget(gen);
		break;
	case IPC_LOG_TO:
		master.running = 1;
		log_to(in->fd[0]);
		in->fd[0] = -1;
		break;
	case IPC_NOTE:
		note(in->m.note.what);
		break;
	case IPC_REPORT:
		report(in);
		break;
	default:		/* IPC_KICK: ipc_recv() lets no other by */
		kick(in);
	}
	if (!ok)
		child_end(c, "asked for what it may not");
}
