/*
 * test_locker.c - a locker with its real seccomp filter and Landlock, and the
 * worker's end of it: as the caller, in a directory of his own group.
 */
#include "config.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/ipc/ipc.h"
#include "core/locker/locker.h"
#include "core/plugin/host.h"
#include "core/worker/locking.h"
#include "plugins/common/dotlock.h"

enum { HIGH = 30 };

static char dir[64];
static int snap = -1, channel = -1;
static pid_t locker;
static struct ipc_in in;

/* --- the directory ------------------------------------------------------------ */

static const char *
path(const char *name)
{
	static char buf[4][400];
	static unsigned turn;

	snprintf(buf[++turn % 4], sizeof(buf[0]), "%s/%s", dir, name);
	return buf[turn % 4];
}

static void
make_file(const char *name, const char *text)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0660);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool
exists(const char *name)
{
	struct stat st;

	return lstat(path(name), &st) == 0;
}

static int
remove_one(const char *p, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(p);
}

/* --- the locker ----------------------------------------------------------------- */

/* A storage section with nothing but the lockers' filter. */
static int
snapshot(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	static struct conf_section conf;
	size_t n = filter_compile(FILTER_LOCKER, 0, filter);
	int fd = memfd_create("snapshot", MFD_ALLOW_SEALING);

	assert_true(n > 0);
	conf = (struct conf_section){ .locker_filter_n = (uint32_t)n,
	    .head = { .magic = CONF_MAGIC, .kind = CONF_STORAGE,
		.fixed = sizeof(conf), .filter_at = sizeof(conf),
		.size = (uint32_t)(sizeof(conf) + n * sizeof(filter[0])) } };
	assert_int_equal(write(fd, &conf, sizeof(conf)), sizeof(conf));
	assert_int_equal(write(fd, filter, n * sizeof(filter[0])),
	    n * sizeof(filter[0]));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
	    F_SEAL_SHRINK), 0);
	return fd;
}

static void
start(void)
{
	int pair[2], fd[2];

	assert_true(ipc_pair(pair));
	fd[0] = fcntl(pair[1], F_DUPFD, HIGH);
	fd[1] = fcntl(snap, F_DUPFD, HIGH);
	assert_true(fd[0] >= HIGH && fd[1] >= HIGH);
	locker = fork();
	if (locker == 0) {
		dup2(fd[0], LOCKER_CHANNEL);
		dup2(fd[1], LOCKER_SNAPSHOT);
		close_range(LOCKER_SNAPSHOT + 1, ~0u, 0);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(locker_main(getuid()));
	}
	assert_true(locker > 0);
	close(pair[1]);
	close(fd[0]);
	close(fd[1]);
	channel = pair[0];
}

/* Close our end, if it is still ours; how the locker ended. */
static int
finish(void)
{
	int status = -1;

	if (channel >= 0)
		close(channel);
	channel = -1;
	assert_int_equal(waitpid(locker, &status, 0), locker);
	locker = 0;
	return status;
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/culver-locker-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chown(dir, (uid_t)-1, getgid()), 0);
	assert_int_equal(chmod(dir, 0770), 0);
	make_file("M", "");
	if (snap < 0)
		snap = fcntl(snapshot(), F_DUPFD, HIGH);
	start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (locker > 0)
		finish();
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* The answer's status; 1: the locker is gone. */
static int
ask(enum ipc_type type, const void *msg)
{
	struct pollfd p = { .fd = channel, .events = POLLIN };
	enum ipc_result r;

	if (ipc_send(channel, type, msg, NULL, 0) != CULVER_OK)
		return 1;
	while ((r = ipc_recv(channel, &in, R_LOCKER, R_WORKER, P_RUN)) ==
	    IPC_AGAIN)
		assert_int_equal(poll(&p, 1, 60000), 1);
	return r == IPC_GOT ? (int)in.m.lock_done.status : 1;
}

static int
ask_file(const char *file)
{
	const struct ipc_lock_file msg = { .path = file };

	return ask(IPC_LOCK_FILE, &msg);
}

static int
ask_take(void)
{
	const struct ipc_lock_take msg = { 0 };

	return ask(IPC_LOCK_TAKE, &msg);
}

static int
ask_drop(void)
{
	const struct ipc_lock_drop msg = { 0 };

	return ask(IPC_LOCK_DROP, &msg);
}

/* --- tests ------------------------------------------------------------------------ */

static void
test_take_and_drop(void **state)
{
	struct stat st;
	int i;

	(void)state;
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ask_take(), CULVER_OK);
		assert_int_equal(in.nfds, 1);
		assert_int_equal(stat(path("M.lock"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		ipc_done(&in);
		assert_int_equal(ask_drop(), CULVER_OK);
		assert_false(exists("M.lock"));
	}
	make_file("M.lock", "1\n");		/* another program's */
	assert_int_equal(ask_take(), CULVER_E_IN_USE);
	assert_int_equal(ask_drop(), CULVER_OK);
	assert_true(exists("M.lock"));
	unlink(path("M.lock"));
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
	assert_int_equal(finish(), 0);
	assert_false(exists("M.lock"));
}

/* It was taken for stale, and is another's now. */
static void
test_not_its_own(void **state)
{
	(void)state;
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
	unlink(path("M.lock"));
	make_file("M.lock", "2\n");
	assert_int_equal(ask_drop(), CULVER_OK);
	assert_true(exists("M.lock"));
}

/* It may be killed; what it held is held as long as the worker needs it. */
static void
test_killed(void **state)
{
	int held;

	(void)state;
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	held = in.fd[0];
	in.fd[0] = -1;
	kill(locker, SIGKILL);
	finish();
	assert_true(exists("M.lock"));
	start();
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_E_IN_USE);
	close(held);
	assert_int_equal(ask_take(), CULVER_E_IN_USE);
	assert_int_equal(in.m.lock_done.note, DOTLOCK_REMOVED);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
}

static void
refuses(const char *file)
{
	if (ask_file(file) != CULVER_E_PERM)
		fail_msg("%.100s was not refused", file);
	assert_true(in.m.lock_done.text[0] != '\0');
	assert_int_equal(ask_take(), 1);
	finish();
	start();
}

static void
test_other_mailboxes(void **state)
{
	char name[300], dots[600];

	(void)state;
	refuses("");
	refuses("M");
	refuses("/");
	refuses(path(""));
	refuses(path("none"));
	refuses(path("none/M"));
	refuses(path("."));
	refuses(path(".."));
	assert_int_equal(mkdir(path("D"), 0755), 0);
	refuses(path("D"));
	make_file("D/M", "");
	refuses(path("D/M"));		/* the group may not write there */
	assert_int_equal(symlink(path("M"), path("S")), 0);
	refuses(path("S"));
	assert_int_equal(mkfifo(path("F"), 0600), 0);
	refuses(path("F"));
	memset(name, 'x', 240);
	name[240] = '\0';
	make_file(name, "");
	refuses(path(name));		/* no room for ".lock" and more */
	/* a link to the directory is none to another's mailbox */
	assert_int_equal(symlink(".", path("L")), 0);
	snprintf(dots, sizeof(dots), "%s/D/../L/M", dir);
	assert_int_equal(ask_file(dots), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
	assert_true(exists("M.lock"));
}

/* KEEP makes it young. */
static void
test_keep(void **state)
{
	const struct timespec old[2] = { { .tv_sec = 1000 },
	    { .tv_sec = 1000 } };
	const struct ipc_lock_keep msg = { 0 };
	struct stat st;
	int file;

	(void)state;
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	assert_int_equal(futimens(in.fd[0], old), 0);
	file = in.fd[0];
	in.fd[0] = -1;
	ipc_done(&in);
	assert_int_equal(ipc_send(channel, IPC_LOCK_KEEP, &msg, NULL, 0),
	    CULVER_OK);
	assert_int_equal(ask_drop(), CULVER_OK);
	assert_int_equal(fstat(file, &st), 0);
	close(file);
	assert_true(st.st_mtim.tv_sec > 1000);
	/* without one it does nothing */
	assert_int_equal(ipc_send(channel, IPC_LOCK_KEEP, &msg, NULL, 0),
	    CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
}

/* A message out of turn ends it, and the dotlock. */
static void
test_out_of_turn(void **state)
{
	(void)state;
	make_file("N", "");
	assert_int_equal(ask_take(), 1);
	assert_true(WIFEXITED(finish()));
	start();
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
	assert_int_equal(ask_file(path("N")), 1);
	finish();
	assert_false(exists("M.lock"));
	assert_false(exists("N.lock"));
	start();
	assert_int_equal(ask_file(path("M")), CULVER_OK);
	assert_int_equal(ask_take(), CULVER_OK);
	ipc_done(&in);
	assert_int_equal(ask_take(), 1);
	finish();
	assert_false(exists("M.lock"));
}

/* What a plugin sees: culver_host.dotlock, while the locker lives and after. */
static void
test_the_hosts_end(void **state)
{
	struct plugin_host host;
	struct culver_error err;
	struct culver_call call;
	const struct culver_host *h = &host.host;

	(void)state;
	plugin_host_init(&host, "t");
	call = plugin_call(NULL, &err, UINT64_MAX);
	locking_start(&host.host, 0);
	assert_int_equal(h->provides, 0);
	assert_null(h->dotlock);
	locking_start(&host.host, channel);
	channel = -1;				/* not ours any more */
	assert_int_equal(h->provides, CULVER_HOST_DOTLOCK);
	locking_file(path("M"));
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_KEEP, NULL), CULVER_OK);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_DROP, NULL), CULVER_OK);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call), CULVER_OK);
	assert_true(exists("M.lock"));
	/* one at a time */
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call),
	    CULVER_E_TEMP);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_KEEP, NULL), CULVER_OK);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_DROP, NULL), CULVER_OK);
	assert_false(exists("M.lock"));
	assert_int_equal(h->dotlock(h, 99, &call), CULVER_E_UNSUPPORTED);
	make_file("M.lock", "1\n");
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call),
	    CULVER_E_IN_USE);
	unlink(path("M.lock"));
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call), CULVER_OK);
	kill(locker, SIGKILL);
	finish();
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_DROP, NULL), CULVER_OK);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call),
	    CULVER_E_TEMP);
	assert_non_null(strstr(err.text, "/M "));
}

/* It is not waited for longer than the call may take, and is good again for
 * the next. */
static void
test_stopped(void **state)
{
	struct plugin_host host;
	struct culver_error err;
	struct culver_call call;
	const struct culver_host *h = &host.host;
	int status;

	(void)state;
	plugin_host_init(&host, "t");
	locking_start(&host.host, channel);
	channel = -1;
	locking_file(path("M"));
	kill(locker, SIGSTOP);
	assert_int_equal(waitpid(locker, &status, WUNTRACED), locker);
	call = plugin_call(NULL, &err, h->now(h) + 50 * 1000000);
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call),
	    CULVER_E_TEMP);
	kill(locker, SIGCONT);
	call = plugin_call(NULL, &err, h->now(h) + 60 * UINT64_C(1000000000));
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_TAKE, &call), CULVER_OK);
	assert_true(exists("M.lock"));
	assert_int_equal(h->dotlock(h, CULVER_DOTLOCK_DROP, &call), CULVER_OK);
	assert_false(exists("M.lock"));
	locking_file(NULL);
	finish();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_take_and_drop), T(test_not_its_own), T(test_killed),
		T(test_keep),
		T(test_other_mailboxes), T(test_out_of_turn),
		T(test_the_hosts_end), T(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
