/*
 * box.c - the jobs of `culverctl mailbox`, in the mailbox.
 *
 * Runs in a worker, as the mailbox's owner and confined, with a store that is
 * created but not open; what it finds goes to culverctl in frames.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pop3/wire.h"
#include "core/tools/ctl_mailbox.h"
#include "core/tools/split.h"
#include "core/worker/store.h"

struct box {
	struct store *store;
	const struct box_job *job;
	struct frame_done done;
	uint32_t n_uidl;	/* of job->uidl, each once */
	uint32_t n_out;		/* messages to export */
	_Bool gone;		/* culverctl does not listen any more */
	struct split split;
	struct box_known known;	/* with job->resume */
	struct box_sum sum;
	uint64_t before;	/* octets, at the message's beginning */
	uint8_t buf[FRAME_MAX];
};

static _Bool
say(struct box *b, enum frame_type type, const void *p, size_t n)
{
	if (!b->gone && !frame_put(b->job->fd, type, p, n))
		b->gone = 1;
	return !b->gone;
}

static void __attribute__((format(printf, 2, 3)))
problem(struct box *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(b, FRAME_PROBLEM, text, strlen(text));
}

/* --- list, stat ----------------------------------------------------------------- */

static culver_status
message_say(struct box *b, uint32_t i)
{
	const struct store_message *msg = &b->store->msg[i];
	struct frame_message m = {.number = i + 1, .of = b->n_out,
	    .octets = msg->octets};

	snprintf(m.uidl, sizeof(m.uidl), "%s", msg->uid);
	return say(b, FRAME_MESSAGE, &m, sizeof(m)) ? CULVER_OK :
	    CULVER_E_TEMP;
}

static culver_status
list(struct box *b)
{
	culver_status st = CULVER_OK;

	for (uint32_t i = 0; i < b->store->n && st == CULVER_OK; i++) {
		if ((b->store->msg[i].flags & STORE_EXACT) == 0)
			st = store_count(b->store, i);
		if (st == CULVER_E_GONE) {	/* others may remove mail */
			st = CULVER_OK;
			continue;
		}
		if (st == CULVER_OK && b->job->what == BOX_LIST)
			st = message_say(b, i);
		b->done.n++;
		b->done.octets += b->store->msg[i].octets;
	}
	return st;
}

/* --- check, export --------------------------------------------------------------- */

/* Read message I whole, as it is stored; EXPORT sends it on. */
static culver_status
message_read(struct box *b, uint32_t i, _Bool export, uint64_t *octets)
{
	struct store_reader r;
	struct wire_count count;
	const uint8_t *p;
	culver_status st = store_read(b->store, i, &r);
	size_t n, part;

	wire_count_start(&count);
	while (st == CULVER_OK &&
	    (st = store_chunk(&r, &p, &n)) == CULVER_OK) {
		wire_count_add(&count, p, n);
		for (; export && n > 0; p += part, n -= part) {
			part = n < FRAME_MAX ? n : FRAME_MAX;
			if (!say(b, FRAME_DATA, p, part)) {
				st = CULVER_E_TEMP;
				break;
			}
		}
	}
	store_done(&r);
	*octets = wire_count_end(&count);
	return st == CULVER_DONE ? CULVER_OK : st;
}

static void
found(void *arg, const char *line)
{
	problem(arg, "%s", line);
}

static culver_status
check(struct box *b)
{
	const struct store_message *m;
	uint64_t octets = 0;
	uint32_t bad = 0;
	culver_status opened;

	opened = store_check(b->store, found, b, &bad);
	if (opened == CULVER_OK)
		opened = store_open(b->store, CULVER_OPEN_READONLY);
	if (opened != CULVER_OK)
		return bad > 0 ? CULVER_E_CORRUPT : opened;
	for (uint32_t i = 0; i < b->store->n && !b->gone; i++) {
		culver_status st = message_read(b, i, 0, &octets);

		m = &b->store->msg[i];
		if (st == CULVER_E_GONE)
			continue;
		if (st != CULVER_OK)
			problem(b, "message %u (%s) cannot be read: see "
			    "above", i + 1, m->uid);
		else if ((m->flags & STORE_EXACT) && m->octets != octets)
			problem(b, "message %u (%s) has %llu octets; it is "
			    "listed with %llu", i + 1, m->uid,
			    (unsigned long long)octets,
			    (unsigned long long)m->octets);
		bad += st != CULVER_OK ||
		    ((m->flags & STORE_EXACT) && m->octets != octets);
		b->done.n++;
		b->done.octets += octets;
	}
	return bad > 0 ? CULVER_E_CORRUPT : CULVER_OK;
}

static culver_status
export(struct box *b)
{
	culver_status st = CULVER_OK;
	uint64_t octets;

	b->n_uidl = box_wanted_sort(b->job);
	b->n_out = b->n_uidl > 0 ? b->n_uidl : b->store->n;
	for (uint32_t i = 0; i < b->store->n && st == CULVER_OK; i++) {
		if (b->n_uidl > 0 && !box_is_wanted(b->job, b->n_uidl,
		    b->store->msg[i].uid))
			continue;
		st = message_say(b, i);
		if (st == CULVER_OK)
			st = message_read(b, i, 1, &octets);
		if (st == CULVER_E_GONE) {
			problem(b, "message %u is gone: somebody removed it "
			    "meanwhile", i + 1);
			st = CULVER_OK;
			continue;
		}
		if (st != CULVER_OK || !say(b, FRAME_MESSAGE_END, "", 0)) {
			problem(b, "stopped at message %u", i + 1);
			return st != CULVER_OK ? st : CULVER_E_TEMP;
		}
		b->done.n++;
		b->done.octets += octets;
	}
	return st;
}

/* --- delete, empty --------------------------------------------------------------- */

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The wanted UIDLs in order, and each once; how many there are. */
uint32_t
box_wanted_sort(const struct box_job *job)
{
	uint32_t n = 0;

	if (job->n_uidl == 0)
		return 0;
	qsort(job->uidl, (size_t)job->n_uidl, sizeof(char *), compare_text);
	for (int k = 0; k < job->n_uidl; k++)
		if (n == 0 || strcmp(job->uidl[n - 1], job->uidl[k]) != 0)
			job->uidl[n++] = job->uidl[k];
	return n;
}

_Bool
box_is_wanted(const struct box_job *job, uint32_t n, const char *uid)
{
	return n > 0 && bsearch(&uid, job->uidl, n, sizeof(char *),
	    compare_text) != NULL;
}

/* Is message I to go? */
static _Bool
wanted(const struct box *b, uint32_t i)
{
	const char *uid = b->store->msg[i].uid;

	return b->job->what == BOX_EMPTY ||
	    box_is_wanted(b->job, b->n_uidl, uid);
}

static void
missing_say(struct box *b)
{
	for (uint32_t k = 0; k < b->n_uidl; k++) {
		uint32_t i = 0;

		while (i < b->store->n && strcmp(b->store->msg[i].uid,
		    b->job->uidl[k]) != 0)
			i++;
		if (i == b->store->n)
			problem(b, "no message has the UIDL %s",
			    b->job->uidl[k]);
	}
}

static culver_status
expunge(struct box *b)
{
	uint32_t *index = calloc(b->store->n + 1, sizeof(*index)), n = 0;
	culver_status st = CULVER_OK;

	if (index == NULL)
		return CULVER_E_NOMEM;
	b->n_uidl = box_wanted_sort(b->job);
	for (uint32_t i = 0; i < b->store->n; i++)
		if (wanted(b, i))
			index[n++] = i;
	if (n < b->n_uidl)
		missing_say(b);
	if (n > 0)
		st = store_expunge(b->store, index, n, &b->done.n);
	free(index);
	if (st == CULVER_OK && n < b->n_uidl)
		st = CULVER_E_GONE;
	return st;
}

/* --- import ------------------------------------------------------------------------ */

static culver_status
on_begin(void *arg)
{
	static const struct culver_envelope env = {.size = sizeof(env),
	    .sender = "", .recipient = ""};

	struct box *b = arg;

	b->before = b->done.octets;
	box_sum_begin(&b->sum, b->job);
	return store_deliver_begin(b->store, &env);
}

static culver_status
on_data(void *arg, const uint8_t *p, size_t n)
{
	struct box *b = arg;

	b->done.octets += n;
	if (b->job->resume)
		box_sum_add(&b->sum, p, n);
	return store_deliver_write(b->store, p, n);
}

static culver_status
on_end(void *arg)
{
	struct box *b = arg;
	culver_status st;

	box_sum_end(&b->sum);
	if (b->job->resume && box_known_take(&b->known, &b->sum)) {
		store_deliver_abort(b->store);
		b->done.left_out++;
		b->done.octets = b->before;
		return CULVER_OK;
	}
	st = store_deliver_commit(b->store);
	b->done.n += st == CULVER_OK;
	return st;
}

/* One file from culverctl, up to its end; false in *more: the last one. */
static culver_status
import_file(struct box *b, struct frame_file *f, _Bool *more)
{
	static const struct split_ops ops = {on_begin, on_data, on_end};
	culver_status st = CULVER_OK;
	enum frame_type type;
	size_t n = 0;

	type = frame_get(b->job->fd, b->buf, &n);
	*more = type == FRAME_FILE && n == sizeof(*f);
	if (!*more)
		return type == FRAME_END ? CULVER_OK : CULVER_E_TEMP;
	memcpy(f, b->buf, sizeof(*f));
	f->name[sizeof(f->name) - 1] = 0;
	split_start(&b->split, &ops, b, f->mbox != 0);
	while (st == CULVER_OK && (type = frame_get(b->job->fd, b->buf, &n)) ==
	    FRAME_DATA)
		st = split_add(&b->split, b->buf, n);
	if (st == CULVER_OK && type != FRAME_FILE_END)
		st = CULVER_E_TEMP;	/* cut: not a whole message */
	return st == CULVER_OK ? split_end(&b->split) : st;
}

static culver_status
import(struct box *b)
{
	struct frame_file f = {0};
	culver_status st = CULVER_OK;
	_Bool more;

	if (b->job->resume)
		st = box_known_read(&b->known, b->store, b->job);
	if (st != CULVER_OK)
		return st;
	do {
		st = import_file(b, &f, &more);
	} while (st == CULVER_OK && more);
	store_deliver_abort(b->store);
	if (st == CULVER_E_CORRUPT)
		problem(b, "%s is not an mbox: it does not begin with a line "
		    "\"From \"", f.name);
	else if (st == CULVER_E_UNSUPPORTED)
		problem(b, "this storage takes no new messages");
	else if (st != CULVER_OK)
		problem(b, "%s: stopped here", f.name);
	return st;
}

/* ------------------------------------------------------------------------------------ */

static culver_status
run(struct box *b)
{
	enum box_what what = b->job->what;
	_Bool changes = what == BOX_DELETE || what == BOX_EMPTY;
	culver_status st;

	if (what == BOX_IMPORT)
		return import(b);
	if (what >= BOX_SUMS)
		return box_copy(b->store, b->job, &b->done);
	if (what == BOX_CHECK)
		return check(b);
	st = store_open(b->store, changes ? CULVER_OPEN_EXCLUSIVE :
	    CULVER_OPEN_READONLY);
	if (st != CULVER_OK)
		return st;
	return what == BOX_EXPORT ? export(b) : changes ? expunge(b) : list(b);
}

int
box_run(struct store *store, culver_status st, void *arg)
{
	static struct box b;		/* too large for a stack */

	b.store = store;
	b.job = arg;
	if (st == CULVER_OK)
		st = run(&b);
	b.done.status = st;
	say(&b, FRAME_DONE, &b.done, sizeof(b.done));
	return st == CULVER_OK ? 0 : 1;
}
