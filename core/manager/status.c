/*
 * status.c - the processes of all roles, as the records of `culverctl status`
 * in a memfd, whose head master completes; and what the machine does not give.
 *
 * Runs unprivileged in manager.
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/features.h"
#include "core/base/log.h"
#include "core/manager/manager.h"
#include "core/master/records.h"

void
lacks_say(uint32_t lacks)
{
	struct kv kv;

	lacks &= ~manager.missing;
	manager.missing |= lacks;
	for (unsigned i = 0; i < n_features; i++) {
		const struct feature *f = &features[i];

		if ((lacks & f->part) == 0)
			continue;
		kv_start(&kv, "feature-missing");
		kv_text(&kv, "feature", f->name);
		kv_text(&kv, "needs", f->since);
		kv_text(&kv, "costs", f->without);
		log_warnx("%s", kv.buf);
	}
}

static void
put(int fd, uint32_t *count, const struct rec_status *r)
{
	off_t at = (off_t)(sizeof(struct rec_head) + *count * sizeof(*r));

	/* A short file shows as a missing record. */
	if (pwrite(fd, r, sizeof(*r), at) == (ssize_t)sizeof(*r))
		++*count;
}

static void
put_child(int fd, uint32_t *count, const struct child *c)
{
	struct rec_status r = {.role = c->role, .instance = c->instance,
	    .section = c->place != NULL ? c->place->section : 0,
	    .generation = c->gen->number, .pid = c->pid,
	    .phase = c->phase == P_START ? REC_STARTING :
	    c->phase == P_RUN ? REC_RUNNING : REC_DRAINING,
	    .restarts = c->place != NULL ? c->place->restarts : 0,
	    .missing = c->missing, .age_ns = clock_now() - c->started};

	memcpy(r.number, c->number, sizeof(r.number));
	put(fd, count, &r);
}

static void
put_manager(int fd, uint32_t *count)
{
	struct rec_status r = {.role = R_MANAGER,
	    .instance = manager.instance, .pid = (uint32_t)getpid(),
	    .generation = manager.gen->number, .phase = REC_RUNNING,
	    .missing = manager.own_missing,
	    .age_ns = clock_now() - manager.started};

	put(fd, count, &r);
}

/* Places whose child died and is not started again yet. */
static void
put_waiting(int fd, uint32_t *count, const struct generation *gen)
{
	for (unsigned i = 0; i < gen->n_place; i++) {
		const struct place *p = &gen->place[i];
		struct rec_status r = {.role = p->role,
		    .section = p->section, .generation = gen->number,
		    .phase = REC_WAITING, .restarts = p->restarts};

		for (uint32_t k = p->have; k < p->want; k++)
			put(fd, count, &r);
	}
}

/* Behind all COUNT records. */
static void
put_metrics(int fd, uint32_t count)
{
	static struct rec_metrics m;
	const struct conf_master *conf = &manager.gen->conf;

	m = (struct rec_metrics){.magic = REC_MAGIC_METRICS,
	    .size = sizeof(m), .n_stats = STATS_N, .n_section = conf->n_auth,
	    .start = stats_start(manager.stats),
	    .cert_expires = manager.gen->cert_expires};
	for (uint32_t i = 0; i < conf->n_auth; i++)
		memcpy(m.section[i], conf->auth[i].name, CONF_NAME);
	for (unsigned i = 0; i < STATS_N; i++)
		m.stats[i] = stats_get(manager.stats, i);
	(void)!pwrite(fd, &m, sizeof(m), (off_t)(sizeof(struct rec_head) +
	    count * sizeof(struct rec_status)));
}

int
status_write(uint32_t *count)
{
	int fd = memfd_create("status", MFD_CLOEXEC);
	const struct child *c;

	*count = 0;
	put_manager(fd, count);
	TAILQ_FOREACH (c, &manager.children, link)
		put_child(fd, count, c);
	put_waiting(fd, count, manager.gen);
	put_metrics(fd, *count);
	return fd;
}
