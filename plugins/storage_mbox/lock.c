/*
 * lock.c - open the mbox under the locks that mail programs agree on.
 *
 * Runs in the worker as the mailbox's owner.  Locks are held while bytes
 * move and no longer: everybody else who delivers or reads waits for them.
 * Where the user may not make the dotlock, the session's locker does.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#define NS_PER_S	1000000000u
#define LOCK_WAIT	(30 * (uint64_t)NS_PER_S)
#define LOCK_PAUSE	20000000	/* ns between two tries */
#define DOT_TOUCH	30	/* seconds until our dotlock is touched */

static culver_status
wait_a_bit(struct culver_store *store, uint64_t until,
    struct culver_call *call)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE };

	if (store->host->now(store->host) >= until)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s is locked by another program", store->path);
	nanosleep(&pause, NULL);
	return plug_in_time(store->host, store->path, call);
}

/* Is the lock WHICH ours now?  -1 with errno set if it never will be. */
static int
try_kernel(const struct mb_file *f, unsigned which, bool write)
{
	struct flock fl = { .l_whence = SEEK_SET,
	    .l_type = write && f->writable ? F_WRLCK : F_RDLCK };
	int r;

	if (which == MB_LOCK_FLOCK)
		r = flock(f->fd, (write ? LOCK_EX : LOCK_SH) | LOCK_NB);
	else
		r = fcntl(f->fd, F_OFD_SETLK, &fl);
	if (r == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK ||
	    errno == EINTR ? 0 : -1;
}

static bool
may_not(int err)
{
	return err == EACCES || err == EPERM || err == EROFS;
}

/* A dotlock may not be made here: is that to be borne? */
static bool
go_without(struct culver_store *store, const struct mb_file *f,
    const char *why)
{
	if (store->dotlock != MB_DOT_TRY)
		return false;
	if (!store->no_dot)
		culver_logf(store->host, CULVER_LOG_WARN, "cannot create %s "
		    "(%s): done without, programs that use dotlocks only are "
		    "not kept out; see lock_group in culver-mbox(5)",
		    f->dot.name, why);
	store->no_dot = true;
	return true;
}

/* As try_dot(); the locker makes it. */
static culver_status
ask_dot(struct culver_store *store, struct mb_file *f, bool *ours,
    struct culver_call *call)
{
	culver_status status = store->host->dotlock(store->host,
	    CULVER_DOTLOCK_TAKE, call);

	f->asked = *ours = status == CULVER_OK;
	if (status == CULVER_E_IN_USE)
		return CULVER_OK;
	if (status == CULVER_E_PERM && go_without(store, f, call->err->text)) {
		*ours = true;
		return CULVER_OK;
	}
	return status;
}

/* *OURS: it is, or it is done without; else try again. */
static culver_status
try_dot(struct culver_store *store, struct mb_file *f, bool *ours,
    struct culver_call *call)
{
	const char *text;
	int r;

	if (store->host_dots)
		return ask_dot(store, f, ours, call);
	r = dotlock_take(&f->dot);
	text = dotlock_note_text(f->dot.note);
	if (text != NULL)
		culver_logf(store->host, CULVER_LOG_WARN, "%s %s", f->dot.name,
		    text);
	*ours = r > 0 || (r < 0 && may_not(errno) &&
	    go_without(store, f, strerror(errno)));
	return r >= 0 || *ours ? CULVER_OK : plug_fail(call, errno,
	    "cannot lock %s", f->dot.name);
}

static culver_status
try_one(struct culver_store *store, struct mb_file *f, unsigned which,
    bool write, bool *ours, struct culver_call *call)
{
	int r;

	if (which == MB_LOCK_DOT)
		return try_dot(store, f, ours, call);
	r = try_kernel(f, which, write);
	*ours = r > 0;
	return r >= 0 ? CULVER_OK : plug_fail(call, errno, "cannot lock %s",
	    store->path);
}

/* Take every lock that is due, in order; *OURS: all are ours now. */
static culver_status
try_all(struct culver_store *store, struct mb_file *f, bool write, bool *ours,
    struct culver_call *call)
{
	culver_status status = CULVER_OK;
	bool kernel = false;
	size_t i;

	*ours = true;
	for (i = 0; i < MB_LOCKS; i++)
		kernel |= store->locks[i] == MB_LOCK_FCNTL ||
		    store->locks[i] == MB_LOCK_FLOCK;
	for (i = 0; i < MB_LOCKS && status == CULVER_OK && *ours; i++) {
		unsigned which = store->locks[i];

		if (which == 0 || (which == MB_LOCK_DOT &&
		    (store->no_dot || (!write && kernel))))
			continue;
		status = try_one(store, f, which, write, ours, call);
		if (!write && which != MB_LOCK_DOT)
			break;
	}
	return status;
}

static culver_status
open_once(struct culver_store *store, struct mb_file *f, bool write,
    struct culver_call *call)
{
	const int how = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	f->fd = open(store->path, how | (write ? O_RDWR : O_RDONLY));
	f->writable = write;
	if (f->fd < 0 && write && (errno == EACCES || errno == EROFS)) {
		f->fd = open(store->path, how | O_RDONLY);
		f->writable = false;
	}
	if (f->fd < 0)
		return plug_fail(call, errno, "cannot open %s", store->path);
	if (fstat(f->fd, &f->st) != 0)
		return plug_fail(call, errno, "cannot stat %s", store->path);
	if (!S_ISREG(f->st.st_mode))
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s is no regular file", store->path);
	return CULVER_OK;
}

/*
 * Who waits for a lock holds no other: programs that take them in another
 * order (Postfix: dotlock, fcntl) would wait for us as we for them.
 */
static culver_status
open_locked(struct culver_store *store, struct mb_file *f, bool write,
    uint64_t until, struct culver_call *call)
{
	culver_status status;
	bool ours = false;

	for (;;) {
		status = open_once(store, f, write, call);
		if (status == CULVER_OK)
			status = try_all(store, f, write, &ours, call);
		if (status != CULVER_OK || ours)
			return status;
		mb_file_close(store, f);
		status = wait_a_bit(store, until, call);
		if (status != CULVER_OK)
			return status;
	}
}

culver_status
mb_file_open(struct culver_store *store, struct mb_file *f, bool write,
    struct culver_call *call)
{
	uint64_t until = store->host->now(store->host) + LOCK_WAIT;
	culver_status status;
	struct stat st = { .st_ino = 0 };
	int i;

	*f = (struct mb_file)MB_FILE_NONE;
	f->dot.name = store->dot;
	/* again if somebody put another file there meanwhile */
	for (i = 0; i < 10; i++) {
		status = open_locked(store, f, write, until, call);
		if (status == CULVER_OK && (fstat(f->fd, &f->st) != 0 ||
		    lstat(store->path, &st) != 0))
			status = plug_fail(call, errno, "cannot stat %s",
			    store->path);
		if (status != CULVER_OK)
			break;
		if (f->st.st_dev == st.st_dev && f->st.st_ino == st.st_ino) {
			clock_gettime(CLOCK_REALTIME, &f->at);
			return CULVER_OK;
		}
		mb_file_close(store, f);
	}
	mb_file_close(store, f);
	if (status == CULVER_OK)
		status = plug_fail_as(call, CULVER_E_TEMP,
		    "%s is replaced all the time", store->path);
	return status;
}

void
mb_file_close(const struct culver_store *store, struct mb_file *f)
{
	if (f->asked)
		store->host->dotlock(store->host, CULVER_DOTLOCK_DROP, NULL);
	f->asked = false;
	dotlock_drop(&f->dot);
	if (f->fd >= 0)
		close(f->fd);	/* and the locks with it */
	f->fd = -1;
}

culver_status
mb_file_tick(struct culver_store *store, struct mb_file *f,
    struct culver_call *call)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if ((f->asked || f->dot.fd >= 0) &&
	    now.tv_sec - f->at.tv_sec > DOT_TOUCH) {
		f->at = now;
		if (f->asked)
			store->host->dotlock(store->host, CULVER_DOTLOCK_KEEP,
			    NULL);
		else
			futimens(f->dot.fd, NULL);
	}
	return plug_in_time(store->host, store->path, call);
}

culver_status
mb_pread(const struct culver_store *store, int fd, void *buf, size_t n,
    uint64_t offset, struct culver_call *call)
{
	char *p = buf;

	while (n > 0) {
		ssize_t r = pread(fd, p, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return plug_fail(call, errno, "cannot read %s",
			    store->path);
		if (r == 0)
			return plug_fail_as(call, CULVER_E_TEMP,
			    "%s became shorter", store->path);
		p += r;
		offset += (uint64_t)r;
		n -= (size_t)r;
	}
	return CULVER_OK;
}
