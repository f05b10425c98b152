/*
 * roles.c - the executed roles of a generation: which must run, how they are
 * connected, and what happens when one dies.
 *
 * Runs as root.  A generation is a configuration and a few places, which say
 * how many processes of a role (and auth section) must run.  A place that
 * lost one is filled again after a delay that grows; pools and gates wait for
 * the coordinator.  The communication graph is child_new() and place_spawn():
 * only the socket pairs made there exist.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
#define LIVED_WELL (60 * NS_PER_S)
enum { RECORDS_MAX = 4 << 20 };		/* octets that wait for the log role */
#define CONTAINER(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))

static void
fds_close(int *fd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

/* --- the log role's channel ------------------------------------------------------- */

struct record {
	STAILQ_ENTRY(record) link;
	size_t n;
	uint8_t buf[];
};
static STAILQ_HEAD(, record) records = STAILQ_HEAD_INITIALIZER(records);
static size_t records_octets;

/* Send what waited while the log role's socket was full. */
static void
records_flush(void)
{
	struct record *r;

	while (master.log != NULL && (r = STAILQ_FIRST(&records)) != NULL &&
	       send(master.log->io.fd, r->buf, r->n, MSG_DONTWAIT |
	       MSG_NOSIGNAL) == (ssize_t)r->n) {
		STAILQ_REMOVE_HEAD(&records, link);
		records_octets -= r->n;
		free(r);
	}
	if (master.log != NULL && master.log->io.fd >= 0)
		loop_watch(master.loop, &master.log->io, LOOP_READ |
		    (STAILQ_EMPTY(&records) ? 0 : LOOP_WRITE));
}

/* A record for the log; one that finds the socket full waits its turn. */
void
log_record(enum ipc_type type, const void *msg)
{
	static uint8_t buf[IPC_MAX];
	struct record *r;
	size_t n;

	if (STAILQ_EMPTY(&records) && master.log != NULL &&
	    ipc_send(master.log->io.fd, type, msg, NULL, 0) == CULVER_OK)
		return;
	n = ipc_encode(type, msg, 0, buf, sizeof(buf));
	if (records_octets + n > RECORDS_MAX ||
	    (r = malloc(sizeof(*r) + n)) == NULL) {
		log_errorx("the log role does not keep up: a record is lost");
		return;
	}
	r->n = n;
	memcpy(r->buf, buf, n);
	records_octets += n;
	STAILQ_INSERT_TAIL(&records, r, link);
	records_flush();
}

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

/* Connect C's log socket, or master's own (NULL), to the log role. */
static void
log_sender(const struct child *c)
{
	static int pair[2] = {-1, -1};
	struct ipc_log_sender m = {.role = c ? c->role : R_MASTER,
	    .instance = c ? c->instance : 0};

	if (c == NULL && pair[0] < 0 && ipc_pair(pair))
		ipclog_open(pair[1]);
	child_tell(master.log, IPC_LOG_SENDER, &m, c ? &c->log_end : pair, 1);
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
		goto out;
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
	if ((c->pid = spawn_role(&master.env, s)) < 0)
		goto out;
	TAILQ_INSERT_TAIL(&master.children, c, link);
	gen_ref(gen);
	loop_watch(master.loop, &c->io, LOOP_READ);
	loop_timer_set(master.loop, &c->timer, c->started + READY_TIME);
	log_sender(c);
	chan[0] = log[0] = -1;
out:
	fds_close(chan, 2);
	fds_close(log, 2);
	if (c == NULL || c->pid <= 0) {
		log_error("cannot start role %s", ipc_role_name(role));
		free(c);
		c = NULL;
	}
	return c;
}

/* --- places --------------------------------------------------------------------- */

/* The log role of the current generation takes every sender over. */
static void
log_connect(struct child *log)
{
	struct ipc_log_target target = {.kind = master.log_syslog};
	struct child *c;

	master.log = log;
	child_tell(log, IPC_LOG_TARGET, &target, &master.log_target, 1);
	log_sender(NULL);
	TAILQ_FOREACH (c, &master.children, link)
		if (c->gen == log->gen && c != log)
			log_sender(c);
	records_flush();
}

/* Send the log role where its lines go from now on. */
void
log_retarget(void)
{
	struct ipc_log_target target = {.kind = master.log_syslog};

	child_tell(master.log, IPC_LOG_TARGET, &target, &master.log_target, 1);
}

/* What a child of P gets: its snapshot, the folder to chroot to. */
static void
place_fds(struct generation *gen, const struct place *p, struct spawn *s)
{
	char empty[CONF_PATH + 8];

	s->fd[2] = p->role == R_LOG ? gen->log_snap :
	    p->role == R_AUTH ? gen->auth_snap :
	    p->role == R_POOL ? gen->pool_snap[p->section] : gen->gate_snap;
	if (p->role != R_GATE || geteuid() != 0)
		return;
	snprintf(empty, sizeof(empty), "%s/empty", gen->conf.run_dir);
	s->fd[4] = open(empty, O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->keep_chroot = 1;
}

/* Start one more child of P; pools and gates are paired with AUTH. */
static _Bool
place_spawn(struct generation *gen, struct place *p, struct child *auth)
{
	struct spawn s = {.fd = {-1, -1, -1, -1, -1, -1}};
	struct ipc_auth_pool pool = {.section = p->section};
	struct ipc_auth_gate gate;
	int pair[2] = {-1, -1};
	_Bool paired = p->role == R_POOL || p->role == R_GATE;
	struct child *c = NULL;

	if (!paired || ipc_pair(pair)) {
		s.fd[5] = pair[1];
		place_fds(gen, p, &s);
		c = child_new(p->role, gen, &s);
		fds_close(&s.fd[4], 1);
	}
	if (c != NULL) {
		c->place = p;
		p->have++;
		pool.instance = gate.gate = c->instance;
		if (p->role == R_POOL)
			child_tell(auth, IPC_AUTH_POOL, &pool, pair, 1);
		else if (p->role == R_GATE)
			child_tell(auth, IPC_AUTH_GATE, &gate, pair, 1);
		else if (p->role == R_LOG)
			log_connect(c);
	}
	fds_close(pair, 2);
	return c != NULL;
}

static void
place_wait(struct place *p)
{
	p->delay = p->delay == 0 ? DELAY_FIRST :
	    p->delay * 2 > DELAY_MAX ? DELAY_MAX : p->delay * 2;
	p->due = clock_now() + p->delay;
}

static struct child *
auth_of(const struct generation *gen)
{
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if (c->role == R_AUTH && c->gen == gen && c->place != NULL)
			return c;
	return NULL;
}

/* Start what is missing and due; come again when the next one is. */
static void
gen_fill(struct generation *gen)
{
	struct child *auth = auth_of(gen);
	_Bool ready = auth != NULL && auth->phase == P_RUN &&
	    auth->io.fd >= 0;
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < gen->n_place && !gen->retired; i++) {
		struct place *p = &gen->place[i];

		if (!ready && (p->role == R_POOL || p->role == R_GATE))
			continue;
		while (p->have < p->want && p->due <= clock_now())
			if (!place_spawn(gen, p, auth))
				place_wait(p);
		if (p->have < p->want && p->due < next)
			next = p->due;
	}
	if (next != UINT64_MAX)
		loop_timer_set(master.loop, &gen->fill, next);
}

static void
fill_due(struct loop_timer *t)
{
	gen_fill(CONTAINER(t, struct generation, fill));
}

/* C leaves its place, which is filled again: later if C died. */
static void
place_leave(struct child *c, _Bool died)
{
	struct place *p = c->place;

	if (p == NULL)
		return;
	c->place = NULL;
	p->have--;
	if (clock_now() - c->started > LIVED_WELL)
		p->delay = 0;
	p->restarts += died;
	if (died)
		place_wait(p);
}

/* --- gates -------------------------------------------------------------------------- */

static void
gate_drain(struct child *c)
{
	struct ipc_gate_drain m = {.now = master.stopping};

	if (c->phase == P_DRAIN && !master.stopping)
		return;
	c->phase = P_DRAIN;
	loop_timer_set(master.loop, &c->timer, clock_now() +
	    c->gen->conf.reload_grace);
	child_tell(c, IPC_GATE_DRAIN, &m, NULL, 0);
}

static void
gate_tickets(struct child *c)
{
	struct ipc_gate_tickets m = {0};
	unsigned n = 0;

	while (n < TICKETS && master.ticket[n] >= 0)
		n++;
	if (n > 0)
		child_tell(c, IPC_GATE_TICKETS, &m, master.ticket, n);
}

static void
gate_certs(struct child *c)
{
	struct generation *gen = c->gen;
	struct ipc_gate_go go = {0};

	for (uint32_t i = 0; i < gen->conf.n_cert; i++) {
		struct ipc_gate_cert m = {.index = i};

		child_tell(c, IPC_GATE_CERT, &m, &gen->cert_fd[2 * i], 2);
	}
	child_tell(c, IPC_GATE_GO, &go, NULL, 0);
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

		child_tell(c, IPC_GATE_LISTEN, &m, &c->gen->listen_fd[i], 1);
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
			log_retarget();
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
	if (events & LOOP_WRITE)
		records_flush();
	child_read(CONTAINER(io, struct child, io), &master.in);
}

/* A dead coordinator takes its gates and pools along: they have no other. */
static void
auth_gone(struct generation *gen)
{
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link) {
		if (c->gen != gen || (c->role != R_GATE && c->role != R_POOL))
			continue;
		place_leave(c, 0);
		if (c->role == R_GATE)
			gate_drain(c);
		else
			child_close(c);
	}
}

/*
 * One step in the end of a retired generation: first its gates (and, when
 * master stops, all sessions), then the coordinator and what hangs on it,
 * then the log role.
 */
void
gen_step(struct generation *gen)
{
	unsigned busy = master.stopping ? master.sessions : 0, others = 0;
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link) {
		busy += c->role == R_GATE && (c->gen == gen ||
		    master.stopping);
		others += c->role != R_LOG && (c->gen == gen ||
		    master.stopping);
	}
	if (!gen->retired || busy > 0)
		return;
	if (master.stopping && others == 0)
		ipclog_close();
	TAILQ_FOREACH (c, &master.children, link)
		if ((c->gen == gen || master.stopping) &&
		    (c->role != R_LOG || others == 0))
			child_close(c);
	if (master.stopping && TAILQ_EMPTY(&master.children))
		loop_stop(master.loop);
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
	else if (c->phase != P_DRAIN && !master.stopping && c->place != NULL &&
	    !(c->gen->retired && status == 0))
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
	fds_close(&c->log_end, 1);
	gen = c->gen;
	if (c->role == R_GATE)
		session_gate_gone(c->instance);
	free(c);
	gen_fill(gen);
	gen_step(gen);
	gen_unref(gen);
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

void
gen_unref(struct generation *gen)
{
	if (--gen->refs > 0)
		return;
	loop_timer_clear(master.loop, &gen->fill);
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
place_add(struct generation *gen, enum ipc_role role, uint32_t section,
    uint32_t want)
{
	gen->place[gen->n_place++] = (struct place){.role = role,
	    .section = section, .want = want};
}

void
gen_start(struct generation *gen)
{
	long gates = gen->conf.gates;

	if (gates == 0)
		gates = sysconf(_SC_NPROCESSORS_ONLN);
	gen->fill.due = fill_due;
	place_add(gen, R_LOG, 0, 1);
	place_add(gen, R_AUTH, 0, 1);
	for (uint32_t i = 0; i < gen->conf.n_auth; i++)
		place_add(gen, R_POOL, i, gen->conf.auth[i].processes);
	place_add(gen, R_GATE, 0, gates < 1 ? 1 : (uint32_t)gates);
	gen_fill(gen);
}

static void
grace_over(struct loop_timer *t)
{
	session_kick(0, NULL, CONTAINER(t, struct generation, end));
}

/* GEN starts nothing more; its gates and sessions finish. */
void
gen_retire(struct generation *gen)
{
	gen->retired = 1;
	fds_close(gen->listen_fd, CONF_MAX_LISTEN);
	each_gate(master.stopping ? NULL : gen, gate_drain);
	gen->end.due = grace_over;
	loop_timer_set(master.loop, &gen->end, clock_now() +
	    gen->conf.reload_grace);
	gen_step(gen);
	gen_unref(gen);
}
