/*
 * hygiene.c - group hygiene: what a call must leave as it was.
 *
 * Runs in a check: random walks with a look at the process before and after
 * each call of the plugin.  The kit's own process has nothing else to do, so
 * what differs is the plugin's.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config/mem.h"
#include "core/tools/kit/auth.h"
#include "core/tools/kit/left.h"
#include "core/tools/kit/model.h"
#include "core/tools/kit/walk.h"

enum { SESSIONS = 8, ROUNDS = 24, MEMORY = 1024, MESSAGES = 20 };

extern char **environ;

struct state {
	struct sigaction action[65];
	sigset_t mask;
	struct rlimit limit[RLIM_NLIMITS];
	struct stat cwd, std[3];
	mode_t mask_of_files;
	uint64_t env;
	char locale[256];
	unsigned threads;
	bool fd[LEFT_FDS];
};

static struct state before;

static uint64_t
environment(void)
{
	uint64_t h = (uintptr_t)environ;
	char **e, *c;

	for (e = environ; *e != NULL; e++)
		for (c = *e; *c != '\0'; c++)
			h = (h ^ (unsigned char)*c) *
			    UINT64_C(0x100000001b3);
	return h;
}

/* Two numbers that only /proc tells without changing anything. */
static void
from_proc(struct state *s)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	unsigned n;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Umask: %o", &n) == 1)
			s->mask_of_files = (mode_t)n;
		if (sscanf(line, "Threads: %u", &n) == 1)
			s->threads = n;
	}
	if (f != NULL)
		fclose(f);
}

static void
look(struct state *s)
{
	const char *l = setlocale(LC_ALL, NULL);
	int i;

	memset(s, 0, sizeof(*s));
	for (i = 1; i < 65; i++)
		sigaction(i, NULL, &s->action[i]);
	sigprocmask(SIG_SETMASK, NULL, &s->mask);
	for (i = 0; i < RLIM_NLIMITS; i++)
		getrlimit((__rlimit_resource_t)i, &s->limit[i]);
	stat(".", &s->cwd);
	fflush(stdout);		/* what a plugin printed is still in there */
	for (i = 0; i < 3; i++)
		fstat(i, &s->std[i]);
	from_proc(s);
	s->env = environment();
	snprintf(s->locale, sizeof(s->locale), "%s", l != NULL ? l : "");
	left_open(s->fd);
}

static void
changed(const struct box *b, const char *what)
{
	kit_fail("%s changed %s", b->doing, what);
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void
compare_signals(const struct box *b, const struct state *s)
{
	int i;

	for (i = 1; i < 65; i++)
		if (s->action[i].sa_handler != before.action[i].sa_handler ||
		    s->action[i].sa_flags != before.action[i].sa_flags)
			kit_fail("%s changed the handler of signal %d",
			    b->doing, i);
	for (i = 1; i < 65; i++)
		if (sigismember(&s->mask, i) != sigismember(&before.mask, i))
			changed(b, "the signal mask");
}

static void
compare_files(const struct box *b, const struct state *s)
{
	int i;

	for (i = 0; i < 3; i++)
		if (!s->fd[i] || !same_file(&s->std[i], &before.std[i]))
			kit_fail("%s closed or replaced descriptor %d",
			    b->doing, i);
	for (i = 1; i < 3; i++)
		if (s->std[i].st_size != before.std[i].st_size)
			kit_fail("%s wrote to standard output or error",
			    b->doing);
	for (i = 3; i < LEFT_FDS; i++) {
		if (!s->fd[i] || before.fd[i])
			continue;
		if ((fcntl(i, F_GETFD) & FD_CLOEXEC) == 0)
			kit_fail("%s opened descriptor %d without O_CLOEXEC",
			    b->doing, i);
	}
	if (!same_file(&s->cwd, &before.cwd))
		changed(b, "the working directory");
}

static void
hook_before(struct box *b)
{
	(void)b;
	look(&before);
}

static void
hook_after(struct box *b, culver_status st)
{
	struct state s;
	int saved = errno;

	(void)st;
	look(&s);
	compare_files(b, &s);
	compare_signals(b, &s);
	if (memcmp(s.limit, before.limit, sizeof(s.limit)) != 0)
		changed(b, "a resource limit");
	if (s.mask_of_files != before.mask_of_files)
		changed(b, "the umask");
	if (s.env != before.env)
		changed(b, "the environment");
	if (strcmp(s.locale, before.locale) != 0)
		changed(b, "the locale");
	if (s.threads != before.threads &&
	    (b->k->plugin.desc.needs & CULVER_NEED_THREADS) == 0)
		kit_fail("%s left %u threads, there were %u", b->doing,
		    s.threads, before.threads);
	/* a program may be kept from one call to the next */
	if (((b->k->plugin.desc.needs & CULVER_NEED_EXEC) == 0 ||
	    strcmp(b->doing, "destroy") == 0) &&
	    (waitid(P_ALL, 0, &(siginfo_t){ .si_pid = 0 }, WEXITED | WNOHANG |
	    WNOWAIT) == 0 || errno != ECHILD))
		kit_fail("%s left a child process", b->doing);
	errno = saved;
}

static void
calls(struct kit *k)
{
	uint32_t i;

	if (!model_can_put(k))
		kit_skip("no CULVER_ST_DELIVER and no --fixture");
	box_hooks = (struct box_hooks){ .before = hook_before,
	    .after = hook_after };
	for (i = 0; i < 2; i++) {
		kit_fresh_home(k);
		walk_one(k, k->seed + i, SESSIONS);
	}
}

static void
auth_calls(struct kit *k)
{
	box_hooks = (struct box_hooks){ .before = hook_before,
	    .after = hook_after };
	auth_rounds(k);
}

/* One session of everything, from create() to destroy(). */
static void
cycle(struct kit *k)
{
	char *wire;
	struct box b;
	size_t n;
	uint32_t i;

	box_start(&b, k, 1);
	box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (b.n != MESSAGES)
		kit_fail("%u messages, wanted %d", b.n, MESSAGES);
	for (i = 0; i < b.n; i++)
		if (box_read(&b, i, &wire, &n) == CULVER_OK)
			free(wire);
	box_peek(&b, 0, 10);
	if ((b.caps & CULVER_ST_DELIVER) != 0)
		box_deliver_abort(&b, "Subject: x\r\n\r\n", 14);
	box_stop(&b);
	mem_end();
}

/* What 50 sessions leave in use, in octets. */
static long long
sessions_leave(struct kit *k, void (*session)(struct kit *k))
{
	size_t had = mallinfo2().uordblks;

	for (int i = 0; i < 50; i++)
		session(k);
	return (long long)mallinfo2().uordblks - (long long)had;
}

/* Nothing is left of a session: no descriptor, no memory.  malloc counts what
 * it keeps at hand for a thread as in use, until that is full: what leaks
 * grows in every round. */
static void
must_not_leak(struct kit *k, void (*session)(struct kit *k))
{
	long long left = 0;
	bool fd[LEFT_FDS];
	unsigned files, now;

	for (int i = 0; i < 5; i++)
		session(k);
	files = left_open(fd);
	for (int round = 0; round < ROUNDS; round++) {
		left = sessions_leave(k, session);
		now = left_open(fd);
		if (now != files)
			kit_fail("%u descriptors are open after 50 sessions, "
			    "there were %u", now, files);
		if (left <= MEMORY)
			break;
	}
	kit_note("memory in use after 50 sessions: %+lld octets", left);
#ifndef WITH_SANITIZERS
	if (left > MEMORY)
		kit_fail("50 sessions left %lld octets of memory, again and "
		    "again", left);
#endif
}

static void
leaks(struct kit *k)
{
	static struct model m;
	struct box b;

	model_init(&m, k, TEXT_KINDS);
	box_start(&b, k, 1);
	model_put(&m, &b, MESSAGES);
	box_stop(&b);
	must_not_leak(k, cycle);
}

static void
auth_leaks(struct kit *k)
{
	must_not_leak(k, auth_cycle);
}

const struct kit_check kit_hygiene[] = {
	{ "hygiene", "calls leave the process as it was", calls, 300, 0 },
	{ "hygiene", "sessions leave no descriptor and no memory", leaks, 60,
	    0 },
	{ .group = NULL },
};

const struct kit_check kit_auth_hygiene[] = {
	{ "hygiene", "calls leave the process as it was", auth_calls, 300, 0 },
	{ "hygiene", "no descriptor and no memory is left", auth_leaks, 600,
	    0 },
	{ .group = NULL },
};
