/*
 * ctl_box.c - a worker of culverctl's own: start it as the mailbox's owner,
 * hear what it logs, wait for its end.
 *
 * Runs in culverctl as its caller, often root.  The child drops before it
 * does anything (priv_drop()).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/priv.h"
#include "core/master/spawn.h"
#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

static struct ipc_in in;

struct start {
	const struct ctl_conf *conf;
	const struct ctl_user *user;
	uint32_t section;
	struct box_job *job;
	const uint8_t *tail;
	size_t tail_n;
	int data, channel;		/* the child's ends */
};

/* Root until priv_drop() returns. */
static void __attribute__((noreturn))
child_run(const struct start *s)
{
	const struct conf_storage_section *sec =
	    &s->conf->master.storage[s->section];
	struct worker_start ws = {.client = 3, .channel = 4, .snapshot = 5,
	    .tail = s->tail, .tail_len = s->tail_n,
	    .uid = s->user->answer.uid, .gid = s->user->answer.gid,
	    .remote = "culverctl", .mech = "",
	    .job = box_run, .job_arg = s->job};
	struct priv_ids ids = {.uid = ws.uid, .gid = ws.gid,
	    .n_groups = sec->n_groups};
	int from[3] = {s->data, s->channel,
	    s->conf->storage_snap[s->section]};

	for (int i = 0; i < 3; i++)
		from[i] = fcntl(from[i], F_DUPFD, 10);
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], 3 + i) < 0)
			_exit(71);
	/* the caller's terminal is not for what the user owns */
	if (!spawn_std_null() || syscall(SYS_close_range, 6, ~0u, 0) != 0)
		_exit(71);
	for (unsigned i = 0; i < sec->n_groups; i++)
		ids.groups[i] = sec->groups[i];
	if (!spawn_locker(&s->conf->env, ids.uid, sec->lock_gid, ws.snapshot,
	    &ws.locker) || !priv_drop(&ids, 0))
		_exit(71);
	s->job->fd = ws.client;
	_exit(worker_main(&ws));
}

/* A location is one of the user's own section: in another one's format it
 * means nothing. */
static size_t
tail_make(const struct ctl_user *user, uint32_t section, uint8_t *out,
    size_t n)
{
	const struct ipc_pool_answer *a = &user->answer;
	const struct ipc_userdata d = {.user = user->name, .home = a->home,
	    .location = section == user->section ? a->location : "",
	    .quota_octets = a->quota_octets,
	    .quota_messages = a->quota_messages, .fields = a->fields};

	return ipc_encode(IPC_USERDATA, &d, 0, out, n);
}

_Bool
box_start(struct box_child *child, const struct ctl_conf *conf,
    const struct ctl_user *user, uint32_t section, struct box_job *job)
{
	static uint8_t tail[16384];
	struct start s = {.conf = conf, .user = user, .section = section,
	    .job = job, .tail = tail,
	    .tail_n = tail_make(user, section, tail, sizeof(tail))};
	int data[2] = {-1, -1}, channel[2] = {-1, -1};

	child->pid = -1;
	if (!auth_may_become(conf, user))
		return 0;
	if (s.tail_n > 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    data) == 0 && ipc_pair(channel)) {
		s.data = data[1];
		s.channel = channel[1];
		fflush(NULL);
		child->pid = fork();
		if (child->pid == 0)
			child_run(&s);
	}
	if (child->pid < 0)
		ctl_warn("cannot start a mailbox process");
	close(data[1]);
	close(channel[1]);
	child->data = data[0];
	child->channel = channel[0];
	if (child->pid >= 0)
		return 1;
	close(data[0]);
	close(channel[0]);
	return 0;
}

void
box_log(const struct box_child *child)
{
	while (ipc_recv(child->channel, &in, R_WORKER, R_MASTER, P_START) ==
	    IPC_GOT) {
		if (in.type == IPC_WORKER_LOG &&
		    in.m.worker_log.level >= LOG_INFO_)
			ctl_warnx("%s", in.m.worker_log.text);
		ipc_done(&in);
	}
}

int
box_end(struct box_child *child)
{
	int status = 0;

	close(child->data);
	shutdown(child->channel, SHUT_WR);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	box_log(child);
	close(child->channel);
	child->pid = -1;
	return status;
}

/* The exit status for what a child said last, after a message. */
static int
exit_status(const struct frame_done *done, const char *user)
{
	switch (done->status) {
	case CULVER_OK:
		return 0;
	case CULVER_E_IN_USE:
		ctl_warnx("somebody is logged in: try later, or `culverctl "
		    "kick %s`", user);
		return EX_TEMPFAIL;
	case CULVER_E_GONE:
		return 1;
	case CULVER_E_CORRUPT:
		return EX_DATAERR;
	case CULVER_E_UNSUPPORTED:
		return EX_UNAVAILABLE;
	case CULVER_E_NOSPACE:
		ctl_warnx("no space");
		return EX_CANTCREAT;
	case CULVER_E_QUOTA:
		ctl_warnx("%s is over quota", user);
		return EX_CANTCREAT;
	case CULVER_E_PERM:
		return EX_NOPERM;
	default:
		return EX_TEMPFAIL;
	}
}

int
box_end_status(struct box_child *child, const struct frame_done *done,
    _Bool ended, const char *user)
{
	int status = box_end(child);

	if (ended)
		return exit_status(done, user);
	ctl_warnx("the mailbox process ended without an answer (%s %d)",
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return EX_SOFTWARE;
}

_Bool
box_nonsense(void)
{
	ctl_warnx("the mailbox process does not say what it should");
	return 0;
}

int
box_hear(struct box_child *child, const char *name, box_frame *on_frame,
    void *arg, struct frame_done *done)
{
	static uint8_t buf[FRAME_MAX];
	enum frame_type type;
	_Bool ended = 0, ok = 1;
	size_t n;
	int status;

	*done = (struct frame_done){.status = CULVER_E_TEMP};
	while (ok && !ended && (type = frame_get(child->data, buf, &n)) != 0) {
		box_log(child);
		ended = type == FRAME_DONE && n == sizeof(*done);
		if (ended)
			memcpy(done, buf, n);
		else if (type == FRAME_PROBLEM)
			ctl_warnx("%.*s", (int)n, (const char *)buf);
		else
			ok = on_frame(arg, type, buf, n);
	}
	status = box_end_status(child, done, ended, name);
	return ok ? status : EX_DATAERR;
}
