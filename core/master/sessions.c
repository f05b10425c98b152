/*
 * sessions.c - grants, and the workers that they become.
 *
 * Runs as root.  The coordinator says who may log in as whom (a grant); a
 * gate brings the client's socket and the number of a grant; both must match,
 * once, within 30 s.  Then one fork, a verified drop, and the rest is the
 * user's own process.  What a worker reports is treated like a client's
 * octets: it ends up in a log line and nowhere else.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/master/grant.h"
#include "core/master/master.h"
#include "core/worker/worker.h"

enum { BUCKETS = 1024, SLOTS = 16, SLOT_FDS = 3, SLOT_FIRST = 3,
	WORKER_LOG_MAX = 200 };
#define GRANT_TIME (30 * NS_PER_S)
#define START_TIME (5 * NS_PER_S)

static LIST_HEAD(bucket, session) by_id[BUCKETS], by_pid[BUCKETS];
static TAILQ_HEAD(, session) queued = TAILQ_HEAD_INITIALIZER(queued);
static _Bool slot_used[SLOTS];
static int null_fd;

/*
 * The child shares master's descriptor table until its first system call, so
 * a session's descriptors wait for it in one of 16 groups of low numbers,
 * which stay as they are until the child says that it is up.
 */
void
session_setup(void)
{
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC,
	    SLOT_FIRST + SLOTS * SLOT_FDS);
	for (int i = 0; i < SLOTS * SLOT_FDS; i++)
		dup3(null_fd, SLOT_FIRST + i, O_CLOEXEC);
}

static void
slot_free(struct session *s)
{
	if (s->slot < 0)
		return;
	for (int i = 0; i < SLOT_FDS; i++)
		dup3(null_fd, SLOT_FIRST + s->slot * SLOT_FDS + i, O_CLOEXEC);
	slot_used[s->slot] = 0;
	s->slot = -1;
}

static struct session *
find_id(uint64_t id)
{
	struct session *s;

	LIST_FOREACH (s, &by_id[id % BUCKETS], by_id)
		if (s->id == id)
			return s;
	return NULL;
}

_Bool
session_known(uint64_t id)
{
	return find_id(id) != NULL;
}

static void
session_free(struct session *s)
{
	LIST_REMOVE(s, by_id);
	if (s->pid > 0)
		LIST_REMOVE(s, by_pid);
	if (s->state == S_QUEUED)
		TAILQ_REMOVE(&queued, s, queue);
	if (s->state != S_GRANTED)
		master.sessions--;
	slot_free(s);
	loop_timer_clear(master.loop, &s->timer);
	loop_unwatch(master.loop, &s->io);
	if (s->io.fd >= 0)
		close(s->io.fd);
	if (s->client >= 0)
		close(s->client);
	gen_unref(s->gen);
	free(s);
}

/* Tell the gate, if it still lives, that there is no session. */
static void
refuse(struct session *s, culver_status status)
{
	struct ipc_refused no = {.serial = s->serial,
	    .status = (uint32_t)status};
	struct child *gate = child_find(R_GATE, s->gate);

	master.refused++;
	child_tell(gate, IPC_REFUSED, &no, NULL, 0);
}

static void
on_timer(struct loop_timer *t)
{
	struct session *s = (struct session *)((char *)t -
	    offsetof(struct session, timer));

	if (s->state == S_GRANTED) {
		session_free(s);
	} else if (s->state == S_QUEUED) {
		refuse(s, CULVER_E_TEMP);
		session_free(s);
	} else {
		log_warnx("session %016llx: its worker %d does not answer: "
		    "killed", (unsigned long long)s->id, (int)s->pid);
		kill(s->pid, SIGKILL);
	}
}

static void
session_log_end(const struct session *s, int status)
{
	char reason[32];
	struct ipc_log_session line = {.session = s->id,
	    .pid = (uint32_t)s->pid, .flags = s->flags, .user = s->user,
	    .remote = s->remote, .duration = clock_now() - s->started,
	    .retr = s->end.retr, .retr_octets = s->end.retr_octets,
	    .top = s->end.top, .deleted = s->end.deleted,
	    .left = s->end.left, .left_octets = s->end.left_octets,
	    .reason = s->reason};

	if (!s->ended) {
		line.reason = reason;
		snprintf(reason, sizeof(reason), WIFSIGNALED(status) ?
		    "killed-by-signal-%d" : "died-with-status-%d",
		    WIFSIGNALED(status) ? WTERMSIG(status) :
		    WEXITSTATUS(status));
	}
	log_record(IPC_LOG_SESSION, &line);
}

void
session_grant(struct child *auth, const struct ipc_grant *g)
{
	size_t user = strlen(g->user) + 1, remote = strlen(g->remote) + 1;
	size_t mech = strlen(g->mech) + 1;
	const char *wrong = grant_check(&auth->gen->conf, &master.env, g);
	struct session *s;

	if (g->kind != IPC_GRANT_SESSION || g->id >> 40 != auth->instance ||
	    session_known(g->id)) {
		child_end(auth, "sent a malformed grant");
		return;
	}
	s = calloc(1, sizeof(*s) + user + remote + mech + g->tail.n);
	if (s == NULL)
		return;
	*s = (struct session){.id = g->id, .serial = g->serial,
	    .gate = g->gate, .kind = g->kind, .section = g->section,
	    .flags = g->flags, .uid = g->uid, .gid = g->gid, .gen = auth->gen,
	    .io.fd = -1, .client = -1, .slot = -1, .tail_len = g->tail.n};
	s->started = clock_now();
	memcpy(s->user, g->user, user);
	s->remote = memcpy(s->user + user, g->remote, remote);
	s->mech = memcpy(s->remote + remote, g->mech, mech);
	s->tail = memcpy(s->mech + mech, g->tail.p, g->tail.n);
	gen_ref(s->gen);
	LIST_INSERT_HEAD(&by_id[s->id % BUCKETS], s, by_id);
	s->timer.due = on_timer;
	loop_timer_set(master.loop, &s->timer, s->started + GRANT_TIME);
	if (wrong != NULL) {
		/* Kept all the same: the gate's hand-over must find it. */
		snprintf(s->reason, sizeof(s->reason), "%s", wrong);
		s->kind = 0;
		s->ended = 1;
		session_log_end(s, 0);
	}
}

/* --- fork ------------------------------------------------------------------- */

/* In the child: root until priv_drop() returns. */
static void __attribute__((noreturn))
worker_child(const struct session *s)
{
	unsigned first = SLOT_FIRST + (unsigned)s->slot * SLOT_FDS;
	struct worker_start ws = {.client = 3, .channel = 4, .snapshot = 5,
	    .tail = s->tail, .tail_len = s->tail_len, .flags = s->flags,
	    .uid = s->uid, .gid = s->gid, .session = s->id,
	    .remote = s->remote, .mech = s->mech};
	const struct conf_storage_section *sec =
	    &s->gen->conf.storage[s->section];
	struct priv_ids ids = {.uid = s->uid, .gid = s->gid,
	    .n_groups = sec->n_groups};
	struct ipc_worker_up up = {.missing = master.missing};
	sigset_t none;

	if (syscall(SYS_close_range, first + SLOT_FDS, ~0u,
	    CLOSE_RANGE_UNSHARE) != 0)
		_exit(71);
	for (int i = 0; i < SLOT_FDS; i++)
		dup2((int)first + i, SLOT_FIRST + i);
	syscall(SYS_close_range, SLOT_FIRST + SLOT_FDS, ~0u, 0);
	for (unsigned i = 0; i < sec->n_groups; i++)
		ids.groups[i] = sec->groups[i];
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	log_set_sink(NULL);
	if (!priv_drop(&ids, 0))
		_exit(71);
	if (ipc_send(ws.channel, IPC_WORKER_UP, &up, NULL, 0) != CULVER_OK)
		_exit(71);
	_exit(worker_main(&ws));
}

static void on_worker(struct loop_io *io, unsigned events);

static void
worker_fork(struct session *s, int slot)
{
	int pair[2], first = SLOT_FIRST + slot * SLOT_FDS;
	long pid;

	if (!ipc_pair(pair)) {
		log_warn("socketpair");
		refuse(s, CULVER_E_TEMP);
		session_free(s);
		return;
	}
	s->slot = slot;
	slot_used[slot] = 1;
	s->state = S_STARTING;
	s->started = clock_now();
	dup3(s->client, first, O_CLOEXEC);
	dup3(pair[1], first + 1, O_CLOEXEC);
	dup3(s->gen->storage_snap[s->section], first + 2, O_CLOEXEC);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0)
		worker_child(s);
	close(pair[1]);
	close(s->client);
	s->client = -1;
	s->io = (struct loop_io){.fd = pair[0], .ready = on_worker};
	if (pid < 0) {
		log_warn("clone");
		refuse(s, CULVER_E_TEMP);
		session_free(s);
		return;
	}
	s->pid = (pid_t)pid;
	LIST_INSERT_HEAD(&by_pid[s->pid % BUCKETS], s, by_pid);
	loop_watch(master.loop, &s->io, LOOP_READ);
	loop_timer_set(master.loop, &s->timer, s->started + START_TIME);
}

static void
queue_run(void)
{
	struct session *s;

	for (int slot = 0; slot < SLOTS; slot++) {
		if (slot_used[slot])
			continue;
		if ((s = TAILQ_FIRST(&queued)) == NULL)
			return;
		TAILQ_REMOVE(&queued, s, queue);
		s->state = S_STARTING;
		worker_fork(s, slot);
	}
}

/* --- hand-over ---------------------------------------------------------------- */

static _Bool
is_stream_socket(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	    type == SOCK_STREAM;
}

void
session_handover(struct child *gate, const struct ipc_handover *h, int fd)
{
	struct session *s = find_id(h->grant);

	if (s == NULL || s->state != S_GRANTED || s->gate != gate->instance ||
	    s->serial != h->serial || !is_stream_socket(fd)) {
		close(fd);
		child_end(gate, "used a grant that is not its own");
		return;
	}
	if (s->kind != IPC_GRANT_SESSION || master.stopping ||
	    master.sessions >= s->gen->conf.sessions_max) {
		if (s->kind == IPC_GRANT_SESSION && !master.stopping)
			log_warnx("limit what=sessions: %u sessions are open, "
			    "raise limits.sessions", master.sessions);
		refuse(s, CULVER_E_TEMP);
		close(fd);
		session_free(s);
		return;
	}
	s->client = fd;
	s->state = S_QUEUED;
	master.sessions++;
	TAILQ_INSERT_TAIL(&queued, s, queue);
	loop_timer_set(master.loop, &s->timer, clock_now() + START_TIME);
	queue_run();
}

/* --- what a running worker says --------------------------------------------------- */

static void
worker_up(struct session *s)
{
	struct ipc_started up = {.serial = s->serial};
	struct ipc_log_login line = {.session = s->id,
	    .pid = (uint32_t)s->pid, .uid = s->uid, .flags = s->flags,
	    .user = s->user, .remote = s->remote, .mech = s->mech};
	struct child *gate = child_find(R_GATE, s->gate);

	s->state = S_RUNNING;
	master.logins++;
	slot_free(s);
	loop_timer_clear(master.loop, &s->timer);
	child_tell(gate, IPC_STARTED, &up, NULL, 0);
	log_record(IPC_LOG_LOGIN, &line);
	if (master.stopping)
		shutdown(s->io.fd, SHUT_WR);
	queue_run();
}

static void
worker_message(struct session *s, const struct ipc_in *in)
{
	struct ipc_log_worker line = {.session = s->id, .user = s->user};

	if (in->type == IPC_WORKER_UP) {
		worker_up(s);
	} else if (in->type == IPC_WORKER_LOG) {
		line.level = in->m.worker_log.level;
		line.text = s->log_lines++ < WORKER_LOG_MAX ?
		    in->m.worker_log.text : "more lines than a session may "
		    "log: the rest is left out";
		if (s->log_lines <= WORKER_LOG_MAX + 1)
			log_record(IPC_LOG_WORKER, &line);
	} else if (in->type == IPC_WORKER_END && !s->ended) {
		s->ended = 1;
		s->end = in->m.worker_end;
		snprintf(s->reason, sizeof(s->reason), "%s", s->end.reason);
		s->end.reason = s->reason;
	}
}

/* Read what the worker sent; false when its channel is over. */
static _Bool
worker_read(struct session *s)
{
	enum ipc_result r;

	while ((r = ipc_recv(s->io.fd, &master.in, R_WORKER, R_MASTER,
	    s->state == S_STARTING ? P_START : P_RUN)) == IPC_GOT) {
		worker_message(s, &master.in);
		ipc_done(&master.in);
	}
	if (r == IPC_BREACH) {
		master.breaches++;
		log_warnx("session %016llx: its worker %d broke the rules: "
		    "killed", (unsigned long long)s->id, (int)s->pid);
		if (!s->reaped)
			kill(s->pid, SIGKILL);
	}
	return r == IPC_AGAIN;
}

static void
on_worker(struct loop_io *io, unsigned events)
{
	struct session *s = (struct session *)((char *)io -
	    offsetof(struct session, io));

	(void)events;
	if (worker_read(s))
		return;
	loop_unwatch(master.loop, io);
	loop_timer_set(master.loop, &s->timer, clock_now() + START_TIME);
}

/* PID was reaped: false if it is no worker. */
_Bool
session_exit(pid_t pid, int status)
{
	struct session *s;

	LIST_FOREACH (s, &by_pid[pid % BUCKETS], by_pid)
		if (s->pid == pid)
			break;
	if (s == NULL)
		return 0;
	s->reaped = 1;
	worker_read(s);
	if (s->state == S_STARTING) {
		log_warnx("a worker for uid %u could not drop its rights "
		    "(status %d)", (unsigned)s->uid, status);
		refuse(s, CULVER_E_TEMP);
	} else {
		session_log_end(s, status);
	}
	session_free(s);
	queue_run();
	return 1;
}

/* A gate died: its grants are void; its sessions go on or see the end. */
void
session_gate_gone(uint32_t gate)
{
	struct session *s, *next;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (s = LIST_FIRST(&by_id[i]); s != NULL; s = next) {
			next = LIST_NEXT(s, by_id);
			if (s->gate == gate && s->pid == 0)
				session_free(s);
		}
}

/* Let sessions finish what they do: by ID, by USER, by GEN, or all. */
unsigned
session_kick(uint64_t id, const char *user, const struct generation *gen)
{
	struct session *s;
	unsigned n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_FOREACH (s, &by_pid[i], by_pid)
			if ((id == 0 || s->id == id) &&
			    (user == NULL || strcmp(s->user, user) == 0) &&
			    (gen == NULL || s->gen == gen) &&
			    s->state == S_RUNNING) {
				shutdown(s->io.fd, SHUT_WR);
				n++;
			}
	return n;
}

void
session_each(void (*f)(const struct session *, void *), void *arg)
{
	struct session *s;

	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_FOREACH (s, &by_pid[i], by_pid)
			f(s, arg);
}

void
session_kill_all(void)
{
	struct session *s;

	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_FOREACH (s, &by_pid[i], by_pid)
			kill(s->pid, SIGKILL);
}
