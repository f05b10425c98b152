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

#include <assert.h>
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
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/master/grant.h"
#include "core/master/master.h"
#include "core/worker/worker.h"

enum { BUCKETS = 1024, SLOTS = 16, SLOT_FDS = 3,
	SLOT_FIRST = WORKER_CLIENT,
	WORKER_LOG_MAX = 200, GRANTS_MAX = 1024, WISHES_MAX = 8 };
static_assert(sizeof(((struct priv_ids *)0)->groups) ==
    sizeof(((struct conf_storage_section *)0)->groups), "copied whole");
#define GRANT_TIME (30 * NS_PER_S)
#define START_TIME (5 * NS_PER_S)

static LIST_HEAD(bucket, session) by_id[BUCKETS], by_pid[BUCKETS];
static TAILQ_HEAD(, session) queued = TAILQ_HEAD_INITIALIZER(queued);
static unsigned slots_free = (1u << SLOTS) - 1;

/*
 * The child shares master's descriptor table until its first system call, so
 * a session's descriptors wait for it in one of 16 groups of low numbers,
 * which stay as they are until the child says that it is up.
 */
void
session_setup(void)
{
	for (int i = 0; i < SLOTS * SLOT_FDS; i++)
		dup3(0, SLOT_FIRST + i, O_CLOEXEC);
}

static void
slot_free(struct session *s)
{
	if (s->slot < 0)
		return;
	for (int i = 0; i < SLOT_FDS; i++)
		dup3(0, SLOT_FIRST + s->slot * SLOT_FDS + i, O_CLOEXEC);
	slots_free |= 1u << s->slot;
	s->slot = -1;
}

struct session *
session_find(uint64_t id)
{
	struct session *s;

	LIST_FOREACH (s, &by_id[id % BUCKETS], by_id)
		if (s->g.id == id)
			return s;
	return NULL;
}

static void
session_free(struct session *s)
{
	struct child *gate;

	LIST_REMOVE(s, by_id);
	if (s->pid > 0)
		LIST_REMOVE(s, by_pid);
	if (s->state == S_QUEUED)
		TAILQ_REMOVE(&queued, s, queue);
	if (s->state != S_GRANTED)
		master.sessions--;
	else if ((gate = child_find(R_ACCEPTS, s->g.gate)) != NULL)
		gate->grants--;
	slot_free(s);
	loop_timer_clear(master.loop, &s->timer);
	loop_unwatch(master.loop, &s->io);
	fds_close(&s->io.fd, 1);
	fds_close(&s->client, 1);
	gen_unref(s->gen);
	free(s);
	master_idle();
}

/* The end of S before it was one: the gate, if it still lives, answers. */
static void
session_refuse(struct session *s)
{
	struct ipc_refused no = {.serial = s->g.serial,
	    .status = (uint32_t)CULVER_E_TEMP};
	struct child *gate = child_find(R_ACCEPTS, s->g.gate);

	master.refused++;
	child_tell(gate, IPC_REFUSED, &no, NULL, 0);
	session_free(s);
}

static void
on_timer(struct loop_timer *t)
{
	struct session *s = (struct session *)((char *)t -
	    offsetof(struct session, timer));

	if (s->state == S_QUEUED) {
		session_refuse(s);
	} else if (s->state == S_GRANTED) {
		session_free(s);
	} else {
		log_warnx("session %016llx: its worker %d does not answer: "
		    "killed", (unsigned long long)s->g.id, (int)s->pid);
		kill(s->pid, SIGKILL);
	}
}

/* The worker's last word is passed on unread. */
static void
session_log(const struct session *s, _Bool begins, const char *refused,
    int status)
{
	struct ipc_log_session line = {.begins = begins, .session = s->g.id,
	    .pid = (uint32_t)s->pid, .uid = s->g.uid, .flags = s->g.flags,
	    .user = s->g.user, .remote = s->g.remote, .mech = s->g.mech,
	    .master = s->g.master, .duration = clock_now() - s->started,
	    .refused = refused,
	    .end = {s->end, s->end_len}, .status = (uint32_t)status};

	outbox_send(&master.log, IPC_LOG_SESSION, &line);
}

/* A coordinator says who may log in: keep its message. */
_Bool
session_grant(struct child *auth, struct ipc_in *in)
{
	uint64_t id = in->m.grant.id;
	struct child *gate;
	const char *wrong;
	union ipc_any grant;
	enum ipc_type type;
	struct session *s;
	unsigned nfds;

	if (in->m.grant.kind != (in->m.grant.flags & IPC_DELIVERY ?
	    IPC_GRANT_DELIVERY : IPC_GRANT_SESSION) ||
	    id >> 40 != auth->instance || session_find(id) != NULL)
		return 0;
	gate = child_find(R_ACCEPTS, in->m.grant.gate);
	if (gate == NULL)
		return 1;		/* it died meanwhile */
	s = gate->grants < GRANTS_MAX ? calloc(1, sizeof(*s) + in->len) :
	    NULL;
	if (s == NULL) {
		if (gate->lost_until < clock_now())
			log_warnx("no room for the logins of gate %u: it "
			    "uses %u of them only", gate->instance,
			    gate->grants);
		gate->lost_until = clock_now() + GRANT_TIME;
		return 1;
	}
	gate->grants++;
	memcpy(s->message, in->buf, in->len);
	ipc_decode(s->message, in->len, &type, &nfds, &grant);
	s->g = grant.grant;
	s->gen = auth->gen;
	s->gen->refs++;
	s->io.fd = s->client = s->slot = -1;
	s->started = clock_now();
	LIST_INSERT_HEAD(&by_id[id % BUCKETS], s, by_id);
	s->timer.due = on_timer;
	loop_timer_set(master.loop, &s->timer, s->started + GRANT_TIME);
	wrong = grant_check(&s->gen->conf, &master.env, &s->g);
	if (wrong != NULL) {
		/* Kept all the same: the gate's hand-over must find it. */
		s->g.kind = 0;
		session_log(s, 0, wrong, 0);
	}
	return 1;
}

/* --- fork ----------------------------------------------------------------- */

/* In the child: root until priv_drop() returns. */
static void __attribute__((noreturn))
worker_child(const struct session *s)
{
	unsigned first = SLOT_FIRST + (unsigned)s->slot * SLOT_FDS;
	const struct conf_storage_section *sec =
	    &s->gen->conf.storage[s->g.section];
	struct priv_ids ids = {.uid = s->g.uid, .gid = s->g.gid,
	    .n_groups = sec->n_groups};
	const struct ipc_worker_up up = {0};
	int locker;

	if (syscall(SYS_close_range, first + SLOT_FDS, ~0u,
	    CLOSE_RANGE_UNSHARE) != 0)
		_exit(71);
	for (int i = 0; i < SLOT_FDS; i++)
		dup2((int)first + i, SLOT_FIRST + i);
	syscall(SYS_close_range, SLOT_FIRST + SLOT_FDS, ~0u, 0);
	memcpy(ids.groups, sec->groups, sizeof(ids.groups));
	if (!spawn_locker(&master.env, ids.uid, sec->lock_gid, WORKER_SNAPSHOT,
	    &locker))
		_exit(71);
	/* Before the drop: from then on the user may stop this process, which
	 * must not keep the slot from others. */
	if (ipc_send(WORKER_CHANNEL, IPC_WORKER_UP, &up, NULL, 0) !=
	    CULVER_OK || !priv_drop(&ids, 0))
		_exit(71);
	worker_run(s, locker);
}

static void on_worker(struct loop_io *io, unsigned events);

static void
worker_fork(struct session *s, int slot)
{
	int pair[2], first = SLOT_FIRST + slot * SLOT_FDS;
	long pid = -1;

	s->slot = slot;
	slots_free &= ~(1u << slot);
	s->state = S_STARTING;
	s->started = clock_now();
	if (ipc_pair(pair)) {
		s->io = (struct loop_io){.fd = pair[0], .ready = on_worker};
		dup3(s->client, first, O_CLOEXEC);
		dup3(pair[1], first + 1, O_CLOEXEC);
		dup3(s->gen->snap[SNAP_STORAGE + s->g.section], first + 2,
		    O_CLOEXEC);
		pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL,
		    NULL, 0);
		if (pid == 0)
			worker_child(s);
		close(pair[1]);
	}
	if (pid < 0) {
		log_warn("cannot start a worker");
		session_refuse(s);
		return;
	}
	fds_close(&s->client, 1);
	s->pid = (pid_t)pid;
	LIST_INSERT_HEAD(&by_pid[s->pid % BUCKETS], s, by_pid);
	loop_watch(master.loop, &s->io, LOOP_READ);
	loop_timer_set(master.loop, &s->timer, s->started + START_TIME);
}

static void
queue_run(void)
{
	struct session *s;

	while (slots_free != 0 && (s = TAILQ_FIRST(&queued)) != NULL) {
		TAILQ_REMOVE(&queued, s, queue);
		worker_fork(s, __builtin_ctz(slots_free));
	}
}

/* --- hand-over ------------------------------------------------------------ */

static _Bool
is_socket(int fd, int wanted)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	    type == wanted;
}

_Bool
session_handover(struct child *gate, struct ipc_in *in)
{
	const struct ipc_handover *h = &in->m.handover;
	struct ipc_refused no = {.serial = h->serial,
	    .status = (uint32_t)CULVER_E_TEMP};
	struct session *s;

	grants_read(h->grant);
	s = session_find(h->grant);
	if (s == NULL && clock_now() < gate->lost_until) {
		child_tell(gate, IPC_REFUSED, &no, NULL, 0);
		return 1;
	}
	if (s == NULL || s->state != S_GRANTED || s->g.gate != gate->instance ||
	    s->g.serial != h->serial || (in->nfds > 0 && !is_socket(in->fd[0],
	    s->g.flags & IPC_DELIVERY ? SOCK_SEQPACKET : SOCK_STREAM)))
		return 0;
	s->client = in->fd[0];
	in->fd[0] = -1;
	if (s->g.kind == 0 || s->client < 0 || master.stopping ||
	    master.sessions >= s->gen->conf.sessions_max) {
		if (master.sessions >= s->gen->conf.sessions_max)
			log_warnx("limit what=sessions: %u sessions are open, "
			    "raise limits.sessions", master.sessions);
		session_refuse(s);
		return 1;
	}
	s->state = S_QUEUED;
	gate->grants--;
	master.sessions++;
	TAILQ_INSERT_TAIL(&queued, s, queue);
	loop_timer_set(master.loop, &s->timer, clock_now() + START_TIME);
	queue_run();
	return 1;
}

/* A grant that the gate has no use for; it may be gone already. */
_Bool
session_release(struct child *gate, struct ipc_in *in)
{
	const struct ipc_release *r = &in->m.release;
	struct session *s;

	grants_read(r->grant);
	s = session_find(r->grant);
	if (s != NULL && s->state == S_GRANTED &&
	    s->g.gate == gate->instance && s->g.serial == r->serial)
		session_free(s);
	return 1;
}

/* --- what a running worker says ------------------------------------------- */

static void
worker_up(struct session *s)
{
	struct ipc_started up = {.serial = s->g.serial};
	struct child *gate = child_find(R_ACCEPTS, s->g.gate);

	s->state = S_RUNNING;
	master.logins += s->g.kind == IPC_GRANT_SESSION;
	slot_free(s);
	loop_timer_clear(master.loop, &s->timer);
	child_tell(gate, IPC_STARTED, &up, NULL, 0);
	session_log(s, 1, "", 0);
	if (master.stopping)
		shutdown(s->io.fd, SHUT_WR);
	queue_run();
}

static void
worker_message(struct session *s, const struct ipc_in *in)
{
	struct ipc_log_worker line = {.session = s->g.id, .user = s->g.user};

	if (in->type == IPC_WORKER_UP) {
		worker_up(s);
	} else if (in->type == IPC_WORKER_TAKEOVER) {
		/* looking through all is not for free: once a second */
		if (s->wishes++ <= WISHES_MAX + (clock_now() - s->started) /
		    NS_PER_S)
			report_fork(in, s);
	} else if (in->type == IPC_WORKER_LOG) {
		line.level = in->m.worker_log.level;
		line.text = s->log_lines++ < WORKER_LOG_MAX ?
		    in->m.worker_log.text : "more lines than a session may "
		    "log: the rest is left out";
		if (s->log_lines <= WORKER_LOG_MAX + 1)
			outbox_send(&master.log, IPC_LOG_WORKER, &line);
	} else if (in->len <= sizeof(s->end)) {
		s->end_len = (uint32_t)in->len;
		memcpy(s->end, in->buf, in->len);
	}
}

/* Read at most MAX messages of the worker, so that one cannot keep master
 * from the others; false when its channel is over. */
static _Bool
worker_read(struct session *s, unsigned max)
{
	enum ipc_result r = IPC_AGAIN;

	while (max-- > 0 && (r = ipc_recv(s->io.fd, &master.in, R_WORKER,
	    R_MASTER, s->state == S_STARTING ? P_START : P_RUN)) == IPC_GOT) {
		worker_message(s, &master.in);
		ipc_done(&master.in);
	}
	if (r == IPC_BREACH) {
		master.breaches++;
		log_warnx("session %016llx: its worker %d broke the rules: "
		    "killed", (unsigned long long)s->g.id, (int)s->pid);
		if (!s->reaped)
			kill(s->pid, SIGKILL);
	}
	return r == IPC_AGAIN || r == IPC_GOT;
}

static void
on_worker(struct loop_io *io, unsigned events)
{
	struct session *s = (struct session *)((char *)io -
	    offsetof(struct session, io));

	(void)events;
	if (worker_read(s, IPC_ROUND))
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
	worker_read(s, IPC_REST);
	if (s->state == S_STARTING) {
		log_warnx("a worker for uid %u could not start (status 0x%x)",
		    (unsigned)s->g.uid, (unsigned)status);
		session_refuse(s);
	} else {
		session_log(s, 0, "", status);
		session_free(s);
	}
	queue_run();
	return 1;
}

/* Let S finish what it does. */
void
session_end(const struct session *s, void *unused)
{
	(void)unused;
	if (s->state == S_RUNNING)
		shutdown(s->io.fd, SHUT_WR);
}

void
session_each(void (*f)(const struct session *, void *), void *arg)
{
	struct session *s;

	for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
		LIST_FOREACH (s, &by_pid[bucket], by_pid)
			f(s, arg);
}

void
session_kill(const struct session *s, void *unused)
{
	(void)unused;
	kill(s->pid, SIGKILL);
}
