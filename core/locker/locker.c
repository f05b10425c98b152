/*
 * locker.c - make one dotlock in a mail spool, and remove it.
 *
 * Runs as culver, whom the mailbox's owner can neither stop nor kill, with
 * the group of the spool (`lock_group`) as its only group, beside the worker
 * of one session.  It trusts neither the worker, which an attacker may own,
 * nor the directory.  The worker says which mailbox it means once, before it
 * is confined; that must be a file of its user in a directory that this group
 * may write to.  From then on it can ask for the dotlock of this one, and for
 * nothing else.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/locker/locker.h"
#include "plugins/common/dotlock.h"

enum { DESCRIPTORS = 16, MEMORY = 16 << 20 };

static uid_t owner;
static char name[NAME_MAX + 1];		/* of the dotlock */
static struct dotlock dot = {.dir = -1, .name = name, .fd = -1};

/* From now on it ends only by its channel. */
static void
ignore_signals(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

static bool
confine_calls(void)
{
	static const struct sandbox_limits limits = {.memory = MEMORY,
	    .descriptors = DESCRIPTORS, .no_processes = 1};
	static struct sock_filter filter[CONF_MAX_FILTER];
	static struct conf_section conf;
	size_t n;

	if (!sandbox_limits(&limits) ||
	    !conf_read(LOCKER_SNAPSHOT, CONF_STORAGE, &conf, sizeof(conf)))
		return 0;
	n = conf_locker_filter(LOCKER_SNAPSHOT, &conf, filter);
	close(LOCKER_SNAPSHOT);
	if (n == 0)
		return (sandbox_missing() & SANDBOX_SECCOMP) != 0;
	return sandbox_trap() && sandbox_seccomp(filter, n);
}

/* --- the mailbox ------------------------------------------------------------ */

/* Open the directory of PATH and leave it in dot.dir, the last part in *BASE;
 * NULL, or why not. */
static const char *
directory_open(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;

	errno = 0;
	if (path[0] != '/' || slash[1] == '\0' || strlen(slash + 1) +
	    sizeof(".lock") + DOTLOCK_ROOM > sizeof(name))
		return "this is no name of a mailbox";
	*base = slash + 1;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
	dot.dir = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dot.dir < 0 || fstat(dot.dir, &st) != 0)
		return "cannot open its directory";
	if (st.st_gid != getgid() || (st.st_mode & S_IWGRP) == 0)
		return "its directory is not one that lock_group may write to";
	return NULL;
}

/* Take PATH for this session's mailbox, and nothing else any more; NULL, or
 * why not. */
static const char *
mailbox_set(const char *path)
{
	const char *base, *why = directory_open(path, &base);
	struct sandbox_path allowed = {.fd = dot.dir, .access =
	    CULVER_PATH_READ | CULVER_PATH_WRITE | CULVER_PATH_CREATE};
	struct stat st;

	if (why != NULL)
		return why;
	if (fstatat(dot.dir, base, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return "cannot find it";
	if (!S_ISREG(st.st_mode) || st.st_uid != owner)
		return "it is no file of its user";
	if (!sandbox_landlock(&allowed, 1, 0))
		return "Landlock";
	snprintf(name, sizeof(name), "%s.lock", base);
	return NULL;
}

/* --- the worker's messages ---------------------------------------------------- */

static bool
answer(culver_status status, int error, const char *text)
{
	const struct ipc_lock_done done = {.status = (uint32_t)status,
	    .error = (uint32_t)error, .note = dot.note, .text = text};

	dot.note = DOTLOCK_NOTHING;
	return ipc_send(LOCKER_CHANNEL, IPC_LOCK_DONE, &done, &dot.fd,
	    dot.fd >= 0) == CULVER_OK;
}

static bool
take(void)
{
	int r = dotlock_take(&dot), e = errno;
	bool denied = e == EACCES || e == EPERM || e == EROFS;

	if (r > 0)
		return answer(CULVER_OK, 0, "");
	return r == 0 ? answer(CULVER_E_IN_USE, 0, "") :
	    answer(denied ? CULVER_E_PERM : CULVER_E_TEMP, e,
	    "cannot make the dotlock");
}

/* False: this was the last message. */
static bool
serve(const struct ipc_in *in)
{
	const char *why;

	switch ((int)in->type) {
	case IPC_LOCK_FILE:
		why = mailbox_set(in->m.lock_file.path);
		answer(why == NULL ? CULVER_OK : CULVER_E_PERM, errno,
		    why == NULL ? "" : why);
		return why == NULL;
	case IPC_LOCK_TAKE:
		return dot.fd < 0 && take();
	case IPC_LOCK_KEEP:
		if (dot.fd >= 0)
			futimens(dot.fd, NULL);
		return 1;
	default:		/* LOCK_DROP */
		dotlock_drop(&dot);
		return answer(CULVER_OK, 0, "");
	}
}

int
locker_main(uid_t whose)
{
	static struct ipc_in in;
	enum ipc_phase phase = P_START;
	struct pollfd p = {.fd = LOCKER_CHANNEL, .events = POLLIN};
	enum ipc_result r = IPC_AGAIN;
	bool go_on = 1;

	owner = whose;
	ignore_signals();
	if (!confine_calls())
		return 1;
	while (go_on && (r == IPC_GOT || r == IPC_AGAIN)) {
		if (r == IPC_AGAIN && poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		r = ipc_recv(p.fd, &in, R_WORKER, R_LOCKER, phase);
		if (r == IPC_GOT) {
			go_on = serve(&in);
			ipc_done(&in);
			phase = P_RUN;
		}
	}
	dotlock_drop(&dot);
	return r != IPC_EOF;
}
