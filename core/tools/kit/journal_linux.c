/*
 * journal_linux.c - from a traced child's system calls to operations on
 * files; see journal.h.
 *
 * Runs in a check, beside the stopped child: its descriptors and memory are
 * looked at through /proc.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/tools/kit/journal.h"

/* A name that the child gave: the directory's node and the last part. */
struct where {
	uint32_t dir;
	char path[PATH_MAX + 64];	/* for this process */
	const char *name;
};

static bool
resolve(const struct journal *j, pid_t pid, int at, uint64_t addr,
    struct where *w)
{
	char text[PATH_MAX];
	struct stat st;
	char *slash;
	size_t n;

	if (!trace_text(pid, addr, text))
		return false;
	n = strlen(text);
	while (n > 1 && text[n - 1] == '/')
		text[--n] = '\0';
	if (text[0] == '/')
		snprintf(w->path, sizeof(w->path), "%s", text);
	else if (at == AT_FDCWD)
		snprintf(w->path, sizeof(w->path), "/proc/%d/cwd/%s",
		    (int)pid, text);
	else
		snprintf(w->path, sizeof(w->path), "/proc/%d/fd/%d/%s",
		    (int)pid, at, text);
	slash = strrchr(w->path, '/');
	*slash = '\0';
	w->dir = stat(w->path[0] != '\0' ? w->path : "/", &st) == 0 ?
	    journal_find(j, &st) : NODE_NONE;
	*slash = '/';
	w->name = slash + 1;
	return w->dir != NODE_NONE;
}

static void
sync_node(struct journal *j, uint32_t node)
{
	journal_op(j, OP_SYNC)->node = node;
}

/* N octets were written at OFFSET of the child's descriptor FD. */
static void
data_written(struct journal *j, pid_t pid, int fd, uint64_t offset,
    uint64_t n, unsigned flags)
{
	struct stat st;
	uint32_t node;
	char path[64];
	struct op *o;
	int own;

	if (!trace_stat(pid, fd, &st) || !S_ISREG(st.st_mode) ||
	    (node = journal_find(j, &st)) == NODE_NONE)
		return;
	if ((flags & O_APPEND) != 0)
		offset = (uint64_t)st.st_size - n;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	own = open(path, O_RDONLY | O_CLOEXEC);
	o = journal_op(j, OP_DATA);
	o->node = node;
	o->at = offset;
	o->n = n;
	o->data = malloc(n + 1);
	if (own < 0 || o->data == NULL ||
	    pread(own, o->data, n, (off_t)offset) != (ssize_t)n)
		kit_fail("cannot see what was written: %s", strerror(errno));
	close(own);
	if ((flags & O_DSYNC) != 0)
		sync_node(j, node);
}

static void
written(struct journal *j, const struct trace_call *c)
{
	uint64_t pos = 0, n = (uint64_t)c->result;
	unsigned flags = 0;
	int fd = (int)c->arg[c->nr == SYS_copy_file_range ? 2 : 0];

	if (c->result <= 0 || !trace_position(c->pid, fd, &pos, &flags))
		return;
	if (c->nr == SYS_pwrite64 || c->nr == SYS_pwritev)
		data_written(j, c->pid, fd, c->arg[3], n, flags);
	else if (c->nr == SYS_copy_file_range && c->arg[3] != 0)
		snprintf(j->trouble, sizeof(j->trouble),
		    "copy_file_range() to an offset");
	else
		data_written(j, c->pid, fd, pos - n, n, flags & ~(unsigned)
		    O_APPEND);
}

/* The size of the file at FD may be another now. */
static void
resized(struct journal *j, pid_t pid, int fd)
{
	struct stat st;
	struct op *o;
	uint32_t node;

	if (!trace_stat(pid, fd, &st) ||
	    (node = journal_find(j, &st)) == NODE_NONE)
		return;
	o = journal_op(j, OP_SIZE);
	o->node = node;
	o->n = (uint64_t)st.st_size;
}

static void
opened(struct journal *j, const struct trace_call *c, int at, uint64_t name,
    uint64_t flags)
{
	struct where w;
	struct stat st;
	struct op *o;

	if (!trace_stat(c->pid, (int)c->result, &st) || !S_ISREG(st.st_mode))
		return;
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		journal_node(j, &st);
		return;
	}
	if ((flags & O_CREAT) != 0 && !j->existed &&
	    resolve(j, c->pid, at, name, &w)) {
		uint32_t node = journal_node(j, &st);

		o = journal_op(j, OP_LINK);
		o->node = node;
		o->dir = w.dir;
		o->name = journal_text(w.name);
	} else if ((flags & O_TRUNC) != 0) {
		resized(j, c->pid, (int)c->result);
	}
}

/* Something has a new name: the result of mkdir() or link(). */
static void
linked(struct journal *j, const struct trace_call *c, int at, uint64_t name)
{
	struct where w;
	struct stat st;
	struct op *o;
	uint32_t node;

	if (!resolve(j, c->pid, at, name, &w) || lstat(w.path, &st) != 0)
		return;
	node = journal_find(j, &st);
	if (node == NODE_NONE || (S_ISDIR(st.st_mode) && st.st_nlink <= 2))
		node = journal_node(j, &st);
	o = journal_op(j, OP_LINK);
	o->node = node;
	o->dir = w.dir;
	o->name = journal_text(w.name);
}

static void
unlinked(struct journal *j, const struct trace_call *c, int at,
    uint64_t name)
{
	struct where w;
	struct op *o;

	if (!resolve(j, c->pid, at, name, &w))
		return;
	o = journal_op(j, OP_UNLINK);
	o->dir = w.dir;
	o->name = journal_text(w.name);
}

static void
renamed(struct journal *j, const struct trace_call *c, int at, uint64_t name,
    int at2, uint64_t name2, uint64_t flags)
{
	struct where from, to;
	struct stat st;
	struct op *o;

	if (!resolve(j, c->pid, at, name, &from) ||
	    !resolve(j, c->pid, at2, name2, &to) || lstat(to.path, &st) != 0)
		return;
	if ((flags & ~(uint64_t)1) != 0)	/* RENAME_NOREPLACE */
		snprintf(j->trouble, sizeof(j->trouble),
		    "renameat2() with flags");
	o = journal_op(j, OP_RENAME);
	o->node = journal_find(j, &st);
	o->dir = from.dir;
	o->name = journal_text(from.name);
	o->dir2 = to.dir;
	o->name2 = journal_text(to.name);
}

static void
synced(struct journal *j, const struct trace_call *c)
{
	struct stat st;
	uint32_t node;

	if (!trace_stat(c->pid, (int)c->arg[0], &st))
		return;
	if (c->nr == SYS_syncfs)
		journal_op(j, OP_SYNC_ALL);
	else if ((node = journal_find(j, &st)) != NODE_NONE)
		sync_node(j, node);
}

/* The kernel gives up what a sync that failed was for. */
static void
sync_failed(struct journal *j, const struct trace_call *c)
{
	bool all = c->nr == SYS_syncfs;
	struct stat st;
	uint32_t node = NODE_NONE, i, k;

	if (!all && (!trace_stat(c->pid, (int)c->arg[0], &st) ||
	    (node = journal_find(j, &st)) == NODE_NONE))
		return;
	for (i = 0; i < j->ops; i++) {
		struct op *o = &j->op[i];

		if (o->type != OP_DATA || (!all && o->node != node))
			continue;
		for (k = i + 1; k < j->ops; k++)
			if (j->op[k].type == OP_SYNC_ALL ||
			    (j->op[k].type == OP_SYNC &&
			    j->op[k].node == o->node))
				break;
		o->lost |= k == j->ops;
	}
}

static void
mapped(struct journal *j, const struct trace_call *c)
{
	struct stat st;

	if ((c->arg[3] & MAP_SHARED) != 0 && (c->arg[2] & PROT_WRITE) != 0 &&
	    (int)c->arg[4] >= 0 && trace_stat(c->pid, (int)c->arg[4], &st) &&
	    journal_find(j, &st) != NODE_NONE)
		j->mapped = true;
}

enum trace_verdict
journal_entry(void *ctx, const struct trace_call *c, int *err)
{
	struct journal *j = ctx;
	struct where w;
	struct stat st;
	int at = AT_FDCWD;
	uint64_t name = c->arg[0];

	j->told = *scene_told;
	j->existed = false;
	if ((c->nr == SYS_fsync || c->nr == SYS_fdatasync ||
	    c->nr == SYS_syncfs) && ++j->syncs == j->fail_sync) {
		sync_failed(j, c);
		*err = EIO;
		return TRACE_FAIL;
	}
	if (c->nr == SYS_openat || c->nr == SYS_openat2) {
		at = (int)c->arg[0];
		name = c->arg[1];
#ifdef SYS_open
	} else if (c->nr != SYS_open && c->nr != SYS_creat) {
		return TRACE_GO;
#else
	} else {
		return TRACE_GO;
#endif
	}
	j->existed = resolve(j, c->pid, at, name, &w) &&
	    stat(w.path, &st) == 0;
	return TRACE_GO;
}

/* Calls that only old machines have. */
static bool
exit_old(struct journal *j, const struct trace_call *c)
{
#ifdef SYS_open
	const uint64_t *a = c->arg;

	switch (c->nr) {
	case SYS_open: opened(j, c, AT_FDCWD, a[0], a[1]); break;
	case SYS_creat:
		opened(j, c, AT_FDCWD, a[0], O_CREAT | O_TRUNC);
		break;
	case SYS_mkdir: linked(j, c, AT_FDCWD, a[0]); break;
	case SYS_link: linked(j, c, AT_FDCWD, a[1]); break;
	case SYS_rmdir:
	case SYS_unlink: unlinked(j, c, AT_FDCWD, a[0]); break;
	case SYS_rename:
		renamed(j, c, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
		break;
	case SYS_renameat:
		renamed(j, c, (int)a[0], a[1], (int)a[2], a[3], 0);
		break;
	default: return false;
	}
	return true;
#else
	(void)j;
	(void)c;
	return false;
#endif
}

void
journal_exit(void *ctx, const struct trace_call *c)
{
	struct journal *j = ctx;
	const uint64_t *a = c->arg;

	if (c->result < 0 || exit_old(j, c))
		return;
	switch (c->nr) {
	case SYS_openat: opened(j, c, (int)a[0], a[1], a[2]); break;
	case SYS_openat2:
		snprintf(j->trouble, sizeof(j->trouble), "openat2()");
		break;
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_sendfile:
	case SYS_copy_file_range: written(j, c); break;
	case SYS_ftruncate:
	case SYS_fallocate: resized(j, c->pid, (int)a[0]); break;
	case SYS_truncate:
		snprintf(j->trouble, sizeof(j->trouble), "truncate()");
		break;
	case SYS_mkdirat: linked(j, c, (int)a[0], a[1]); break;
	case SYS_linkat: linked(j, c, (int)a[2], a[3]); break;
	case SYS_unlinkat: unlinked(j, c, (int)a[0], a[1]); break;
	case SYS_renameat2:
		renamed(j, c, (int)a[0], a[1], (int)a[2], a[3], a[4]);
		break;
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_syncfs: synced(j, c); break;
	case SYS_mmap: mapped(j, c); break;
	default: break;
	}
}
