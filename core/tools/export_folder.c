/*
 * export_folder.c - the folder of an export: what is there already, and which
 * numbers are free.
 *
 * Runs in culverctl as its caller, often root; the folder may belong to
 * somebody else: only regular files are read there, and no link is followed.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/tools/export.h"

_Bool
export_failed(const struct export *e, const char *name)
{
	ctl_warn("%s%s%s", e->path, name[0] != 0 ? "/" : "", name);
	return 0;
}

/* The number of NNNN.eml; 0: it is another name. */
static uint32_t
number_of(const char *name)
{
	size_t n = strspn(name, "0123456789");

	return n >= 4 && n < 10 && strcmp(name + n, ".eml") == 0 ?
	    (uint32_t)strtoul(name, NULL, 10) : 0;
}

_Bool
export_file_sum(const struct export *e, const char *name, _Bool raw,
    struct frame_sum *out)
{
	static uint8_t buf[FRAME_MAX];
	const struct box_job job = {.seed = {e->seed[0], e->seed[1]}};
	int fd = import_open(e->dir, name);
	struct box_sum s;
	ssize_t n = -1;

	if (fd < 0)
		return 0;
	box_sum_begin(&s, &job);
	s.raw = raw;
	while ((n = read(fd, buf, sizeof(buf))) > 0 ||
	    (n < 0 && errno == EINTR))
		if (n > 0)
			box_sum_add(&s, buf, (size_t)n);
	close(fd);
	if (n < 0)
		return export_failed(e, name);
	box_sum_end(&s);
	*out = (struct frame_sum){.octets = s.octets,
	    .hash = {s.hash[0], s.hash[1]}};
	snprintf(out->uidl, sizeof(out->uidl), "%s", name);
	return 1;
}

static int
by_number(const void *a, const void *b)
{
	const struct frame_sum *x = a, *y = b;
	uint32_t i = number_of(x->uidl), j = number_of(y->uidl);

	return i != j ? (i < j ? -1 : 1) : strcmp(x->uidl, y->uidl);
}

/* One entry of the folder. */
static _Bool
entry(struct export *e, const char *name)
{
	struct frame_sum sum;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strcmp(name, EXPORT_MARK) == 0 || strcmp(name, EXPORT_NEW) == 0)
		return 1;
	if (number_of(name) != 0)
		return export_file_sum(e, name, 0, &sum) &&
		    sums_add(&e->files, &sum);
	if (e->marked)
		return 1;
	ctl_warnx("%s has %s in it, which is no exported message: name an "
	    "empty or a new folder", e->path, name);
	return 0;
}

static _Bool
folder_read(struct export *e)
{
	int fd = openat(e->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;
	_Bool ok = 1;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return export_failed(e, "");
	}
	while (ok && (errno = 0, de = readdir(d)) != NULL) {
		ok = entry(e, de->d_name);
		if (e->progress && e->files.n % 100 == 0)
			fprintf(stderr, "\rlooked at %" PRIu32 " files ",
			    e->files.n);
	}
	if (ok && errno != 0)
		ok = export_failed(e, "");
	closedir(d);
	if (e->files.n > 1)
		qsort(e->files.v, e->files.n, sizeof(*e->files.v), by_number);
	return ok;
}

static int
mark_text(const struct export *e, char *out, size_t n)
{
	return snprintf(out, n, "culver-export 1 %s\n", e->user->name);
}

/* Is an export of this mailbox to be finished here? */
static _Bool
mark_read(struct export *e)
{
	char want[512], text[512];
	ssize_t n;
	int fd = openat(e->dir, EXPORT_MARK, O_RDONLY | O_NOFOLLOW |
	    O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || export_failed(e, EXPORT_MARK);
	n = read(fd, text, sizeof(text));
	if (n < 0)
		export_failed(e, EXPORT_MARK);
	close(fd);
	if (n < 0)
		return 0;
	/* one that was never synced may be empty */
	e->marked = n == 0 || (n == mark_text(e, want, sizeof(want)) &&
	    memcmp(text, want, (size_t)n) == 0);
	if (!e->marked)
		ctl_warnx("%s has the beginning of an export of another "
		    "mailbox: name an empty or a new folder", e->path);
	return e->marked;
}

_Bool
export_mark(struct export *e)
{
	char text[512];
	int n = mark_text(e, text, sizeof(text)), fd;
	_Bool ok;

	fd = openat(e->dir, EXPORT_MARK, O_WRONLY | O_CREAT | O_TRUNC |
	    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	ok = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0 &&
	    fsync(e->dir) == 0;
	if (!ok)
		export_failed(e, EXPORT_MARK);
	if (fd >= 0)
		close(fd);
	return ok;
}

_Bool
export_open(struct export *e)
{
	if (mkdir(e->path, 0700) != 0 && errno != EEXIST)
		return export_failed(e, "");
	e->dir = open(e->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->dir < 0)
		return export_failed(e, "");
	if (flock(e->dir, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return export_failed(e, "");
		ctl_warnx("%s: another export is at work there", e->path);
		return 0;
	}
	return mark_read(e) && folder_read(e);
}

/* --- numbers ----------------------------------------------------------------- */

_Bool
export_is_foreign(const struct export *e)
{
	uint8_t *ours = calloc(e->files.n, 1);
	uint32_t i, other = 0, first = 0;

	if (ours == NULL)
		exit(EX_OSERR);
	for (i = 0; i < e->source.n; i++)
		if (e->match[i] != UINT32_MAX)
			ours[e->match[i]] = 1;
	for (i = e->files.n; i-- > 0;)
		if (!ours[i]) {
			other++;
			first = i;
		}
	free(ours);
	if (other == 0)
		return 0;
	if (e->marked)
		ctl_warnx("%" PRIu32 " files like %s/%s are no message that "
		    "is in the mailbox now", other, e->path,
		    e->files.v[first].uidl);
	else
		ctl_warnx("%s/%s is no message of %s: name an empty or a new "
		    "folder", e->path, e->files.v[first].uidl, e->user->name);
	return !e->marked;
}

uint32_t
export_number(struct export *e, struct box_job *job)
{
	uint32_t missing = 0, last = 0, at = 0, has;

	e->number = calloc(e->source.n + 1, sizeof(*e->number));
	job->uidl = calloc(e->source.n + 1, sizeof(*job->uidl));
	if (e->number == NULL || job->uidl == NULL)
		exit(EX_OSERR);
	for (uint32_t i = 0; i < e->source.n; i++) {
		if (e->match[i] != UINT32_MAX) {
			has = number_of(e->files.v[e->match[i]].uidl);
			last = has > last ? has : last;
			continue;
		}
		for (last++; at < e->files.n &&
		    number_of(e->files.v[at].uidl) <= last; at++)
			if (number_of(e->files.v[at].uidl) == last)
				last++;
		e->number[i] = last;
		job->uidl[missing++] = e->source.v[i].uidl;
	}
	return missing;
}
