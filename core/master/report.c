/*
 * report.c - who is there, as the records of records.h in a memfd; and what
 * sessions are told that somebody asked for, whose channels are here, too.
 *
 * Runs in a forked copy of master that has dropped its rights: it reads
 * master's memory as it was at the fork, sends one answer and exits.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/sandbox.h"
#include "core/master/master.h"
#include "core/master/records.h"
#include "core/worker/worker.h"

/* Text S into a zeroed field, cut so that it ends. */
static void
text_set(char *field, size_t size, const char *s)
{
	memcpy(field, s, strnlen(s, size - 1));
}

static void
put(int fd, const void *record, size_t n)
{
	if (write(fd, record, n) != (ssize_t)n)
		_exit(74);		/* the client sees the end, no answer */
}

static void
put_who(const struct session *s, void *fd)
{
	struct rec_who r = {.session = s->g.id,
	    .age_ns = clock_now() - s->started, .pid = (uint32_t)s->pid,
	    .uid = s->g.uid, .flags = s->g.flags, .section = s->g.section};

	text_set(r.user, sizeof(r.user), s->g.user);
	text_set(r.remote, sizeof(r.remote), s->g.remote);
	text_set(r.mech, sizeof(r.mech), s->g.mech);
	text_set(r.master, sizeof(r.master), s->g.master);
	put(*(int *)fd, &r, sizeof(r));
}

static void
count_who(const struct session *s, void *n)
{
	(void)s;
	++*(uint32_t *)n;
}

static void
put_sessions(int fd, struct rec_head *h)
{
	h->magic = REC_MAGIC_WHO;
	h->size = sizeof(struct rec_who);
	session_each(count_who, &h->count);
	put(fd, h, sizeof(*h));
	session_each(put_who, &fd);
}

/* The head of what manager wrote. */
static void
put_head(int fd, struct rec_head *h, const struct ipc_report *m)
{
	h->magic = REC_MAGIC_STATUS;
	h->size = sizeof(struct rec_status);
	h->count = m->count;
	h->generation = m->generation;
	h->sessions_max = m->sessions_max;
	h->connections_max = m->connections_max;
	h->missing = m->missing;
	h->breaches += m->breaches;
	if (lseek(fd, 0, SEEK_SET) == 0)
		put(fd, h, sizeof(*h));
}

struct kick {
	const struct ipc_kick *m;
	uint32_t n;
};

/* Let S finish what it does, if all that is given matches. */
static void
kick_one(const struct session *s, void *arg)
{
	const char octet = WORKER_KICK;
	struct kick *k = arg;

	if ((k->m->session != 0 && s->g.id != k->m->session) ||
	    (*k->m->user != 0 && strcmp(s->g.user, k->m->user) != 0) ||
	    (k->m->generation != 0 && s->gen->number != k->m->generation) ||
	    s->state != S_RUNNING)
		return;
	/* an octet before the end: it is neither a stop nor a reload */
	if (k->m->generation == 0)
		send(s->io.fd, &octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	session_end(s, NULL);
	k->n++;
}

static void
kick(const struct ipc_in *in)
{
	struct kick k = {.m = &in->m.kick};
	struct ipc_ctl_answer m;

	session_each(kick_one, &k);
	m = (struct ipc_ctl_answer){.status = k.n > 0 ? 0 : ESRCH,
	    .count = k.n};
	if (in->nfds > 0)
		ipc_send(in->fd[0], IPC_CTL_ANSWER, &m, NULL, 0);
}

/* --- takeover --------------------------------------------------------------- */

struct wish {
	const struct session *from;
	char octet;
	unsigned heard;
};

/* Tell S, if its mailbox is that of the one who wishes, as the grants say;
 * what workers say of that would not count. */
static void
wish_pass(const struct session *s, void *arg)
{
	struct wish *w = arg;
	const struct ipc_grant *g = &s->g, *own = &w->from->g;

	if (s != w->from && s->state == S_RUNNING &&
	    g->kind == IPC_GRANT_SESSION && g->uid == own->uid &&
	    strcmp(g->user, own->user) == 0 &&
	    strncmp(s->gen->conf.storage[g->section].name,
	    w->from->gen->conf.storage[own->section].name, CONF_NAME) == 0)
		w->heard += send(s->io.fd, &w->octet, 1, MSG_DONTWAIT |
		    MSG_NOSIGNAL) == 1;
}

/* A login wants a mailbox that is taken, or who has it says that he stays. */
static void
wish(const struct session *from, _Bool stays)
{
	struct wish w = {.from = from, .octet = stays ? WORKER_STAYS :
	    WORKER_WANTED};

	session_each(wish_pass, &w);
	w.octet = WORKER_STAYS;
	if (w.heard == 0)
		send(from->io.fd, &w.octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
report_send(const struct ipc_in *in, const struct session *from)
{
	struct rec_head h = {.pid = (uint32_t)getppid(),
	    .sessions = master.sessions,
	    .uptime_ns = clock_now() - master.started,
	    .logins = master.logins, .refused = master.refused,
	    .landlock = (uint32_t)sandbox_landlock_abi(),
	    .breaches = master.breaches, .version = PACKAGE_VERSION};
	struct ipc_ctl_answer m = {0};
	const struct child *c;
	int fd;

	if (in->type == IPC_KICK) {
		kick(in);
		return;
	}
	if (in->type == IPC_WORKER_TAKEOVER) {
		wish(from, in->m.worker_takeover.stays != 0);
		return;
	}
	TAILQ_FOREACH (c, &master.children, link)
		h.grants += c->grants;
	if (in->nfds > 1) {
		fd = in->fd[1];
		put_head(fd, &h, &in->m.report);
	} else {
		fd = memfd_create("answer", MFD_CLOEXEC);
		put_sessions(fd, &h);
	}
	m.count = h.count;
	ipc_send(in->fd[0], IPC_CTL_ANSWER, &m, &fd, 1);
}
