/*
 * main.c - start the lmtp role and confine it.
 *
 * Executed by master as `culver` with CAP_SYS_CHROOT, which the first
 * statements use and drop.  After confine() the file system is the spool
 * folder, and there is no new process and no new kind of socket.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/base/log.h"
#include "core/base/priv.h"
#include "core/base/sandbox.h"
#include "core/ipc/ipclog.h"
#include "core/lmtp/lmtp.h"

enum { OWN_FDS = 128, FDS_PER_CONN = 4 };

/* Without root there is nothing to leave.  Landlock is what keeps a process
 * of root's in its folder, too: the descriptor stays open. */
static _Bool
leave_root(_Bool *chrooted)
{
	*chrooted = sandbox_may_chroot();
	if (!*chrooted)
		return 1;
	return fchdir(FD_SPOOL) == 0 && chroot(".") == 0 && priv_drop_rest();
}

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	const struct sandbox_limits limits = {
	    .descriptors = CONNECTIONS_MAX * FDS_PER_CONN + OWN_FDS,
	    .memory = UINT64_C(512) << 20, .no_processes = 1};
	const struct sandbox_path spool = {.fd = FD_SPOOL,
	    .access = CULVER_PATH_READ | CULVER_PATH_WRITE |
	    CULVER_PATH_CREATE | CULVER_PATH_DIR};
	size_t n = conf_filter(FD_SNAPSHOT, &server.conf.head, filter);

	close(FD_SNAPSHOT);
	return sandbox_limits(&limits) && sandbox_landlock(&spool, 1, 0) &&
	    sandbox_trap() && sandbox_seccomp(filter, n);
}

static int
start(_Bool chrooted)
{
	struct ipc_ready ready = {.status = 0};

	if (!conf_read(FD_SNAPSHOT, CONF_LMTP, &server.conf,
	    sizeof(server.conf))) {
		log_errorx("its configuration is not one");
		return EX_CONFIG;
	}
	if (!server_init()) {
		log_error("cannot start");
		return EX_OSERR;
	}
	if (!confine()) {
		log_error("cannot confine itself");
		return EX_OSERR;
	}
	spool_clean();
	ready.missing = sandbox_missing() | (chrooted ? 0u : SANDBOX_CHROOT);
	return ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0) == CULVER_OK ?
	    0 : EX_UNAVAILABLE;
}

int
main(int argc, char **argv)
{
	_Bool chrooted, left = leave_root(&chrooted);
	int status;

	ipclog_open(FD_LOG);
	if (!left) {
		log_error("cannot leave the root folder");
		return EX_OSERR;
	}
	if (argc < 2)
		return EX_USAGE;
	server.id = (uint32_t)strtoul(argv[1], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	status = start(chrooted);
	return status == 0 ? server_run() : status;
}
