/*
 * gates.c - the channels of gates and of lmtp: what they ask, and the answers
 * that their sockets do not take at once.
 *
 * Runs in the auth coordinator.  Every message is checked by ipc_recv()
 * before it is looked at; a gate that breaks a rule is closed, and a gate's
 * logins end with it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

enum { BATCH = 64 };		/* messages of one channel before the next */

static struct ipc_in in;	/* one message at a time; wiped by ipc_done() */

#define OWNER(io_) \
	((struct gate *)(void *)((char *)(io_) - offsetof(struct gate, io)))

/* --- answers --------------------------------------------------------------- */

static culver_status
reply_send(struct gate *g, const struct reply *r)
{
	const char *text = r->challenge != NULL ? r->challenge : "";
	union ipc_any m;

	switch (r->type) {
	case IPC_AUTH_YES:
		m.auth_yes = (struct ipc_auth_yes){.serial = r->serial,
		    .grant = r->number};
		break;
	case IPC_AUTH_FOUND:
		m.auth_found = (struct ipc_auth_found){.serial = r->serial,
		    .grant = r->number, .status = (uint32_t)r->status,
		    .uid = r->uid, .user = r->user};
		break;
	case IPC_AUTH_NO:
		m.auth_no = (struct ipc_auth_no){.serial = r->serial,
		    .not_before = r->number, .status = (uint32_t)r->status};
		break;
	default:
		m.auth_challenge = (struct ipc_auth_challenge){
		    .serial = r->serial, .data = {
		    .p = (const uint8_t *)text,
		    .n = (uint32_t)strlen(text)}};
	}
	return ipc_send(g->io.fd, r->type, &m, NULL, 0);
}

static void
gate_doom(struct gate *g, const char *why)
{
	g->dead = why;
	g->coord->gates_dead = 1;
	coord_schedule(g->coord);
}

void
gate_reply(struct gate *g, const struct reply *r)
{
	size_t n = r->challenge != NULL ? strlen(r->challenge) + 1 : 0;
	culver_status st = CULVER_E_TEMP;
	struct reply *kept;

	if (g->dead != NULL)
		return;
	if (STAILQ_EMPTY(&g->replies))
		st = reply_send(g, r);
	if (st == CULVER_OK)
		return;
	kept = st == CULVER_E_TEMP && g->n_replies < MAX_REPLIES ?
	    malloc(sizeof(*kept) + n) : NULL;
	if (kept == NULL || !loop_watch(g->coord->setup.loop, &g->io,
	    LOOP_READ | LOOP_WRITE)) {
		free(kept);
		gate_doom(g, "does not take answers");
		return;
	}
	*kept = *r;
	if (n > 0)
		kept->challenge = memcpy(kept + 1, r->challenge, n);
	STAILQ_INSERT_TAIL(&g->replies, kept, link);
	g->n_replies++;
}

static void
gate_flush(struct gate *g)
{
	struct reply *r;
	culver_status st;

	while ((r = STAILQ_FIRST(&g->replies)) != NULL) {
		st = reply_send(g, r);
		if (st == CULVER_E_TEMP)
			return;
		if (st != CULVER_OK) {
			gate_doom(g, "does not take answers");
			return;
		}
		STAILQ_REMOVE_HEAD(&g->replies, link);
		g->n_replies--;
		free(r);
	}
	if (!loop_watch(g->coord->setup.loop, &g->io, LOOP_READ))
		gate_doom(g, "cannot be watched");
}

void
gate_end(struct gate *g, const char *why)
{
	struct reply *r;
	struct job *j;

	if (why != NULL)
		log_warnx("gate %u %s: closed", g->id, why);
	loop_unwatch(g->coord->setup.loop, &g->io);
	close(g->io.fd);
	for (unsigned i = 0; i < GATE_BUCKETS; i++)
		while ((j = LIST_FIRST(&g->jobs[i])) != NULL)
			job_orphan(j);
	while ((r = STAILQ_FIRST(&g->replies)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->replies, link);
		free(r);
	}
	LIST_REMOVE(g, link);
	g->coord->n_gates--;
	free(g);
}

static _Bool
gate_message(struct gate *g)
{
	switch (in.type) {
	case IPC_AUTH_BEGIN:
		return job_begin(g, &in.m.auth_begin);
	case IPC_AUTH_CONT:
		return job_continue(g, &in.m.auth_cont);
	case IPC_AUTH_CANCEL:
		return job_cancel(g, &in.m.auth_cancel);
	case IPC_AUTH_USER:
		return job_lookup(g, &in.m.auth_user);
	default:
		return 0;
	}
}

static void
gate_event(struct loop_io *io, unsigned events)
{
	struct gate *g = OWNER(io);
	struct coord *c = g->coord;
	_Bool good = 1;

	if (events & LOOP_WRITE)
		gate_flush(g);
	for (int i = 0; i < BATCH && g->dead == NULL; i++) {
		switch (ipc_recv(io->fd, &in, g->role, R_AUTH, P_RUN)) {
		case IPC_GOT:
			good = gate_message(g);
			ipc_done(&in);
			break;
		case IPC_AGAIN:
			coord_schedule(c);
			return;
		case IPC_EOF:
			gate_end(g, NULL);
			coord_schedule(c);
			return;
		case IPC_BREACH:
			good = 0;
		}
		if (!good) {
			gate_end(g, "broke the protocol");
			coord_schedule(c);
			return;
		}
	}
	coord_schedule(c);
}

void
gate_add(struct coord *c, uint32_t id, enum ipc_role role, int fd)
{
	struct gate *g = c->n_gates < MAX_GATES ? calloc(1, sizeof(*g)) : NULL;

	if (g == NULL) {
		log_errorx("gate %u: no room", id);
		close(fd);
		return;
	}
	g->coord = c;
	g->id = id;
	g->role = role;
	g->io.fd = fd;
	g->io.ready = gate_event;
	STAILQ_INIT(&g->replies);
	for (unsigned i = 0; i < GATE_BUCKETS; i++)
		LIST_INIT(&g->jobs[i]);
	LIST_INSERT_HEAD(&c->gates, g, link);
	c->n_gates++;
	if (!loop_watch(c->setup.loop, &g->io, LOOP_READ))
		gate_end(g, "cannot be watched");
}

void
gates_bury(struct coord *c)
{
	struct gate *g, *next;

	while (c->gates_dead) {
		c->gates_dead = 0;
		for (g = LIST_FIRST(&c->gates); g != NULL; g = next) {
			next = LIST_NEXT(g, link);
			if (g->dead != NULL)
				gate_end(g, g->dead);
		}
	}
}
