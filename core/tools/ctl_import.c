/*
 * ctl_import.c - the files that `culverctl mailbox import` reads: a folder of
 * .eml files, a Maildir, or an mbox.
 *
 * Runs in culverctl as its caller, often root, in folders that may belong to
 * the user: nothing but regular files is opened there, never through a
 * symbolic link.  The octets go to the mailbox's process unread.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/tools/ctl_mailbox.h"

struct entry {
	const char *folder;	/* "new", "cur", or NULL */
	char *name;
};

struct entries {
	size_t n, cap;
	struct entry *v;
};

/* The whole file FD to the mailbox's process at TO. */
static int
file_send(int fd, const char *name, _Bool mbox, int to)
{
	static uint8_t buf[FRAME_MAX];
	struct frame_file f = {.mbox = mbox};
	ssize_t n;

	snprintf(f.name, sizeof(f.name), "%s", name);
	if (!frame_put(to, FRAME_FILE, &f, sizeof(f)))
		return EX_IOERR;
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ctl_warn("%s", name);
			return EX_IOERR;
		}
		if (!frame_put(to, FRAME_DATA, buf, (size_t)n))
			return EX_IOERR;	/* it says why */
	}
	return frame_put(to, FRAME_FILE_END, "", 0) ? 0 : EX_IOERR;
}

int
import_open(int dir, const char *name)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	if (fd >= 0) {
		close(fd);
		ctl_warnx("%s is no regular file", name);
	} else {
		ctl_warn("%s", name);
	}
	return -1;
}

static _Bool
name_ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static _Bool
entry_add(struct entries *e, const char *folder, const char *name)
{
	char *copy;

	if (e->n == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 256;
		void *v = reallocarray(e->v, cap, sizeof(*e->v));

		if (v == NULL)
			return 0;
		e->v = v;
		e->cap = cap;
	}
	if ((copy = strdup(name)) == NULL)
		return 0;
	e->v[e->n++] = (struct entry){.folder = folder, .name = copy};
	return 1;
}

/* The names in FOLDER of DIR (NULL: DIR itself, *.eml only). */
static _Bool
entries_read(struct entries *e, int dir, const char *folder)
{
	int fd = openat(dir, folder != NULL ? folder : ".", O_RDONLY |
	    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;
	_Bool ok = d != NULL;

	errno = 0;
	while (ok && (de = readdir(d)) != NULL)
		if (de->d_name[0] != '.' && (folder != NULL ||
		    name_ends_in(de->d_name, ".eml")))
			ok = entry_add(e, folder, de->d_name);
	ok = ok && errno == 0;
	if (!ok)
		ctl_warn("%s", folder != NULL ? folder : "the folder");
	if (d != NULL)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return ok;
}

/* In a Maildir by the time in front of the name, else by name, where digits
 * are a number: export calls the message behind 9999.eml 10000.eml. */
static int
entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->folder != NULL) {
		unsigned long long s = strtoull(x->name, NULL, 10);
		unsigned long long t = strtoull(y->name, NULL, 10);

		if (s != t)
			return s < t ? -1 : 1;
		return strcmp(x->name, y->name);
	}
	return strverscmp(x->name, y->name);
}

static int
entry_send(const struct entry *e, int dir, int new, int cur, int to)
{
	int fd = import_open(e->folder == NULL ? dir : e->folder[0] == 'n' ?
	    new : cur, e->name), status;

	if (fd < 0)
		return EX_NOINPUT;
	status = file_send(fd, e->name, 0, to);
	close(fd);
	return status;
}

static int
folder_send(int dir, int to)
{
	const int how = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int new = openat(dir, "new", how), cur = openat(dir, "cur", how);
	struct entries e = {0};
	_Bool maildir = new >= 0 && cur >= 0;
	int status = 0;

	if (maildir ? !entries_read(&e, dir, "new") ||
	    !entries_read(&e, dir, "cur") : !entries_read(&e, dir, NULL))
		status = EX_NOINPUT;
	if (e.n > 0)
		qsort(e.v, e.n, sizeof(*e.v), entry_compare);
	if (status == 0 && e.n == 0 && !maildir) {
		ctl_warnx("no *.eml file is there, and it is no Maildir");
		status = EX_NOINPUT;
	}
	for (size_t i = 0; i < e.n && status == 0; i++) {
		status = entry_send(&e.v[i], dir, new, cur, to);
		if (isatty(2) == 1)
			fprintf(stderr, "\r%zu of %zu ", i + 1, e.n);
	}
	for (size_t i = 0; i < e.n; i++)
		free(e.v[i].name);
	free(e.v);
	if (new >= 0)
		close(new);
	if (cur >= 0)
		close(cur);
	return status;
}

int
import_send(const char *path, int to)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int status = EX_NOINPUT;

	if (fd < 0 || fstat(fd, &st) != 0)
		ctl_warn("%s", path);
	else if (S_ISDIR(st.st_mode))
		status = folder_send(fd, to);
	else if (S_ISREG(st.st_mode))
		status = file_send(fd, path, 1, to);
	else
		ctl_warnx("%s is neither a folder nor a file", path);
	if (fd >= 0)
		close(fd);
	/* In the middle of a file this tells the other side that the rest is
	 * missing; what it has committed stays. */
	frame_put(to, FRAME_END, "", 0);
	return status;
}
