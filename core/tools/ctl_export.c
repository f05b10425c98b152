/*
 * ctl_export.c - `culverctl mailbox export`: each message in a file of its
 * own.
 *
 * Runs in culverctl as its caller, often root, in a folder that may belong to
 * somebody else: only regular files are read there, no link is followed and
 * no file is written over.  A message gets its name when it is whole and
 * synced.  What has a name already is known by its content, so an export that
 * died goes on where it ended; MARK says that one is not complete yet.
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
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

#define MARK		".culver-export"
#define FILE_NEW	".culver-export.new"

struct export {
	struct ctl *ctl;
	const char *path;
	int dir, file;			/* the folder; what is being written */
	uint64_t seed[2];
	_Bool progress, marked;
	struct sums source;		/* read only if there are files */
	struct sums files;		/* uidl: the name */
	struct sums written;		/* by us; of the octets as they are */
	uint32_t *match;		/* of source in files */
	uint32_t *number;		/* that source will have */
	uint32_t next;			/* in source */
	struct box_sum sum;
	struct frame_done done;
	_Bool ended;
};

static struct ctl_conf conf;
static struct ctl_user user;

static _Bool
failed(const struct export *e, const char *name)
{
	ctl_warn("%s%s%s", e->path, name[0] != 0 ? "/" : "", name);
	return 0;
}

/* --- the folder ------------------------------------------------------------- */

/* The number of NNNN.eml; 0: it is another name. */
static uint32_t
number_of(const char *name)
{
	size_t n = strspn(name, "0123456789");

	return n >= 4 && n < 10 && strcmp(name + n, ".eml") == 0 ?
	    (uint32_t)strtoul(name, NULL, 10) : 0;
}

/* What the file NAME is.  RAW: byte for byte, else in wire form. */
static _Bool
file_sum(const struct export *e, const char *name, _Bool raw,
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
		return failed(e, name);
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
	    strcmp(name, MARK) == 0 || strcmp(name, FILE_NEW) == 0)
		return 1;
	if (number_of(name) != 0)
		return file_sum(e, name, 0, &sum) && sums_add(&e->files, &sum);
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
		return failed(e, "");
	}
	while (ok && (errno = 0, de = readdir(d)) != NULL) {
		ok = entry(e, de->d_name);
		if (e->progress && e->files.n % 100 == 0)
			fprintf(stderr, "\rlooked at %" PRIu32 " files ",
			    e->files.n);
	}
	if (ok && errno != 0)
		ok = failed(e, "");
	closedir(d);
	if (e->files.n > 1)
		qsort(e->files.v, e->files.n, sizeof(*e->files.v), by_number);
	return ok;
}

static int
mark_text(char *out, size_t n)
{
	return snprintf(out, n, "culver-export 1 %s\n", user.name);
}

/* Is an export of this mailbox to be finished here? */
static _Bool
mark_read(struct export *e)
{
	char want[512], text[512];
	ssize_t n;
	int fd = openat(e->dir, MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || failed(e, MARK);
	n = read(fd, text, sizeof(text));
	if (n < 0)
		failed(e, MARK);
	close(fd);
	if (n < 0)
		return 0;
	/* one that was never synced may be empty */
	e->marked = n == 0 || (n == mark_text(want, sizeof(want)) &&
	    memcmp(text, want, (size_t)n) == 0);
	if (!e->marked)
		ctl_warnx("%s has the beginning of an export of another "
		    "mailbox: name an empty or a new folder", e->path);
	return e->marked;
}

static _Bool
mark_write(struct export *e)
{
	char text[512];
	int n = mark_text(text, sizeof(text)), fd;
	_Bool ok;

	fd = openat(e->dir, MARK, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
	    O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	ok = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0 &&
	    fsync(e->dir) == 0;
	if (!ok)
		failed(e, MARK);
	if (fd >= 0)
		close(fd);
	return ok;
}

static _Bool
folder_open(struct export *e)
{
	if (mkdir(e->path, 0700) != 0 && errno != EEXIST)
		return failed(e, "");
	e->dir = open(e->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->dir < 0)
		return failed(e, "");
	if (flock(e->dir, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return failed(e, "");
		ctl_warnx("%s: another export is at work there", e->path);
		return 0;
	}
	return mark_read(e) && folder_read(e);
}

/* --- what is there already -------------------------------------------------- */

/*
 * Are there files that are no message of the mailbox?  In a folder that is
 * marked they were one.
 */
static _Bool
is_foreign(const struct export *e)
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
		    "folder", e->path, e->files.v[first].uidl, user.name);
	return !e->marked;
}

/*
 * Give each message that is missing a free number behind the one before it,
 * and collect their UIDLs in JOB; how many those are.
 */
static uint32_t
numbers_give(struct export *e, struct box_job *job)
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

/* --- what the mailbox sends ------------------------------------------------- */

static _Bool
on_nonsense(void)
{
	ctl_warnx("the mailbox process does not say what it should");
	return 0;
}

/* What is half there is no message. */
static void
discard(struct export *e)
{
	if (e->file < 0)
		return;
	close(e->file);
	e->file = -1;
	unlinkat(e->dir, FILE_NEW, 0);
	e->written.n--;
}

static _Bool
on_message(struct export *e, const uint8_t *p, size_t n)
{
	struct frame_message m;
	struct frame_sum sum = {.octets = 0};
	const struct box_job job = {.seed = {e->seed[0], e->seed[1]}};

	if (n != sizeof(m))
		return on_nonsense();
	discard(e);		/* somebody removed it meanwhile */
	memcpy(&m, p, sizeof(m));
	m.uidl[sizeof(m.uidl) - 1] = 0;
	if (e->source.n > 0) {
		while (e->next < e->source.n && (e->number[e->next] == 0 ||
		    strcmp(e->source.v[e->next].uidl, m.uidl) != 0))
			e->next++;
		if (e->next == e->source.n)
			return on_nonsense();
		m.number = e->number[e->next++];
	}
	if (e->progress)
		fprintf(stderr, "\rexporting %" PRIu32 " of %" PRIu32 " ",
		    e->written.n + 1, m.of);
	snprintf(sum.uidl, sizeof(sum.uidl), "%04" PRIu32 ".eml", m.number);
	if (!sums_add(&e->written, &sum))
		return 0;
	box_sum_begin(&e->sum, &job);
	e->sum.raw = 1;
	unlinkat(e->dir, FILE_NEW, 0);
	e->file = openat(e->dir, FILE_NEW, O_WRONLY | O_CREAT | O_EXCL |
	    O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->file >= 0)
		return 1;
	e->written.n--;
	return failed(e, FILE_NEW);
}

static _Bool
on_data(struct export *e, const uint8_t *p, size_t n)
{
	ssize_t put;

	if (e->file < 0)
		return on_nonsense();
	box_sum_add(&e->sum, p, n);
	while (n > 0) {
		put = write(e->file, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return failed(e, FILE_NEW);
		p += put;
		n -= (size_t)put;
	}
	return 1;
}

/* The message is whole: let it have its name. */
static _Bool
on_message_end(struct export *e)
{
	struct frame_sum *sum;
	_Bool ok;

	if (e->file < 0)
		return on_nonsense();
	ok = fsync(e->file) == 0;
	if (ok)		/* what is read to verify it comes from the disk */
		posix_fadvise(e->file, 0, 0, POSIX_FADV_DONTNEED);
	if (close(e->file) != 0 || !ok) {
		e->file = -1;
		return failed(e, FILE_NEW);
	}
	e->file = -1;
	box_sum_end(&e->sum);
	sum = &e->written.v[e->written.n - 1];
	sum->octets = e->sum.octets;
	memcpy(sum->hash, e->sum.hash, sizeof(sum->hash));
	if (linkat(e->dir, FILE_NEW, e->dir, sum->uidl, 0) != 0)
		return failed(e, sum->uidl);
	return unlinkat(e->dir, FILE_NEW, 0) == 0 || failed(e, FILE_NEW);
}

static _Bool
on_frame(struct export *e, enum frame_type type, const uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_MESSAGE:
		return on_message(e, p, n);
	case FRAME_DATA:
		return on_data(e, p, n);
	case FRAME_MESSAGE_END:
		return on_message_end(e);
	case FRAME_PROBLEM:
		ctl_warnx("%.*s", (int)n, (const char *)p);
		return 1;
	case FRAME_DONE:
		if (n != sizeof(e->done))
			return on_nonsense();
		discard(e);
		memcpy(&e->done, p, n);
		e->ended = 1;
		return 1;
	default:
		return on_nonsense();
	}
}

/* Let the mailbox send what JOB says, and write it. */
static int
transfer(struct export *e, struct box_job *job)
{
	static uint8_t buf[FRAME_MAX];
	struct box_child child;
	enum frame_type type;
	_Bool ok = 1;
	size_t n;

	if (!box_start(&child, &conf, &user, user.section, job))
		return EX_NOPERM;
	while (ok && !e->ended &&
	    (type = frame_get(child.data, buf, &n)) != 0) {
		box_log(&child);
		ok = on_frame(e, type, buf, n);
	}
	discard(e);
	if (ok)
		return box_end_status(&child, &e->done, e->ended, user.name);
	box_end(&child);
	ctl_warnx("stopped; begin again to go on");
	return EX_CANTCREAT;
}

/* --- the end ---------------------------------------------------------------- */

/* What was written is read again, and must be what was sent. */
static int
verify(struct export *e)
{
	struct frame_sum is;
	int status = 0;

	if (fsync(e->dir) != 0) {
		failed(e, "");
		return EX_IOERR;
	}
	for (uint32_t i = 0; i < e->written.n; i++) {
		const struct frame_sum *was = &e->written.v[i];

		if (e->progress)
			fprintf(stderr, "\rverifying %" PRIu32 " of %" PRIu32
			    " ", i + 1, e->written.n);
		if (file_sum(e, was->uidl, 1, &is) &&
		    sum_compare(was, &is) == 0)
			continue;
		ctl_warnx("%s/%s is not what was written there: remove it and "
		    "begin again", e->path, was->uidl);
		status = EX_DATAERR;
	}
	if (status == 0 && (unlinkat(e->dir, MARK, 0) != 0 ||
	    fsync(e->dir) != 0)) {
		failed(e, MARK);
		status = EX_IOERR;
	}
	return status;
}

static void
summary(const struct export *e, uint32_t left_out)
{
	uint64_t octets = e->done.octets;

	for (uint32_t i = 0; i < e->source.n; i++)
		if (e->match[i] != UINT32_MAX)
			octets += e->source.v[i].octets;
	if (e->ctl->json) {
		printf("{\"messages\": %" PRIu32 ", \"octets\": %" PRIu64
		    ", \"exported\": %" PRIu32 "}\n", left_out + e->done.n,
		    octets, e->done.n);
		return;
	}
	if (left_out > 0)
		printf("%" PRIu32 " messages were there already\n", left_out);
	if (e->done.n > 0)
		printf("%" PRIu32 " messages with %" PRIu64 " octets "
		    "exported\n", e->done.n, e->done.octets);
	else
		printf("0 messages exported\n");
}

static int
export_run(struct export *e)
{
	struct box_job job = {.what = BOX_EXPORT};
	uint32_t missing = 0;
	int status;

	if (!folder_open(e))
		return EX_CANTCREAT;
	if (e->files.n > 0) {
		status = sums_read(&e->source, &conf, &user, user.section,
		    e->seed, e->progress);
		if (status != 0)
			return status;
		sums_match(&e->source, &e->files, &e->match);
		if (is_foreign(e))
			return EX_CANTCREAT;
		missing = numbers_give(e, &job);
		job.n_uidl = (int)missing;
	}
	status = mark_write(e) ? 0 : EX_CANTCREAT;
	if (status == 0 && (e->files.n == 0 || missing > 0))
		status = transfer(e, &job);
	if (status == 0)
		status = verify(e);
	if (e->progress)
		fprintf(stderr, "\r                                  \r");
	if (e->ended || status == 0)
		summary(e, e->source.n - missing);
	free(job.uidl);
	return status;
}

int
ctl_mailbox_export(struct ctl *ctl)
{
	struct export e = {.ctl = ctl, .path = ctl->argv[3], .dir = -1,
	    .file = -1, .progress = isatty(2) == 1 && !ctl->json};
	int status;

	if (getrandom(e.seed, sizeof(e.seed), 0) != (ssize_t)sizeof(e.seed))
		return EX_OSERR;
	status = auth_ask(ctl, &conf, ctl->argv[2], NULL, 0, &user);
	if (status == 0)
		status = export_run(&e);
	if (e.dir >= 0)
		close(e.dir);
	free(e.source.v);
	free(e.files.v);
	free(e.written.v);
	free(e.match);
	free(e.number);
	conf_close(&conf);
	return status;
}
