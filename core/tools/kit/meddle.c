/*
 * meddle.c - mark the plugin's calls for what makes them fail; see meddle.h.
 *
 * Runs in a check and in its children.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/kit/interpose.h"
#include "core/tools/kit/left.h"
#include "core/tools/kit/meddle.h"
#include "core/tools/kit/trace.h"

const struct meddle_fault meddle_faults[] = {
	{ "EIO", EIO, false }, { "ENOSPC", ENOSPC, false },
	{ "EINTR", EINTR, false }, { "half done", 0, true },
	{ .name = NULL },
};

void (*meddle_after)(struct box *b, culver_status st);

static uint64_t call_time;

static void
on(struct box *b)
{
	(void)b;
	trace_on();
	interpose.armed = true;
}

static void
off(struct box *b, culver_status st)
{
	interpose.armed = false;
	trace_off();
	left_call(b->doing);
	if (meddle_after != NULL)
		meddle_after(b, st);
}

/* Memory of the call may run out as well. */
static void *
alloc(struct culver_arena *a, size_t n)
{
	bool armed = interpose.armed, fails = interpose_fails();
	void *p;

	interpose.armed = false;
	p = fails ? NULL : arena_alloc(a, n);
	interpose.armed = armed;
	return p;
}

static void
host(struct box *b)
{
	b->host.h.alloc = alloc;
	b->time = call_time;
}

void
meddle_start(uint64_t time)
{
	left_begin();
	call_time = time;
	box_hooks = (struct box_hooks){ .before = on, .after = off,
	    .host = host };
}

void
meddle_stop(void)
{
	trace_end();
	interpose.fail_at = 0;
	box_hooks = (struct box_hooks){ .before = NULL };
}

void
meddle_ended(int status, bool killed, const char *what)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_DONE)
		return;
	if (killed && WIFSIGNALED(status))
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_FAILED) {
		char text[sizeof(kit_shared->fail)];

		memcpy(text, kit_shared->fail, sizeof(text));
		kit_shared->fail[0] = '\0';
		kit_fail("%s: %s", what, text);
	}
	if (WIFSIGNALED(status))
		kit_fail("%s: the plugin died of signal %d (%s)", what,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	kit_fail("%s: the plugin ended the process with status %d", what,
	    WEXITSTATUS(status));
}

bool
meddle_allocation(int (*fn)(void *), void *arg, unsigned nth,
    const char *what)
{
	unsigned *calls = kit_shared_memory(sizeof(*calls));
	int status;
	pid_t pid = kit_fork();
	bool hit;

	if (pid == 0) {
		interpose.fail_at = nth;
		status = fn(arg);
		*calls = interpose.calls;
		_exit(status);
	}
	waitpid(pid, &status, 0);
	meddle_ended(status, false, what);
	hit = *calls >= nth;
	kit_unshare_memory(calls, sizeof(*calls));
	kit_shared->faults += hit;
	return hit;
}
