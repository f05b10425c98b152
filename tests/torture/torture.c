/*
 * torture.c - a storage plugin, killed at every file system call and with
 * every one of them failing, against an oracle of numbered messages.
 *
 * Nothing that was not deleted and committed may be lost, nothing be there
 * twice or change its UIDL, no lock be left.  CULVER_TORTURE=full tries every
 * error at every call; CULVER_TORTURE_SEED chooses the names; the directory
 * is made in CULVER_TORTURE_DIR, or where syncing is cheap.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/storage/drive.h"
#include "core/tools/kit/trace.h"
#include "tests/torture/torture.h"

#define OLD	TORTURE_OLD	/* messages 0..8 are there before */
#define ADDED	2		/* 9 and 10 are delivered */
#define OTHER	(OLD + ADDED)	/* added behind our back, after the run */
#define ALL	(OTHER + 1)

#define EXCL CULVER_OPEN_EXCLUSIVE
#define RDONLY CULVER_OPEN_READONLY

/* What the child told before it ended; shared with it. */
struct told {
	bool opened;		/* and uid[] was shown */
	char uid[OLD][71];
	bool expunged;		/* QUIT was answered +OK */
	bool refused;		/* QUIT was answered -ERR */
	bool tried[ADDED], answered[ADDED];
	culver_status delivered[ADDED];
};

struct scenario {
	const char *name;
	bool known;		/* a session was there before */
	bool settled;		/* the mailbox rested for a while */
	bool disturbed;		/* another program delivers after it */
	int (*run)(void *);
};

static char dir[256], cmd_what[128];
static bool disturbed;
static struct told *told;
static char want_uid[OLD][71];	/* "" if nobody was shown one */
static uint64_t seed = 20250607;
static const struct torture_kind *kind;
static time_t ahead;		/* of the clock, in place of resting */
static unsigned fds_before;	/* open descriptors, to find leaks */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += ahead;
	return r;
}

static __attribute__((format(printf, 1, 2))) void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("FAIL %s: ", cmd_what);
	vprintf(fmt, ap);
	printf(" (seed %llu, in %s)\n", (unsigned long long)seed, dir);
	va_end(ap);
	exit(1);
}

size_t
torture_text(unsigned i, char *out, size_t n)
{
	return (size_t)snprintf(out, n, "Subject: %u\r\n\r\n%.*s\r\nmessage "
	    "%u\r\n%s", i, (int)(i * 37 % 90),
	    ".............................................."
	    "..............................................",
	    i, i % 2 ? "" : "no end\rbut CR\r\n");
}

/* Which message is this?  ALL if none. */
static unsigned
number_of(const char *wire, size_t n)
{
	char text[600];
	unsigned i;

	for (i = 0; i < ALL; i++)
		if (torture_text(i, text, sizeof(text)) == n &&
		    memcmp(text, wire, n) == 0)
			return i;
	return ALL;
}

static void
start(struct drive *d)
{
	drive_init(d, kind->plugin);
	kind->set(d, dir);
	d->host.seed = 0;
}

/* --- the mailbox before each run --- */

static int
remove_entry(const char *p, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(p);
}

/* --- what the child does --- */

/* Everything that was there must be shown, once, as it is. */
static int
check_in_child(struct drive *d)
{
	uint32_t i;

	if (d->n != OLD)
		return 2;
	for (i = 0; i < d->n; i++)
		snprintf(told->uid[i], 71, "%s", d->msg[i].uid);
	told->opened = true;
	return 0;
}

static unsigned
count_fds(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int
finish(struct drive *d, int code)
{
	drive_stop(d);
	trace_end();
	return code == 0 && count_fds() != fds_before ? 10 : code;
}

static int
run_expunge(void *arg)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	uint32_t odd[OLD], n = 0, i;
	struct drive d;
	int code = 0;

	(void)arg;
	start(&d);
	if (drive_start(&d) == CULVER_OK && drive_open(&d, EXCL) == CULVER_OK &&
	    (code = check_in_child(&d)) == 0) {
		for (i = 1; i < OLD; i += 2)
			odd[n++] = i;
		if (d.ops->expunge(d.mb, odd, n, &res,
		    fakehost_call(&d.host)) == CULVER_OK) {
			told->expunged = true;
			code = res.removed == n ? 0 : 3;
		} else
			told->refused = true;
	}
	return finish(&d, code);
}

static int
run_open(void *arg)
{
	struct drive d;
	int code = 0;

	start(&d);
	if (drive_start(&d) == CULVER_OK && drive_open(&d,
	    arg != NULL ? RDONLY : EXCL) == CULVER_OK)
		code = check_in_child(&d);
	return finish(&d, code);
}

static int
run_open_readonly(void *arg)
{
	(void)arg;
	return run_open(dir);
}

static int
run_read(void *arg)
{
	struct drive d;
	int code = 0;
	uint32_t i;

	(void)arg;
	start(&d);
	if (drive_start(&d) == CULVER_OK && drive_open(&d, EXCL) == CULVER_OK)
		code = check_in_child(&d);
	for (i = 0; i < d.n && code == 0; i++) {
		char *wire;
		size_t n;

		if (drive_fetch(&d, i, &wire, &n) != CULVER_OK)
			continue;
		if (number_of(wire, n) != i)
			code = 4;
		free(wire);
		if (d.ops->put_octets != NULL)
			d.ops->put_octets(d.mb, i, n, fakehost_call(&d.host));
	}
	return finish(&d, code);
}

static int
run_deliver(void *arg)
{
	char text[600];
	struct drive d;
	unsigned i;

	(void)arg;
	start(&d);
	if (drive_start(&d) == CULVER_OK)
		for (i = 0; i < ADDED; i++) {
			size_t n = torture_text(OLD + i, text, sizeof(text));

			told->tried[i] = true;
			told->delivered[i] = drive_deliver(&d, text, n, 50,
			    NULL);
			told->answered[i] = true;
		}
	return finish(&d, 0);
}

/* --- the oracle --- */

/* May, and must, message I be there after the run? */
static void
expectation(unsigned i, bool *may, bool *must)
{
	*may = *must = true;
	if (i < OLD) {
		/* only run_expunge() deletes, and only odd ones */
		if (strstr(cmd_what, "expunge") != NULL && i % 2 == 1) {
			*must = kind->atomic && told->refused;
			*may = !told->expunged;
		}
		return;
	}
	if (i == OTHER) {
		*may = *must = disturbed;
		return;
	}
	i -= OLD;
	*must = told->answered[i] && told->delivered[i] == CULVER_OK;
	*may = told->tried[i] &&
	    (!told->answered[i] || told->delivered[i] == CULVER_OK);
}

/* One message of a reopened mailbox; its number. */
static unsigned
check_message(struct drive *d, uint32_t index)
{
	const struct culver_message *m = &d->msg[index];
	unsigned i;
	char *wire;
	size_t n;

	if (drive_fetch(d, index, &wire, &n) != CULVER_OK)
		die("read after it: %s", d->host.err.text);
	i = number_of(wire, n);
	free(wire);
	if (i == ALL)
		die("message %s is torn", m->uid);
	if ((m->flags & CULVER_MSG_OCTETS_EXACT) != 0 && m->octets != n)
		die("message %u has %zu octets, not %llu", i, n,
		    (unsigned long long)m->octets);
	if (i < OLD && want_uid[i][0] != '\0' &&
	    strcmp(want_uid[i], m->uid) != 0)
		die("message %u was %s, is %s", i, want_uid[i], m->uid);
	if (i < OLD && told->opened && strcmp(told->uid[i], m->uid) != 0)
		die("message %u was shown as %s, is %s", i, told->uid[i],
		    m->uid);
	if (i < OLD)
		snprintf(want_uid[i], 71, "%s", m->uid);
	return i;
}

static void
check_mailbox(void)
{
	unsigned seen[ALL] = { 0 };
	struct drive d;
	bool may, must;
	uint32_t k;

	start(&d);
	if (drive_start(&d) != CULVER_OK || drive_open(&d, EXCL) != CULVER_OK)
		die("open after it: %s", d.host.err.text);
	for (k = 0; k < d.n; k++)
		seen[check_message(&d, k)]++;
	for (k = 1; k < OLD && kind->atomic; k += 2)
		if (seen[k] != seen[1])
			die("message %u is there, not message 1, or the "
			    "other way round", k);
	for (k = 0; k < ALL; k++) {
		expectation(k, &may, &must);
		if (seen[k] > 1)
			die("message %u is there %u times", k, seen[k]);
		if (must && seen[k] == 0)
			die("message %u is lost", k);
		if (!may && seen[k] > 0)
			die("message %u should not be there", k);
	}
	drive_stop(&d);
}

/* --- the runs --- */

static void
prepare(const struct scenario *s)
{
	struct drive d;
	uint32_t i;

	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	if (!kind->fill(dir, seed))
		die("cannot fill the mailbox");
	ahead = s->settled ? 10 : 0;
	memset(told, 0, sizeof(*told));
	memset(want_uid, 0, sizeof(want_uid));
	if (!s->known)
		return;
	start(&d);
	if (drive_start(&d) != CULVER_OK || drive_open(&d, EXCL) != CULVER_OK ||
	    d.n != OLD)
		die("prepare: %s", d.host.err.text);
	for (i = 0; i < OLD; i++)
		snprintf(want_uid[i], 71, "%s", d.msg[i].uid);
	drive_stop(&d);
}

/* One run; false when the n-th call did not come any more. */
static bool
one_run(const struct scenario *s, const struct trace_plan *plan)
{
	struct trace_result res;
	char cache[400];
	size_t n;

	snprintf(cmd_what, sizeof(cmd_what), "%s, call %u %s", s->name,
	    plan->nth, plan->err == 0 ? "killed" : strerror(plan->err));
	prepare(s);
	fds_before = count_fds();
	if (!trace_run(s->run, NULL, plan, &res)) {
		printf("NOT RUN: processes cannot be traced here\n");
		exit(77);
	}
	if (res.hit)
		snprintf(cmd_what, sizeof(cmd_what), "%s, call %u (%s) %s",
		    s->name, plan->nth, trace_name(res.nr),
		    plan->err == 0 ? "killed" : strerror(plan->err));
	if (!WIFEXITED(res.status) && !(res.hit && plan->err == 0))
		die("the child died of signal %d", WTERMSIG(res.status));
	if (WIFEXITED(res.status) && WEXITSTATUS(res.status) != 0)
		die("the child says %d", WEXITSTATUS(res.status));
	disturbed = s->disturbed;
	if (disturbed && !kind->disturb(dir, OTHER))
		die("cannot disturb");
	check_mailbox();
	check_mailbox();	/* now by the cache that this one left */
	/* the same without a cache: the UIDLs are on disk */
	n = (size_t)snprintf(cache, sizeof(cache), "%s/%s", dir, kind->cache);
	if (n < sizeof(cache))
		unlink(cache);
	check_mailbox();
	return res.hit;
}

static unsigned
torture(const struct scenario *s, bool full)
{
	static const int errs[] = { EIO, ENOSPC, EINTR };
	struct trace_plan plan = { .nth = 0 };
	unsigned runs = 0, k;
	bool more = true;

	one_run(s, &plan);
	for (plan.nth = 1; more; plan.nth++) {
		plan.err = 0;
		more = one_run(s, &plan);
		runs++;
#if defined(__x86_64__) || defined(__aarch64__)
		for (k = 0; k < 3; k++) {
			if (!full && k != (plan.nth + seed) % 3)
				continue;
			plan.err = errs[k];
			more |= one_run(s, &plan);
			runs++;
		}
#else
		(void)errs;
		(void)full;
		(void)k;
#endif
	}
	printf("ok %s: %u runs\n", s->name, runs);
	return runs;
}

static void
make_dir(void)
{
	const char *where = getenv("CULVER_TORTURE_DIR");

	if (where == NULL)
		where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/culver-torture-XXXXXX", where);
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		exit(1);
	}
}

int
torture_main(const struct torture_kind *what)
{
	static const struct scenario all[] = {
		{ "expunge", true, false, false, run_expunge },
		{ "expunge at the first session", false, true, false,
		    run_expunge },
		{ "open", true, false, false, run_open },
		{ "open, unchanged", true, true, false, run_open },
		{ "first open", false, true, false, run_open },
		{ "first open, read-only", false, false, false,
		    run_open_readonly },
		{ "read and count", false, true, false, run_read },
		{ "deliver", true, true, false, run_deliver },
		{ "expunge, then others deliver", true, true, true,
		    run_expunge },
		{ "deliver, then others do", true, true, true, run_deliver },
	};
	const char *s = getenv("CULVER_TORTURE_SEED");
	const char *mode = getenv("CULVER_TORTURE");
	size_t i;

	kind = what;
	if (s != NULL)
		seed = strtoull(s, NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	make_dir();
	printf("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!all[i].disturbed || kind->disturb != NULL)
			torture(&all[i], mode != NULL &&
			    strcmp(mode, "full") == 0);
	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return rmdir(dir);
}
