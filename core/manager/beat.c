/*
 * beat.c - is every role still there?  A process that is stopped, or spins,
 * holds its channels open: only an answer tells.
 *
 * Runs unprivileged in manager.  Every role that said READY is asked for a
 * PONG in each beat; one that owes it for too long is killed and replaced like
 * one that died.  master, which hears from manager as often, does the same to
 * manager, and the service manager (if it wants to) to the whole.
 */
#include "config.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager.h"

#define EVERY (10 * NS_PER_S)
#define PATIENCE (30 * NS_PER_S)
/* A pool looks up only between two calls of its plugin, which have an end of
 * their own: 30 s and a little. */
#define PATIENCE_POOL (45 * NS_PER_S)

static struct loop_timer timer;
static uint64_t every = EVERY;
static uint64_t last;

/* False: C owes an answer for too long, and is ended. */
static _Bool
ask(struct child *c, uint64_t now)
{
	const struct ipc_ping ping = {0};

	if (c->phase == P_START || c->io.fd < 0)
		return 1;		/* its own timer runs */
	if (c->pinged == 0) {
		c->pinged = now;
		child_tell(c, IPC_PING, &ping, NULL, 0);
	} else if (now - c->pinged > (c->role == R_POOL ? PATIENCE_POOL :
	    PATIENCE)) {
		child_end(c, "does not answer");
		return 0;
	}
	return 1;
}

static void
due(struct loop_timer *t)
{
	uint64_t now = clock_now();
	struct child *c;
	_Bool fine = 1;

	/* Who was stopped ourselves, or not served for long, has heard no
	 * answers: that is no fault of those who gave them. */
	if (now - last > every + PATIENCE / 2)
		TAILQ_FOREACH (c, &manager.children, link)
			c->pinged = 0;
	last = now;
	TAILQ_FOREACH (c, &manager.children, link)
		fine &= ask(c, now);
	if (fine)
		manager_note(NOTE_ALIVE);
	loop_timer_set(manager.loop, t, now + every);
}

void
beat_start(const char *watchdog)
{
	uint64_t limit = watchdog != NULL ? strtoull(watchdog, NULL, 10) : 0;

	/* microseconds; as sd_watchdog_enabled(3) advises */
	if (limit > 1 && limit < 2 * EVERY / 1000)
		every = limit / 2 * 1000;
	timer.due = due;
	last = clock_now();
	due(&timer);
}
