/*
 * test_config_role.c - the config role as master sees it: the program itself
 * on a channel, its snapshots, and the filters in them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/ipc/ipc.h"
#include "core/plugin/values.h"

enum { MAX_SNAPS = 32 };

static struct run {
	int channel, log, diag;
	pid_t pid;
	int status;			/* of CONFIG_DONE */
	struct { unsigned kind, index; int fd; } snap[MAX_SNAPS];
	unsigned n_snaps;
	char said[65536];
} run;

static char modules[] = "/tmp/culver-test-XXXXXX";
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

static int
modules_make(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(modules));
	assert_int_equal(chmod(modules, 0755), 0);
	copy_module("storage_sample.so");
	copy_module("auth_sample.so");
	return 0;
}

static int
modules_remove(void **state)
{
	static const char *const names[] = {"storage_sample.so",
	    "auth_sample.so", "storage_bad.so"};
	char path[4096];

	(void)state;
	for (int i = 0; i < 3; i++) {
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
		assert_in_range(run.n_snaps, 0, MAX_SNAPS - 1);
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

/* Run the role in MODE on TEXT; INCLUDED is what every include gives. */
static void
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

static void
run_end(void)
{
	for (unsigned i = 0; i < run.n_snaps; i++)
		close(run.snap[i].fd);
}

static int
snap_fd(unsigned kind, unsigned index)
{
	for (unsigned i = 0; i < run.n_snaps; i++)
		if (run.snap[i].kind == kind && run.snap[i].index == index)
			return run.snap[i].fd;
	fail_msg("no snapshot of kind %u, number %u", kind, index);
	return -1;
}

static const char good[] =
    "hostname = mail.example.org\n"
    "listen pop3 { address = {\"127.0.0.1:1100\", \"[::1]:1100\"} }\n"
    "listen u { address = unix:/run/x mode = 0660 owner = 7 group = 8 "
    "plain_login = always tls = off }\n"
    "tls { certificate = {/a.pem, /b.pem} key = {/a.key, /b.key}\n"
    " host x.example { certificate = /x.pem key = /x.key } }\n"
    "auth sample { path = /u allow = {net} processes = 3 }\n"
    "storage sample { path = /m/%{user} api_key = \"tellnobody\"\n"
    " groups = {8, 9} }\n"
    "storage second { plugin = sample path = ~/m }\n"
    "limits { connections = 100 uid_ranges = {\"1000-1999\", 5000} "
    "shared_uid = unconfined }\n"
    "gates = 3 log_level = warn\n";

static void
check_master(void)
{
	struct conf_cert_files files;
	struct conf_master m;
	int fd = snap_fd(CONF_MASTER, 0);

	assert_true(conf_read(fd, CONF_MASTER, &m, sizeof(m)));
	assert_int_equal(m.n_listen, 3);
	assert_string_equal(m.listen[0].text, "127.0.0.1:1100");
	assert_int_equal(m.listen[0].addr.ss_family, AF_INET);
	assert_int_equal(m.listen[1].addr.ss_family, AF_INET6);
	assert_int_equal(m.listen[2].addr.ss_family, AF_UNIX);
	assert_int_equal(m.listen[2].mode, 0660);
	assert_int_equal(m.listen[2].uid, 7);
	assert_int_equal(m.listen[2].gid, 8);
	assert_int_equal(m.listen[0].uid, UINT32_MAX);
	assert_int_equal(m.listen[0].type, SOCK_STREAM);
	assert_int_equal(m.listen[3].type, SOCK_SEQPACKET);
	assert_int_equal(m.listen[3].mode, 0600);
	assert_string_equal(m.listen[3].text, "unix:/run/culver/control");
	assert_int_equal(m.gates, 3);
	assert_int_equal(m.listen[3].gid, UINT32_MAX);
	assert_int_equal(m.n_range, 2);
	assert_int_equal(m.range[0].first, 1000);
	assert_int_equal(m.range[0].last, 1999);
	assert_int_equal(m.range[1].last, 5000);
	assert_int_equal(m.gid_min, 1);
	assert_int_equal(m.n_auth, 1);
	assert_int_equal(m.auth[0].processes, 3);
	assert_int_equal(m.auth[0].needs, CULVER_NEED_NET);
	assert_int_equal(m.n_storage, 2);
	assert_int_equal(m.storage[0].n_groups, 2);
	assert_int_equal(m.storage[0].groups[1], 9);
	assert_int_equal(m.n_cert, 3);
	assert_true(conf_cert_files(fd, &m.head, 2, &files));
	assert_string_equal(files.cert, "/x.pem");
	assert_string_equal(files.key, "/x.key");
	assert_false(conf_cert_files(fd, &m.head, 3, &files));
}

static void
check_gate(void)
{
	struct conf_gate g;
	struct conf_gate_host *host;
	int fd = snap_fd(CONF_GATE, 0);

	assert_true(conf_read(fd, CONF_GATE, &g, sizeof(g)));
	assert_string_equal(g.hostname, "mail.example.org");
	assert_int_equal(g.connections, 34);
	assert_int_equal(g.n_listen, 3);
	assert_int_equal(g.listen[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(g.listen[2].tls, CONF_TLS_OFF);
	assert_int_equal(g.listen[2].is_unix, 1);
	assert_int_equal(g.listen[2].plain_login, CONF_PLAIN_ALWAYS);
	assert_int_equal(g.n_host, 2);
	assert_int_equal(g.n_cert, 3);
	host = conf_hosts(fd, &g.head, g.n_host, g.n_cert);
	assert_non_null(host);
	assert_int_equal(host[0].n, 2);
	assert_string_equal(host[1].name, "x.example");
	assert_int_equal(host[1].first, 2);
	free(host);
	assert_null(conf_hosts(fd, &g.head, g.n_host, 2));
	assert_null(conf_hosts(fd, &g.head, 3, g.n_cert));
	assert_true(g.head.filter_n > 10 || run.n_snaps == 0);
}

static void
check_sections(void)
{
	struct conf_section s;
	struct culver_user user = {.size = sizeof(user), .name = "bob"};
	struct plugin_rules rules = {.allow = 0};
	struct plugin p;
	struct values *v;
	char err[PLUGIN_ERR];
	int fd = snap_fd(CONF_STORAGE, 0);

	assert_true(conf_read(fd, CONF_STORAGE, &s, sizeof(s)));
	assert_string_equal(s.name, "sample");
	assert_int_equal(s.owner, getuid());
	if (!plugin_load(s.module, CULVER_KIND_STORAGE, &rules, &p, err))
		fail_msg("%s", err);
	v = values_read(fd, &s.head, &p, &user, err);
	if (v == NULL)
		fail_msg("%s", err);
	assert_string_equal(v->c.v[0].u.s.p, "/m/bob");
	assert_string_equal(v->c.v[9].u.s.p, "tellnobody");
	values_destroy(&v);
	fd = snap_fd(CONF_STORAGE, 1);
	assert_true(conf_read(fd, CONF_STORAGE, &s, sizeof(s)));
	assert_null(values_read(fd, &s.head, &p, &user, err));
	assert_non_null(strstr(err, "no home"));
	assert_true(conf_read(snap_fd(CONF_POOL, 0), CONF_POOL, &s,
	    sizeof(s)));
	assert_int_equal(s.allow, CULVER_NEED_NET);
}

static void
check_others(void)
{
	struct conf_certcheck c;
	struct conf_cert cert;
	struct conf_auth a;
	struct conf_log l;
	int fd;

	assert_true(conf_read(snap_fd(CONF_AUTH, 0), CONF_AUTH, &a,
	    sizeof(a)));
	assert_int_equal(a.n_section, 1);
	assert_int_equal(a.section[0].caps, CULVER_AU_VERIFY);
	assert_int_equal(a.n_storage, 2);
	assert_string_equal(a.storage[1], "second");
	assert_int_equal(a.user_case, 1);
	assert_int_equal(a.shared_uid, 1);
	assert_true(conf_read(snap_fd(CONF_LOG, 0), CONF_LOG, &l,
	    sizeof(l)));
	assert_int_equal(l.level, CULVER_LOG_WARN);
	assert_true(conf_read(snap_fd(CONF_CERTCHECK, 0), CONF_CERTCHECK, &c,
	    sizeof(c)));
	assert_int_equal(c.n_cert, 3);
	fd = snap_fd(CONF_CERTCHECK, 0);
	assert_true(conf_cert(fd, &c.head, c.n_host, 1, &cert));
	assert_string_equal(cert.cert, "/b.pem");
	assert_string_equal(cert.file, "main");
	assert_int_equal(cert.line, 4);
	assert_false(conf_cert(fd, &c.head, c.n_host, 3, &cert));
}

static void
each_role_gets_its_part(void **state)
{
	struct conf_gate g;

	(void)state;
	run_role("run", good, NULL);
	assert_string_equal(run.said, "");
	assert_int_equal(run.status, 0);
	assert_int_equal(run.n_snaps, 9);
	check_master();
	check_gate();
	check_sections();
	check_others();
	/* One kind is not taken for another. */
	assert_false(conf_read(snap_fd(CONF_MASTER, 0), CONF_GATE, &g,
	    sizeof(g)));
	run_end();
}

static void
a_secret_is_in_one_snapshot(void **state)
{
	static char text[1 << 20];
	unsigned found = 0;

	(void)state;
	run_role("run", good, NULL);
	for (unsigned i = 0; i < run.n_snaps; i++) {
		ssize_t n = pread(run.snap[i].fd, text, sizeof(text), 0);

		assert_true(n > 0);
		if (memmem(text, (size_t)n, "tellnobody", 10) != NULL) {
			found++;
			assert_int_equal(run.snap[i].kind, CONF_STORAGE);
			assert_int_equal(run.snap[i].index, 0);
		}
	}
	assert_int_equal(found, 1);
	run_end();
	run_role("print", good, NULL);
	assert_null(strstr(run.said, "tellnobody"));
	assert_non_null(strstr(run.said, "api_key = (secret)\t# main:7\n"));
	run_role("print-json", good, NULL);
	assert_null(strstr(run.said, "tellnobody"));
}

static void
a_snapshot_cannot_be_changed(void **state)
{
	int fd;

	(void)state;
	run_role("check", good, NULL);
	fd = snap_fd(CONF_MASTER, 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	run_end();
}

static void
mistakes_stop_everything(void **state)
{
	(void)state;
	run_role("run", "hostnam = x\ninclude more\n", "gates = many\n");
	assert_int_equal(run.status, EX_CONFIG);
	assert_int_equal(run.n_snaps, 0);
	assert_non_null(strstr(run.said,
	    "main:1: hostnam: unknown option, did you mean hostname?\n"));
	assert_non_null(strstr(run.said,
	    "extra:1: gates: \"many\" is not a number"));
	run_role("check", NULL, NULL);
	assert_int_equal(run.status, EX_CONFIG);
	assert_string_equal(run.said,
	    "main:1: cannot be read: No such file or directory\n");
}

static void
printing_says_where_from(void **state)
{
	(void)state;
	run_role("print", good, NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(run.n_snaps, 0);
	assert_non_null(strstr(run.said,
	    "hostname = \"mail.example.org\"\t# main:1\n"));
	assert_non_null(strstr(run.said, "\tidle_time = \"10m\"\t# default\n"));
	assert_non_null(strstr(run.said, "\nstorage \"second\" {\t# main:9\n"));
	run_role("print-json", good, NULL);
	assert_non_null(strstr(run.said, "{\"section\":\"limits\",\"name\":"
	    "\"\",\"option\":\"connections\",\"value\":100,\"file\":\"main\","
	    "\"line\":10,\"default\":false}"));
	run_role("plugins", good, NULL);
	assert_non_null(strstr(run.said, "auth sample 1.0 (ABI 0.0, needs "
	    "net): for tests\n"));
	run_role("plugins-json", good, NULL);
	assert_non_null(strstr(run.said, "\"kind\":\"storage\",\"name\":"
	    "\"sample\",\"version\":\"1.0\",\"abi\":\"0.0\",\"needs\":\"\","
	    "\"summary\":\"for tests\"}"));
}

static void
a_module_of_others_is_refused(void **state)
{
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/storage_sample.so", modules);
	assert_int_equal(chmod(path, 0775), 0);
	run_role("check", good, NULL);
	assert_int_equal(run.status, EX_CONFIG);
	assert_non_null(strstr(run.said, "main:7: storage sample: plugin: "));
	assert_non_null(strstr(run.said, "mode: wanted writable by its owner "
	    "only, got 0775\n"));
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(modules, 0777), 0);
	run_role("check", good, NULL);
	assert_non_null(strstr(run.said, "mode: wanted writable by its owner "
	    "only, got 0777\n"));
	assert_int_equal(chmod(modules, 0755), 0);
	run_role("plugins", good, NULL);
	assert_null(strstr(run.said, "cannot"));
}

/* --- the filters --------------------------------------------------------- */

#if defined(WITH_SANDBOX) && !defined(WITH_SANITIZERS)

static int
fails(long result, int error)
{
	return result == -1 && errno == error;
}

/* What must and must not work below a storage plugin's filter; 0, or the
 * number of the line that was wrong. */
#define MUST(x) do { if (!(x)) return __LINE__; } while (0)

static int
try_storage(const char *dir)
{
	char path[4096];
	struct rlimit rl;
	int fd;

	snprintf(path, sizeof(path), "%s/probe", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0);
	MUST(fchmod(fd, 0600) == 0 && futimens(fd, NULL) == 0);
	MUST(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}) == 0);
	MUST(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	MUST(malloc(1 << 22) != NULL);
	MUST(fails(chmod(path, 0644), EPERM));
	MUST(fails(chown(path, getuid(), getgid()), EPERM));
	MUST(fails(truncate(path, 0), EPERM));
	MUST(fails(utimensat(AT_FDCWD, path, NULL, 0), ENOSYS));
	MUST(fails(syscall(SYS_setxattr, path, "user.x", "", 0, 0), EPERM));
	MUST(fails(syscall(SYS_lremovexattr, path, "user.x"), EPERM));
	MUST(fails(syscall(452, AT_FDCWD, path, 0644, 0), ENOSYS));
	MUST(fails(kill(getppid(), 0), EPERM));
	MUST(fails(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM));
	MUST(fails(syscall(SYS_pidfd_open, getppid(), 0), EPERM));
	MUST(fails(fcntl(fd, F_SETOWN, getppid()), ENOSYS));
	MUST(fails(ioctl(fd, 0x8901 /* FIOSETOWN */, &fd), ENOSYS));
	MUST(fails(prlimit(getppid(), RLIMIT_NOFILE, NULL, &rl), ENOSYS));
	MUST(fails(setrlimit(RLIMIT_NOFILE, &rl), ENOSYS));
	MUST(fails(setpriority(PRIO_PROCESS, 0, 1), EPERM));
	MUST(fails(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM));
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(socket(AF_UNIX, SOCK_STREAM, 0), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	MUST(fails(syscall(425 /* io_uring_setup */, 1, NULL), ENOSYS));
	MUST(fails(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), ENOSYS));
	MUST(mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	MUST(unlink(path) == 0);
	return 0;
}

static int
try_pool(const char *dir)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)dir;
	MUST(fd >= 0);
	MUST(fails(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS));
	MUST(fails(listen(fd, 1), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	return 0;
}

static int
try_gate(const char *dir)
{
	int pair[2];

	(void)dir;
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(fails(open("/etc/passwd", O_RDONLY), EPERM));
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(fork(), EPERM));
	MUST(fails(kill(getppid(), 0), EPERM));
	MUST(sandbox_missing() < SANDBOX_CHROOT * 2);
	return 0;
}

static int
try_auth(const char *dir)
{
	int pair[2];

	(void)dir;
	MUST(fails(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EPERM));
	MUST(fails(open("/etc/passwd", O_RDONLY), EPERM));
	MUST(fails(syscall(SYS_accept4, 0, NULL, NULL, 0), ENOSYS));
	return 0;
}

static void *
thread(void *arg)
{
	return arg;
}

static int
try_threads(const char *dir)
{
	pthread_t t;
	void *got = NULL;

	(void)dir;
	MUST(pthread_create(&t, NULL, thread, &got) == 0);
	MUST(pthread_join(t, &got) == 0 && got == &got);
	MUST(fails(fork(), EPERM) || errno == ENOSYS);
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(execl("/bin/true", "true", NULL), EPERM));
	return 0;
}

static int
try_exec(const char *dir)
{
	char sh[] = "sh", c[] = "-c", script[] = "exit $(/bin/echo 7 | cat)";
	char *const argv[] = {sh, c, script, NULL};
	int status = 0;
	pid_t pid;

	(void)dir;
	MUST(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	MUST(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(fails(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM));
	/* no namespace, in which it would be root */
	MUST(fails(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
	    ENOSYS));
	MUST(fails(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0),
	    ENOSYS));
	MUST(fails(syscall(SYS_unshare, CLONE_NEWUSER), ENOSYS));
	MUST(fails(syscall(435 /* clone3 */, NULL, 0), ENOSYS));
	return 0;
}

static int
try_names(const char *dir)
{
	struct addrinfo *found = NULL;

	(void)dir;
	MUST(getaddrinfo("localhost", "110", NULL, &found) == 0);
	freeaddrinfo(found);
	return 0;
}

static void
quiet(int level, const char *text)
{
	(void)level, (void)text;
}

static void
below(const struct sock_filter *filter, size_t n, const char *what,
    int (*try_it)(const char *dir))
{
	int status;
	pid_t pid;

	assert_in_range(n, 10, CONF_MAX_FILTER);
	pid = fork();
	if (pid == 0) {
		log_set_sink(quiet);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    !sandbox_trap() || !sandbox_seccomp(filter, n))
			_exit(1);
		int line = try_it(modules);
		char text[64];
		int len = snprintf(text, sizeof(text), "line %d: errno %d\n",
		    line, errno);

		if (line != 0 && write(2, text, (size_t)len) != len)
			_exit(3);
		_exit(line != 0 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: status %#x", what, (unsigned)status);
}

/* The filter in the snapshot of KIND. */
static void
below_filter(enum conf_kind kind, void *conf, size_t size,
    int (*try_it)(const char *dir))
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	int fd = snap_fd(kind, 0);
	char what[16];

	snprintf(what, sizeof(what), "kind %d", (int)kind);
	assert_true(conf_read(fd, kind, conf, size));
	below(filter, conf_filter(fd, conf, filter), what, try_it);
}

static void
needs_add_what_they_say(void **state)
{
	static struct sock_filter filter[CONF_MAX_FILTER];

	(void)state;
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_THREADS,
	    filter), "threads", try_threads);
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_EXEC, filter),
	    "exec", try_exec);
	below(filter, filter_compile(FILTER_POOL, CULVER_NEED_NET, filter),
	    "net", try_names);
	below(filter, filter_compile(FILTER_WORKER, CULVER_NEED_NET, filter),
	    "net", try_names);
	/* What a storage plugin cannot have, it does not get either. */
	below(filter, filter_compile(FILTER_WORKER, CULVER_NEED_EXEC |
	    CULVER_NEED_THREADS, filter), "storage", try_storage);
}

static void
filters_allow_what_is_needed_and_no_more(void **state)
{
	static union {
		struct conf_section section;
		struct conf_gate gate;
		struct conf_auth auth;
		struct conf_log log;
		struct conf_certcheck certcheck;
	} c;

	(void)state;
	run_role("run", good, NULL);
	below_filter(CONF_STORAGE, &c, sizeof(c.section), try_storage);
	below_filter(CONF_POOL, &c, sizeof(c.section), try_pool);
	below_filter(CONF_GATE, &c, sizeof(c.gate), try_gate);
	below_filter(CONF_AUTH, &c, sizeof(c.auth), try_auth);
	below_filter(CONF_LOG, &c, sizeof(c.log), try_auth);
	below_filter(CONF_CERTCHECK, &c, sizeof(c.certcheck), try_auth);
	run_end();
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_role_gets_its_part),
	    cmocka_unit_test(a_secret_is_in_one_snapshot),
	    cmocka_unit_test(a_snapshot_cannot_be_changed),
	    cmocka_unit_test(mistakes_stop_everything),
	    cmocka_unit_test(printing_says_where_from),
	    cmocka_unit_test(a_module_of_others_is_refused),
#if defined(WITH_SANDBOX) && !defined(WITH_SANITIZERS)
	    cmocka_unit_test(filters_allow_what_is_needed_and_no_more),
	    cmocka_unit_test(needs_add_what_they_say),
#endif
	};

	return cmocka_run_group_tests(tests, modules_make, modules_remove);
}
