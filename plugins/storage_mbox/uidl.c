/*
 * uidl.c - which UIDL each message has.
 *
 * Runs in the worker as the mailbox's owner.  A message keeps the UIDL that
 * it was shown with once, whatever other programs do to the headers that
 * keep theirs: culver-uidl knows it by its hash.  One that is new gets what
 * the server before us showed, if that can be told, else 128 random bits;
 * it is on disk before a client sees it.  Messages that are byte for byte
 * the same are told apart by their order only.
 */
#include "config.h"

#include "plugins/storage_mbox/uidl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* Entries of messages that are gone are kept, for they may come back. */
#define KEEP_ABSENT	1000

/* A message, for sorting by its hash. */
struct key {
	uint64_t id[2];
	uint32_t index;
};

static int
id_order(const uint64_t a[2], const uint64_t b[2])
{
	if (a[0] != b[0])
		return a[0] < b[0] ? -1 : 1;
	return a[1] < b[1] ? -1 : a[1] > b[1];
}

static int
key_order(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;
	int c = id_order(a->id, b->id);

	return c != 0 ? c : a->index < b->index ? -1 : a->index > b->index;
}

static int
ent_order(const void *va, const void *vb)
{
	const struct mb_ent *a = va, *b = vb;
	int c = id_order(a->id, b->id);

	if (c != 0)
		return c;
	if (a->absent != b->absent)
		return a->absent ? 1 : -1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int
file_order(const void *va, const void *vb)
{
	const struct mb_ent *a = va, *b = vb;

	return a->order < b->order ? -1 : a->order > b->order;
}

/* A UIDL that is or may be in use; REC is NULL if the state has it. */
struct use {
	const char *uid;
	struct mb_rec *rec;
	struct mb_ent *ent;
};

static int
use_order(const void *va, const void *vb)
{
	const struct use *a = va, *b = vb;
	int c = strcmp(a->uid, b->uid);

	if (c != 0)
		return c;
	if (a->rec == NULL || b->rec == NULL)
		return (a->rec != NULL) - (b->rec != NULL);
	return a->rec < b->rec ? -1 : a->rec > b->rec;
}

/* Messages that were delivered by us say which UIDL they have. */
static bool
match_sealed(struct mb_state *s, struct mb_list *l)
{
	struct use *use = calloc(s->n + l->n + 1, sizeof(*use));
	size_t i, n = 0;

	if (use == NULL)
		return false;
	for (i = 0; i < s->n; i++)
		use[n++] = (struct use){ .uid = s->ent[i].uid,
		    .ent = &s->ent[i] };
	for (i = 0; i < l->n; i++) {
		struct mb_rec *r = &l->rec[i];

		r->uid = 0;
		if ((r->flags & MB_SEALED) != 0)
			use[n++] = (struct use){ .uid = l->blob.p + r->hint,
			    .rec = r };
	}
	qsort(use, n, sizeof(*use), use_order);
	for (i = 0; i < n; i++) {
		struct mb_rec *r = use[i].rec;
		bool known = i > 0 && strcmp(use[i].uid, use[i - 1].uid) == 0;

		/* a copy that somebody made of it is another message */
		if (r == NULL || (known && use[i - 1].rec != NULL))
			continue;
		if (known && id_order(use[i - 1].ent->id, r->id) != 0)
			continue;
		r->uid = r->hint;
		if (known)
			use[i - 1].ent->here = true;
		else
			r->flags |= MB_FRESH;
	}
	free(use);
	return true;
}

/* Give each message the entry that is its own, if there is one. */
static bool
match(struct mb_state *s, struct mb_list *l)
{
	struct key *key = calloc(l->n + 1, sizeof(*key));
	size_t i, j = 0;
	bool ok = true;

	if (key == NULL)
		return false;
	for (i = 0; i < l->n; i++)
		key[i] = (struct key){ .id = { l->rec[i].id[0],
		    l->rec[i].id[1] }, .index = (uint32_t)i };
	qsort(key, l->n, sizeof(*key), key_order);
	if (s->n > 0)
		qsort(s->ent, s->n, sizeof(*s->ent), ent_order);
	for (i = 0; i < l->n && ok; i++) {
		struct mb_rec *r = &l->rec[key[i].index];

		if (r->uid != 0)
			continue;
		while (j < s->n && (id_order(s->ent[j].id, r->id) < 0 ||
		    s->ent[j].here))
			j++;
		if (j == s->n || id_order(s->ent[j].id, r->id) != 0)
			continue;
		s->ent[j].here = true;
		r->uid = plug_blob_add(&l->blob, s->ent[j].uid,
		    strlen(s->ent[j].uid));
		ok = r->uid != 0;
		j++;
	}
	if (s->n > 0)
		qsort(s->ent, s->n, sizeof(*s->ent), file_order);
	free(key);
	return ok;
}

/* "MD5.TIME.UID", as Mailutils makes them? */
static bool
is_mailutils(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef"), k;

	if (n != 32 || s[n] != '.')
		return false;
	k = strspn(s + n + 1, "0123456789");
	return k > 0 && s[n + 1 + k] == '.' &&
	    strspn(s + n + k + 2, "0123456789") == strlen(s + n + k + 2);
}

unsigned
mb_uidl_detect(const struct mb_list *l)
{
	size_t i, n = 0, x_uidl = 0, mailutils = 0, x_uid = 0;

	for (i = 0; i < l->n; i++) {
		const struct mb_rec *r = &l->rec[i];

		/* we delivered it, maybe to a mailbox of another server */
		if ((r->flags & MB_SEALED) != 0)
			continue;
		n++;
		x_uidl += r->hint != 0;
		mailutils += r->hint != 0 && is_mailutils(l->blob.p + r->hint);
		x_uid += r->x_uid != 0;
	}
	/* who wrote these last; X-UIDL may be of strangers and of the past */
	if (l->validity != 0 && x_uid > 0)
		return l->base_padded ? MB_MAILUTILS :
		    l->pseudo && !l->uid_padded ? MB_UW : MB_DOVECOT;
	if (mailutils > n / 2)
		return MB_MAILUTILS;
	return n > 0 && x_uidl == n ? MB_QPOPPER : MB_OWN;
}

/* What the server before us showed for R; "" if that is not known. */
static void
old_uidl(const struct culver_store *store, const struct mb_list *l,
    const struct mb_rec *r, unsigned style, uint32_t *before,
    char out[PLUG_UID_MAX + 1])
{
	const char *hint = r->hint != 0 ? l->blob.p + r->hint : "";
	const struct plug_format_vars vars = { .uid = r->x_uid,
	    .validity = l->validity, .md5 = hint, .guid = hint };

	out[0] = '\0';
	switch (style) {
	case MB_DOVECOT:
	case MB_UW:
		/* ascending, and not above what X-IMAPbase says */
		if (l->validity == 0 || r->x_uid <= *before ||
		    r->x_uid > l->last_uid || (r->flags & MB_SEALED) != 0)
			return;
		*before = r->x_uid;
		if (!plug_format_make(style == MB_UW ? "%08Xv%08Xu" :
		    store->format, &vars, out))
			out[0] = '\0';
		return;
	case MB_POPA3D:
	case MB_QPOPPER:
	case MB_MAILUTILS:
		if ((r->flags & MB_SEALED) == 0)
			snprintf(out, PLUG_UID_MAX + 1, "%s", hint);
		return;
	default:
		return;
	}
}

static bool
set_random(const struct culver_host *host, struct mb_list *l,
    struct mb_rec *r)
{
	char uid[PLUG_UID_MAX + 1];

	plug_uid_random(host, uid);
	r->uid = plug_blob_add(&l->blob, uid, strlen(uid));
	return r->uid != 0;
}

/* No UIDL twice: the state goes first, then the file's order. */
static bool
resolve_doubles(const struct culver_host *host, const struct mb_state *s,
    struct mb_list *l)
{
	struct use *use = calloc(s->n + l->n + 1, sizeof(*use));
	size_t i, n = 0;
	bool ok = true;

	if (use == NULL)
		return false;
	for (i = 0; i < s->n; i++)
		use[n++] = (struct use){ .uid = s->ent[i].uid };
	for (i = 0; i < l->n; i++)
		if ((l->rec[i].flags & MB_FRESH) != 0 && l->rec[i].uid != 0)
			use[n++] = (struct use){ .rec = &l->rec[i],
			    .uid = mb_uid(l, &l->rec[i]) };
	qsort(use, n, sizeof(*use), use_order);
	/* first mark, for a new string may move the old ones */
	for (i = n; i-- > 1;)
		if (use[i].rec != NULL &&
		    strcmp(use[i].uid, use[i - 1].uid) == 0)
			use[i].rec->uid = 0;
	for (i = 0; i < l->n && ok; i++)
		if (l->rec[i].uid == 0)
			ok = set_random(host, l, &l->rec[i]);
	free(use);
	return ok;
}

/* All entries and all new messages: those that are here in file order. */
static culver_status
save(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_state *s, const struct mb_list *l,
    struct culver_call *call)
{
	size_t i, n = 0, absent = 0, drop;
	struct mb_line *line = calloc(s->n + l->n + 1, sizeof(*line));
	culver_status status;

	if (line == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	for (i = 0; i < s->n; i++)
		absent += !s->ent[i].here;
	drop = absent > KEEP_ABSENT + l->n ? absent - KEEP_ABSENT - l->n : 0;
	for (i = 0; i < s->n; i++) {
		const struct mb_ent *e = &s->ent[i];

		if (e->here)
			continue;
		if (drop > 0)
			drop--;
		else
			line[n++] = (struct mb_line){ .uid = e->uid,
			    .id = { e->id[0], e->id[1] }, .absent = true };
	}
	for (i = 0; i < l->n; i++) {
		const struct mb_rec *r = &l->rec[i];

		if ((r->flags & MB_GONE) == 0)
			line[n++] = (struct mb_line){ .uid = mb_uid(l, r),
			    .id = { r->id[0], r->id[1] } };
	}
	status = mb_state_save(store, ix, s, line, n, call);
	free(line);
	return status;
}

/* Is every message that was known gone, and the directory another? */
static culver_status
check_replaced(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_state *s, const struct mb_list *l,
    struct culver_call *call)
{
	size_t i, known = 0;
	struct stat dir;

	for (i = 0; i < s->n; i++)
		known += !s->ent[i].absent;
	if (l->n > 0 || known == 0 || s->copied)
		return CULVER_OK;
	if (stat(store->dir, &dir) != 0)
		return plug_fail(call, errno, "cannot stat %s", store->dir);
	if (dir.st_dev == s->dir_dev && dir.st_ino == s->dir_ino)
		return CULVER_OK;
	return plug_fail_as(call, CULVER_E_TEMP,
	    "%s: all known messages are gone and its directory is another: is "
	    "a disk not mounted? If this is right, remove %s/%s", store->path,
	    ix->path, MB_UIDL);
}

culver_status
mb_uidl_assign(struct culver_store *store, const struct plug_index *ix,
    struct mb_state *s, struct mb_list *l, struct culver_call *call)
{
	char uid[PLUG_UID_MAX + 1];
	culver_status status;
	uint32_t before = 0;
	size_t i, fresh = 0;

	status = check_replaced(store, ix, s, l, call);
	if (status != CULVER_OK)
		return status;
	if (!match_sealed(s, l) || !match(s, l))
		return plug_fail(call, ENOMEM, "%s", store->path);
	for (i = 0; i < l->n; i++) {
		struct mb_rec *r = &l->rec[i];

		/* with `auto' only the first session takes them over */
		old_uidl(store, l, r, store->style != MB_AUTO || !s->known ?
		    s->style : MB_OWN, &before, uid);
		fresh += (r->flags & MB_FRESH) != 0 || r->uid == 0;
		if (r->uid != 0)
			continue;
		r->flags |= MB_FRESH;
		if (uid[0] != '\0' &&
		    (r->uid = plug_blob_add(&l->blob, uid, strlen(uid))) == 0)
			return plug_fail(call, ENOMEM, "%s", store->path);
	}
	if (fresh > 0) {
		if (!resolve_doubles(store->host, s, l))
			return plug_fail(call, ENOMEM, "%s", store->path);
		status = save(store, ix, s, l, call);
	} else if (s->exists && fsync(ix->fd) != 0)
		/* the rename of a session that died may not be on disk */
		return plug_fail(call, errno, "cannot sync %s", ix->path);
	for (i = 0; i < l->n; i++)
		l->rec[i].flags &= ~(unsigned)(MB_FRESH | MB_SEALED);
	return status;
}

culver_status
mb_uidl_forget(struct culver_store *store, const struct plug_index *ix,
    const struct mb_list *l, struct culver_call *call)
{
	struct mb_state s;
	struct use *gone = calloc(l->n + 1, sizeof(*gone)), key, *found;
	culver_status status;
	size_t i, n = 0, k = 0;
	struct mb_line *line = NULL;

	status = mb_state_load(store, ix, &s, call);
	if (status != CULVER_OK)
		goto out;
	line = calloc(s.n + 1, sizeof(*line));
	if (gone == NULL || line == NULL) {
		status = plug_fail(call, ENOMEM, "%s", store->path);
		goto out;
	}
	for (i = 0; i < l->n; i++)
		if ((l->rec[i].flags & MB_GONE) != 0)
			gone[n++].uid = mb_uid(l, &l->rec[i]);
	qsort(gone, n, sizeof(*gone), use_order);
	for (i = 0; i < s.n; i++) {
		key = (struct use){ .uid = s.ent[i].uid };
		found = n > 0 ? bsearch(&key, gone, n, sizeof(*gone),
		    use_order) : NULL;
		if (found == NULL)
			line[k++] = (struct mb_line){ .uid = s.ent[i].uid,
			    .id = { s.ent[i].id[0], s.ent[i].id[1] },
			    .absent = s.ent[i].absent };
	}
	status = mb_state_save(store, ix, &s, line, k, call);
out:
	free(gone);
	free(line);
	mb_state_free(&s);
	return status;
}
