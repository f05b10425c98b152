/*
 * dropped.c - a worker's first steps after its drop.
 *
 * Runs as the mailbox's owner, in a copy of master's memory, not as root any
 * more.
 */
#include "config.h"

#include <signal.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/master/master.h"
#include "core/worker/worker.h"

void
worker_run(const struct session *s, int locker)
{
	const struct worker_start ws = {.client = WORKER_CLIENT,
	    .channel = WORKER_CHANNEL, .snapshot = WORKER_SNAPSHOT,
	    .locker = locker, .tail = s->g.tail.p, .tail_len = s->g.tail.n,
	    .flags = s->g.flags, .uid = s->g.uid, .gid = s->g.gid,
	    .session = s->g.id, .remote = s->g.remote, .mech = s->g.mech};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	log_set_sink(NULL);
	_exit(worker_main(&ws));
}
