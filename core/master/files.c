/*
 * files.c - everything that master opens by a name or address.
 *
 * Runs as root.  Names come from the configuration, which only root can
 * write; what is opened for others is passed on as a descriptor, read-only.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/master/master.h"

/* Root's (or the caller's), and nobody else may write it. */
static _Bool
trusted(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 022) == 0 &&
	    (st.st_uid == 0 || st.st_uid == geteuid());
}

int
file_open_config(const char *name, uint32_t *error)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK |
	    O_NOCTTY, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	char dir[CONF_PATH];
	const char *slash = strrchr(master.conf_path, '/');
	int fd;

	if (*name != 0) {
		fd = (int)syscall(SYS_openat2, master.conf_dir, name, &how,
		    sizeof(how));
	} else {
		snprintf(dir, sizeof(dir), "%.*s",
		    slash ? (int)(slash - master.conf_path) + 1 : 1,
		    slash ? master.conf_path : ".");
		if (master.conf_dir >= 0)
			close(master.conf_dir);
		master.conf_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd = open(master.conf_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
		    O_NOCTTY);
	}
	*error = fd < 0 ? (uint32_t)errno : 0;
	if (fd >= 0 && !trusted(fd)) {
		close(fd);
		*error = EPERM;
		return -1;
	}
	return fd;
}

int
file_open_cert(const char *path, struct stat *st, uint32_t *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	memset(st, 0, sizeof(*st));
	*error = fd < 0 ? (uint32_t)errno : 0;
	if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
		close(fd);
		*error = EINVAL;
		return -1;
	}
	return fd;
}

int
file_open_log(const char *log, _Bool *syslog)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX,
	    .sun_path = "/dev/log"};
	int fd;

	*syslog = strcmp(log, "syslog") == 0 && !master.foreground;
	if (*syslog) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&sun,
		    sizeof(sun)) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (log[0] != '/' )
		return fcntl(master.stderr_fd, F_DUPFD_CLOEXEC, 3);
	return open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW | O_NOCTTY, 0640);
}

/* Make PATH a folder of MODE that is ours, or say why not. */
static _Bool
folder_make(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return chmod(path, mode) == 0;
	if (errno != EEXIST || lstat(path, &st) != 0)
		return 0;
	errno = EPERM;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	    (st.st_mode & 022) == 0;
}

/* The descriptor of RUN_DIR/pid, locked: one master a run_dir. */
int
file_run_dir(const char *run_dir)
{
	char path[CONF_PATH + 16];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd, n;

	snprintf(path, sizeof(path), "%s/empty", run_dir);
	if (!folder_make(run_dir, 0755) || !folder_make(path, 0555)) {
		log_error("run_dir %s must be a folder of this user, which "
		    "nobody else can write", run_dir);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/pid", run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		log_error("%s: is another culverd running with this run_dir?",
		    path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	n = snprintf(path, sizeof(path), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || write(fd, path, (size_t)n) != n)
		log_warn("run_dir %s: cannot write the file pid", run_dir);
	return fd;
}

/* A name that a dead process left behind is in the way of bind(). */
static void
stale_unlink(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(sun->sun_path);
}

int
file_listen(const struct conf_listen *l)
{
	const struct sockaddr_un *sun = (const void *)&l->addr;
	_Bool local = l->addr.ss_family == AF_UNIX;
	int one = 1, fd = socket(l->addr.ss_family, SOCK_STREAM |
	    SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (local)
		stale_unlink(sun);
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
	    sizeof(one)) != 0 || (l->addr.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0))
		goto fail;
	if (bind(fd, (const struct sockaddr *)&l->addr, l->addr_len) != 0 ||
	    listen(fd, 4096) != 0)
		goto fail;
	if (local && ((l->has_mode && chmod(sun->sun_path, l->mode) != 0) ||
	    ((l->uid != UINT32_MAX || l->gid != UINT32_MAX) &&
	    chown(sun->sun_path, l->uid, l->gid) != 0)))
		goto fail;
	return fd;
fail:
	close(fd);
	return -1;
}

int
file_control(const char *run_dir, uint32_t gid)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	mode_t old;
	_Bool ok;

	if (fd < 0)
		return -1;
	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control",
	    run_dir) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		goto fail;
	}
	stale_unlink(&sun);
	old = umask(0177);
	ok = bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	umask(old);
	if (ok && listen(fd, 16) == 0 && (gid == UINT32_MAX ||
	    (chown(sun.sun_path, (uid_t)-1, gid) == 0 &&
	    chmod(sun.sun_path, 0660) == 0)))
		return fd;
fail:
	close(fd);
	return -1;
}
