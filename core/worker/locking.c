/*
 * locking.c - see locking.h.
 *
 * Runs in worker, as the mailbox's owner.  A locker that died costs this
 * session its dotlocks and nothing more.  One that hangs costs the call that
 * asked it; the dotlock that is held stays until it is dropped.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/ipc/ipc.h"
#include "core/worker/locking.h"
#include "plugins/common/dotlock.h"

#define LOCKER_TIME (30 * NS_PER_S)

static struct {
	int channel;		/* 0: there is none (any more) */
	int held;		/* the dotlock, open; 0: none is held */
	unsigned owed;		/* answers that have not come yet */
	bool refused;		/* the locker does not serve this mailbox */
	char path[512];		/* for the log */
	struct ipc_in in;
} locking;

static void
close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = 0;
}

/* The locker's end. */
static void
channel_close(void)
{
	close_fd(&locking.channel);
	locking.owed = 0;
}

static bool
tell(enum ipc_type type, const void *msg)
{
	return locking.channel > 0 &&
	    ipc_send(locking.channel, type, msg, NULL, 0) == CULVER_OK;
}

/* Wait for the answer to the last question, but not past UNTIL.  Those to
 * earlier ones, which nobody waited for to the end, are thrown away. */
static culver_status
wait_answer(uint64_t until)
{
	struct pollfd p = {.fd = locking.channel, .events = POLLIN};
	enum ipc_result r = IPC_AGAIN;
	uint64_t now;

	while (locking.owed > 0) {
		r = ipc_recv(p.fd, &locking.in, R_LOCKER, R_WORKER, P_RUN);
		if (r == IPC_GOT && --locking.owed > 0)
			ipc_done(&locking.in);
		else if (r == IPC_AGAIN && (now = clock_now()) < until)
			poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1);
		else
			break;
	}
	return r == IPC_GOT ? CULVER_OK : r == IPC_AGAIN ? CULVER_E_TIMEOUT :
	    CULVER_E_TEMP;
}

/* Ask the locker, and wait until the time of CALL (NULL: it has none) is
 * over.  OK: its answer is in locking.in, for ipc_done(); E_TIMEOUT: it may
 * still do as asked; E_TEMP: there is no locker. */
static culver_status
ask(enum ipc_type type, const void *msg, const struct culver_call *call)
{
	uint64_t until = clock_now() + LOCKER_TIME;
	culver_status st = CULVER_E_TEMP;

	if (call != NULL && call->deadline < until)
		until = call->deadline;
	if (tell(type, msg)) {
		locking.owed++;
		st = wait_answer(until);
	}
	if (st == CULVER_OK)
		return st;
	if (locking.channel > 0)
		log_warnx("the locker of %s %s", locking.path,
		    st == CULVER_E_TIMEOUT ? "does not answer in time" :
		    "is gone");
	if (st != CULVER_E_TIMEOUT)
		channel_close();
	return st;
}

/* A TAKE that nobody waits for any more may yet be carried out. */
static void
take_back(void)
{
	static const struct ipc_lock_drop msg = {0};

	if (tell(IPC_LOCK_DROP, &msg))
		locking.owed++;
	else
		channel_close();
}

static culver_status
take(struct culver_call *call)
{
	static const struct ipc_lock_take msg = {0};
	const struct ipc_lock_done *done = &locking.in.m.lock_done;
	const char *note;
	culver_status st;

	if (locking.refused)
		return culver_fail(call, CULVER_E_PERM, 0, "the locker "
		    "refused it");
	st = locking.held > 0 ? CULVER_E_TEMP :
	    ask(IPC_LOCK_TAKE, &msg, call);
	if (st == CULVER_E_TIMEOUT)
		take_back();
	if (st != CULVER_OK)
		return culver_fail(call, CULVER_E_TEMP, 0, "the locker of %s "
		    "does not work", locking.path);
	note = dotlock_note_text((enum dotlock_note)done->note);
	if (note != NULL)
		log_warnx("%s.lock %s", locking.path, note);
	st = (culver_status)done->status;
	if (st == CULVER_OK && locking.in.nfds == 1) {
		locking.held = locking.in.fd[0];
		locking.in.fd[0] = -1;
	} else if (st != CULVER_E_IN_USE) {
		st = culver_fail(call, st == CULVER_E_PERM ? st :
		    CULVER_E_TEMP, (int)done->error, "%s.lock: %s",
		    locking.path, done->text);
	}
	ipc_done(&locking.in);
	return st;
}

static void
drop(const struct culver_call *call)
{
	static const struct ipc_lock_drop msg = {0};

	if (locking.held == 0)
		return;
	/* first, or another would take it for a dead one's meanwhile */
	if (ask(IPC_LOCK_DROP, &msg, call) == CULVER_OK)
		ipc_done(&locking.in);
	close_fd(&locking.held);
}

/* There is no answer to this, so a locker that hangs is noticed by what asks
 * next. */
static void
keep(void)
{
	static const struct ipc_lock_keep msg = {0};

	if (locking.held > 0)
		tell(IPC_LOCK_KEEP, &msg);
}

static culver_status
dotlock(const struct culver_host *host, int32_t op, struct culver_call *call)
{
	(void)host;
	switch (op) {
	case CULVER_DOTLOCK_TAKE:
		return take(call);
	case CULVER_DOTLOCK_KEEP:
		keep();
		return CULVER_OK;
	case CULVER_DOTLOCK_DROP:
		drop(call);
		return CULVER_OK;
	default:
		return culver_fail(call, CULVER_E_UNSUPPORTED, 0,
		    "dotlock: %d", (int)op);
	}
}

void
locking_start(struct culver_host *host, int fd)
{
	if (fd == 0)
		return;
	locking.channel = fd;
	host->provides |= CULVER_HOST_DOTLOCK;
	host->dotlock = dotlock;
}

void
locking_file(const char *path)
{
	struct ipc_lock_file msg = {.path = path};
	const struct ipc_lock_done *done = &locking.in.m.lock_done;

	if (locking.channel == 0)
		return;
	if (path == NULL) {
		channel_close();
		return;
	}
	snprintf(locking.path, sizeof(locking.path), "%s", path);
	if (ask(IPC_LOCK_FILE, &msg, NULL) != CULVER_OK)
		return;
	locking.refused = done->status != CULVER_OK;
	if (locking.refused)
		log_warnx("no dotlock for %s: %s%s%s", path, done->text,
		    done->error != 0 ? ": " : "", done->error != 0 ?
		    strerror((int)done->error) : "");
	ipc_done(&locking.in);
	if (locking.refused)
		channel_close();
}
