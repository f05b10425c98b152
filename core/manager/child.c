/*
 * child.c - the executed roles as processes: start, channels, end.
 *
 * Runs unprivileged in manager; master forks and kills for it.  The sockets
 * between roles are child_new() here and place_spawn() in places.c, and
 * FD_MASTER, which master makes: no others exist.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/ipc/ipclog.h"
#include "core/manager/manager.h"

#define READY_TIME (20 * NS_PER_S)
#define CLOSE_TIME (5 * NS_PER_S)

struct child *
child_find(uint32_t instance)
{
	struct child *c;

	TAILQ_FOREACH (c, &manager.children, link)
		if (c->instance == instance)
			return c;
	return NULL;
}

/* A message to C; a peer that does not take it is ended. */
void
child_tell(struct child *c, enum ipc_type type, const void *msg,
    const int *fds, unsigned n)
{
	if (c != NULL && c->io.fd >= 0 &&
	    ipc_send(c->io.fd, type, msg, fds, n) != CULVER_OK)
		child_end(c, "does not read its channel");
}

/* Tell C that it is over: a role ends when its channel does. */
void
child_close(struct child *c)
{
	if (c->io.fd < 0)
		return;
	loop_unwatch(manager.loop, &c->io);
	fds_close(&c->io.fd, 1);
	loop_timer_set(manager.loop, &c->timer, clock_now() + CLOSE_TIME);
}

/* SIGKILL: what C would still do is nothing we want. */
static void
child_kill(struct child *c)
{
	const struct ipc_kill m = {.instance = c->instance};

	child_close(c);
	master_tell(IPC_KILL, &m, NULL, 0);
}

/* End C, which broke the rules or does not answer. */
void
child_end(struct child *c, const char *why)
{
	if (c->io.fd < 0 && c->role != R_CONFIG)
		return;
	manager.breaches++;
	log_errorx("%s %u (pid %u) %s: killed", ipc_role_name(c->role),
	    c->instance, c->pid, why);
	child_kill(c);
}

static void
child_late(struct loop_timer *t)
{
	struct child *c = CONTAINER(t, struct child, timer);

	log_warnx("%s %u (pid %u) took too long: killed",
	    ipc_role_name(c->role), c->instance, c->pid);
	child_kill(c);
}

/* --- log sockets ---------------------------------------------------------- */

static void
log_sender(enum ipc_role role, uint32_t instance, const int *fd)
{
	const struct ipc_log_sender m = {.role = role, .instance = instance};

	if (*fd >= 0)
		child_tell(manager.log, IPC_LOG_SENDER, &m, fd, 1);
}

/* Sockets for manager's and master's own lines.  They outlive a log role that
 * died, not a generation: the old log role may have another target. */
static void
log_own(uint32_t generation)
{
	static int own[2] = {-1, -1}, masters[2] = {-1, -1};
	static uint32_t of;
	const struct ipc_log_to to = {0};
	int pair[2];

	if (of != generation) {
		fds_close(own, 2);
		fds_close(masters, 2);
		if (ipc_pair(own))
			ipclog_open(own[1]);
		if (ipc_pair(masters)) {
			pair[0] = masters[1];
			pair[1] = manager.log_target;
			master_tell(IPC_LOG_TO, &to, pair, 2);
		}
		fds_close(&masters[1], 1);
		of = generation;
	}
	log_sender(R_MANAGER, 0, &own[0]);
	log_sender(R_MASTER, 0, &masters[0]);
}

/* A log role takes every sender over. */
void
log_connect(struct child *log)
{
	struct child *c;

	manager.log = log;
	log_retarget();
	log_own(log->gen->number);
	TAILQ_FOREACH (c, &manager.children, link)
		if (c->gen == log->gen && c != log)
			log_sender(c->role, c->instance, &c->log_end);
}

/* Send the log role where its lines go from now on, and how they look. */
void
log_retarget(void)
{
	struct ipc_log_target target = {.kind = manager.log_syslog};
	const int fd[2] = {manager.log_target, manager.gen->log_snap};

	child_tell(manager.log, IPC_LOG_TARGET, &target, fd, 2);
}

/* Every line of a diagnosis. */
void
log_text(int diag)
{
	const struct ipc_log_text text = {.level = LOG_ERROR_};

	child_tell(manager.log, IPC_LOG_TEXT, &text, &diag, 1);
}

/* --- start ---------------------------------------------------------------- */

static void on_child(struct loop_io *io, unsigned events);

/* Ask master to start C with FD by number, FD_CHANNEL and FD_LOG besides. */
static void
child_spawn(const struct child *c, uint32_t section, const int fd[SLOTS],
    int chan, int log)
{
	struct ipc_spawn m = {.role = c->role, .instance = c->instance,
	    .generation = c->gen->config, .section = section};
	int list[IPC_MAX_FDS];
	unsigned n = 0;

	for (int i = FD_CHANNEL; i < SLOTS; i++) {
		int f = i == FD_CHANNEL ? chan : i == FD_LOG ? log : fd[i];

		if (f <= 0)
			continue;
		m.slots |= 1u << i;
		list[n++] = f;
	}
	master_tell(IPC_SPAWN, &m, list, n);
}

/* C has READY_TIME from now on to say READY, or to be done. */
void
child_hurry(struct child *c)
{
	loop_timer_set(manager.loop, &c->timer, clock_now() + READY_TIME);
}

/*
 * Start a role (a pool of SECTION).  FD says what it gets beyond its channel
 * and its log socket; 0 or less is nothing.  A config role's channel is
 * master's to make.
 */
struct child *
child_new(enum ipc_role role, uint32_t section, struct generation *gen,
    const int fd[SLOTS])
{
	struct child *c = calloc(1, sizeof(*c));
	int chan[2] = {-1, -1}, log[2] = {-1, -1};

	if (c == NULL || (role != R_CONFIG && !ipc_pair(chan)) ||
	    !ipc_pair(log)) {
		log_error("cannot start role %s", ipc_role_name(role));
		fds_close(chan, 2);
		free(c);
		return NULL;
	}
	*c = (struct child){.role = role, .phase = P_START, .gen = gen,
	    .instance = ++manager.instances, .log_end = log[0],
	    .started = clock_now(),
	    .io = {.fd = chan[0], .ready = on_child},
	    .timer = {.due = child_late}};
	child_spawn(c, section, fd, chan[1], log[1]);
	fds_close(&chan[1], 1);
	fds_close(&log[1], 1);
	TAILQ_INSERT_TAIL(&manager.children, c, link);
	gen_ref(gen);
	if (c->io.fd >= 0)
		loop_watch(manager.loop, &c->io, LOOP_READ);
	child_hurry(c);
	log_sender(role, c->instance, &c->log_end);
	return c;
}

/* --- messages ------------------------------------------------------------- */

static void
child_ready(struct child *c, const struct ipc_ready *m)
{
	c->missing = m->missing;
	lacks_say(m->missing);
	if (m->status != 0) {
		log_errorx("%s %u cannot work", ipc_role_name(c->role),
		    c->instance);
		return;			/* it exits; its place waits */
	}
	if (c->phase == P_START)
		c->phase = P_RUN;
	loop_timer_clear(manager.loop, &c->timer);
	if (c->role == R_AUTH)
		gen_fill(c->gen);
	else if (c->role == R_GATE)
		gate_ready(c);
	else if (c->role == R_LMTP || c->role == R_METRICS)
		lmtp_ready(c);
}

static void
child_message(struct child *c, struct ipc_in *in)
{
	switch (in->type) {
	case IPC_READY:
		child_ready(c, &in->m.ready);
		break;
	case IPC_GATE_SPENT:
		place_leave(c, 0);	/* it serves until another does */
		gen_fill(c->gen);
		break;
	case IPC_PONG:
		c->pinged = 0;
		metrics_pong(c, &in->m.pong.numbers);
		break;
	case IPC_METRICS_ASK:
		metrics_ask(c);
		break;
	case IPC_LOG_AGAIN:
		if (log_reopen(manager.gen))
			log_retarget();
		break;
	default:
		load_message(c->role, in);
	}
}

/* Serve what C has sent, at most MAX messages of it. */
static void
child_read(struct child *c, unsigned max)
{
	struct ipc_in *in = &manager.in;
	enum ipc_result r = IPC_AGAIN;

	while (max-- > 0 && c->io.fd >= 0 && (r = ipc_recv(c->io.fd, in,
	    c->role, R_MANAGER, c->phase)) == IPC_GOT) {
		child_message(c, in);
		ipc_done(in);
	}
	if (c->io.fd >= 0 && r == IPC_BREACH)
		child_end(c, "broke the rules of its channel");
	if (c->io.fd >= 0 && r == IPC_EOF)
		child_close(c);
}

static void
on_child(struct loop_io *io, unsigned events)
{
	struct child *c = CONTAINER(io, struct child, io);

	if (events & LOOP_WRITE)
		load_continue(c);
	child_read(c, IPC_ROUND);
}

/* --- end ------------------------------------------------------------------ */

static void
child_report(const struct child *c, int status)
{
	if (c->phase != P_DRAIN && !manager.stopping && c->place != NULL &&
	    !(c->gen->retired && status == 0))
		log_warnx("%s %u (pid %u) ended with %s %d",
		    ipc_role_name(c->role), c->instance, c->pid,
		    CHILD_STATUS(status));
}

void
child_exit(uint32_t instance, int status)
{
	struct child *c = child_find(instance);
	struct generation *gen;

	if (c == NULL)
		return;
	child_read(c, IPC_REST);
	child_close(c);
	child_report(c, status);
	if (c == manager.log)
		manager.log = NULL;
	place_leave(c, 1);
	if (c->role == R_GATE)
		counts_drop(&manager.counts, instance);
	if (c->role == R_AUTH)
		auth_gone(c->gen);
	TAILQ_REMOVE(&manager.children, c, link);
	loop_timer_clear(manager.loop, &c->timer);
	fds_close(&c->log_end, 1);
	gen = c->gen;
	load_exit(c, status);
	free(c);
	gen_fill(gen);
	gen_step(manager.stopping ? manager.gen : gen);
	gen_unref(gen);
	metrics_step();
}
