/*
 * ctl_export.c - `culverctl mailbox export`: each message in a file of its
 * own.
 *
 * Runs in culverctl as its caller, often root, in a folder that may belong to
 * somebody else: only regular files are read there, no link is followed and
 * no file is written over.  A message gets its name when it is whole and
 * synced.  What has a name already is known by its content, so an export that
 * died goes on where it ended (export_folder.c); EXPORT_MARK says that one is
 * not complete yet.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/tools/export.h"

static struct ctl_conf conf;
static struct ctl_user user;

/* --- what the mailbox sends ------------------------------------------------- */

/* What is half there is no message. */
static void
discard(struct export *e)
{
	if (e->file < 0)
		return;
	close(e->file);
	e->file = -1;
	unlinkat(e->dir, EXPORT_NEW, 0);
	e->written.n--;
}

static _Bool
on_message(struct export *e, const uint8_t *p, size_t n)
{
	struct frame_message m;
	struct frame_sum sum = {.octets = 0};
	const struct box_job job = {.seed = {e->seed[0], e->seed[1]}};

	if (n != sizeof(m))
		return box_nonsense();
	discard(e);		/* somebody removed it meanwhile */
	memcpy(&m, p, sizeof(m));
	m.uidl[sizeof(m.uidl) - 1] = 0;
	if (e->source.n > 0) {
		while (e->next < e->source.n && (e->number[e->next] == 0 ||
		    strcmp(e->source.v[e->next].uidl, m.uidl) != 0))
			e->next++;
		if (e->next == e->source.n)
			return box_nonsense();
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
	unlinkat(e->dir, EXPORT_NEW, 0);
	e->file = openat(e->dir, EXPORT_NEW, O_WRONLY | O_CREAT | O_EXCL |
	    O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->file >= 0)
		return 1;
	e->written.n--;
	return export_failed(e, EXPORT_NEW);
}

static _Bool
on_data(struct export *e, const uint8_t *p, size_t n)
{
	ssize_t put;

	if (e->file < 0)
		return box_nonsense();
	box_sum_add(&e->sum, p, n);
	while (n > 0) {
		put = write(e->file, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return export_failed(e, EXPORT_NEW);
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
		return box_nonsense();
	ok = fsync(e->file) == 0;
	if (ok)		/* what is read to verify it comes from the disk */
		posix_fadvise(e->file, 0, 0, POSIX_FADV_DONTNEED);
	if (close(e->file) != 0 || !ok) {
		e->file = -1;
		return export_failed(e, EXPORT_NEW);
	}
	e->file = -1;
	box_sum_end(&e->sum);
	sum = &e->written.v[e->written.n - 1];
	sum->octets = e->sum.octets;
	memcpy(sum->hash, e->sum.hash, sizeof(sum->hash));
	if (linkat(e->dir, EXPORT_NEW, e->dir, sum->uidl, 0) != 0)
		return export_failed(e, sum->uidl);
	return unlinkat(e->dir, EXPORT_NEW, 0) == 0 ||
	    export_failed(e, EXPORT_NEW);
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
			return box_nonsense();
		discard(e);
		memcpy(&e->done, p, n);
		e->ended = 1;
		return 1;
	default:
		return box_nonsense();
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
		return box_end_status(&child, &e->done, e->ended,
		    e->user->name);
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
		export_failed(e, "");
		return EX_IOERR;
	}
	for (uint32_t i = 0; i < e->written.n; i++) {
		const struct frame_sum *was = &e->written.v[i];

		if (e->progress)
			fprintf(stderr, "\rverifying %" PRIu32 " of %" PRIu32
			    " ", i + 1, e->written.n);
		if (export_file_sum(e, was->uidl, 1, &is) &&
		    sum_compare(was, &is) == 0)
			continue;
		ctl_warnx("%s/%s is not what was written there: remove it and "
		    "begin again", e->path, was->uidl);
		status = EX_DATAERR;
	}
	if (status == 0 && (unlinkat(e->dir, EXPORT_MARK, 0) != 0 ||
	    fsync(e->dir) != 0)) {
		export_failed(e, EXPORT_MARK);
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

	if (!export_open(e))
		return EX_CANTCREAT;
	if (e->files.n > 0) {
		status = sums_read(&e->source, &conf, &user, user.section,
		    e->seed, e->progress);
		if (status != 0)
			return status;
		sums_match(&e->source, &e->files, &e->match);
		if (export_is_foreign(e))
			return EX_CANTCREAT;
		missing = export_number(e, &job);
		job.n_uidl = (int)missing;
	}
	status = export_mark(e) ? 0 : EX_CANTCREAT;
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
	struct export e = {.ctl = ctl, .user = &user, .path = ctl->argv[3],
	    .dir = -1, .file = -1, .progress = isatty(2) == 1 && !ctl->json};
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
