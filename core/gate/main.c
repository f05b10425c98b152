/*
 * main.c - start a gate and confine it.
 *
 * Executed by master as `culver` with CAP_SYS_CHROOT, which the first
 * statements use and drop.  After confine() there is no file system, no new
 * process and no new kind of socket.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/priv.h"
#include "core/base/sandbox.h"
#include "core/gate/gate.h"
#include "core/ipc/ipclog.h"
#include "core/tls/tls.h"

/* a client and the inner end of its relay */
#define DESCRIPTORS(connections) (2 * (uint64_t)(connections) + CONF_GATE_FDS)

static struct gate gate;

static bool
leave_root(bool *chrooted)
{
	*chrooted = fcntl(FD_ROOT, F_GETFD) >= 0;
	if (!*chrooted)		/* not root: there is nothing to leave */
		return !sandbox_may_chroot();
	if (fchdir(FD_ROOT) != 0 || chroot(".") != 0 || close(FD_ROOT) != 0)
		return false;
	return priv_drop_rest();
}

/* The config role made `connections` fit the limit of descriptors; should it
 * be lower here, count to less: a gate that ran out could not turn clients
 * away, nor take fresh certificates. */
static void
fit_connections(void)
{
	struct conf_gate *conf = &gate.conf;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 ||
	    rl.rlim_cur >= DESCRIPTORS(conf->connections))
		return;
	conf->connections = rl.rlim_cur > CONF_GATE_FDS ?
	    (uint32_t)(rl.rlim_cur - CONF_GATE_FDS) / 2 : 0;
	log_warnx("gate: %u descriptors are enough for %u connections",
	    (unsigned)rl.rlim_cur, conf->connections);
}

static bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	const struct conf_gate *conf = &gate.conf;
	struct sandbox_limits limits = {
	    .descriptors = DESCRIPTORS(conf->connections),
	    .memory = (UINT64_C(256) << 20) +
		(uint64_t)conf->connections * 131072,
	    .no_processes = 1};
	size_t n = conf_filter(FD_SNAPSHOT, &conf->head, filter);

	close(FD_SNAPSHOT);
	if (!sandbox_limits(&limits))
		return false;
	fit_connections();
	/* a snapshot without a filter is refused, but in a build without a
	 * sandbox, where the call does nothing */
	return sandbox_landlock(NULL, 0, 0) && sandbox_trap() &&
	    sandbox_seccomp(filter, n);
}

static unsigned
missing(bool chrooted)
{
	return sandbox_missing() | (chrooted ? 0u : SANDBOX_CHROOT);
}

static int
start(bool chrooted)
{
	struct ipc_ready ready = {.status = 0};

	ipclog_open(FD_LOG);
	if (!conf_read(FD_SNAPSHOT, CONF_GATE, &gate.conf,
		sizeof(gate.conf))) {
		log_errorx("gate: the snapshot is not mine");
		return EX_CONFIG;
	}
	gate.host = conf_hosts(FD_SNAPSHOT, &gate.conf.head, gate.conf.n_host,
	    gate.conf.n_cert);
	if (gate.host == NULL) {
		log_errorx("gate: no hosts in the snapshot, or no memory");
		return EX_CONFIG;
	}
	if (!tls_warm() || !gate_init(&gate, FD_CHANNEL, FD_MASTER,
	    FD_AUTH)) {
		log_errorx("gate: cannot start: %s", tls_error_text());
		return EX_OSERR;
	}
	if (!counts_open(&gate.counts, FD_MEMORY, gate.id))
		log_warnx("gate: counts connections of addresses alone");
	close(FD_MEMORY);
	if (!confine()) {
		log_error("gate: not confined");
		return EX_OSERR;
	}
	ready.missing = missing(chrooted);
	if (ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0) != CULVER_OK)
		return EX_UNAVAILABLE;
	return 0;
}

int
main(int argc, char **argv)
{
	bool chrooted;
	int status;

	if (!leave_root(&chrooted)) {
		ipclog_open(FD_LOG);
		log_errorx("gate: cannot leave the root folder; is there a "
		    "folder `empty' in run_dir?");
		return EX_OSERR;
	}
	if (argc < 2)
		return EX_USAGE;
	gate.id = (uint32_t)strtoul(argv[1], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	status = start(chrooted);
	if (status == 0)
		status = gate_run(&gate);
	gate_free(&gate);
	return status;
}
