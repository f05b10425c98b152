/*
 * tap.c - one check: a child of its own, a time limit, a line of TAP.
 *
 * The check's standard descriptors are /dev/null and a file, so that nothing
 * a plugin writes can be taken for a result.  All that a check starts is in
 * its process group and dies with it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/tools/kit/model.h"

struct kit_shared *kit_shared;

void
kit_fail(const char *fmt, ...)
{
	char text[sizeof(kit_shared->fail)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (kit_shared->fail[0] == '\0')
		memcpy(kit_shared->fail, text, sizeof(text));
	_exit(KIT_FAILED);
}

void
kit_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(kit_shared->fail, sizeof(kit_shared->fail), fmt, ap);
	va_end(ap);
	_exit(KIT_SKIPPED);
}

void
kit_note(const char *fmt, ...)
{
	size_t n = strlen(kit_shared->note);
	va_list ap;

	if (n + 256 > sizeof(kit_shared->note))
		return;
	va_start(ap, fmt);
	vsnprintf(kit_shared->note + n, 255, fmt, ap);
	va_end(ap);
	n = strlen(kit_shared->note);
	memcpy(kit_shared->note + n, "\n", 2);
}

pid_t
kit_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		kit_fail("fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

void
kit_done(void)
{
	_exit(KIT_DONE);
}

int
kit_join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			kit_fail("waitpid: %s", strerror(errno));
	if (WIFEXITED(status) && (WEXITSTATUS(status) == KIT_FAILED ||
	    WEXITSTATUS(status) == KIT_SKIPPED))
		_exit(WEXITSTATUS(status));
	if (!WIFEXITED(status))
		return status;
	return WEXITSTATUS(status) == KIT_DONE ? 0 : -1;
}

void *
kit_shared_memory(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		kit_fail("no memory");
	return p;
}

void
kit_unshare_memory(void *p, size_t n)
{
	munmap(p, n);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

void
kit_remove(const char *path, bool self)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (self)
		rmdir(path);
}

void
kit_fresh_home(struct kit *k)
{
	kit_remove(k->home, false);
	if (mkdir(k->home, 0700) != 0 && errno != EEXIST)
		kit_fail("%s: %s", k->home, strerror(errno));
	model_empty_box(k);
}

uint64_t
kit_random(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint32_t
kit_below(uint64_t *state, uint32_t n)
{
	return n == 0 ? 0 : (uint32_t)(kit_random(state) % n);
}

/* The plugin's log, kept for the report of a failure. */
static void
keep_log(int level, const char *text)
{
	size_t n = strlen(text), room = sizeof(kit_shared->log) - 2;

	(void)level;
	if (n > room)
		n = room;
	memcpy(kit_shared->log, text, n);
	kit_shared->log[n] = '\0';
}

static void __attribute__((noreturn))
child(struct kit *k, const struct kit_check *c)
{
	char output[PATH_MAX];
	int null = open("/dev/null", O_RDONLY), out;

	snprintf(output, sizeof(output), "%s/output", k->top);
	out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0)
		kit_fail("%s: %s", output, strerror(errno));
	close(null);
	close(out);
	log_set_sink(keep_log);
	kit_fresh_home(k);
	c->run(k);
	kit_done();
}

/* Wait at most so long; false: it had to be killed. */
static bool
wait_for(pid_t pid, unsigned seconds, int *status)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t until = clock_now() + seconds * NS_PER_S, now;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool in_time = true;

	while (fd >= 0 && (now = clock_now()) < until &&
	    poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1) <= 0)
		continue;
	if (fd >= 0) {
		in_time = (p.revents & POLLIN) != 0;
		close(fd);
	}
	if (!in_time)
		kill(-pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		continue;
	kill(-pid, SIGKILL);	/* what it started and forgot */
	return in_time;
}

/* TEXT as lines that begin with "# ". */
static void
diagnostics(const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		printf("# %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void
explain(struct kit *k, const struct kit_check *c, bool in_time, int status)
{
	if (!in_time)
		printf("# it was not done after %u s\n", c->seconds);
	else if (WIFSIGNALED(status))
		printf("# it died of signal %d (%s)\n", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (k->shared->fail[0] == '\0')
		printf("# the plugin called exit(%d)\n",
		    WEXITSTATUS(status));
	diagnostics(k->shared->fail);
	if (k->shared->log[0] != '\0')
		printf("# last log line: %s\n", k->shared->log);
	printf("# seed %llu\n", (unsigned long long)k->seed);
}

const char *
kit_caps(const struct kit *k, uint64_t caps)
{
	static const char *const storage[] = { "CULVER_ST_ATOMIC_EXPUNGE",
	    "CULVER_ST_EXACT_OCTETS", "CULVER_ST_KEEPALIVE",
	    "CULVER_ST_DELIVER", "CULVER_ST_SIZE_CACHE", "CULVER_ST_READONLY",
	    "CULVER_ST_KEEP_UID", "CULVER_ST_CHECK", "CULVER_ST_DOTLOCK" };
	static const char *const auth[] = { "CULVER_AU_VERIFY",
	    "CULVER_AU_CREDS", "CULVER_AU_USER", "CULVER_AU_NO_CACHE",
	    "CULVER_AU_TOKEN", "CULVER_AU_EXTERNAL", "CULVER_AU_QUICK" };
	static char text[256];
	bool is_auth = k->plugin.desc.kind == CULVER_KIND_AUTH;
	unsigned n = is_auth ? sizeof(auth) / sizeof(auth[0]) :
	    sizeof(storage) / sizeof(storage[0]), i;
	size_t len = 0;

	text[0] = '\0';
	for (i = 0; i < n; i++) {
		if ((caps & UINT64_C(1) << i) == 0)
			continue;
		snprintf(text + len, sizeof(text) - len, "%s%s",
		    len > 0 ? ", no " : "", is_auth ? auth[i] : storage[i]);
		len = strlen(text);
	}
	return text;
}

bool
kit_run(struct kit *k, const struct kit_check *c)
{
	uint64_t lacks = c->caps & ~k->plugin.desc.caps;
	bool in_time = true, ok;
	int status = 0;
	pid_t pid;

	k->n++;
	k->shared->fail[0] = k->shared->note[0] = k->shared->log[0] = '\0';
	if (lacks != 0) {
		printf("ok %u - %s: %s # SKIP no %s\n", k->n, c->group,
		    c->name, kit_caps(k, lacks));
		return true;
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(k, c);
	if (pid > 0)
		in_time = wait_for(pid, c->seconds, &status);
	ok = pid > 0 && in_time && WIFEXITED(status) &&
	    (WEXITSTATUS(status) == KIT_DONE ||
	    WEXITSTATUS(status) == KIT_SKIPPED);
	printf("%s %u - %s: %s", ok ? "ok" : "not ok", k->n, c->group,
	    c->name);
	if (ok && WEXITSTATUS(status) == KIT_SKIPPED)
		printf(" # SKIP %s", k->shared->fail);
	putchar('\n');
	diagnostics(k->shared->note);
	if (!ok)
		explain(k, c, in_time, status);
	k->failed += !ok;
	if (ok || !k->keep)
		kit_remove(k->home, true);
	return ok;
}
