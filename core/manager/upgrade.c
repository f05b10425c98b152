/*
 * upgrade.c - from one culverd to the next: a successor for this one, and the
 * ones that were there before.
 *
 * Runs unprivileged in manager.  master starts the program again; what listens
 * goes to the successor's manager through a socket pair, which says there when
 * a gate of it serves.  Then this culverd accepts nothing more and finishes
 * what it has.  The pair stays, so that culverctl reaches this one, too.  Two
 * versions talk here: what they say is one message that never changes.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager.h"

enum { OLDER_MAX = 32 };
#define UPGRADE_TIME (60 * NS_PER_S)

static struct loop_io successor = {.fd = -1};
static struct loop_timer late;
static uint32_t pid;			/* of the successor; 0: none yet */
static int diag = -1;			/* what it finds wrong */
static struct loop_io older[OLDER_MAX];	/* newest first */
static unsigned n_older;
static struct ipc_in in;

static void
hand(int fd, enum ipc_handed_kind kind, const int *what)
{
	const struct ipc_handed m = {.kind = kind};

	if (ipc_send(fd, IPC_HANDED, &m, what, what != NULL) != CULVER_OK)
		log_warnx("another culverd does not hear");
}

/* --- to a successor ---------------------------------------------------------- */

static void
successor_close(void)
{
	if (successor.fd < 0)
		return;
	loop_unwatch(manager.loop, &successor);
	fds_close(&successor.fd, 1);
}

static void
failed(const char *why)
{
	const struct ipc_kill m = {.instance = 0};
	struct ipc_opened answer;
	int fd;

	master_tell(IPC_KILL, &m, NULL, 0);
	loop_timer_clear(manager.loop, &late);
	successor_close();
	log_errorx("upgrade failed, this culverd goes on: %s", why);
	log_text(diag);
	if (lseek(diag, 0, SEEK_END) == 0)
		dprintf(diag, "%s\n", why);
	if (!manager.stopping)
		manager_note(NOTE_READY);
	/* it may have come as far as that */
	fd = manager.stopping ? -1 : master_open(OPEN_LISTEN, manager.gen,
	    manager.gen->conf.n_listen, &answer);
	if (fd >= 0)
		control_open(fd);
	control_upgraded(ECHILD, 0, diag);
	fds_close(&diag, 1);
	pid = 0;
}

static void
took_long(struct loop_timer *t)
{
	(void)t;
	failed("the new culverd did not serve within 60 s");
}

void
upgrade_spawned(uint32_t process)
{
	pid = process;
	if (pid == 0 && diag >= 0)
		failed("no process for it");
}

/* The successor serves. */
static void
retire(void)
{
	loop_timer_clear(manager.loop, &late);
	for (unsigned i = 0; i < n_older; i++) {
		hand(successor.fd, HANDED_OLDER, &older[i].fd);
		loop_unwatch(manager.loop, &older[i]);
		fds_close(&older[i].fd, 1);
	}
	n_older = 0;
	log_info("upgraded: process %u serves from now on, this one finishes "
	    "what it has", pid);
	manager_note(NOTE_RETIRED);
	control_upgraded(0, pid, diag);		/* warnings, maybe */
	fds_close(&diag, 1);
	manager_leave();
}

/* So does all of Culver, the successor says. */
static void
stop(void)
{
	if (manager.leaving)
		manager_note(NOTE_OVER);
}

static void
on_successor(struct loop_io *io, unsigned events)
{
	enum ipc_result r;

	(void)events;
	while ((r = ipc_recv(io->fd, &in, R_MANAGER, R_MANAGER, P_ANY)) ==
	    IPC_GOT) {
		if (in.m.handed.kind == HANDED_READY && diag >= 0) {
			retire();
		} else if (in.m.handed.kind == HANDED_CLIENT && in.nfds > 0) {
			control_client(in.fd[0]);
			in.fd[0] = -1;
		} else if (in.m.handed.kind == HANDED_STOP) {
			stop();
		}
		ipc_done(&in);
	}
	if (r != IPC_AGAIN)
		successor_close();
	if (r != IPC_AGAIN && diag >= 0)
		failed("the new culverd ended before it served");
}

/* Start a successor; whoever asks while one starts hears of that one. */
void
upgrade_start(void)
{
	const struct ipc_upgrade m = {0};
	int pair[2], fds[3];

	if (diag >= 0)
		return;
	if (manager.stopping || manager.gen == NULL ||
	    (diag = memfd_create("diagnosis", MFD_CLOEXEC)) < 0 ||
	    !ipc_pair(pair)) {
		log_errorx("upgrade refused: this culverd is %s",
		    manager.stopping ? "ending" : manager.gen == NULL ?
		    "not serving yet" : "out of memory or descriptors");
		fds_close(&diag, 1);
		control_upgraded(EBUSY, 0, -1);
		return;
	}
	log_info("upgrade: starting the new culverd");
	for (uint32_t i = 0; i < manager.gen->conf.n_listen; i++)
		hand(pair[0], HANDED_LISTEN, &manager.gen->listen_fd[i]);
	if (manager.stats_memory >= 0)
		hand(pair[0], HANDED_STATS, &manager.stats_memory);
	successor = (struct loop_io){.fd = pair[0], .ready = on_successor};
	loop_watch(manager.loop, &successor, LOOP_READ);
	late.due = took_long;
	loop_timer_set(manager.loop, &late, clock_now() + UPGRADE_TIME);
	manager_note(NOTE_RELOADING);
	fds[0] = diag;
	fds[1] = pair[1];
	fds[2] = pair[0];
	master_tell(IPC_UPGRADE, &m, fds, 3);
	fds_close(&pair[1], 1);
}

/* --- as a successor --------------------------------------------------------- */

static void on_older(struct loop_io *io, unsigned events);

/* False, and FD stays the caller's: it is no channel, or there are too many. */
static _Bool
older_add(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (n_older == OLDER_MAX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type,
	    &n) != 0 || type != SOCK_SEQPACKET)
		return 0;
	older[n_older] = (struct loop_io){.fd = fd, .ready = on_older};
	loop_watch(manager.loop, &older[n_older++], LOOP_READ);
	return 1;
}

/* Its culverd has ended; or it gave up before this one served. */
static void
older_gone(unsigned i)
{
	loop_unwatch(manager.loop, &older[i]);
	fds_close(&older[i].fd, 1);
	for (n_older--; i < n_older; i++) {
		int fd = older[i + 1].fd;

		loop_unwatch(manager.loop, &older[i + 1]);
		older[i] = (struct loop_io){.fd = fd, .ready = on_older};
		loop_watch(manager.loop, &older[i], LOOP_READ);
	}
	if (!manager.serving && !manager.again)
		manager_end(EX_TEMPFAIL);
	if (manager.stopping && manager.gen != NULL)
		gen_step(manager.gen);
}

static void
on_older(struct loop_io *io, unsigned events)
{
	enum ipc_result r;

	(void)events;
	while ((r = ipc_recv(io->fd, &in, R_MANAGER, R_MANAGER, P_ANY)) ==
	    IPC_GOT) {
		/* what a configuration begins with comes before it */
		if (in.nfds > 0 && in.m.handed.kind == HANDED_LISTEN &&
		    manager.gen == NULL) {
			listen_handed(in.fd[0]);
			in.fd[0] = -1;
		} else if (in.nfds > 0 && in.m.handed.kind == HANDED_OLDER) {
			if (older_add(in.fd[0]))
				in.fd[0] = -1;
		} else if (in.nfds > 0 && in.m.handed.kind == HANDED_STATS &&
		    manager.gen == NULL) {
			metrics_memory(in.fd[0]);
			in.fd[0] = -1;
		}
		ipc_done(&in);
	}
	if (r != IPC_AGAIN)
		older_gone((unsigned)(io - older));
}

_Bool
upgrade_open(int fd)
{
	if (!older_add(fd))
		return 0;
	on_older(&older[0], LOOP_READ);
	return 1;
}

void
upgrade_ready(void)
{
	if (n_older > 0)
		hand(older[0].fd, HANDED_READY, NULL);
}

void
upgrade_stop(void)
{
	if (diag >= 0)
		failed("this culverd stops");
	for (unsigned i = 0; i < n_older; i++)
		hand(older[i].fd, HANDED_STOP, NULL);
}

_Bool
upgrade_waits(void)
{
	return n_older > 0;
}

_Bool
upgrade_pass(uint32_t n, int fd)
{
	if (n >= n_older)
		return 0;
	hand(older[n].fd, HANDED_CLIENT, &fd);
	return 1;
}
