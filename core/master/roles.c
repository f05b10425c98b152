/*
 * roles.c - the executed roles of a generation: which must run, how they are
 * connected, and what happens when one dies.
 *
 * Runs as root.  A generation is a configuration and a set of places: one for
 * the coordinator, one for every pool process, one for every gate.  A place
 * whose child died is filled again after a delay that grows; places that need
 * the coordinator wait for it.  The communication graph is child_new() and
 * place_fill(): only the socket pairs made there exist.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/ipc/ipclog.h"
#include "core/master/master.h"

#define READY_TIME (20 * NS_PER_S)
#define CLOSE_TIME (5 * NS_PER_S)
#define DELAY_FIRST (100 * NS_PER_MS)
#define DELAY_MAX (30 * NS_PER_S)
#define CONTAINER(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))

/* --- children ----------------------------------------------------------------- */

struct child *
child_find(enum ipc_role role, uint32_t instance)
{
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if (c->role == role && c->instance == instance)
			return c->io.fd >= 0 ? c : NULL;
	return NULL;
}

/* A message to C; a peer that does not take it is ended. */
static void
tell(struct child *c, enum ipc_type type, const void *msg, const int *fds,
    unsigned n)
{
	if (c->io.fd >= 0 && ipc_send(c->io.fd, type, msg, fds, n) != CULVER_OK)
		child_end(c, "does not read its channel");
}

/* Tell C that it is over: a role ends when its channel does. */
void
child_close(struct child *c)
{
	if (c->io.fd < 0)
		return;
	loop_unwatch(master.loop, &c->io);
	close(c->io.fd);
	c->io.fd = -1;
	loop_timer_set(master.loop, &c->timer, clock_now() + CLOSE_TIME);
}

/* End C, which broke the rules or does not answer.  SIGKILL: what it would
 * still do is nothing we want. */
void
child_end(struct child *c, const char *why)
{
	if (c->io.fd < 0)
		return;
	master.breaches++;
	log_errorx("%s %u (pid %d) %s: killed", ipc_role_name(c->role),
	    c->instance, (int)c->pid, why);
	child_close(c);
	kill(c->pid, SIGKILL);
}

static void
child_late(struct loop_timer *t)
{
	struct child *c = CONTAINER(t, struct child, timer);

	log_warnx("%s %u (pid %d) took too long: killed",
	    ipc_role_name(c->role), c->instance, (int)c->pid);
	child_close(c);
	kill(c->pid, SIGKILL);
}

static void
log_sender(struct child *c)
{
	struct ipc_log_sender m = {.role = c->role, .instance = c->instance};

	if (master.log != NULL && c->log_end >= 0)
		ipc_send(master.log->io.fd, IPC_LOG_SENDER, &m, &c->log_end,
		    1);
}

static void on_child(struct loop_io *io, unsigned events);

/*
 * Start a role.  S says what it gets beyond its channel and its log socket,
 * which become its descriptors 3 and 4.
 */
struct child *
child_new(enum ipc_role role, struct generation *gen, struct spawn *s)
{
	struct child *c = calloc(1, sizeof(*c));
	int chan[2] = {-1, -1}, log[2] = {-1, -1};

	if (c == NULL || !ipc_pair(chan) || !ipc_pair(log))
		goto fail;
	*c = (struct child){.role = role, .phase = P_START, .gen = gen,
	    .instance = ++master.instances & 0xffffff, .log_end = log[0],
	    .started = clock_now(),
	    .io = {.fd = chan[0], .ready = on_child},
	    .timer = {.due = child_late}};
	s->role = role;
	s->instance = c->instance;
	s->fd[0] = chan[1];
	s->fd[1] = log[1];
#ifdef WITH_SANITIZERS
	s->keep_stderr = 1;
#endif
	c->pid = spawn_role(&master.env, s);
	if (c->pid < 0)
		goto fail;
	close(chan[1]);
	close(log[1]);
	TAILQ_INSERT_TAIL(&master.children, c, link);
	gen_ref(gen);
	loop_watch(master.loop, &c->io, LOOP_READ);
	loop_timer_set(master.loop, &c->timer, c->started + READY_TIME);
	log_sender(c);
	return c;
fail:
	log_error("cannot start role %s", ipc_role_name(role));
	for (int i = 0; i < 2; i++) {
		if (chan[i] >= 0)
			close(chan[i]);
		if (log[i] >= 0)
			close(log[i]);
	}
	free(c);
	return NULL;
}

/* --- places --------------------------------------------------------------------- */

static int
empty_folder(const struct generation *gen)
{
	char path[CONF_PATH + 8];

	if (geteuid() != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/empty", gen->conf.run_dir);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Start P's child; SIDE is its end of the pair with the coordinator. */
static struct child *
place_spawn(struct place *p, int side)
{
	struct generation *gen = p->gen;
	struct spawn s = {.fd = {-1, -1, -1, -1, -1, -1}};
	struct child *c;

	s.fd[5] = side;
	if (p->role == R_AUTH)
		s.fd[2] = gen->auth_snap;
	else if (p->role == R_POOL)
		s.fd[2] = gen->pool_snap[p->section];
	else if (p->role == R_LOG)
		s.fd[2] = gen->log_snap;
	else {
		s.fd[2] = gen->gate_snap;
		s.fd[4] = empty_folder(gen);
		s.keep_chroot = s.fd[4] >= 0;
	}
	c = child_new(p->role, gen, &s);
	if (s.fd[4] >= 0)
		close(s.fd[4]);
	return c;
}

static void
place_wait(struct place *p)
{
	p->delay = p->delay == 0 ? DELAY_FIRST :
	    p->delay * 2 > DELAY_MAX ? DELAY_MAX : p->delay * 2;
	loop_timer_set(master.loop, &p->due, clock_now() + p->delay);
}

static void
place_fill(struct place *p)
{
	struct child *auth = p->gen->place[0].child;
	struct ipc_auth_pool pool = {.section = p->section};
	struct ipc_auth_gate gate;
	int pair[2] = {-1, -1};
	struct child *c;

	if (p->child != NULL || p->due.slot != 0 || p->gen->retired ||
	    master.stopping)
		return;
	if (p->role == R_GATE || p->role == R_POOL) {
		if (auth == NULL || auth->io.fd < 0 || auth->phase != P_RUN)
			return;		/* filled when it is ready */
		if (!ipc_pair(pair)) {
			place_wait(p);
			return;
		}
	}
	c = p->child = place_spawn(p, pair[1]);
	if (c == NULL) {
		place_wait(p);
	} else {
		c->place = p;
		pool.instance = gate.gate = c->instance;
		if (p->role == R_POOL)
			tell(auth, IPC_AUTH_POOL, &pool, pair, 1);
		else if (p->role == R_GATE)
			tell(auth, IPC_AUTH_GATE, &gate, pair, 1);
	}
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
}

static void
gen_fill(struct generation *gen)
{
	for (unsigned i = 0; i < gen->n_place; i++)
		place_fill(&gen->place[i]);
}

static void
place_due(struct loop_timer *t)
{
	struct place *p = CONTAINER(t, struct place, due);

	if (p->role == R_LOG)
		log_start();
	else
		place_fill(p);
}

/* C leaves its place: filled again, at once if it was told to go. */
static void
place_leave(struct child *c, _Bool died)
{
	struct place *p = c->place;

	c->place = NULL;
	if (p == NULL)
		return;
	p->child = NULL;
	if (clock_now() - c->started > 60 * NS_PER_S)
		p->delay = 0;
	if (died) {
		p->restarts++;
		place_wait(p);
	}
}

/* --- gates -------------------------------------------------------------------------- */

static void
gate_drain(struct child *c)
{
	struct ipc_gate_drain m = {0};

	if (c->phase == P_DRAIN)
		return;
	c->phase = P_DRAIN;
	loop_timer_set(master.loop, &c->timer, clock_now() +
	    c->gen->conf.reload_grace);
	tell(c, IPC_GATE_DRAIN, &m, NULL, 0);
}

static void
gate_tickets(struct child *c)
{
	struct ipc_gate_tickets m = {0};
	unsigned n = 0;

	while (n < TICKETS && master.ticket[n] >= 0)
		n++;
	if (n > 0)
		tell(c, IPC_GATE_TICKETS, &m, master.ticket, n);
}

static void
gate_certs(struct child *c)
{
	struct generation *gen = c->gen;
	struct ipc_gate_go go = {0};

	for (uint32_t i = 0; i < gen->conf.n_cert; i++) {
		struct ipc_gate_cert m = {.index = i};

		tell(c, IPC_GATE_CERT, &m, &gen->cert_fd[2 * i], 2);
	}
	tell(c, IPC_GATE_GO, &go, NULL, 0);
}

static void
gate_ready(struct child *c)
{
	if (c->gen->retired || c->place == NULL) {
		gate_drain(c);
		return;
	}
	gate_tickets(c);
	gate_certs(c);
	for (uint32_t i = 0; i < c->gen->conf.n_listen; i++) {
		struct ipc_gate_listen m = {.index = i};

		tell(c, IPC_GATE_LISTEN, &m, &c->gen->listen_fd[i], 1);
	}
	if (master.previous != NULL && c->gen == master.gen) {
		gen_retire(master.previous);
		master.previous = NULL;
	}
	master_serving();
}

static void
each_gate(const struct generation *gen, void (*f)(struct child *))
{
	struct child *c, *next;

	for (c = TAILQ_FIRST(&master.children); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->role == R_GATE && c->phase != P_START &&
		    c->io.fd >= 0 && (gen == NULL || c->gen == gen))
			f(c);
	}
}

void
gen_tickets(void)
{
	each_gate(NULL, gate_tickets);
}

void
gen_certs(struct generation *gen)
{
	each_gate(gen, gate_certs);
}

/* --- messages --------------------------------------------------------------------- */

static void
child_ready(struct child *c, const struct ipc_ready *m)
{
	c->missing = m->missing;
	master.missing |= m->missing;
	if (m->status != 0) {
		log_errorx("%s %u cannot work", ipc_role_name(c->role),
		    c->instance);
		return;			/* it exits; its place waits */
	}
	if (c->phase == P_START)
		c->phase = P_RUN;
	loop_timer_clear(master.loop, &c->timer);
	if (c->role == R_AUTH)
		gen_fill(c->gen);
	else if (c->role == R_GATE)
		gate_ready(c);
}

static _Bool child_read(struct child *c, struct ipc_in *in);

/* The channels are not ordered among each other: before a grant counts as
 * unknown, what the coordinators have sent is read. */
static void
grants_read(uint64_t grant)
{
	static struct ipc_in in;
	struct child *c, *next;

	for (c = TAILQ_FIRST(&master.children); c != NULL &&
	     !session_known(grant); c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->role == R_AUTH && c->io.fd >= 0)
			child_read(c, &in);
	}
}

static void
child_message(struct child *c, struct ipc_in *in)
{
	int fd;

	switch (in->type) {
	case IPC_READY:
		child_ready(c, &in->m.ready);
		break;
	case IPC_GRANT:
		session_grant(c, &in->m.grant);
		break;
	case IPC_HANDOVER:
		fd = in->fd[0];
		in->fd[0] = -1;
		if (!session_known(in->m.handover.grant))
			grants_read(in->m.handover.grant);
		session_handover(c, &in->m.handover, fd);
		break;
	case IPC_GATE_SPENT:
		place_leave(c, 0);
		gate_drain(c);
		gen_fill(c->gen);
		break;
	case IPC_LOG_AGAIN:
		if (log_reopen(master.gen))
			log_start();
		break;
	default:
		load_message(c, in);
	}
}

/* Serve what C has sent; false when its channel is closed now. */
static _Bool
child_read(struct child *c, struct ipc_in *in)
{
	enum ipc_result r = IPC_AGAIN;

	while (c->io.fd >= 0 && (r = ipc_recv(c->io.fd, in, c->role, R_MASTER,
	    c->phase)) == IPC_GOT) {
		child_message(c, in);
		ipc_done(in);
	}
	if (c->io.fd >= 0 && r == IPC_BREACH)
		child_end(c, "broke the rules of its channel");
	if (c->io.fd >= 0 && r == IPC_EOF)
		child_close(c);
	return c->io.fd >= 0;
}

static void
on_child(struct loop_io *io, unsigned events)
{
	(void)events;
	child_read(CONTAINER(io, struct child, io), &master.in);
}

/* The coordinator of a retired generation lives as long as its gates. */
static void
gate_gone(struct generation *gen)
{
	struct child *c, *auth = NULL;

	TAILQ_FOREACH (c, &master.children, link) {
		if (c->gen == gen && c->role == R_GATE)
			return;
		if (c->gen == gen && c->role == R_AUTH)
			auth = c;
	}
	if (gen->retired && auth != NULL)
		child_close(auth);
}

/* A dead coordinator takes its gates and pools along: they have no other. */
static void
auth_gone(struct generation *gen)
{
	struct child *c, *next;

	for (c = TAILQ_FIRST(&master.children); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->gen != gen || (c->role != R_GATE && c->role != R_POOL))
			continue;
		place_leave(c, 0);
		if (c->role == R_GATE)
			gate_drain(c);
		else
			child_close(c);
	}
}

void
child_exit(pid_t pid, int status)
{
	struct generation *gen;
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if (c->pid == pid)
			break;
	if (c == NULL)
		return;
	child_read(c, &master.in);
	child_close(c);
	if (c->role == R_CONFIG || c->role == R_CERTCHECK)
		load_exit(c);
	else if (c->phase != P_DRAIN && !master.stopping && c->place != NULL)
		log_warnx("%s %u (pid %d) ended with %s %d",
		    ipc_role_name(c->role), c->instance, (int)pid,
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) :
		    WEXITSTATUS(status));
	if (c == master.log)
		master.log = NULL;
	place_leave(c, 1);
	if (c->role == R_AUTH)
		auth_gone(c->gen);
	TAILQ_REMOVE(&master.children, c, link);
	loop_timer_clear(master.loop, &c->timer);
	close(c->log_end);
	gen = c->gen;
	if (c->role == R_GATE) {
		session_gate_gone(c->instance);
		gate_gone(gen);
	}
	free(c);
	gen_unref(gen);
	if (master.stopping)
		master_stop_step();
}

/* --- the log role: one for all generations ------------------------------------------ */

/* Connect everybody, master too, to a new log role. */
static void
log_connect(void)
{
	struct ipc_log_sender me = {.role = R_MASTER};
	static int pair[2] = {-1, -1};
	struct child *c;

	if (pair[0] < 0 && ipc_pair(pair))
		ipclog_open(pair[1]);
	ipc_send(master.log->io.fd, IPC_LOG_SENDER, &me, pair, 1);
	TAILQ_FOREACH (c, &master.children, link)
		log_sender(c);
}

/* (Re)start the log role, or give it the target and level in force now. */
void
log_start(void)
{
	struct ipc_log_target target = {.kind = master.log_syslog};
	struct place *p = &master.log_place;
	int fds[2] = {master.log_target, master.gen->log_snap};

	if (master.log == NULL) {
		p->role = R_LOG;
		p->due.due = place_due;
		p->gen = master.gen;
		master.log = p->child = place_spawn(p, -1);
		if (p->child == NULL) {
			place_wait(p);
			return;
		}
		p->child->place = p;
		log_connect();
	} else if (master.log->gen != master.gen) {
		struct generation *old = master.log->gen;

		gen_ref(master.log->gen = master.gen);
		gen_unref(old);
	}
	tell(master.log, IPC_LOG_TARGET, &target, fds, 2);
}

/* --- generations ------------------------------------------------------------------------ */

struct generation *
gen_new(void)
{
	struct generation *gen = calloc(1, sizeof(*gen));

	if (gen == NULL)
		return NULL;
	gen->number = ++master.generations;
	gen->refs = 1;
	gen->master_snap = gen->gate_snap = gen->auth_snap = -1;
	gen->log_snap = gen->cert_snap = -1;
	memset(gen->pool_snap, 0xff, sizeof(gen->pool_snap));
	memset(gen->storage_snap, 0xff, sizeof(gen->storage_snap));
	memset(gen->cert_fd, 0xff, sizeof(gen->cert_fd));
	memset(gen->listen_fd, 0xff, sizeof(gen->listen_fd));
	return gen;
}

void
gen_ref(struct generation *gen)
{
	gen->refs++;
}

static void
fds_close(int *fd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

void
gen_unref(struct generation *gen)
{
	if (--gen->refs > 0)
		return;
	for (unsigned i = 0; i < gen->n_place; i++)
		loop_timer_clear(master.loop, &gen->place[i].due);
	loop_timer_clear(master.loop, &gen->end);
	fds_close(&gen->master_snap, 1);
	fds_close(&gen->gate_snap, 1);
	fds_close(&gen->auth_snap, 1);
	fds_close(&gen->log_snap, 1);
	fds_close(&gen->cert_snap, 1);
	fds_close(gen->pool_snap, CONF_MAX_AUTH);
	fds_close(gen->storage_snap, CONF_MAX_STORAGE);
	fds_close(gen->cert_fd, 2 * CONF_MAX_CERT);
	fds_close(gen->listen_fd, CONF_MAX_LISTEN);
	free(gen);
}

/* Listening sockets: the old generation's where the address is the same. */
_Bool
gen_listen(struct generation *gen, struct generation *old, int diag)
{
	_Bool ok = 1;

	for (uint32_t i = 0; i < gen->conf.n_listen; i++) {
		const struct conf_listen *l = &gen->conf.listen[i];

		for (uint32_t j = 0; old != NULL && j < old->conf.n_listen &&
		     gen->listen_fd[i] < 0; j++)
			if (l->addr_len == old->conf.listen[j].addr_len &&
			    memcmp(&l->addr, &old->conf.listen[j].addr,
			    l->addr_len) == 0)
				gen->listen_fd[i] = fcntl(old->listen_fd[j],
				    F_DUPFD_CLOEXEC, 3);
		if (gen->listen_fd[i] < 0)
			gen->listen_fd[i] = file_listen(l);
		if (gen->listen_fd[i] < 0) {
			dprintf(diag, "%s:%u: listen: %s: %s\n",
			    master.conf_path, l->line, l->text,
			    strerror(errno));
			ok = 0;
		}
	}
	return ok;
}

static void
place_add(struct generation *gen, enum ipc_role role, uint32_t section)
{
	gen->place[gen->n_place++] = (struct place){.role = role,
	    .section = section, .gen = gen, .due = {.due = place_due}};
}

void
gen_start(struct generation *gen)
{
	uint32_t gates = gen->conf.gates;

	if (gates == 0)
		gates = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (gates < 1 || gates > MAX_GATES)
		gates = gates < 1 ? 1 : MAX_GATES;
	place_add(gen, R_AUTH, 0);
	for (uint32_t i = 0; i < gen->conf.n_auth; i++)
		for (uint32_t j = 0; j < gen->conf.auth[i].processes &&
		     gen->n_place < 1 + MAX_POOLS; j++)
			place_add(gen, R_POOL, i);
	for (uint32_t i = 0; i < gates; i++)
		place_add(gen, R_GATE, 0);
	gen_fill(gen);
}

static void
grace_over(struct loop_timer *t)
{
	struct generation *gen = CONTAINER(t, struct generation, end);

	session_kick(0, NULL, gen);
}

/* GEN starts nothing more; its gates and sessions finish.  Its coordinator
 * and pools stay for those gates and end with them. */
void
gen_retire(struct generation *gen)
{
	gen->retired = 1;
	fds_close(gen->listen_fd, CONF_MAX_LISTEN);
	each_gate(gen, gate_drain);
	gate_gone(gen);
	gen->end.due = grace_over;
	loop_timer_set(master.loop, &gen->end, clock_now() +
	    gen->conf.reload_grace);
	gen_unref(gen);
}
