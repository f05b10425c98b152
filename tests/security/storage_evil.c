/*
 * storage_evil.c - a storage plugin that tries to harm its neighbour.
 *
 * For test_evil_worker.py only.  Runs in a worker, confined as any other; in
 * open() it reads what to attack from `attack` in its own directory (which it
 * may), tries everything, and shows the outcome of each attempt as a line of
 * the one message of its mailbox: "NAME ERRNO", or "NAME 0" if it worked.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <netinet/in.h>
#include <unistd.h>

#include "tests/security/report.h"

enum { PATH = 600 };

struct culver_store {
	char own[400];
};

struct culver_mailbox {
	struct culver_store *store;
	char dir[400], file[400], sock[108];
	int pid, port;
};

static const struct culver_option options[] = {
	{ .name = "path", .type = CULVER_OPT_TEMPLATE, .def = "\"~/Maildir\"",
	  .help = "directory with the file `attack`" },
};

static struct culver_mailbox box;
static struct culver_store the_store;

/* --- the report ------------------------------------------------------------ */

static void
say(const char *what, _Bool ok)
{
	report_line(what, ok ? 0 : errno);
}

/* A call that returns -1 or a descriptor, pid or 0. */
#define TRY(what, call) do { \
	long r_; \
	errno = 0; \
	r_ = (long)(call); \
	say(what, r_ >= 0); \
} while (0)

/* --- what is tried ----------------------------------------------------------- */

static void
try_open(const char *what, const char *path, int flags)
{
	int fd;

	errno = 0;
	fd = open(path, flags, 0600);
	say(what, fd >= 0);
	if (fd >= 0)
		close(fd);
}

static void
names(const char *own, const char *v, const char *f)
{
	char a[PATH], b[PATH], proc[PATH];
	struct timespec now[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	int dir = open(own, O_RDONLY | O_DIRECTORY);

	snprintf(a, sizeof(a), "%s/planted", v);
	snprintf(b, sizeof(b), "%s/mine", own);
	try_open("own-create", b, O_WRONLY | O_CREAT);
	try_open("own-read", b, O_RDONLY);
	try_open("read", f, O_RDONLY);
	try_open("write", f, O_WRONLY);
	try_open("append", f, O_WRONLY | O_APPEND);
	try_open("read-write", f, O_RDWR);
	try_open("open-truncate", f, O_WRONLY | O_TRUNC);
	try_open("list", v, O_RDONLY | O_DIRECTORY);
	try_open("create", a, O_WRONLY | O_CREAT | O_EXCL);
	try_open("tmpfile", v, O_TMPFILE | O_WRONLY);
	snprintf(proc, sizeof(proc), "/proc/self/root%s", f);
	try_open("read-through-proc", proc, O_RDONLY);
	snprintf(proc, sizeof(proc), "%s/../..", own);
	try_open("read-through-dotdot", proc, O_RDONLY | O_DIRECTORY);
	TRY("openat-dotdot", openat(dir, "../..", O_RDONLY | O_DIRECTORY));
	TRY("openat2", syscall(SYS_openat2, dir, "../..",
	    &(uint64_t[3]){ O_RDONLY | O_DIRECTORY }, 24));
	TRY("chmod", chmod(f, 0777));
	TRY("chmod-dir", chmod(v, 0777));
	TRY("fchmodat", fchmodat(AT_FDCWD, f, 0777, 0));
	TRY("chown", chown(f, getuid(), getgid()));
	TRY("lchown", lchown(f, getuid(), getgid()));
	TRY("fchownat", fchownat(AT_FDCWD, f, getuid(), getgid(), 0));
	TRY("truncate", truncate(f, 0));
	TRY("utimensat", utimensat(AT_FDCWD, f, now, 0));
	TRY("utimes", syscall(SYS_utimes, f, NULL));
	TRY("utime", syscall(SYS_utime, f, NULL));
	TRY("setxattr", setxattr(f, "user.evil", "x", 1, 0));
	TRY("lsetxattr", lsetxattr(f, "user.evil", "x", 1, 0));
	TRY("removexattr", removexattr(f, "user.evil"));
	TRY("setxattr-dir", setxattr(v, "user.evil", "x", 1, 0));
	TRY("getxattr", getxattr(f, "user.secret", a + 300, 10));
	TRY("listxattr", listxattr(f, a + 300, 10));
	TRY("rename-away", rename(f, a));
	TRY("rename-here", rename(f, b));
	TRY("rename-over", rename(b, f));
	TRY("exchange", syscall(SYS_renameat2, AT_FDCWD, f, AT_FDCWD, b,
	    RENAME_EXCHANGE));
	snprintf(b, sizeof(b), "%s/linked", own);
	TRY("link-here", link(f, b));
	snprintf(b, sizeof(b), "%s/mine", own);
	TRY("link-there", link(b, a));
	TRY("symlink-there", symlink("/etc/passwd", a));
	TRY("mkdir-there", mkdir(a, 0700));
	TRY("mknod-there", mknod(a, S_IFIFO | 0600, 0));
	TRY("unlink", unlink(f));
	TRY("rmdir", rmdir(v));
	TRY("inotify", syscall(SYS_inotify_init1, 0));
	TRY("fanotify", syscall(SYS_fanotify_init, 0, 0));
	TRY("open-by-handle", syscall(SYS_open_by_handle_at, dir, NULL, 0));
	TRY("name-to-handle", syscall(SYS_name_to_handle_at, AT_FDCWD, f,
	    &(struct { unsigned n, t; char h[128]; }){ 128, 0, "" },
	    &(int){ 0 },
	    0));
	TRY("chdir", chdir(v));
	try_open("passwd", "/etc/passwd", O_RDONLY);
	try_open("root", "/", O_RDONLY | O_DIRECTORY);
	try_open("tmp", "/tmp", O_RDONLY | O_DIRECTORY);
	try_open("proc", "/proc", O_RDONLY | O_DIRECTORY);
}

static void
processes(int pid)
{
	char path[64];
	struct iovec iov = { path, 1 };
	struct rlimit lim = { 0, 0 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	/* signal 0 first: the test must notice before anything dies */
	TRY("kill-0", kill(pid, 0));
	TRY("kill-all-0", kill(-1, 0));
	TRY("kill", kill(pid, SIGKILL));
	TRY("tgkill", syscall(SYS_tgkill, pid, pid, SIGKILL));
	TRY("tkill", syscall(SYS_tkill, pid, SIGKILL));
	TRY("sigqueue", syscall(SYS_rt_sigqueueinfo, pid, SIGKILL,
	    &(siginfo_t){ .si_code = SI_QUEUE }));
	TRY("pidfd-open", syscall(SYS_pidfd_open, pid, 0));
	TRY("ptrace-attach", syscall(SYS_ptrace, PTRACE_ATTACH, pid, 0, 0));
	TRY("ptrace-seize", syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0));
	TRY("vm-read", syscall(SYS_process_vm_readv, pid, &iov, 1, &iov, 1,
	    0));
	TRY("prlimit", syscall(SYS_prlimit64, pid, RLIMIT_FSIZE, &lim, NULL));
	TRY("setpriority", setpriority(PRIO_PROCESS, (id_t)pid, 19));
	TRY("affinity", sched_setaffinity(pid, sizeof(cpus), &cpus));
	TRY("scheduler", sched_setscheduler(pid, SCHED_IDLE,
	    &(struct sched_param){ 0 }));
	TRY("ioprio", syscall(SYS_ioprio_set, 1, pid, 3 << 13));
	TRY("setpgid", setpgid(pid, pid));
	TRY("setown", fcntl(3, F_SETOWN, pid));
	TRY("setown-ex", syscall(SYS_fcntl, 3, F_SETOWN_EX,
	    &(struct { int t, p; }){ 1, pid }));
	TRY("setsig", fcntl(3, F_SETSIG, SIGKILL));
	TRY("ioctl-setown", syscall(SYS_ioctl, 3, 0x8901, &pid));
	TRY("kcmp", syscall(SYS_kcmp, pid, getpid(), 0, 0, 0));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	try_open("proc-mem", path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	try_open("proc-status", path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	try_open("proc-fd", path, O_RDONLY | O_DIRECTORY);
}

static void
execution(void)
{
	char *argv[] = { (char *)(uintptr_t)"true", NULL };
	void *page;
	long pid;

	TRY("exec", execve("/bin/true", argv, argv + 1));
	TRY("execveat", syscall(SYS_execveat, 3, "", argv, argv + 1,
	    AT_EMPTY_PATH));
	errno = 0;
	pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0)
		_exit(0);
	say("fork", pid >= 0);
	TRY("clone3", syscall(SYS_clone3, NULL, 0));
	TRY("unshare", unshare(CLONE_NEWUSER));
	TRY("setns", setns(3, 0));
	TRY("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
	TRY("chroot", chroot("/"));
	TRY("setuid-0", setuid(0));
	TRY("setgid-0", setgid(0));
	TRY("setgroups", syscall(SYS_setgroups, 1, &(gid_t){ 0 }));
	TRY("dumpable", syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0,
	    0));
	errno = 0;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say("mmap-exec", page != MAP_FAILED);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TRY("mprotect-exec", mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static void
networks(const char *sock, int port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int pair[2];

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", sock);
	TRY("socket-inet", socket(AF_INET, SOCK_STREAM, 0));
	TRY("socket-inet6", socket(AF_INET6, SOCK_DGRAM, 0));
	TRY("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
	TRY("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
	TRY("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	TRY("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	TRY("connect", connect(3, (struct sockaddr *)&in4, sizeof(in4)));
	TRY("connect-unix", connect(3, (struct sockaddr *)&un, sizeof(un)));
	TRY("bind", bind(3, (struct sockaddr *)&in4, sizeof(in4)));
	TRY("listen", listen(3, 5));
	TRY("io-uring", syscall(SYS_io_uring_setup, 1, &(char[256]){ 0 }));
	TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
	TRY("userfaultfd", syscall(SYS_userfaultfd, 0));
	TRY("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	TRY("keyctl", syscall(SYS_keyctl, 0, -3, 1));
	TRY("add-key", syscall(SYS_add_key, "user", "x", "y", 1, -4));
	TRY("shmget", syscall(SYS_shmget, 0x6370, 4096, 01777));
	TRY("msgget", syscall(SYS_msgget, 0x6370, 01777));
	TRY("semget", syscall(SYS_semget, 0x6370, 1, 01777));
	TRY("mq-open", syscall(SYS_mq_open, "evil", O_RDWR | O_CREAT, 0666,
	    NULL));
}

/* --- the plugin -------------------------------------------------------------- */

static culver_status
evil_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	(void)host;
	(void)user;
	(void)call;
	snprintf(the_store.own, sizeof(the_store.own), "%s",
	    vals->v[0].u.s.p);
	*out = &the_store;
	return CULVER_OK;
}

static culver_status
evil_paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	*n = 1;
	if (cap > 0)
		out[0] = (struct culver_path){ .path = store->own,
		    .access = CULVER_PATH_READ | CULVER_PATH_WRITE |
		    CULVER_PATH_CREATE | CULVER_PATH_DIR };
	return CULVER_OK;
}

/* Claim mailboxes from master (WORKER_TAKEOVER), far more often than any
 * session has to. */
static void
claims(void)
{
	enum { CHANNEL = 4, TIMES = 20000 };
	const struct {
		uint16_t type, fds;
		uint32_t octets, stays;
	} msg = { .type = 78, .octets = sizeof(msg.stays) };
	struct pollfd p = { .fd = CHANNEL, .events = POLLOUT };

	for (int i = 0; i < TIMES; i++)
		while (send(CHANNEL, &msg, sizeof(msg), MSG_DONTWAIT |
		    MSG_NOSIGNAL) < 0 && errno == EAGAIN)
			poll(&p, 1, 1000);
	say("claims", 1);
}

static culver_status
evil_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	char path[PATH];
	FILE *f;

	(void)flags;
	snprintf(path, sizeof(path), "%s/attack", store->own);
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%399s %399s %107s %d %d", box.dir,
	    box.file, box.sock, &box.pid, &box.port) != 5)
		return culver_fail(call, CULVER_E_TEMP, errno, "%s", path);
	fclose(f);
	claims();
	names(store->own, box.dir, box.file);
	processes(box.pid);
	execution();
	networks(box.sock, box.port);
	*out = &box;
	return CULVER_OK;
}

static const struct culver_storage_ops ops = {
	REPORT_OPS, .create = evil_create, .paths = evil_paths,
	.open = evil_open,
};

REPORT_PLUGIN(storage_evil, "evil", 0, "tries to harm its neighbour");
