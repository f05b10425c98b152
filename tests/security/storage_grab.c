/*
 * storage_grab.c - a storage plugin that wants more of its locker than it may
 * have.
 *
 * For test_evil_locker.py only.  Runs in a worker beside a locker, confined as
 * any other.  What it tries is option `way`; what came of it is a line of the
 * one message of its mailbox: "NAME NUMBER".
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/security/report.h"

/* Of core/ipc/messages.def, which a plugin does not include. */
enum { LOCKER = 6, LOCK_FILE = 150, LOCK_DONE = 151, LOCK_TAKE = 152 };
enum { OPT_PATH, OPT_VICTIM, OPT_WAY };

struct culver_store {
	const struct culver_host *host;
	const char *path, *victim, *way;
};

static const struct culver_option options[] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "\"/nowhere\"", .help = "its own mailbox" },
	[OPT_VICTIM] = { .name = "victim", .type = CULVER_OPT_TEMPLATE,
	    .def = "\"/nowhere\"", .help = "another's mailbox" },
	[OPT_WAY] = { .name = "way", .type = CULVER_OPT_STRING,
	    .def = "\"\"", .help = "what to try" },
};

static struct culver_store store;

/* Is there PATH.lock? */
static _Bool
locked(const char *path)
{
	char name[512];
	struct stat st;

	snprintf(name, sizeof(name), "%s.lock", path);
	return stat(name, &st) == 0;
}

/* --- raw messages ------------------------------------------------------------- */

static void
send_raw(const void *p, size_t n, int fd)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
	}
	report_line("sent", sendmsg(LOCKER, &m, MSG_NOSIGNAL) == (ssize_t)n);
}

static void
send_message(uint16_t type, const void *p, uint32_t n, int fd)
{
	unsigned char buf[1024];
	const uint16_t head[2] = { type, fd >= 0 };

	memcpy(buf, head, 4);
	memcpy(buf + 4, &n, 4);
	memcpy(buf + 8, p, n);
	send_raw(buf, n + 8, fd);
}

static void
send_file(const char *path)
{
	unsigned char buf[512];
	uint32_t n = (uint32_t)strlen(path);

	memcpy(buf, &n, 4);
	memcpy(buf + 4, path, n + 1);
	send_message(LOCK_FILE, buf, n + 5, -1);
}

/* The status of an answer; 1: the locker is gone. */
static long
answer(void)
{
	struct pollfd p = { .fd = LOCKER, .events = POLLIN };
	unsigned char buf[1024];
	int32_t status = 0;

	if (poll(&p, 1, 10000) != 1)
		return 2;
	if (recv(LOCKER, buf, sizeof(buf), 0) < 12)
		return 1;
	memcpy(&status, buf + 8, 4);
	return status;
}

/* --- what is tried --------------------------------------------------------------- */

/* Make something better of the dotlock that it holds. */
static void
improve(void)
{
	struct stat st, lock;
	char name[512];
	int fd;

	snprintf(name, sizeof(name), "%s.lock", store.path);
	if (stat(name, &lock) != 0)
		return;
	for (fd = 3; fd < 64; fd++)
		if (fstat(fd, &st) == 0 && st.st_ino == lock.st_ino &&
		    st.st_dev == lock.st_dev)
			break;
	report_line("held", fd < 64);
	report_line("chmod", fchmod(fd, 02755) == 0 &&
	    fchown(fd, (uid_t)-1, lock.st_gid) == 0 && fchmod(fd, 06755) == 0);
	stat(name, &st);
	report_line("setgid", (st.st_mode & S_ISGID) != 0);
}

static void
try_it(const struct culver_host *host, struct culver_call *call)
{
	static unsigned char junk[60000];
	const uint32_t zero = 0;
	const char *way = store.way;

	report_line("take", host->dotlock(host, CULVER_DOTLOCK_TAKE, call));
	report_line("own", locked(store.path));
	memset(junk, 0xff, sizeof(junk));
	if (strcmp(way, "again") == 0)
		send_file(store.victim);
	else if (strcmp(way, "twice") == 0)
		send_message(LOCK_TAKE, &zero, sizeof(zero), -1);
	else if (strcmp(way, "descriptor") == 0)
		send_message(LOCK_TAKE, &zero, sizeof(zero), LOCKER);
	else if (strcmp(way, "answer") == 0)
		send_message(LOCK_DONE, &zero, sizeof(zero), -1);
	else if (strcmp(way, "junk") == 0)
		send_raw(junk, sizeof(junk), -1);
	else if (strcmp(way, "improve") == 0)
		improve();
	if (strcmp(way, "improve") != 0)
		report_line("answer", answer());
	report_line("victim", locked(store.victim));
	host->dotlock(host, CULVER_DOTLOCK_DROP, NULL);
	report_line("left", locked(store.path));
	report_line("after", host->dotlock(host, CULVER_DOTLOCK_TAKE, call));
}

/* --- the plugin ---------------------------------------------------------------------- */

static culver_status
grab_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	(void)user;
	(void)call;
	store = (struct culver_store){ .host = host,
	    .path = vals->v[OPT_PATH].u.s.p,
	    .victim = vals->v[OPT_VICTIM].u.s.p,
	    .way = vals->v[OPT_WAY].u.s.p };
	*out = &store;
	report_line("provided", (host->provides & CULVER_HOST_DOTLOCK) != 0);
	if (strcmp(store.way, "first") == 0) {
		send_file(store.victim);
		report_line("first", answer());
	}
	return CULVER_OK;
}

static culver_status
grab_paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	*n = 1;
	if (cap > 0)
		out[0] = (struct culver_path){ .access = CULVER_PATH_READ |
		    CULVER_PATH_WRITE | CULVER_PATH_DOTLOCK,
		    .path = strcmp(s->way, "name") == 0 ? s->victim :
		    s->path };
	return CULVER_OK;
}

static culver_status
grab_open(struct culver_store *s, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	(void)flags;
	try_it(s->host, call);
	*out = (struct culver_mailbox *)s;
	return CULVER_OK;
}

static const struct culver_storage_ops ops = {
	REPORT_OPS, .create = grab_create, .paths = grab_paths,
	.open = grab_open,
};

REPORT_PLUGIN(storage_grab, "grab", CULVER_ST_DOTLOCK,
    "wants more of its locker than it may have");
