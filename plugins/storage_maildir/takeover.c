/*
 * takeover.c - the first session of a mailbox that another POP3 server had:
 * its messages keep the UIDLs and the order that they had there.
 *
 * Runs in the worker as the mailbox's owner.  What the other server wrote is
 * read and never written; what it says is in culver-uidl, on disk, before a
 * client sees it, and then is not looked at again.  If it cannot be
 * understood the login fails: clients would download all mail again.
 */
#include "config.h"

#include "plugins/common/md5.h"
#include "plugins/storage_maildir/old.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* A file that is larger is of no mailbox. */
#define OLD_MAX ((off_t)256 << 20)

const char *const md_styles[] = { "auto", "name", "dovecot", "courier",
    "qmail", "tpop3d", NULL };

/* A message, for sorting as the other server did. */
struct pick {
	uint64_t key[2];
	const char *base;	/* while they are sorted: each UIDL that is
				 * set may move the list's strings */
	const struct old_rec *old;	/* NULL: it did not know it */
	uint32_t index;		/* in the list */
};

struct takeover {
	struct culver_mailbox *mb;
	struct culver_call *call;
	struct plug_index top;	/* the Maildir */
	unsigned style;
	const char *name;	/* of the file that was read, or NULL */
	const char *other;	/* of an older one that was not, or NULL */
	struct old_file old;
	struct pick *pick;
	size_t known, bad;	/* messages; UIDLs that none may have */
};

/* --- what is there -------------------------------------------------------- */

/* *THERE: the file NAME is there, last changed at *TIME. */
static culver_status
look(struct takeover *t, const char *name, bool *there,
    struct timespec *time)
{
	struct stat st;

	*there = fstatat(t->top.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (*there)
		*time = st.st_mtim;
	else if (errno != ENOENT)
		return plug_fail(t->call, errno, "cannot stat %s/%s",
		    t->top.path, name);
	return CULVER_OK;
}

/* Find out which server had the mailbox: `uidl = auto'. */
static culver_status
detect(struct takeover *t)
{
	struct timespec td = { 0 }, tc = { 0 };
	culver_status status;
	bool dovecot, courier = false;

	status = look(t, OLD_DOVECOT, &dovecot, &td);
	if (status == CULVER_OK)
		status = look(t, OLD_COURIER, &courier, &tc);
	if (status != CULVER_OK)
		return status;
	/* both rewrite their file when mail comes or goes */
	if (dovecot && courier) {
		dovecot = td.tv_sec > tc.tv_sec ||
		    (td.tv_sec == tc.tv_sec && td.tv_nsec >= tc.tv_nsec);
		t->other = dovecot ? OLD_COURIER : OLD_DOVECOT;
	}
	t->style = dovecot ? MD_DOVECOT : courier ? MD_COURIER : MD_NAME;
	return CULVER_OK;
}

/* --- the file ------------------------------------------------------------- */

static culver_status
damaged(const struct takeover *t, const char *what)
{
	char at[32] = "";

	if (t->old.line > 0)
		snprintf(at, sizeof(at), ", line %zu", t->old.line);
	return plug_fail_as(t->call, CULVER_E_TEMP,
	    "%s/%s%s: %s; mend it or put it back (without it clients fetch "
	    "all mail again)", t->top.path, t->name, at, what);
}

/* Read the file NAME, if there is one. */
static culver_status
read_file(struct takeover *t, const char *name)
{
	const char *wrong;
	culver_status status;
	struct stat st;
	size_t n;

	if (fstatat(t->top.fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno == ENOENT)
			return CULVER_OK;
		return plug_fail(t->call, errno, "cannot stat %s/%s",
		    t->top.path, name);
	}
	t->name = name;
	if (!S_ISREG(st.st_mode) || st.st_size > OLD_MAX)
		return damaged(t, "no file, or too large for one");
	status = plug_file_read(&t->top, name, &t->old.text, &n, &st,
	    t->call);
	if (status != CULVER_OK)
		return status;
	if (t->old.text == NULL)
		return damaged(t, "it is changing");
	wrong = t->style == MD_COURIER ? old_courier_parse(&t->old, n) :
	    old_dovecot_parse(&t->old, n);
	if (wrong == old_no_memory)
		return plug_fail(t->call, ENOMEM, "%s", t->top.path);
	return wrong != NULL ? damaged(t, wrong) : CULVER_OK;
}

static culver_status
read_old(struct takeover *t)
{
	culver_status status;

	if (t->style == MD_COURIER)
		return read_file(t, OLD_COURIER);
	if (t->style != MD_DOVECOT)
		return CULVER_OK;
	status = read_file(t, OLD_DOVECOT);
	if (status == CULVER_OK && t->name == NULL)
		status = read_file(t, OLD_COURIER_IMAP);
	return status;
}

/* --- the order ------------------------------------------------------------ */

static int
pick_order(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	int i;

	for (i = 0; i < 2; i++)
		if (a->key[i] != b->key[i])
			return a->key[i] < b->key[i] ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static int
pick_courier(const void *va, const void *vb)
{
	const struct pick *a = va, *b = vb;
	int c = old_courier_order(a->base, b->base);

	return c != 0 ? c : pick_order(a, b);
}

/* All messages, in the order of the other server. */
static void
sort_picks(struct takeover *t)
{
	const struct md_list *l = &t->mb->list;
	size_t i;

	for (i = 0; i < l->n; i++) {
		struct pick *p = &t->pick[i];

		p->index = (uint32_t)i;
		p->base = md_base(l, &l->rec[i]);
		p->old = old_find(&t->old, p->base);
		t->known += p->old != NULL;
		if (t->style == MD_DOVECOT) {
			p->key[0] = p->old != NULL ? p->old->order :
			    UINT64_MAX;
			p->key[1] = p->old != NULL ? p->old->uid : 0;
		} else if (t->style == MD_QMAIL || t->style == MD_TPOP3D)
			/* the sign bit: there are times before 1970 */
			p->key[0] = (uint64_t)l->rec[i].mtime ^ 1ull << 63;
	}
	qsort(t->pick, l->n, sizeof(*t->pick), t->style == MD_COURIER ?
	    pick_courier : pick_order);
	for (i = 0; i < l->n; i++)
		t->pick[i].base = NULL;
}

/* Note the order in the list, if it is not that of the names anyway. */
static void
set_ranks(struct takeover *t)
{
	struct md_list *l = &t->mb->list;
	size_t i;

	for (i = 0; i < l->n && t->pick[i].index == i; i++)
		continue;
	if (i == l->n)
		return;
	for (i = 0; i < l->n; i++) {
		struct md_rec *r = &l->rec[t->pick[i].index];

		r->rank = (uint32_t)i + 1;
		r->flags |= MD_FRESH;
	}
}

/* --- the UIDLs ------------------------------------------------------------ */

/* What the other server showed for P; "" if it did not, or must not. */
static void
old_uidl(struct takeover *t, const struct pick *p, char out[PLUG_UID_MAX + 1])
{
	const struct md_list *l = &t->mb->list;
	const char *base = md_base(l, &l->rec[p->index]);
	unsigned char sum[16];
	struct md5 md5;
	bool ok = true;

	out[0] = '\0';
	if (t->style == MD_TPOP3D) {
		md5_init(&md5);
		md5_add(&md5, base, strlen(base));
		md5_end(&md5, sum);
		plug_hex(sum, sizeof(sum), out);
	} else if (p->old != NULL)
		ok = t->style == MD_COURIER ? old_courier_uidl(p->old, out) :
		    old_dovecot_uidl(&t->old, p->old, t->mb->store->format,
		    out);
	if (!ok)
		out[0] = '\0';
	t->bad += !ok;
}

struct use {
	const char *uid;
	size_t at;		/* in pick */
};

static int
use_order(const void *va, const void *vb)
{
	const struct use *a = va, *b = vb;
	int c = strcmp(a->uid, b->uid);

	return c != 0 ? c : a->at < b->at ? -1 : 1;
}

/*
 * No UIDL twice: the first message keeps it, and others get "-2" and so on,
 * as with Dovecot's `pop3_uidl_duplicates = rename'.  False without memory.
 */
static bool
rename_doubles(struct takeover *t)
{
	struct md_list *l = &t->mb->list;
	struct use *use = calloc(l->n + 1, sizeof(*use));
	uint32_t *nth = calloc(l->n + 1, sizeof(*nth));
	char uid[PLUG_UID_MAX + 16];
	size_t i, n = 0;
	bool ok = use != NULL && nth != NULL;

	for (i = 0; ok && i < l->n; i++)
		if ((l->rec[t->pick[i].index].flags & MD_SURE) != 0)
			use[n++] = (struct use){ .at = i, .uid =
			    md_uid(l, &l->rec[t->pick[i].index]) };
	if (n > 0)
		qsort(use, n, sizeof(*use), use_order);
	for (i = 1; i < n; i++)
		if (strcmp(use[i].uid, use[i - 1].uid) == 0)
			nth[use[i].at] = nth[use[i - 1].at] + 1;
	for (i = 0; ok && i < l->n; i++) {	/* moves what USE points to */
		struct md_rec *r = &l->rec[t->pick[i].index];

		if (nth[i] == 0)
			continue;
		snprintf(uid, sizeof(uid), "%s-%lu", md_uid(l, r),
		    (unsigned long)nth[i] + 1);
		r->flags |= MD_FRESH;
		r->flags &= ~(unsigned)MD_SURE;
		/* if it is too long, the caller makes another one */
		ok = strlen(uid) > PLUG_UID_MAX || md_list_set_uid(l, r, uid);
	}
	free(use);
	free(nth);
	return ok;
}

static culver_status
set_uidls(struct takeover *t)
{
	struct md_list *l = &t->mb->list;
	char uid[PLUG_UID_MAX + 1];
	size_t i;

	for (i = 0; i < l->n; i++) {
		struct md_rec *r = &l->rec[t->pick[i].index];

		old_uidl(t, &t->pick[i], uid);
		if (uid[0] == '\0')
			continue;
		r->flags |= MD_SURE;
		if (strcmp(uid, md_base(l, r)) == 0)
			continue;
		r->flags |= MD_FRESH;
		if (!md_list_set_uid(l, r, uid))
			return plug_fail(t->call, ENOMEM, "%s", t->top.path);
	}
	return rename_doubles(t) ? CULVER_OK :
	    plug_fail(t->call, ENOMEM, "%s", t->top.path);
}

/* --- all of it ------------------------------------------------------------ */

/* Tell the administrator what was found and what not. */
static void
report(const struct takeover *t)
{
	const struct culver_host *host = t->mb->store->host;
	const char *style = md_styles[t->style], *path = t->top.path;

	if (t->style == MD_NAME) {
		if (t->mb->store->style == MD_AUTO && t->mb->lock >= 0)
			culver_logf(host, CULVER_LOG_INFO, "%s: UIDLs are the "
			    "files' names, for no other server left any",
			    path);
		return;
	}
	if (t->style == MD_QMAIL || t->style == MD_TPOP3D)
		culver_logf(host, CULVER_LOG_INFO, "%s: UIDLs and order of %s, "
		    "for %zu messages", path, style, t->mb->list.n);
	else if (t->name == NULL)
		culver_logf(host, CULVER_LOG_WARN, "%s: uidl = %s, but there "
		    "is no file of that server: its messages have the UIDLs of "
		    "a new mailbox", path, style);
	else
		culver_logf(host, CULVER_LOG_INFO, "%s: UIDLs and order from "
		    "%s, which knows %zu of %zu messages%s%s%s", path, t->name,
		    t->known, t->mb->list.n, t->old.torn ?
		    "; its last line is cut off" : "", t->other != NULL ?
		    "; older, and not used: " : "",
		    t->other != NULL ? t->other : "");
	if (t->bad > 0)
		culver_logf(host, CULVER_LOG_WARN, "%s: %zu UIDLs in %s have "
		    "no legal form, and get another one", path, t->bad,
		    t->name != NULL ? t->name : style);
}

culver_status
md_takeover(struct culver_mailbox *mb, unsigned *style,
    struct culver_call *call)
{
	struct takeover t = { .mb = mb, .call = call,
	    .style = mb->store->style, .top = { .path = mb->store->path } };
	culver_status status;

	status = plug_open_dir(AT_FDCWD, NULL, t.top.path, &t.top.fd, call);
	if (status != CULVER_OK)
		return status;
	if (t.style == MD_AUTO)
		status = detect(&t);
	if (status == CULVER_OK)
		status = read_old(&t);
	if (status == CULVER_OK && t.style != MD_NAME && (t.name != NULL ||
	    t.style == MD_QMAIL || t.style == MD_TPOP3D)) {
		t.pick = calloc(mb->list.n + 1, sizeof(*t.pick));
		if (t.pick == NULL) {
			status = plug_fail(call, ENOMEM, "%s", t.top.path);
		} else {
			sort_picks(&t);
			status = set_uidls(&t);
			if (status == CULVER_OK)
				set_ranks(&t);
		}
	}
	if (status == CULVER_OK)
		report(&t);
	*style = t.style;
	old_free(&t.old);
	free(t.pick);
	close(t.top.fd);
	return status;
}
