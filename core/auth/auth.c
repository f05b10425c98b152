/*
 * auth.c - the auth coordinator's program.
 *
 * Executed by master as the auth user; argv[1] is the generation that makes
 * its grants' numbers unique.  Confined before it reads a message: no file,
 * no network, no plugin.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/auth/coord.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/base/stats.h"
#include "core/ipc/ipc.h"
#include "core/ipc/ipclog.h"

static struct conf_auth conf;

static _Bool
generation_parse(const char *text, uint32_t *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != 0 || v >= 1u << 24)
		return 0;
	*out = (uint32_t)v;
	return 1;
}

/* No page of this process goes to swap, as what libcrypto and the C library
 * make of passwords.  Where a limit is set (SANDBOX_MEMLOCK), only what is kept
 * for longer than a login has its pages locked: secret.c and cache.c say if
 * that fails. */
static unsigned
memory_lock(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_MEMLOCK, &l) == 0 &&
	    l.rlim_cur == RLIM_INFINITY && mlockall(MCL_CURRENT | MCL_FUTURE |
	    MCL_ONFAULT) == 0 ? 0 : SANDBOX_MEMLOCK;
}

/* Everything is open that this process will ever open: shut the rest. */
static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	size_t n = conf_filter(FD_SNAPSHOT, &conf.head, filter);

	close(FD_SNAPSHOT);
	if (!sandbox_landlock(NULL, 0, 0) || !sandbox_trap()) {
		log_error("cannot confine itself");
		return 0;
	}
	if (n == 0 && (sandbox_missing() & SANDBOX_SECCOMP) != 0)
		return 1;	/* culverd -t says so */
	if (sandbox_seccomp(filter, n))
		return 1;
	log_error("cannot install its system call filter");
	return 0;
}

static void
manager_gone(void *ctx)
{
	loop_stop(ctx);
}

int
main(int argc, char **argv)
{
	const struct sandbox_limits limits = {.descriptors = 4096,
	    .memory = UINT64_C(1) << 30};
	struct coord_setup setup = {.manager = FD_CHANNEL,
	    .master = FD_MASTER, .memory = -1, .conf = &conf,
	    .now = clock_now, .gone = manager_gone};
	struct ipc_ready ready = {.status = 0};
	struct coord *coord = NULL;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	ipclog_open(FD_LOG);
	if (argc < 2 || !generation_parse(argv[1], &setup.generation)) {
		log_errorx("is started by culverd only");
		return 1;
	}
	if (!conf_read(FD_SNAPSHOT, CONF_AUTH, &conf, sizeof(conf))) {
		log_errorx("its configuration is not one");
		return 1;
	}
	if (!sandbox_limits(&limits)) {
		log_error("cannot limit itself");
		return 1;
	}
	ready.missing = memory_lock();
	setup.one_user = !conf.shared_uid &&
	    (sandbox_missing() & SANDBOX_APART) != 0;
	if (fcntl(FD_MEMORY, F_GETFD) >= 0)
		setup.memory = FD_MEMORY;
	setup.stats = stats_open(FD_STATS);
	setup.loop = loop_new();
	setup.ctx = setup.loop;
	if (setup.loop != NULL)
		coord = coord_new(&setup);
	if (coord == NULL) {
		log_error("cannot start");
		return 1;
	}
	if (setup.memory >= 0)
		close(setup.memory);
	close(FD_STATS);
	if (!confine())
		return 1;
	ready.missing |= sandbox_missing();
	if (ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0) != CULVER_OK ||
	    !loop_run(setup.loop)) {
		log_error("cannot go on");
		return 1;
	}
	coord_destroy(&coord);
	loop_destroy(&setup.loop);
	return 0;
}
