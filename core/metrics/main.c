/*
 * main.c - the metrics role: answers scrapers on unix sockets.
 *
 * Executed by master as culver-log, only if the configuration has a listener
 * for it.  Confined before it hears anything: no file system, no network.  All
 * it has are numbers that manager sends when it asks; what connects is hostile.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/ipc/ipclog.h"
#include "core/metrics/server.h"

static struct ipc_in in;

static void
listener_take(void)
{
	if (in.nfds == 0)
		return;
	server_listen(in.fd[0]);
	in.fd[0] = -1;
}

static void
on_channel(struct loop_io *io, unsigned events)
{
	enum ipc_result r;

	(void)events;
	while ((r = ipc_recv(io->fd, &in, R_MANAGER, R_METRICS, P_RUN)) ==
	    IPC_GOT) {
		if (in.type == IPC_PING)
			ipc_pong(io->fd, NULL, 0);
		else if (in.type == IPC_GATE_LISTEN)
			listener_take();
		else if (in.type == IPC_GATE_DRAIN)
			server_drain(in.m.gate_drain.now != 0);
		else if (in.type == IPC_CTL_ANSWER)
			server_answer(in.m.ctl_answer.status == 0 &&
			    in.nfds == 1 ? in.fd[0] : -1);
		ipc_done(&in);
	}
	if (r != IPC_AGAIN)
		loop_stop(server.loop);
}

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	static struct conf_metrics conf;
	const struct sandbox_limits limits = {.descriptors = 256,
	    .memory = 64u << 20, .no_processes = 1};
	size_t n;

	if (!conf_read(FD_SNAPSHOT, CONF_METRICS, &conf, sizeof(conf))) {
		log_errorx("its configuration is not one");
		return 0;
	}
	n = conf_filter(FD_SNAPSHOT, &conf.head, filter);
	close(FD_SNAPSHOT);
	if (sandbox_limits(&limits) && sandbox_landlock(NULL, 0, 0) &&
	    sandbox_trap() && (sandbox_seccomp(filter, n) ||
	    (sandbox_missing() & SANDBOX_SECCOMP) != 0))
		return 1;
	log_error("cannot confine itself");
	return 0;
}

int
main(void)
{
	static struct loop_io channel = {.fd = FD_CHANNEL,
	    .ready = on_channel};
	struct ipc_ready ready = {.missing = sandbox_missing()};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	ipclog_open(FD_LOG);
	tzset();		/* reads a file, so before the confinement */
	server.loop = loop_new();
	if (server.loop == NULL || !loop_watch(server.loop, &channel,
	    LOOP_READ)) {
		log_error("cannot start");
		return EX_OSERR;
	}
	if (!confine())
		return EX_CONFIG;
	if (ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0) != CULVER_OK)
		return EX_UNAVAILABLE;
	return loop_run(server.loop) ? 0 : EX_OSERR;
}
