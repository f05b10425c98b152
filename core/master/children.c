/*
 * children.c - the executed roles as processes: start, channel, end.
 *
 * Runs as root.  Which roles run, and how they are connected among each
 * other, is manager's; here is what only their parent can do, and the channels
 * that manager must have no hand in: its own, a config role's, and FD_MASTER
 * of gates and coordinators.
 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/master/master.h"

struct child *
child_find(unsigned roles, uint32_t instance)
{
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if ((c->role & roles) != 0 && c->instance == instance)
			return c;
	return NULL;
}

static void
child_close(struct child *c)
{
	loop_unwatch(master.loop, &c->io);
	fds_close(&c->io.fd, 1);
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

/* A message to C; a peer that does not take it is ended. */
void
child_tell(struct child *c, enum ipc_type type, const void *msg,
    const int *fds, unsigned n)
{
	if (c != NULL && c->io.fd >= 0 &&
	    ipc_send(c->io.fd, type, msg, fds, n) != CULVER_OK)
		child_end(c, "does not read its channel");
}

/* Serve what C has sent, at most MAX messages of it. */
static void
child_read(struct child *c, struct ipc_in *in, unsigned max)
{
	enum ipc_result r = IPC_AGAIN;

	while (max-- > 0 && c->io.fd >= 0 && (r = ipc_recv(c->io.fd, in,
	    c->role, R_MASTER, P_RUN)) == IPC_GOT) {
		request_serve(c, in);
		ipc_done(in);
	}
	if (c->io.fd >= 0 && r == IPC_BREACH)
		child_end(c, "broke the rules of its channel");
	if (c->io.fd >= 0 && r == IPC_EOF)
		child_close(c);
}

/* The channels are not ordered among each other: before GRANT counts as
 * unknown, what the coordinators have sent is read. */
void
grants_read(uint64_t grant)
{
	static struct ipc_in in;
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if (c->role == R_AUTH && session_find(grant) == NULL)
			child_read(c, &in, IPC_REST);
}

static void
on_child(struct loop_io *io, unsigned events)
{
	struct child *c = (struct child *)((char *)io -
	    offsetof(struct child, io));

	if ((events & LOOP_WRITE) && c == master.manager)
		outbox_flush(&master.to_manager);
	child_read(c, &master.in, IPC_ROUND);
}

/* Start a role; its descriptor CHANNEL, if that is not 0, leads here.  NULL
 * after a line in the log. */
struct child *
child_new(struct spawn *s, unsigned channel, struct generation *gen)
{
	struct child *c = calloc(1, sizeof(*c));
	int pair[2] = {-1, -1};

	if (c == NULL || (channel != 0 && !ipc_pair(pair)))
		goto fail;
	if (channel != 0)
		s->fd[channel - FD_CHANNEL] = pair[1];
	*c = (struct child){.io = {.fd = pair[0], .ready = on_child},
	    .role = s->role, .instance = s->instance, .gen = gen,
	    .started = clock_now(), .pid = spawn_role(&master.env, s)};
	if (c->pid < 0)
		goto fail;
	fds_close(&pair[1], 1);
	if (channel != 0)
		loop_watch(master.loop, &c->io, LOOP_READ);
	if (gen != NULL)
		gen->refs++;
	TAILQ_INSERT_TAIL(&master.children, c, link);
	return c;
fail:
	log_error("cannot start role %s", ipc_role_name(s->role));
	fds_close(pair, 2);
	free(c);
	return NULL;
}

void
child_exit(pid_t pid, int status)
{
	struct ipc_exited m = {.status = (uint32_t)status};
	struct child *c;

	if (upgrade_exit(pid, status))
		return;
	TAILQ_FOREACH (c, &master.children, link)
		if (c->pid == pid)
			break;
	for (unsigned i = 0; c == NULL && i <= ANSWERS_MAX; i++)
		if (master.answers[i] == pid)
			master.answers[i] = 0;
	if (c == NULL)		/* or it was a locker */
		return;
	child_read(c, &master.in, IPC_REST);
	child_close(c);
	TAILQ_REMOVE(&master.children, c, link);
	m.instance = c->instance;
	if (c->gen != NULL)
		gen_unref(c->gen);
	if (c->role == R_MANAGER)
		manager_gone(c, status);
	else
		outbox_send(&master.to_manager, IPC_EXITED, &m);
	free(c);
}

/* What does not end by itself; manager and the log role only with ALL. */
void
children_kill(_Bool all)
{
	struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		if (all || (c->role & (R_MANAGER | R_LOG)) == 0)
			kill(c->pid, SIGKILL);
}
