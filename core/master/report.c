/*
 * report.c - what master knows, as the records of records.h in a memfd.
 *
 * Runs in a forked copy of master that has dropped its rights: it reads
 * master's memory as it was at the fork, sends one answer and exits.
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/master/master.h"
#include "core/master/records.h"

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
	struct rec_who r = {.session = s->id,
	    .age_ns = clock_now() - s->started, .pid = (uint32_t)s->pid,
	    .uid = s->uid, .flags = s->flags, .section = s->section};

	text_set(r.user, sizeof(r.user), s->user);
	text_set(r.remote, sizeof(r.remote), s->remote);
	text_set(r.mech, sizeof(r.mech), s->mech);
	put(*(int *)fd, &r, sizeof(r));
}

static void
count_who(const struct session *s, void *n)
{
	(void)s;
	++*(uint32_t *)n;
}

static uint32_t
phase_of(const struct child *c)
{
	return c->phase == P_START ? REC_STARTING :
	    c->phase == P_RUN ? REC_RUNNING : REC_DRAINING;
}

static void
put_child(int fd, const struct child *c)
{
	struct rec_status r = {.role = c->role, .instance = c->instance,
	    .section = c->place != NULL ? c->place->section : 0,
	    .generation = c->gen->number, .pid = (uint32_t)c->pid,
	    .phase = phase_of(c),
	    .restarts = c->place != NULL ? c->place->restarts : 0,
	    .missing = c->missing, .age_ns = clock_now() - c->started};

	put(fd, &r, sizeof(r));
}

/* Places whose child died and is not started again yet. */
static uint32_t
put_waiting(int fd, const struct generation *gen, _Bool count_only)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < gen->n_place; i++) {
		const struct place *p = &gen->place[i];
		struct rec_status r = {.role = p->role,
		    .section = p->section, .generation = gen->number,
		    .phase = REC_WAITING, .restarts = p->restarts};

		for (uint32_t k = p->have; k < p->want; k++, n++)
			if (!count_only)
				put(fd, &r, sizeof(r));
	}
	return n;
}

static void
put_status(int fd)
{
	const struct child *c;

	TAILQ_FOREACH (c, &master.children, link)
		put_child(fd, c);
	put_waiting(fd, master.gen, 0);
}

void
report_send(int client, _Bool who)
{
	struct rec_head h = {.magic = who ? REC_MAGIC_WHO : REC_MAGIC_STATUS,
	    .size = who ? sizeof(struct rec_who) : sizeof(struct rec_status),
	    .pid = (uint32_t)getppid(), .generation = master.gen->number,
	    .sessions = master.sessions,
	    .sessions_max = master.gen->conf.sessions_max,
	    .missing = master.missing,
	    .uptime_ns = clock_now() - master.started,
	    .logins = master.logins, .refused = master.refused,
	    .breaches = master.breaches, .version = PACKAGE_VERSION};
	struct ipc_ctl_answer m = {0};
	int fd = memfd_create("answer", MFD_CLOEXEC);
	const struct child *c;

	if (who)
		session_each(count_who, &h.count);
	else
		TAILQ_FOREACH (c, &master.children, link)
			h.count++;
	if (!who)
		h.count += put_waiting(fd, master.gen, 1);
	put(fd, &h, sizeof(h));
	if (who)
		session_each(put_who, &fd);
	else
		put_status(fd);
	m.count = h.count;
	ipc_send(client, IPC_CTL_ANSWER, &m, &fd, 1);
}
