/*
 * open.c - take the lock of the session and a snapshot of the mbox.
 *
 * Runs in the worker as the mailbox's owner, confined to what paths() named.
 * An absent mailbox, or one whose mail was replaced, is an error and never
 * an empty one: clients forget what they have seen.
 */
#include "config.h"

#include "plugins/storage_mbox/uidl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

culver_status
mb_index_open(const struct culver_store *store, struct plug_index *ix,
    struct culver_call *call)
{
	ix->path = store->index;
	return plug_open_dir(AT_FDCWD, NULL, store->index, &ix->fd, call);
}

void
mb_snap_settle(struct mb_snap *s)
{
	const int64_t last = s->file.mtime > s->file.ctime ? s->file.mtime :
	    s->file.ctime;

	/* as if it had been looked at when that was old */
	s->start = last + PLUG_RACY_NS / 1000000000 + 1;
	s->start_ns = 0;
}

static bool
is_settled(const struct mb_snap *s)
{
	return plug_is_old(s->file.mtime, s->file.mtime_ns, s->start,
	    s->start_ns) && plug_is_old(s->file.ctime, s->file.ctime_ns,
	    s->start, s->start_ns);
}

/* Was the listing made with the options of today? */
static bool
same_options(const struct culver_store *store, const struct mb_snap *s)
{
	return s->quoting == store->quoting && s->style < MB_STYLES &&
	    (store->style == MB_AUTO || s->style == store->style);
}

static void
set_look(const struct culver_store *store, unsigned style,
    struct mb_look *look)
{
	mb_look_set(look, style == MB_AUTO ? MB_OWN : style, store->quoting);
	if (style == MB_DOVECOT)
		look->md5 = (store->uses & (PLUG_FMT_MD5 | PLUG_FMT_GUID)) != 0;
}

culver_status
mb_cache_holds(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_cache *cache, bool *holds, struct culver_call *call)
{
	struct plug_stamp file, uidl;
	culver_status status;
	struct stat st;

	*holds = false;
	if (cache->list.block == NULL || !is_settled(&cache->snap) ||
	    !same_options(store, &cache->snap))
		return CULVER_OK;
	status = mb_state_stamp(ix, &uidl, call);
	if (status != CULVER_OK || !plug_stamp_equal(&uidl,
	    &cache->snap.uidl) || lstat(store->path, &st) != 0 ||
	    !S_ISREG(st.st_mode))
		return status;
	plug_stamp_set(&file, &st);
	*holds = plug_stamp_equal(&file, &cache->snap.file) &&
	    (uint64_t)st.st_size == cache->snap.size;
	return CULVER_OK;
}

/* Take over all records but the last one; false without memory. */
static bool
take_over(const struct mb_list *from, struct mb_list *l)
{
	size_t i;

	for (i = 0; i + 1 < from->n; i++)
		if (!mb_list_add(l, &from->rec[i]))
			return false;
	l->first = from->first;
	l->validity = from->validity;
	l->last_uid = from->last_uid;
	l->pseudo = from->pseudo;
	l->lines_crlf = from->lines_crlf;
	return true;
}

/*
 * If mail was only added since CACHE was made, list that.  What tells is the
 * last message: it is where and what it was.  *DONE: it was so.
 */
static culver_status
load_added(struct culver_store *store, struct mb_file *f,
    const struct mb_cache *cache, const struct mb_look *look,
    struct mb_list *l, bool *done, struct culver_call *call)
{
	const struct mb_rec *last, *now;
	culver_status status;

	*done = false;
	if (cache->list.block == NULL || cache->list.n == 0 ||
	    !same_options(store, &cache->snap) ||
	    cache->snap.file.dev != f->st.st_dev ||
	    cache->snap.file.ino != f->st.st_ino ||
	    cache->snap.size >= (uint64_t)f->st.st_size)
		return CULVER_OK;
	last = &cache->list.rec[cache->list.n - 1];
	if (!take_over(&cache->list, l))
		return plug_fail(call, ENOMEM, "%s", store->path);
	status = mb_scan(store, f, look, cache->snap.key, last->start, l,
	    call);
	if (status == CULVER_OK && store->style != MB_AUTO)
		status = mb_scan_base(store, f, look, l, call);
	if (status != CULVER_OK && status != CULVER_E_CORRUPT)
		return status;
	now = l->n >= cache->list.n ? &l->rec[cache->list.n - 1] : NULL;
	*done = status == CULVER_OK && now != NULL &&
	    now->start == last->start && now->id[0] == last->id[0] &&
	    now->id[1] == last->id[1];
	if (!*done)
		mb_list_free(l);
	return CULVER_OK;
}

/* List the whole file; find out whose it was if nobody knows yet. */
static culver_status
load_all(struct culver_store *store, struct mb_file *f,
    struct mb_state *state, struct mb_look *look, struct mb_list *l,
    struct culver_call *call)
{
	culver_status status;

	status = mb_scan(store, f, look, state->key, 0, l, call);
	if (status != CULVER_OK || state->style != MB_AUTO || l->n == 0)
		return status;
	state->style = mb_uidl_detect(l);
	if (state->style == MB_OWN)
		return status;
	mb_list_free(l);
	set_look(store, state->style, look);
	return mb_scan(store, f, look, state->key, 0, l, call);
}

static void
fill_snap(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_file *f, const struct mb_state *state,
    struct mb_snap *snap)
{
	*snap = (struct mb_snap){ .size = (uint64_t)f->st.st_size,
	    .start = f->at.tv_sec, .start_ns = f->at.tv_nsec,
	    .style = state->style, .quoting = store->quoting };
	plug_stamp_set(&snap->file, &f->st);
	if (mb_tally_settled(ix, f))
		mb_snap_settle(snap);
	memcpy(snap->key, state->key, sizeof(snap->key));
}

/* List the mailbox; UIDLs of new messages are not known yet. */
static culver_status
load_list(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, struct mb_cache *cache, struct mb_state *state,
    struct mb_list *l, struct mb_look *look, struct culver_call *call)
{
	culver_status status;
	bool done = false;

	status = mb_state_load(store, ix, state, call);
	if (status != CULVER_OK)
		return status;
	if (store->style != MB_AUTO)
		state->style = store->style;
	set_look(store, state->style, look);
	if (state->exists && cache->snap.style == state->style &&
	    memcmp(state->key, cache->snap.key, sizeof(state->key)) == 0)
		status = load_added(store, f, cache, look, l, &done, call);
	if (status == CULVER_OK && !done)
		status = load_all(store, f, state, look, l, call);
	return status;
}

culver_status
mb_load(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, struct mb_cache *cache, struct mb_list *l,
    struct mb_snap *snap, struct mb_look *look, struct culver_call *call)
{
	struct mb_state state;
	culver_status status;

	status = load_list(store, ix, f, cache, &state, l, look, call);
	if (status == CULVER_OK)
		status = mb_uidl_assign(store, ix, &state, l, call);
	if (status == CULVER_OK) {
		fill_snap(store, ix, f, &state, snap);
		status = mb_state_stamp(ix, &snap->uidl, call);
	}
	mb_state_free(&state);
	if (status != CULVER_OK)
		mb_list_free(l);
	return status;
}

culver_status
mb_count(struct culver_store *store, const struct plug_index *ix,
    struct mb_file *f, uint64_t *octets, uint64_t *messages,
    struct culver_call *call)
{
	struct mb_list l = { 0 };
	struct mb_state state;
	struct mb_cache cache;
	struct mb_look look;
	culver_status status;
	size_t i;

	mb_cache_load(store, ix, &cache, call);
	status = load_list(store, ix, f, &cache, &state, &l, &look, call);
	*messages = l.n;
	for (i = 0, *octets = 0; i < l.n; i++)
		*octets += l.rec[i].octets;
	mb_list_free(&l);
	mb_list_free(&cache.list);
	mb_state_free(&state);
	return status;
}

static culver_status
take_snapshot(struct culver_mailbox *mb, struct culver_call *call)
{
	struct culver_store *store = mb->store;
	struct mb_file f = MB_FILE_NONE;
	struct mb_cache cache;
	culver_status status;
	bool holds = false;

	mb_cache_load(store, &mb->index, &cache, call);
	if (!mb_recover_needed(&mb->index)) {
		status = mb_cache_holds(store, &mb->index, &cache, &holds,
		    call);
		if (status != CULVER_OK)
			goto out;
	}
	if (holds) {
		mb->list = cache.list;
		mb->snap = cache.snap;
		set_look(store, cache.snap.style, &mb->look);
		return CULVER_OK;
	}
	status = mb_file_open(store, &f, true, call);
	if (status == CULVER_OK)
		status = mb_recover(store, &mb->index, &f, call);
	if (status == CULVER_OK)
		status = mb_load(store, &mb->index, &f, &cache, &mb->list,
		    &mb->snap, &mb->look, call);
	mb_file_close(store, &f);
	mb->dirty = true;
	if (status == CULVER_OK && mb->lock >= 0)
		mb_clean_spool(store, &mb->index, call);
out:
	mb_list_free(&cache.list);
	return status;
}

static void
release(struct culver_mailbox *mb)
{
	mb_done(&mb->content);
	free(mb->content.buf);
	mb_list_free(&mb->list);
	if (mb->index.fd >= 0)
		close(mb->index.fd);
	if (mb->lock >= 0)
		close(mb->lock);
	free(mb);
}

culver_status
mb_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	struct culver_mailbox *mb = malloc(sizeof(*mb));
	culver_status status;
	bool made;

	if (mb == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	*mb = (struct culver_mailbox){ .store = store, .flags = flags,
	    .index = { .fd = -1 }, .lock = -1 };
	status = mb_index_open(store, &mb->index, call);
	if (status == CULVER_OK && (flags & CULVER_OPEN_EXCLUSIVE) != 0)
		status = plug_lock(&mb->index, PLUG_LOCK, &mb->lock, &made,
		    call);
	if (status == CULVER_OK)
		status = take_snapshot(mb, call);
	if (status == CULVER_OK)
		*out = mb;
	else
		release(mb);
	return status;
}

/* Those that are gone need not be listed any more. */
static void
drop_gone(struct mb_list *l)
{
	size_t i, n = 0;

	for (i = 0; i < l->n; i++)
		if ((l->rec[i].flags & MB_GONE) == 0)
			l->rec[n++] = l->rec[i];
	l->n = n;
}

void
mb_close(struct culver_mailbox *mb)
{
	if (!mb->changed)
		drop_gone(&mb->list);
	if (mb->dirty && mb->lock >= 0) {
		if (!mb->changed)
			mb_cache_save(mb->store, &mb->index, &mb->list,
			    &mb->snap);
		else
			/* what it says is not so any more */
			unlinkat(mb->index.fd, MB_CACHE, 0);
	}
	release(mb);
}

/* A message of one of two listings, for sorting by hash. */
struct key {
	uint64_t id[2];
	size_t index;
};

static int
key_order(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;
	int i;

	for (i = 0; i < 2; i++)
		if (a->id[i] != b->id[i])
			return a->id[i] < b->id[i] ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static struct key *
make_keys(const struct mb_list *l)
{
	struct key *key = calloc(l->n + 1, sizeof(*key));
	size_t i;

	if (key == NULL)
		return NULL;
	for (i = 0; i < l->n; i++)
		key[i] = (struct key){ .id = { l->rec[i].id[0],
		    l->rec[i].id[1] }, .index = i };
	qsort(key, l->n, sizeof(*key), key_order);
	return key;
}

static void
pair(struct mb_list *old, const struct key *a, const struct mb_list *now,
    const struct key *b)
{
	size_t i, j = 0;

	for (i = 0; i < old->n; i++) {
		struct mb_rec *r = &old->rec[a[i].index];
		const struct mb_rec *found;

		if ((r->flags & MB_GONE) != 0)
			continue;
		while (j < now->n && (b[j].id[0] < a[i].id[0] ||
		    (b[j].id[0] == a[i].id[0] && b[j].id[1] < a[i].id[1])))
			j++;
		if (j == now->n || b[j].id[0] != a[i].id[0] ||
		    b[j].id[1] != a[i].id[1]) {
			r->flags |= MB_GONE;
			continue;
		}
		found = &now->rec[b[j++].index];
		r->start = found->start;
		r->head = found->head;
		r->end = found->end;
		r->next = found->next;
	}
}

culver_status
mb_relocate(struct culver_mailbox *mb, struct mb_file *f,
    struct culver_call *call)
{
	struct key *a = NULL, *b = NULL;
	struct mb_list now = { 0 };
	culver_status status;

	mb->changed = mb->dirty = true;
	status = mb_scan(mb->store, f, &mb->look, mb->snap.key, 0, &now, call);
	if (status != CULVER_OK)
		goto out;
	a = make_keys(&mb->list);
	b = make_keys(&now);
	if (a != NULL && b != NULL)
		pair(&mb->list, a, &now, b);
	else
		status = plug_fail(call, ENOMEM, "%s", mb->store->path);
out:
	free(a);
	free(b);
	mb_list_free(&now);
	return status;
}
