/*
 * metrics.c - the numbers of roles for `culverctl metrics' and the metrics
 * role: asked for when somebody wants them, with the question that tells
 * whether a role is there (beat.c).
 *
 * Runs unprivileged in manager.  What roles say are numbers and nothing else.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager.h"

#define PATIENCE NS_PER_S		/* then the last ones must do */
#define REST (NS_PER_S / 10)		/* between two answers */

static struct {
	_Bool under_way;
	uint64_t not_before;
	struct loop_timer timer;
} ask;

/* Counts of an older culverd go on, if both mean the same by them: that one
 * still adds what its sessions do. */
void
metrics_memory(int fd)
{
	struct stats *s = fd >= 0 ? stats_open(fd) : NULL;

	if (fd >= 0 && s == NULL) {
		log_info("the metrics begin anew: this version counts other "
		    "things");
		close(fd);
		return;
	}
	stats_close(manager.stats);
	fds_close(&manager.stats_memory, 1);
	manager.stats_memory = fd >= 0 ? fd : stats_make();
	manager.stats = fd >= 0 ? s : stats_open(manager.stats_memory);
	if (manager.stats == NULL)
		log_error("nothing is counted for the metrics");
}

void
metrics_pong(struct child *c, const struct ipc_bytes *numbers)
{
	uint64_t n[PONG_NUMBERS] = {0};

	if (numbers->n > 0)
		memcpy(n, numbers->p, numbers->n < sizeof(n) ? numbers->n :
		    sizeof(n));
	if ((c->role & R_ACCEPTS) != 0 &&
	    n[PONG_ACCEPTED] > c->number[PONG_ACCEPTED])
		stats_label(manager.stats, STATS_ACCEPTED,
		    ipc_role_name(c->role), n[PONG_ACCEPTED] -
		    c->number[PONG_ACCEPTED]);
	memcpy(c->number, n, sizeof(n));
	c->asked = 0;
	metrics_step();
}

static void
begin(void)
{
	const struct ipc_ping ping = {0};
	struct child *c;

	ask.under_way = 1;
	loop_timer_set(manager.loop, &ask.timer, clock_now() + PATIENCE);
	TAILQ_FOREACH (c, &manager.children, link) {
		if ((c->role & (R_ACCEPTS | R_AUTH)) == 0 ||
		    c->phase == P_START || c->io.fd < 0)
			continue;
		c->asked = 1;
		if (c->pinged == 0) {
			c->pinged = clock_now();
			child_tell(c, IPC_PING, &ping, NULL, 0);
		}
	}
	metrics_step();
}

/* Tell who waits what there is. */
static void
finish(void)
{
	struct child *c;

	loop_timer_clear(manager.loop, &ask.timer);
	ask.under_way = 0;
	ask.not_before = clock_now() + REST;
	control_metrics();
	TAILQ_FOREACH (c, &manager.children, link)
		if (c->wants_numbers && c->io.fd >= 0) {
			c->wants_numbers = 0;
			control_report(c->io.fd, 0);
		}
}

void
metrics_step(void)
{
	const struct child *c;

	if (!ask.under_way)
		return;
	TAILQ_FOREACH (c, &manager.children, link)
		if (c->asked && c->io.fd >= 0)
			return;
	finish();
}

static void
due(struct loop_timer *t)
{
	(void)t;
	if (ask.under_way)
		finish();
	else
		begin();
}

/* Each answer costs master a process: who asks all the time waits. */
void
metrics_ask(struct child *role)
{
	if (role != NULL)
		role->wants_numbers = 1;
	ask.timer.due = due;
	if (ask.under_way || ask.timer.where != NULL)
		return;
	if (clock_now() < ask.not_before)
		loop_timer_set(manager.loop, &ask.timer, ask.not_before);
	else
		begin();
}
