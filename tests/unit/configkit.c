/*
 * configkit.c - the config role on a channel, with a test in master's place;
 * see configkit.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/ipc/ipc.h"
#include "tests/unit/configkit.h"

const char good[] =
    "hostname = mail.example.org\n"
    "listen pop3 { address = {\"127.0.0.1:1100\", \"[::1]:1100\"} }\n"
    "listen u { address = unix:/run/x mode = 0660 owner = 7 group = 8 "
    "plain_login = always tls = off }\n"
    "tls { certificate = {/a.pem, /b.pem} key = {/a.key, /b.key}\n"
    " host x.example { certificate = /x.pem key = /x.key } }\n"
    "auth sample { path = /u allow = {net} processes = 3 group = 8 }\n"
    "storage sample { path = /m/%{user} api_key = \"tellnobody\"\n"
    " groups = {8, 9} }\n"
    "storage second { plugin = sample path = ~/m }\n"
    "limits { connections = 100 uid_ranges = {\"1000-1999\", 5000} "
    "shared_uid = unconfined }\n"
    "gates = 3 log_level = warn\n";

struct run run;
char modules[] = "/tmp/culver-test-XXXXXX";
static struct ipc_in in;

/* The modules in a folder that nobody else may write to, whatever the build
 * tree's permissions are. */
static void
copy_module(const char *name)
{
	char from[4096], to[4096], buf[65536];
	ssize_t n;
	int a, b;

	snprintf(from, sizeof(from), "%s/%s", TEST_PLUGINS, name);
	snprintf(to, sizeof(to), "%s/%s", modules, name);
	a = open(from, O_RDONLY);
	b = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	assert_true(a >= 0 && b >= 0);
	while ((n = read(a, buf, sizeof(buf))) > 0)
		assert_int_equal(write(b, buf, (size_t)n), n);
	assert_int_equal(fchmod(b, 0755), 0);
	close(a);
	close(b);
}

int
modules_make(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(modules));
	assert_int_equal(chmod(modules, 0755), 0);
	copy_module("storage_sample.so");
	copy_module("auth_sample.so");
	return 0;
}

int
modules_remove(void **state)
{
	static const char *const names[] = {"storage_sample.so",
	    "auth_sample.so"};
	char path[4096];

	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", modules, names[i]);
		unlink(path);
	}
	return rmdir(modules);
}

static void
child(const char *mode, const int *fds)
{
	for (int i = 0; i < 4; i++)
		dup2(fds[i], 20 + i);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			dup2(20 + i, 3 + i);
	close(5);
	close_range(7, ~0u, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	execl(TEST_CONFIG, "config", "1", modules, mode, NULL);
	_exit(127);
}

static int
text_file(const char *text)
{
	int fd = memfd_create("culver.conf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
answer_open(const char *text, const char *included)
{
	_Bool is_main = in.m.config_open.name[0] == 0;
	const char *use = is_main ? text : included;
	struct ipc_config_file reply = {.path = is_main ? "main" : "extra",
	    .error = use == NULL ? ENOENT : 0};
	int fd = use != NULL ? text_file(use) : -1;

	assert_int_equal(ipc_send(run.channel, IPC_CONFIG_FILE, &reply, &fd,
	    use != NULL), CULVER_OK);
	if (fd >= 0)
		close(fd);
}

static void
take(const char *text, const char *included)
{
	if (in.type == IPC_CONFIG_OPEN) {
		answer_open(text, included);
	} else if (in.type == IPC_CONFIG_SNAP) {
		assert_in_range(run.n_snaps, 0, RUN_SNAPS - 1);
		run.snap[run.n_snaps].kind = in.m.config_snap.kind;
		run.snap[run.n_snaps].index = in.m.config_snap.index;
		run.snap[run.n_snaps++].fd = in.fd[0];
		in.fd[0] = -1;
	} else {
		assert_int_equal(in.type, IPC_CONFIG_DONE);
		run.status = (int)in.m.config_done.status;
	}
	ipc_done(&in);
}

void
run_role(const char *mode, const char *text, const char *included)
{
	int channel[2], log[2], null, exit_status;
	struct pollfd pfd;
	enum ipc_result r;
	ssize_t n;

	memset(&run, 0, sizeof(run));
	run.status = -1;
	assert_true(ipc_pair(channel) && ipc_pair(log));
	run.diag = memfd_create("diag", 0);
	null = open("/dev/null", O_RDWR);
	run.pid = fork();
	if (run.pid == 0)
		child(mode, (int[]){channel[1], log[1], null, run.diag});
	close(channel[1]);
	close(log[1]);
	close(null);
	run.channel = channel[0];
	pfd = (struct pollfd){.fd = run.channel, .events = POLLIN};
	while ((r = ipc_recv(run.channel, &in, R_CONFIG, R_MASTER, P_RUN)) !=
	    IPC_EOF) {
		assert_int_not_equal(r, IPC_BREACH);
		if (r == IPC_GOT)
			take(text, included);
		else
			poll(&pfd, 1, -1);
	}
	assert_int_equal(waitpid(run.pid, &exit_status, 0), run.pid);
	assert_true(WIFEXITED(exit_status));
	assert_int_equal(WEXITSTATUS(exit_status), run.status);
	n = pread(run.diag, run.said, sizeof(run.said) - 1, 0);
	assert_true(n >= 0);
	close(run.diag);
	close(channel[0]);
	close(log[0]);
}

void
run_end(void)
{
	for (unsigned i = 0; i < run.n_snaps; i++)
		close(run.snap[i].fd);
}

int
snap_fd(unsigned kind, unsigned index)
{
	for (unsigned i = 0; i < run.n_snaps; i++)
		if (run.snap[i].kind == kind && run.snap[i].index == index)
			return run.snap[i].fd;
	fail_msg("no snapshot of kind %u, number %u", kind, index);
	return -1;
}
