/*
 * lock.c - one session a mailbox, also after a kill; and a mailbox that is
 * not there.  Runs in a check, with a second process.
 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/tools/kit/model.h"
#include "core/tools/kit/subject.h"
#include "core/tools/kit/walk.h"

enum { AT_ONCE_S = 2 };		/* far more than it takes without waiting */

/* In a process of its own: a login while the lock is held. */
static void
must_be_in_use(struct kit *k)
{
	uint64_t from;
	culver_status st;
	struct box b;
	pid_t pid = kit_fork();

	if (pid != 0) {
		if (kit_join(pid) != 0)
			kit_fail("the second session died");
		return;
	}
	box_start(&b, k, 1);
	from = clock_now();
	st = box_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (st != CULVER_E_IN_USE)
		kit_fail("open of a mailbox that another process has open: "
		    "wanted CULVER_E_IN_USE, got %d %s", (int)st, b.err.text);
	if (clock_now() - from > AT_ONCE_S * NS_PER_S)
		kit_fail("open: CULVER_E_IN_USE came after %llu ms: it must "
		    "not wait", (unsigned long long)
		    ((clock_now() - from) / NS_PER_MS));
	box_stop(&b);
	kit_done();
}

static void
prepare(struct kit *k, struct model *m, struct box *b)
{
	model_init(m, k, TEXT_KINDS);
	box_start(b, k, k->seed);
	if (model_can_put(k))
		model_put(m, b, 3);
}

void
lock_check(struct kit *k)
{
	static struct model m;
	struct box b, c;
	int i;

	prepare(k, &m, &b);
	for (i = 0; i < 2; i++) {
		box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
		must_be_in_use(k);
		/* a delivery needs no session's lock */
		if ((b.caps & CULVER_ST_DELIVER) != 0) {
			box_start(&c, k, 7);
			model_put(&m, &c, 1);
			box_stop(&c);
		}
		must_be_in_use(k);
		box_close(&b);
	}
	model_check(&m, &b);
	box_stop(&b);
}

static void
killed_session(struct kit *k, uint32_t flags)
{
	static struct model m;
	struct box b;
	int pipes[2], status;
	char byte;
	pid_t pid;

	prepare(k, &m, &b);
	box_stop(&b);
	if (pipe(pipes) != 0)
		kit_fail("pipe");
	pid = kit_fork();
	if (pid == 0) {
		box_start(&b, k, 2);
		box_must_open(&b, flags);
		if (write(pipes[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1) {
		kit_join(pid);
		kit_fail("the first session died");
	}
	if ((flags & CULVER_OPEN_EXCLUSIVE) != 0)
		must_be_in_use(k);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	kit_shared->kills++;
	box_start(&b, k, 3);
	model_check(&m, &b);
	box_stop(&b);
}

void
lock_killed(struct kit *k)
{
	killed_session(k, CULVER_OPEN_EXCLUSIVE);
	kit_fresh_home(k);
	killed_session(k, CULVER_OPEN_READONLY);
}

static void
absent(struct kit *k, const char *what)
{
	culver_status st;
	struct box b;

	st = box_create(&b, k, k->seed);
	if (st == CULVER_OK)
		st = box_open(&b, CULVER_OPEN_EXCLUSIVE);
	if (st == CULVER_OK)
		kit_fail("%s is not there, and the mailbox was opened with %u "
		    "messages: clients would forget what they have seen",
		    what, b.n);
	if (st != CULVER_E_TEMP && st != CULVER_E_PERM)
		kit_fail("%s of a mailbox that is not there: returned %d, "
		    "wanted CULVER_E_TEMP", b.doing, (int)st);
	box_stop(&b);
}

/* Neither the home nor anything in it, or the home only and nothing that may
 * make the mailbox: only an error may come of that. */
void
absent_check(struct kit *k)
{
	struct culver_values v;

	if (subject_with(k, "create", "no", &v) && k->n_options < KIT_OPTIONS)
		k->option[k->n_options++] = "create=no";
	kit_remove(k->home, false);	/* a fixture may have made it */
	absent(k, "what create = no does not make");
	kit_remove(k->home, true);
	if (k->n_options > 0 &&
	    strcmp(k->option[k->n_options - 1], "create=no") == 0)
		k->n_options--;
	absent(k, "the user's home");
}
