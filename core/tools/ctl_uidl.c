/*
 * ctl_uidl.c - `culverctl mailbox uidl-diff`: is what clients will see what
 * the server before us showed them?
 *
 * Runs in culverctl as its caller, often root.  The child that looks into the
 * mailbox is its owner and changes nothing there; what it says, and what the
 * other server said, is printed so that it cannot steer a terminal.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"
#include "core/tools/dump.h"

enum { MAX_DUMP = 256 << 20, NONE = UINT32_MAX };

struct diff {
	struct ctl *ctl;
	struct dump old;
	struct frame_message *now;
	uint32_t n, cap;
	uint32_t *match;		/* of each old row, in now, or NONE */
	uint32_t *place;		/* of each of now among matched ones */
	struct ctl_list list;
	uint64_t differences;
};

static struct ctl_conf conf;
static struct ctl_user user;

/* --- what the old server said ---------------------------------------------- */

/* All of PATH, or of stdin; NULL after a message. */
static char *
file_read(const char *path, size_t *n)
{
	int fd = strcmp(path, "-") == 0 ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL, *more;
	size_t cap = 0;
	ssize_t got = -1;

	*n = 0;
	while (fd >= 0) {
		if (cap - *n < 2) {
			cap = cap > 0 ? cap * 2 : 65536;
			more = cap > MAX_DUMP ? NULL : realloc(text, cap);
			if (more == NULL) {
				errno = EFBIG;
				break;
			}
			text = more;
		}
		got = read(fd, text + *n, cap - *n - 1);
		if (got <= 0)
			break;
		*n += (size_t)got;
	}
	if (fd < 0 || got != 0) {
		ctl_warn("%s", path);
		free(text);
		text = NULL;
	} else
		text[*n] = 0;
	if (fd > 0)
		close(fd);
	return text;
}

/* --- what is there now ------------------------------------------------------ */

static _Bool
message_take(void *arg, enum frame_type type, const uint8_t *p, size_t n)
{
	struct diff *d = arg;

	if (type != FRAME_MESSAGE || n != sizeof(*d->now))
		return box_nonsense();
	if (d->n == d->cap) {
		uint32_t cap = d->cap ? d->cap * 2 : 256;
		void *v = reallocarray(d->now, cap, sizeof(*d->now));

		if (v == NULL) {
			ctl_warn("%u messages", d->n);
			return 0;
		}
		d->now = v;
		d->cap = cap;
	}
	memcpy(&d->now[d->n], p, n);
	d->now[d->n].uidl[sizeof(d->now->uidl) - 1] = 0;
	d->n++;
	return 1;
}

static int
mailbox_read(struct diff *d)
{
	struct box_job job = {.what = BOX_LIST};
	struct box_child child;
	struct frame_done done;

	if (!box_start(&child, &conf, &user, user.section, &job))
		return EX_NOPERM;
	return box_hear(&child, user.name, message_take, d, &done);
}

/* --- the difference ---------------------------------------------------------- */

/* qsort() has no argument for it. */
static const struct diff *sorting;

static int
by_uidl_old(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	int c = strcmp(sorting->old.row[*x].uidl, sorting->old.row[*y].uidl);

	return c != 0 ? c : *x < *y ? -1 : *x > *y;
}

static int
by_uidl_now(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	int c = strcmp(sorting->now[*x].uidl, sorting->now[*y].uidl);

	return c != 0 ? c : *x < *y ? -1 : *x > *y;
}

/* Numbers from 0 in the order of COMPARE; NULL after a message. */
static uint32_t *
sorted(uint32_t n, int (*compare)(const void *, const void *))
{
	uint32_t *index = calloc((size_t)n + 1, sizeof(*index));

	for (uint32_t i = 0; index != NULL && i < n; i++)
		index[i] = i;
	if (index == NULL)
		ctl_warn("%u messages", n);
	else
		qsort(index, n, sizeof(*index), compare);
	return index;
}

/* Fill d->match and d->place; equal UIDLs are matched in order. */
static _Bool
match(struct diff *d)
{
	uint32_t *old, *now, i = 0, j = 0, places = 0;

	sorting = d;
	old = sorted(d->old.n, by_uidl_old);
	now = sorted(d->n, by_uidl_now);
	sorting = NULL;
	d->match = calloc((size_t)d->old.n + 1, sizeof(*d->match));
	d->place = calloc((size_t)d->n + 1, sizeof(*d->place));
	if (old == NULL || now == NULL || d->match == NULL ||
	    d->place == NULL) {
		free(old);
		free(now);
		return 0;
	}
	memset(d->match, 0xff, (size_t)d->old.n * sizeof(*d->match));
	memset(d->place, 0xff, (size_t)d->n * sizeof(*d->place));
	while (i < d->old.n && j < d->n) {
		int c = strcmp(d->old.row[old[i]].uidl, d->now[now[j]].uidl);

		if (c == 0) {
			d->match[old[i]] = now[j];
			d->place[now[j]] = 0;
		}
		i += c <= 0;
		j += c >= 0;
	}
	for (j = 0; j < d->n; j++)
		if (d->place[j] != NONE)
			d->place[j] = places++;
	free(old);
	free(now);
	return 1;
}

/* A difference of a message; OLD or NOW is NULL if it is not there. */
static void
say(struct diff *d, const char *what, const char *uidl,
    const struct dump_row *old, const struct frame_message *now)
{
	static const struct ctl_column columns[] = {{"difference", 10},
	    {"old", 6}, {"new", 6}, {"old_octets", 10}, {"new_octets", 10},
	    {"uidl", 20}};

	if (d->list.columns == NULL)
		list_begin(&d->list, columns, 6, d->ctl->json);
	list_text(&d->list, what);
	list_u64(&d->list, old != NULL ? old->number : 0);
	list_u64(&d->list, now != NULL ? now->number : 0);
	list_u64(&d->list, old != NULL ? old->octets : 0);
	list_u64(&d->list, now != NULL ? now->octets : 0);
	list_text(&d->list, uidl);
	d->differences++;
}

static void
compare(struct diff *d)
{
	uint32_t places = 0;

	for (uint32_t i = 0; i < d->old.n; i++) {
		const struct dump_row *old = &d->old.row[i];
		const struct frame_message *now;

		if (d->match[i] == NONE) {
			say(d, "missing", old->uidl, old, NULL);
			continue;
		}
		now = &d->now[d->match[i]];
		if (d->place[d->match[i]] != places++)
			say(d, "order", old->uidl, old, now);
		if (d->old.sizes && old->octets != now->octets)
			say(d, "octets", old->uidl, old, now);
	}
	for (uint32_t j = 0; j < d->n; j++)
		if (d->place[j] == NONE)
			say(d, "added", d->now[j].uidl, NULL, &d->now[j]);
	if (d->list.columns != NULL)
		list_end(&d->list);
	if (d->ctl->json)
		printf(d->list.columns != NULL ? "\n" : "[]\n");
	else
		printf("%" PRIu32 " messages there, %" PRIu32 " here, %" PRIu64
		    " differences\n", d->old.n, d->n, d->differences);
}

static int
diff_run(struct diff *d, char *text, size_t n)
{
	const char *wrong = dump_parse(&d->old, text, n);
	int status;

	if (wrong != NULL) {
		ctl_warnx("%s:%zu: %s", d->ctl->argv[3], d->old.line, wrong);
		return EX_DATAERR;
	}
	status = auth_ask(d->ctl, &conf, d->ctl->argv[2], NULL, 0, &user);
	if (status == 0)
		status = mailbox_read(d);
	conf_close(&conf);
	if (status != 0)
		/* 1 is for a difference */
		return status == 1 ? EX_TEMPFAIL : status;
	if (!match(d))
		return EX_OSERR;
	compare(d);
	return d->differences > 0;
}

int
ctl_mailbox_uidl(struct ctl *ctl)
{
	struct diff d = {.ctl = ctl};
	int status = EX_NOINPUT;
	size_t n;
	char *text = file_read(ctl->argv[3], &n);

	if (text != NULL)
		status = diff_run(&d, text, n);
	free(d.old.row);
	free(d.now);
	free(d.match);
	free(d.place);
	free(text);
	return status;
}
