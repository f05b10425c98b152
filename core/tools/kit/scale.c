/*
 * scale.c - groups deadline and scale: calls whose time is over, and large
 * mailboxes.
 *
 * Runs in a check.  What a deadline costs is counted in system calls, not in
 * time, so that a busy machine makes no difference; times are printed and
 * nothing is concluded from them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/tools/kit/interpose.h"
#include "core/tools/kit/model.h"
#include "core/tools/kit/stall.h"
#include "core/tools/kit/trace.h"

enum { MANY = 600, ALLOWED = 200, MEMORY_KIB = 64 << 10, READS = 1000 };

/* --- deadline --------------------------------------------------------------- */

static struct kit *subject;
static enum { OPEN_LATE, EXPUNGE_LATE } what;

static enum trace_verdict
count(void *ctx, const struct trace_call *c, int *err)
{
	unsigned *calls = ctx;

	(void)c;
	(void)err;
	++*calls;
	return TRACE_GO;
}

static void
on(struct box *b)
{
	if (b->over)
		trace_on();
}

static void
off(struct box *b, culver_status st)
{
	if (!b->over)
		return;
	trace_off();
	if (st != CULVER_OK && st != CULVER_DONE && st != CULVER_E_TIMEOUT)
		kit_fail("%s: the deadline was over, and it returned %d: "
		    "wanted CULVER_E_TIMEOUT, or a result", b->doing,
		    (int)st);
}

/* In the traced child. */
static int
play_late(void *arg)
{
	uint32_t index[MANY], removed, i;
	struct box b;

	(void)arg;
	box_hooks = (struct box_hooks){ .before = on, .after = off };
	for (i = 0; i < MANY; i++)
		index[i] = i;
	box_start(&b, subject, 3);
	if (what == OPEN_LATE) {
		b.over = true;
		box_open(&b, CULVER_OPEN_EXCLUSIVE);
	} else {
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
		b.over = true;
		box_expunge(&b, index, MANY, &removed);
	}
	b.over = false;
	trace_end();
	box_stop(&b);
	return KIT_DONE;
}

static void
late(struct kit *k)
{
	static struct model m;
	unsigned calls = 0;
	const struct trace_hooks hooks = { .ctx = &calls, .entry = count,
	    .marked = true };
	struct box b;
	int status;

	model_init(&m, k, TEXT_KINDS);
	box_start(&b, k, 1);
	model_put(&m, &b, MANY);
	box_stop(&b);
	subject = k;
	if (!trace_follow(play_late, NULL, &hooks, &status))
		kit_skip("processes cannot be traced here");
	if (WIFEXITED(status) && WEXITSTATUS(status) == KIT_FAILED)
		_exit(KIT_FAILED);
	if (status != KIT_DONE << 8)
		kit_fail("it ended with status 0x%x", (unsigned)status);
	kit_note("%u system calls with %u messages", calls, MANY);
	if (calls > ALLOWED)
		kit_fail("%u system calls after the deadline was over, with "
		    "%u messages: look at call->deadline in every loop",
		    calls, MANY);
	/* and nothing was broken by that; how many are gone is known */
	if (what == EXPUNGE_LATE)
		for (uint32_t i = 0; i < m.n; i++) {
			m.m[i].there = false;
			m.m[i].maybe = true;
		}
	box_start(&b, k, 5);
	model_check(&m, &b);
	box_stop(&b);
}

static void
open_late(struct kit *k)
{
	what = OPEN_LATE;
	late(k);
}

static void
expunge_late(struct kit *k)
{
	if ((k->plugin.desc.caps & CULVER_ST_READONLY) != 0)
		kit_skip("read-only");
	what = EXPUNGE_LATE;
	late(k);
}

const struct kit_check kit_deadline[] = {
	{ "deadline", "open() when its time is over", open_late, 120, 0 },
	{ "deadline", "expunge() when its time is over", expunge_late, 120,
	    0 },
	{ "deadline", "a disk that stalls at every system call", stall_scenes,
	    3600, 0 },
	{ "deadline", "a slow disk", stall_slow_disk, 600, 0 },
	{ .group = NULL },
};

/* --- scale ------------------------------------------------------------------ */

static void
fill(struct kit *k, uint32_t n)
{
	static const char text[] = "From: a@example.org\r\nSubject: one of "
	    "many\r\n\r\nHello.\r\n.\r\n";
	char uid[BOX_UID];
	struct box b;

	box_start(&b, k, 1);
	for (; n > 0; n--)
		if (box_deliver(&b, text, sizeof(text) - 1, uid) != CULVER_OK)
			kit_fail("%s: %s", b.doing, b.err.text);
	box_stop(&b);
}

/* list() as the core does it, keeping nothing; how many there are. */
static uint32_t
count_all(struct box *b)
{
	struct culver_message batch[64];
	uint32_t total = 0, n;

	for (;;) {
		n = 0;
		if (b->ops->list(b->mb, total, batch, 64, &n,
		    box_begin(b, "list")) != CULVER_OK || n == 0)
			return total;
		total += n;
	}
}

static double
ms(uint64_t from)
{
	return (double)(clock_now() - from) / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
time_reads(struct box *b, uint32_t n)
{
	const size_t mid = READS / 2, high = READS * 99 / 100;
	static uint64_t took[READS];
	char *wire;
	size_t len;
	int i;

	/* box_read() looks at what list() said */
	b->msg = calloc(n, sizeof(*b->msg));
	if (b->msg == NULL)
		kit_fail("no memory");
	for (i = 0; i < READS; i++) {
		uint64_t from = clock_now();

		if (box_read(b, kit_below(&b->rng, n), &wire, &len) !=
		    CULVER_OK)
			kit_fail("%s: %s", b->doing, b->err.text);
		took[i] = clock_now() - from;
		free(wire);
	}
	free(b->msg);
	b->msg = NULL;
	qsort(took, READS, sizeof(*took), by_value);
	kit_note("%u messages: read p50 %.3f ms", n, (double)took[mid] / 1e6);
	if (n > 1)
		kit_number(b->k, "read_p99_ms",
		    (double)took[high] / 1e6);
}

/* One session with N messages, in a process of its own. */
static void
session(struct kit *k, uint32_t n, bool again)
{
	struct rusage was, is;
	struct box b;
	double opened, listed;
	uint64_t from;
	pid_t pid = kit_fork();

	if (pid != 0) {
		if (kit_join(pid) != 0)
			kit_fail("the session died");
		return;
	}
	box_start(&b, k, 2);
	getrusage(RUSAGE_SELF, &was);
	from = clock_now();
	if (box_end(&b, b.ops->open(b.store, CULVER_OPEN_EXCLUSIVE, &b.mb,
	    box_begin(&b, "open")), false) != CULVER_OK)
		kit_fail("open: %s", b.err.text);
	opened = ms(from);
	from = clock_now();
	if (count_all(&b) != n)
		kit_fail("list: not %u messages", n);
	listed = ms(from);
	getrusage(RUSAGE_SELF, &is);
	kit_note("%u messages, %s: open %.2f ms, list %.2f ms, %ld KiB", n,
	    again ? "unchanged" : "first session", opened, listed,
	    is.ru_maxrss - was.ru_maxrss);
	if (n > 1) {
		kit_number(k, again ? "open_again_ms" : "open_ms", opened);
		kit_number(k, again ? "list_again_ms" : "list_ms", listed);
	}
	if (is.ru_maxrss - was.ru_maxrss > MEMORY_KIB)
		kit_fail("a session with %u messages takes %ld KiB: wanted at "
		    "most %d", n, is.ru_maxrss - was.ru_maxrss, MEMORY_KIB);
	if (n > 0)
		time_reads(&b, n);
	box_stop(&b);
	kit_done();
}

static void
large(struct kit *k)
{
	session(k, 0, false);
	fill(k, 1);
	session(k, 1, false);
	fill(k, k->messages - 1);
	session(k, k->messages, false);
	interpose.ahead = 10;	/* seconds: what is there has come to rest */
	session(k, k->messages, true);
}

const struct kit_check kit_scale[] = {
	{ "scale", "mailboxes of 0, 1 and many messages", large, 1800,
	    CULVER_ST_DELIVER },
	{ .group = NULL },
};
