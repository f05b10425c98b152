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

enum { INSTANCE_MAX = 0xffffff,	/* 24 bits of a session's number */
	SPAWNED_ROLES = R_CONFIG | R_AUTH | R_ACCEPTS | R_CERTCHECK | R_POOL |
	R_LOG | R_METRICS };

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
	memset(gen->snap, 0xff, sizeof(gen->snap));
	LIST_INSERT_HEAD(&master.generations, gen, link);
	return gen;
}

void
gen_unref(struct generation *gen)
{
	if (--gen->refs > 0)
		return;
	LIST_REMOVE(gen, link);
	fds_close(gen->snap, SNAPS);
	free(gen);
}

void
gen_forget(struct generation *gen)
{
	if (gen == NULL || gen->forgotten)
		return;
	gen->forgotten = 1;
	gen_unref(gen);
}

/* --- the config role ------------------------------------------------------ */

static _Bool
send_file(struct child *c, struct ipc_in *in)
{
	const char *name = in->m.config_open.name;
	struct ipc_config_file m = {.path = *name ? name : master.conf_path};
	int fd = -1;

	m.error = EMFILE;	/* too many files */
	if (c->gen->files++ < CONFFILE_MAX)
		fd = conffile_open(master.conf_path, name, &m.error);
	child_tell(c, IPC_CONFIG_FILE, &m, &fd, fd >= 0);
	fds_close(&fd, 1);
	return 1;
}

/* Keep master's own snapshot, and those for workers and pools; false:
 * malformed. */
static _Bool
snap_keep(struct generation *gen, const struct ipc_config_snap *m, int fd)
{
	static const struct {
		uint32_t kind, first, n;
	} kept[] = {{CONF_MASTER, SNAP_MASTER, 1},
	    {CONF_STORAGE, SNAP_STORAGE, CONF_MAX_STORAGE},
	    {CONF_POOL, SNAP_POOL, CONF_MAX_AUTH}};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		int *place = gen->snap + kept[i].first;

		if (m->kind != kept[i].kind)
			continue;
		if (m->index >= kept[i].n || place[m->index] >= 0 ||
		    (place[m->index] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
			return 0;
		return m->kind != CONF_MASTER ||
		    conf_read_master(fd, &gen->conf);
	}
	return 1;
}

static _Bool
pass_on(struct child *c, struct ipc_in *in)
{
	(void)c;
	child_tell(master.manager, in->type, &in->m, in->fd, in->nfds);
	return 1;
}

static _Bool
snap_pass(struct child *c, struct ipc_in *in)
{
	return snap_keep(c->gen, &in->m.config_snap, in->fd[0]) &&
	    (in->m.config_snap.kind == CONF_POOL || pass_on(c, in));
}

/* --- manager -------------------------------------------------------------- */

/* Start what manager asks for; arguments, channels to master, the right to
 * chroot and the configuration are master's to give. */
static _Bool
role_spawn(struct child *manager, struct ipc_in *in)
{
	const struct ipc_spawn *m = &in->m.spawn;
	struct spawn s = {.role = (enum ipc_role)m->role,
	    .instance = m->instance};
	struct ipc_spawned up = {.instance = m->instance};
	struct generation *gen;
	unsigned n = 0, channel = m->role & (R_AUTH | R_ACCEPTS) ?
	    FD_MASTER : 0;
	struct child *c;

	(void)manager;
	if (m->instance <= master.instances || m->instance > INSTANCE_MAX ||
	    m->slots >> FD_MASTER != 0 || (m->role & ~SPAWNED_ROLES) != 0 ||
	    __builtin_popcount(m->role) != 1)
		return 0;
	gen = m->role == R_CONFIG ? gen_new(m->instance) :
	    gen_find(m->generation);
	if (gen == NULL || (m->role == R_POOL &&
	    (m->section >= gen->conf.n_auth || m->section >= CONF_MAX_AUTH)))
		return 0;
	master.instances = m->instance;
	for (unsigned i = 0; i < SPAWN_MAX_FDS; i++)
		if ((m->slots & 1u << (FD_CHANNEL + i)) && n < in->nfds)
			s.fd[i] = in->fd[n++];
	if (m->role == R_CONFIG) {
		s.arg[0] = master.env.plugins;
		s.arg[1] = master.check ? "check" : "run";
		channel = FD_CHANNEL;
	}
	/* a section's group and its secrets are for its plugin only */
	if (m->role == R_POOL) {
		s.fd[FD_SNAPSHOT - FD_CHANNEL] =
		    gen->snap[SNAP_POOL + m->section];
		s.group = gen->conf.auth[m->section].gid;
	}
	/* without a folder to chroot to they do not run */
	s.keep_chroot = geteuid() == 0 && ((m->role & R_ACCEPTS) != 0 ||
	    (m->role == R_CERTCHECK && s.fd[FD_ROOT - FD_CHANNEL] > 0));
	c = in->nfds > 0 ? child_new(&s, channel, gen) : NULL;
	up.pid = c != NULL ? (uint32_t)c->pid : 0;
	outbox_send(&master.to_manager, IPC_SPAWNED, &up);
	return 1;
}

static _Bool
open_for(struct child *manager, struct ipc_in *in)
{
	const struct ipc_open *m = &in->m.open;
	struct generation *gen = gen_find(m->generation);
	struct ipc_opened answer = {0};
	int fd;

	if (gen == NULL || gen->snap[SNAP_MASTER] < 0)
		return 0;
	fd = file_open(m->kind, m->index, gen, &answer.is_syslog);
	answer.error = fd < 0 ? (uint32_t)errno : 0;
	child_tell(manager, IPC_OPENED, &answer, &fd, fd >= 0);
	fds_close(&fd, 1);
	return 1;
}

/*
 * What a copy of all that master knows is enough for, one that has dropped to
 * the log role's user does, so that none of it runs as root.  Of those that
 * somebody may ask for as fast as he likes there are few at a time.
 */
_Bool
report_fork(const struct ipc_in *in, const struct session *from)
{
	const struct ipc_ctl_answer no = {.status = EAGAIN};
	pid_t *place = master.answers, pid = -1;

	while (*place != 0 && place < &master.answers[ANSWERS_MAX])
		place++;
	if (in->type != IPC_REPORT || place < &master.answers[ANSWERS_MAX])
		pid = fork();
	if (pid < 0)
		log_warnx("no process to answer with");
	if (pid < 0 && in->nfds > 0)
		ipc_send(in->fd[0], IPC_CTL_ANSWER, &no, NULL, 0);
	if (pid > 0)
		*place = pid;
	if (pid != 0)
		return 1;
	if (priv_drop(&master.env.ids[spawn_index(R_LOG)], 0))
		report_send(in, from);
	_exit(0);
}

static _Bool
answer(struct child *manager, struct ipc_in *in)
{
	(void)manager;
	return report_fork(in, NULL);
}

/* The end of a child that manager has started, if it is still there. */
static _Bool
role_kill(struct child *manager, struct ipc_in *in)
{
	struct child *c = child_find(~0u, in->m.kill.instance);

	(void)manager;
	if (c != NULL)
		kill(c->pid, SIGKILL);
	if (in->m.kill.instance == 0)
		upgrade_cancel();
	return 1;
}

static _Bool
forget(struct child *manager, struct ipc_in *in)
{
	(void)manager;
	gen_forget(gen_find(in->m.forget.generation));
	return 1;
}

/* The start is over: messages go to the log role. */
static _Bool
take_log(struct child *manager, struct ipc_in *in)
{
	(void)manager;
	master.running = 1;
	dup3(in->fd[1], master.diag_fd, O_CLOEXEC);
	log_to(in->fd[0]);
	in->fd[0] = -1;
	return 1;
}

/* --- what comes from roles -------------------------------------------------- */

/* ipc_recv() lets nothing by that messages.def does not allow its sender. */
static const struct {
	_Bool (*serve)(struct child *, struct ipc_in *);
	const char *wrong;		/* what C did if that said no */
} requests[] = {
	[IPC_GRANT] = {session_grant, "sent a malformed grant"},
	[IPC_HANDOVER] = {session_handover,
	    "used a grant that is not its own"},
	[IPC_RELEASE] = {session_release, ""},
	[IPC_CONFIG_OPEN] = {send_file, ""},
	[IPC_CONFIG_SNAP] = {snap_pass, "sent a malformed snapshot"},
	[IPC_CONFIG_DONE] = {pass_on, ""},
	[IPC_SPAWN] = {role_spawn, "asked for a role that it may not have"},
	[IPC_OPEN] = {open_for, "asked for a file of no configuration"},
	[IPC_KILL] = {role_kill, ""},
	[IPC_FORGET] = {forget, ""},
	[IPC_LOG_TO] = {take_log, ""},
	[IPC_NOTE] = {manager_note, "noted nonsense"},
	[IPC_REPORT] = {answer, ""},
	[IPC_KICK] = {answer, ""},
	[IPC_UPGRADE] = {upgrade_start, ""},
};

void
request_serve(struct child *c, struct ipc_in *in)
{
	if (in->type >= sizeof(requests) / sizeof(requests[0]) ||
	    requests[in->type].serve == NULL)
		child_end(c, "sent what nobody serves");
	else if (!requests[in->type].serve(c, in))
		child_end(c, requests[in->type].wrong);
}
