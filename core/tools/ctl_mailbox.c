/*
 * ctl_mailbox.c - the `mailbox` commands: find the user, become a worker in
 * the mailbox, print what it says.
 *
 * Runs in culverctl as its caller, often root.  The child drops before it
 * does anything (priv_drop()); its frames are a user's octets.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

struct work {
	struct ctl *ctl;
	struct box_job job;
	const char *path;	/* import */
	struct ctl_list list;
	struct frame_done done;
	_Bool ended;		/* FRAME_DONE came */
	_Bool stopped;		/* we could not go on, and have said why */
};

static struct ctl_conf conf;
static struct ctl_user user;

/* --- frames --------------------------------------------------------------------- */

/* Only when the mailbox is open: an error has no heading. */
static void
list_start(struct work *w)
{
	static const struct ctl_column columns[] = {{"number", 6},
	    {"octets", 10}, {"uidl", 20}};

	if (w->list.columns == NULL)
		list_begin(&w->list, columns, 3, w->ctl->json);
}

static _Bool
on_message(struct work *w, const uint8_t *p, size_t n)
{
	struct frame_message m;

	if (n != sizeof(m) || w->job.what != BOX_LIST)
		return box_nonsense();
	memcpy(&m, p, sizeof(m));
	m.uidl[sizeof(m.uidl) - 1] = 0;
	list_start(w);
	list_u64(&w->list, m.number);
	list_u64(&w->list, m.octets);
	list_text(&w->list, m.uidl);
	return 1;
}

static _Bool
on_frame(struct work *w, enum frame_type type, uint8_t *p, size_t n)
{
	switch (type) {
	case FRAME_MESSAGE:
		return on_message(w, p, n);
	case FRAME_PROBLEM:
		ctl_warnx("%.*s", (int)n, (const char *)p);
		return 1;
	case FRAME_DONE:
		if (n != sizeof(w->done))
			return box_nonsense();
		memcpy(&w->done, p, sizeof(w->done));
		w->ended = 1;
		return 1;
	default:
		return box_nonsense();
	}
}

static void
frames_read(struct work *w, const struct box_child *child)
{
	static uint8_t buf[FRAME_MAX];
	enum frame_type type;
	size_t n;

	while (!w->ended && (type = frame_get(child->data, buf, &n)) != 0) {
		box_log(child);
		w->stopped = !on_frame(w, type, buf, n);
		if (w->stopped)
			break;
	}
}

/* --- the parent ------------------------------------------------------------------- */

static void
summary(const struct work *w)
{
	static const char *const done[] = {[BOX_LIST] = "", [BOX_STAT] =
	    "there", [BOX_CHECK] = "checked", [BOX_IMPORT] = "imported", [BOX_DELETE] = "deleted",
	    [BOX_EMPTY] = "deleted"};

	if (w->job.what == BOX_LIST)
		return;
	if (w->done.left_out > 0 && !w->ctl->json)
		printf("%" PRIu32 " messages were there already\n",
		    w->done.left_out);
	if (w->ctl->json)
		printf("{\"messages\": %" PRIu32 ", \"octets\": %" PRIu64
		    "}\n", w->done.n, w->done.octets);
	else if (w->done.octets > 0)
		printf("%" PRIu32 " messages with %" PRIu64 " octets %s\n",
		    w->done.n, w->done.octets, done[w->job.what]);
	else
		printf("%" PRIu32 " messages %s\n", w->done.n,
		    done[w->job.what]);
}

/* Do W's job in the mailbox of NAME. */
static int
work_run(struct work *w, const char *name)
{
	struct box_child child;
	int status, sent = 0;

	status = auth_ask(w->ctl, &conf, name, NULL, 0, &user);
	if (status != 0)
		return status;
	if (!box_start(&child, &conf, &user, user.section, &w->job))
		return EX_NOPERM;
	if (w->job.what == BOX_IMPORT)
		sent = import_send(w->path, child.data);
	frames_read(w, &child);
	if (w->stopped) {
		box_end(&child);
		return EX_SOFTWARE;
	}
	status = box_end_status(&child, &w->done, w->ended, user.name);
	return status != 0 ? status : sent;
}

static int
mailbox_do(struct ctl *ctl, struct work *w)
{
	int status;

	status = work_run(w, ctl->argv[2]);
	if (w->job.what == BOX_LIST && status == 0)
		list_start(w);
	if (w->list.columns != NULL) {
		list_end(&w->list);
		if (ctl->json)
			putchar('\n');
	}
	if (w->ended)
		summary(w);
	return status;
}

int
ctl_mailbox(struct ctl *ctl)
{
	static const struct {
		const char *name;
		enum box_what what;
		int min, max;		/* words behind the user */
	} what[] = {{"list", BOX_LIST, 0, 0}, {"stat", BOX_STAT, 0, 0},
	    {"check", BOX_CHECK, 0, 0}, {"import", BOX_IMPORT, 1, 1},
	    {"delete", BOX_DELETE, 1, INT32_MAX}, {"empty", BOX_EMPTY, 0, 0}};
	struct work w = {.ctl = ctl};
	int more = ctl->argc - 3, status;

	if (ctl->argc >= 3 && strcmp(ctl->argv[1], "copy") == 0)
		return ctl_mailbox_copy(ctl);
	if (ctl->argc == 4 && strcmp(ctl->argv[1], "export") == 0)
		return ctl_mailbox_export(ctl);
	if (ctl->argc == 4 && strcmp(ctl->argv[1], "uidl-diff") == 0)
		return ctl_mailbox_uidl(ctl);
	if (ctl->argc > 3 && strcmp(ctl->argv[1], "import") == 0 &&
	    strcmp(ctl->argv[ctl->argc - 1], "--resume") == 0) {
		w.job.resume = 1;
		more--;
		if (getrandom(w.job.seed, sizeof(w.job.seed), 0) !=
		    (ssize_t)sizeof(w.job.seed))
			return EX_OSERR;
	}
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		if (ctl->argc < 3 || strcmp(ctl->argv[1], what[i].name) != 0 ||
		    more < what[i].min || more > what[i].max)
			continue;
		w.job.what = what[i].what;
		w.path = ctl->argv[3];
		w.job.uidl = ctl->argv + 3;
		w.job.n_uidl = w.job.what == BOX_DELETE ? more : 0;
		status = mailbox_do(ctl, &w);
		conf_close(&conf);
		return status;
	}
	return ctl_usage(ctl);
}
