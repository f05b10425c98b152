/*
 * files.c - everything that master opens by a name or address.
 *
 * Runs as root.  Names come from the configuration, which only root can write
 * and a config role gave to master itself; what is opened goes to manager.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/master/master.h"

#define OPEN_READ (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int
file_log(const char *log, uint32_t *syslog)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX,
	    .sun_path = "/dev/log"};
	int fd;

	*syslog = !master.foreground && strcmp(log, "syslog") == 0;
	if (*syslog) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
			fds_close(&fd, 1);
		return fd;
	}
	if (master.foreground || log[0] != '/')
		return fcntl(master.stderr_fd, F_DUPFD_CLOEXEC, 3);
	return open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0640);
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

/* The file pid names who serves. */
static void
pid_write(void)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (pwrite(master.lock, text, (size_t)n, 0) != n ||
	    ftruncate(master.lock, n) != 0)
		log_warn("run_dir: cannot write the file pid");
}

/*
 * Make RUN_DIR this process's own, by a lock on its file pid, and open the
 * empty folder in it that gates chroot to.  It cannot change.  One that
 * nobody's is, is locked whole, and then but for one octet; a successor takes
 * another octet, so somebody always has one.
 */
static int
file_run_dir(const char *run_dir)
{
	static char locked[CONF_PATH];
	char path[CONF_PATH + 16];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET,
	    .l_start = master.upgraded ? master.instances : 0,
	    .l_len = master.upgraded};

	snprintf(path, sizeof(path), "%s/empty", run_dir);
	if (locked[0] != 0) {
		errno = EBUSY;
		return strcmp(locked, run_dir) == 0 ?
		    open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	}
	if (!folder_make(run_dir, 0755) || !folder_make(path, 0555)) {
		log_error("run_dir %s must be a folder of this user, which "
		    "nobody else can write", run_dir);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/pid", run_dir);
	master.lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	if (master.lock < 0 || fcntl(master.lock, F_OFD_SETLK, &lock) != 0) {
		log_error("%s: is another culverd running with this run_dir?",
		    path);
		return -1;
	}
	lock = (struct flock){.l_type = F_UNLCK, .l_start = lock.l_start + 1};
	fcntl(master.lock, F_OFD_SETLK, &lock);
	if (!master.upgraded)
		pid_write();
	memcpy(locked, run_dir, sizeof(locked));
	return file_run_dir(run_dir);
}

/*
 * A listening socket.  A unix socket's file replaces the one that a dead
 * process left; it has its mode from the start, and its owner by a call that
 * follows no link, for its folder may be somebody else's.
 */
static int
file_listen(const struct conf_listen *l)
{
	const struct sockaddr_storage *addr = &l->addr;
	const char *path = ((const struct sockaddr_un *)addr)->sun_path;
	_Bool local = addr->ss_family == AF_UNIX;
	struct stat st;
	int one = 1, fd = socket(addr->ss_family, (int)l->type |
	    SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (local && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	umask(~l->mode & 0777);
	one = bind(fd, (const struct sockaddr *)addr, l->addr_len);
	umask(022);
	if (one != 0 || listen(fd, 4096) != 0 ||
	    (local && lchown(path, l->uid, l->gid) != 0))
		fds_close(&fd, 1);
	return fd;
}

/* lmtp's own folder, and all that it has. */
static int
file_spool(const char *state_dir)
{
	const struct priv_ids *ids = &master.env.ids[spawn_index(R_LMTP)];
	char path[CONF_PATH + 16];

	snprintf(path, sizeof(path), "%s/spool", state_dir);
	if ((mkdir(path, 0700) != 0 && errno != EEXIST) ||
	    lchown(path, ids->uid, ids->gid) != 0)
		return -1;
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int
file_cert(const struct generation *gen, uint32_t i)
{
	struct conf_cert_files files;

	return conf_cert_files(gen->snap[SNAP_MASTER], &gen->conf.head, i / 2,
	    &files) ? open(i % 2 ? files.key : files.cert, OPEN_READ) : -1;
}

int
file_open(uint32_t kind, uint32_t index, const struct generation *gen,
    uint32_t *syslog)
{
	const struct conf_master *conf = &gen->conf;

	if (kind == OPEN_LISTEN && index == conf->n_listen)
		pid_write();		/* culverctl's: who opens it serves */
	errno = EINVAL;
	return kind == OPEN_PASSED && index < master.passed ?
	    fcntl(HIGH_FD + (int)index, F_DUPFD_CLOEXEC, 3) :
	    kind == OPEN_CERT ? file_cert(gen, index) :
	    kind == OPEN_RUN_DIR ? file_run_dir(conf->run_dir) :
	    kind == OPEN_SPOOL ? file_spool(conf->state_dir) :
	    kind == OPEN_LOG ? file_log(conf->log, syslog) :
	    kind == OPEN_LISTEN && index <= conf->n_listen ?
	    file_listen(&conf->listen[index]) : -1;
}
