/*
 * tally.c - culver-tally: what the mbox was when Culver changed it last, so
 * that a delivery need not count all of it and a session need not read again
 * what Culver wrote.
 *
 * Runs in the worker as the mailbox's owner, with the mbox locked for
 * writing.  The file is a cache of one record, written in place: one that is
 * torn, damaged or missing costs only speed.  Little-endian.
 */
#include "config.h"

#include "plugins/common/state.h"
#include "plugins/storage_mbox/mbox.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define TALLY_MAGIC	"CULVMBT1"
#define TAIL		16384	/* bytes before the end that are compared */
#define TICKS		30	/* ms that the clock may stand still */

#define FS_XFS		0x58465342
#define FS_F2FS		0xf2f52010

_Static_assert(sizeof(struct mb_tally) == 112, "layout of culver-tally");

static uint64_t
tally_sum(const struct mb_tally *t)
{
	struct mb_tally copy = *t;

	copy.sum = 0;
	return plug_hash(0, &copy, sizeof(copy));
}

static void
swap(struct mb_tally *t)
{
	plug_stamp_swap(&t->file);
	t->size = htole64(t->size);
	t->tail = htole64(t->tail);
	t->octets = htole64(t->octets);
	t->messages = htole64(t->messages);
	t->look = htole32(t->look);
	t->settled = htole32(t->settled);
}

bool
mb_tally_load(const struct plug_index *ix, struct mb_tally *t)
{
	int fd = openat(ix->fd, MB_TALLY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = pread(fd, t, sizeof(*t), 0);
	close(fd);
	if (n != (ssize_t)sizeof(*t) || memcmp(t->magic, TALLY_MAGIC,
	    sizeof(t->magic)) != 0 || le64toh(t->sum) != tally_sum(t))
		return false;
	swap(t);
	return true;
}

static culver_status
hash_tail(const struct culver_store *store, const struct mb_file *f,
    uint64_t size, uint64_t *out, struct culver_call *call)
{
	unsigned char buf[TAIL];
	size_t n = size < sizeof(buf) ? (size_t)size : sizeof(buf);
	culver_status status;

	status = mb_pread(store, f->fd, buf, n, size - n, call);
	*out = plug_hash(size, buf, n);
	return status;
}

culver_status
mb_tally_holds(const struct culver_store *store, const struct mb_file *f,
    const struct mb_tally *t, bool *holds, struct culver_call *call)
{
	culver_status status;
	uint64_t tail;

	*holds = t->file.dev == f->st.st_dev && t->file.ino == f->st.st_ino &&
	    t->size <= (uint64_t)f->st.st_size;
	if (!*holds)
		return CULVER_OK;
	status = hash_tail(store, f, t->size, &tail, call);
	*holds = tail == t->tail;
	return status;
}

void
mb_tally_begin(struct timespec *before)
{
	clock_gettime(CLOCK_REALTIME_COARSE, before);
}

/* Do time stamps on the file system of F come from this kernel, and are they
 * finer than a second?  Not so far away, nor in user space. */
static bool
is_local(const struct mb_file *f)
{
	struct statfs fs;

	if (fstatfs(f->fd, &fs) != 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == FS_XFS ||
	    fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC ||
	    fs.f_type == FS_F2FS || fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static bool
is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	    (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/*
 * Will every later change give F another ctime, which no program can set?
 * The clock that it is taken from stands still for a tick; mostly the sync
 * took that long, else WAIT until it went on.  Where the ctime is not one of
 * this clock, the change's and to the nanosecond, only time can tell.
 */
static bool
settle(const struct mb_file *f, const struct timespec *before, bool wait)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	const struct timespec *c = &f->st.st_ctim;
	struct timespec now;
	int i;

	clock_gettime(CLOCK_REALTIME, &now);
	if (c->tv_nsec == 0 || is_after(before, c) || is_after(c, &now) ||
	    !is_local(f))
		return false;
	for (i = 0; i < TICKS; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (is_after(&now, c))
			return true;
		if (!wait)
			break;
		nanosleep(&pause, NULL);
	}
	return false;
}

void
mb_tally_save(const struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, const struct timespec *before, bool wait,
    struct mb_tally *t, struct culver_call *call)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call own = *call;
	struct mb_tally out;
	int fd;

	own.err = &err;
	if (fstat(f->fd, &f->st) != 0)
		return;
	memcpy(t->magic, TALLY_MAGIC, sizeof(t->magic));
	plug_stamp_set(&t->file, &f->st);
	t->size = (uint64_t)f->st.st_size;
	t->settled = settle(f, before, wait);
	if (hash_tail(store, f, t->size, &t->tail, &own) != CULVER_OK)
		return;
	out = *t;
	swap(&out);
	out.sum = htole64(tally_sum(&out));
	fd = openat(ix->fd, MB_TALLY, O_WRONLY | O_CREAT | O_NOFOLLOW |
	    O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return;
	/* half of it has no right sum */
	(void)plug_pwrite_all(fd, &out, sizeof(out), 0);
	close(fd);
}

bool
mb_tally_settled(const struct plug_index *ix, const struct mb_file *f)
{
	struct plug_stamp now;
	struct mb_tally t;

	plug_stamp_set(&now, &f->st);
	return mb_tally_load(ix, &t) && t.settled != 0 &&
	    t.size == (uint64_t)f->st.st_size &&
	    plug_stamp_equal(&now, &t.file);
}
