/*
 * uidl.c - which UIDL each message has.
 *
 * Runs in the worker as the mailbox's owner.  A base name that is a legal
 * UIDL is the UIDL.  Others get 128 random bits, which are kept in
 * culver-uidl: state, not a cache, so it is on disk before a client sees a
 * line of it, and a damaged one is an error, never made anew.
 *
 * What the file says goes before the name.  The first session of a mailbox
 * that came from another server puts that server's there (takeover.c), and
 * each first session notes whose it took, so that no later one takes others.
 */
#include "config.h"

#include "maildir.h"
#include "plugins/common/state.h"
#include "uidl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* Entries of messages that are gone are kept, for they may come back. */
#define KEEP_ABSENT	1000

culver_status
md_uidl_stamp(const struct plug_index *ix, struct plug_stamp *out,
    struct culver_call *call)
{
	return plug_state_stamp(ix, MD_UIDL, out, call);
}

static int
str_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Is UID in the state, whosever it is? */
static bool
is_taken(const struct uidl_state *s, const char *uid)
{
	return s->n > 0 && bsearch(&uid, s->by_uid, s->n, sizeof(*s->by_uid),
	    str_order) != NULL;
}

/* --- UIDLs that came with their messages ---------------------------------- */

#define BROUGHT "CU="

bool
md_uid_append(char *out, const char *uid)
{
	size_t n = strlen(out);

	n += (size_t)snprintf(out + n, NAME_MAX + 1 - n, "," BROUGHT);
	for (; *uid != '\0' && n < NAME_MAX - 3; uid++)
		n += (size_t)snprintf(out + n, 4, strchr("/:,%", *uid) != NULL ?
		    "%%%02X" : "%c", (unsigned char)*uid);
	return *uid == '\0';
}

bool
md_uid_brought(const char *base, char out[PLUG_UID_MAX + 1])
{
	const char *p = md_name_field(base, BROUGHT);
	unsigned char c;
	size_t n = 0;

	if (p == NULL)
		return false;
	for (; *p != '\0' && n < PLUG_UID_MAX; p++) {
		c = (unsigned char)*p;
		if (c == '%') {
			if (sscanf(p, "%%%2hhX", &c) != 1 || p[1] == '\0' ||
			    p[2] == '\0')
				return false;
			p += 2;
		}
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return *p == '\0' && plug_uid_legal(out, n);
}

static bool
set_random(const struct culver_host *host, struct md_list *l,
    struct md_rec *r)
{
	char uid[PLUG_UID_MAX + 1];

	plug_uid_random(host, uid);
	r->flags |= MD_FRESH;
	return md_list_set_uid(l, r, uid);
}

/* The UIDL of a message that the state does not know. */
static bool
set_unknown(const struct culver_host *host, const struct uidl_state *s,
    struct md_list *l, struct md_rec *r)
{
	char brought[PLUG_UID_MAX + 1];

	if ((r->flags & MD_SURE) != 0)	/* just taken over */
		return true;
	if (r->uid != 0) {	/* the cache knew it: save it again */
		r->flags |= MD_FRESH;
		return true;
	}
	if (md_uid_brought(md_base(l, r), brought) &&
	    !is_taken(s, brought)) {
		r->flags |= MD_FRESH;
		return md_list_set_uid(l, r, brought);
	}
	if (plug_uid_legal(md_base(l, r), r->base_len) &&
	    !is_taken(s, md_base(l, r)))
		return true;
	return set_random(host, l, r);
}

/* A message that has, or wants to have, a UIDL. */
struct owner {
	const char *uid;
	size_t index;
	unsigned claim;		/* the lowest has the best one */
};

static unsigned
claim_of(const struct md_rec *r)
{
	if (r->uid != 0 && (r->flags & MD_FRESH) == 0)
		return 0;		/* it is in the state */
	if ((r->flags & MD_SURE) != 0)
		return 1;		/* the server before us showed it */
	return (r->flags & MD_FRESH) != 0 ? 3 : 2;
}

static int
owner_order(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;
	int c = strcmp(x->uid, y->uid);

	return c != 0 ? c : x->claim < y->claim ? -1 : x->claim > y->claim;
}

/* What was brought or taken over may be another message's already: whoever
 * has the worse claim gives way, and gets a UIDL that nobody has. */
static bool
settle(const struct culver_host *host, struct md_list *l)
{
	struct owner *own = calloc(l->n + 1, sizeof(*own));
	bool ok = own != NULL, *twice = calloc(l->n + 1, sizeof(*twice));
	size_t i;

	ok = ok && twice != NULL;
	for (i = 0; ok && i < l->n; i++)
		own[i] = (struct owner){ .uid = md_uid(l, &l->rec[i]),
		    .index = i, .claim = claim_of(&l->rec[i]) };
	if (ok && l->n > 0)
		qsort(own, l->n, sizeof(*own), owner_order);
	for (i = 1; ok && i < l->n; i++)
		twice[own[i].index] = own[i].claim > 0 &&
		    strcmp(own[i - 1].uid, own[i].uid) == 0;
	for (i = 0; ok && i < l->n; i++)	/* moves what OWN points to */
		if (twice[i])
			ok = set_random(host, l, &l->rec[i]);
	free(own);
	free(twice);
	return ok;
}

/*
 * Go through state and messages, both in order; how many are new, or -1.  What
 * R has already is from the cache or taken over: the state goes before it.
 * SAME: the state is that of the earlier listing, and has no UIDLs.
 */
static long
match(const struct culver_host *host, struct uidl_state *s, struct md_list *l,
    bool same)
{
	size_t i = 0, j;
	char brought[PLUG_UID_MAX + 1];
	long fresh = 0;
	bool any = false;

	for (j = 0; j < l->n; j++) {
		struct md_rec *r = &l->rec[j];
		int c = -1;

		/* its name was found good when it was listed first */
		if (same && r->name < l->known && r->uid == 0)
			continue;
		while (i < s->n &&
		    (c = md_order(s->ent[i].base, md_base(l, r))) < 0)
			i++;
		if (i < s->n && c == 0) {
			s->ent[i].here = true;
			r->flags &= ~(unsigned)(MD_FRESH | MD_SURE);
			if (s->ent[i].rank != 0)
				r->rank = s->ent[i].rank;
			else if (r->rank != 0)
				r->flags |= MD_FRESH;
			if ((r->uid == 0 ||
			    strcmp(md_uid(l, r), s->ent[i].uid) != 0) &&
			    !md_list_set_uid(l, r, s->ent[i].uid))
				return -1;
		} else if (!set_unknown(host, s, l, r))
			return -1;
		fresh += (r->flags & MD_FRESH) != 0;
		any |= (r->flags & MD_SURE) != 0 ||
		    ((r->flags & MD_FRESH) != 0 &&
		    md_uid_brought(md_base(l, r), brought));
	}
	if (any && !settle(host, l))
		return -1;
	return fresh;
}

/*
 * All entries and all new messages, in order.  A new one that has an entry
 * takes its place.
 */
static culver_status
save(const struct culver_mailbox *mb, const struct uidl_state *s,
    unsigned from, struct culver_call *call)
{
	const struct md_list *l = &mb->list;
	struct uidl_text t = { 0 };
	size_t i = 0, j = 0, absent = 0, drop;
	culver_status status;
	struct stat st;
	int fd;

	status = plug_file_create(&mb->index, MD_UIDL, &fd, &st, call);
	if (status != CULVER_OK)
		return status;
	for (i = 0; i < s->n; i++)
		absent += !s->ent[i].here;
	drop = absent > KEEP_ABSENT + l->n ? absent - KEEP_ABSENT - l->n : 0;
	uidl_text_begin(&t, &mb->snap, &st, from);
	for (i = 0; i < s->n || j < l->n;) {
		const struct md_rec *r = &l->rec[j];
		int c;

		if (j < l->n && (r->flags & MD_FRESH) == 0) {
			j++;
			continue;
		}
		c = i == s->n ? 1 : j == l->n ? -1 :
		    md_order(s->ent[i].base, md_base(l, r));
		if (c >= 0) {
			uidl_text_add(&t, md_uid(l, r), md_base(l, r),
			    r->rank);
			j++;
		} else if (s->ent[i].here || drop == 0)
			uidl_text_add(&t, s->ent[i].uid, s->ent[i].base,
			    s->ent[i].rank);
		else
			drop--;
		i += c <= 0;
	}
	uidl_text_end(&t);
	status = plug_file_commit(&mb->index, MD_UIDL, fd, (struct culver_str){
	    .p = t.failed ? NULL : t.p, .n = t.n }, true, call);
	free(t.p);
	return status;
}

/* Read the state, and make sure that what is there stays there. */
static culver_status
load(struct culver_mailbox *mb, const struct md_cache *cache,
    struct uidl_state *s, struct culver_call *call)
{
	culver_status status = uidl_state_load(&mb->index, s, call);
	size_t i;

	if (status != CULVER_OK)
		return status;
	/*
	 * A session that died between rename and fsync left a state that a
	 * power cut may take back.  The cache names one that was synced.
	 */
	if (s->exists && !plug_stamp_equal(&s->stamp, &cache->uidl) &&
	    fsync(mb->index.fd) != 0)
		return plug_fail(call, errno, "cannot sync %s", mb->index.path);
	if (s->n == 0)
		return CULVER_OK;
	s->by_uid = malloc(s->n * sizeof(*s->by_uid));
	if (s->by_uid == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->index.path);
	for (i = 0; i < s->n; i++)
		s->by_uid[i] = s->ent[i].uid;
	qsort(s->by_uid, s->n, sizeof(*s->by_uid), str_order);
	for (i = 1; i < s->n; i++)
		if (strcmp(s->by_uid[i - 1], s->by_uid[i]) == 0)
			return plug_state_damaged(&mb->index, MD_UIDL, 0,
			    "a UIDL is there twice", call);
	return CULVER_OK;
}

/* A pass over state and messages. */
struct pass {
	struct uidl_state state;
	unsigned from;		/* whose UIDLs and order the messages have */
	bool need_save;		/* under the lock */
	bool note_only;		/* to say whose; nothing depends on it yet */
};

/* Whose UIDLs has the mailbox?  Before its first session, take them over. */
static culver_status
take_over(struct culver_mailbox *mb, const struct md_cache *cache,
    struct pass *p, struct culver_call *call)
{
	const unsigned want = mb->store->style;

	p->from = p->state.from;
	if (p->from == MD_AUTO && mb->list.n > 0 && cache->list.n == 0)
		return md_takeover(mb, &p->from, call);
	if (p->from == MD_AUTO && cache->list.n > 0)
		p->from = MD_NAME;	/* shown, but the state is lost */
	if (want != MD_AUTO && p->from != MD_AUTO && want != p->from)
		culver_logf(mb->store->host, CULVER_LOG_WARN, "%s: uidl = %s "
		    "comes too late: the first session took those of \"%s\"",
		    mb->store->path, md_styles[want], md_styles[p->from]);
	return CULVER_OK;
}

static culver_status
assign(struct culver_mailbox *mb, const struct md_cache *cache,
    struct pass *p, struct culver_call *call)
{
	struct uidl_state *s = &p->state;
	culver_status status;
	bool moved;
	long fresh;

	uidl_state_free(s);
	status = load(mb, cache, s, call);
	if (status != CULVER_OK)
		return status;
	moved = s->exists && md_memory_differs(&s->mem, &mb->snap);
	if (cache->list.block == NULL && mb->list.n == 0 && s->n > 0 && moved)
		return md_fail_replaced(mb, MD_UIDL, call);
	status = take_over(mb, cache, p, call);
	if (status != CULVER_OK)
		return status;
	fresh = match(mb->store->host, s, &mb->list, s->n == 0 &&
	    plug_stamp_equal(&s->stamp, &cache->uidl));
	if (fresh < 0)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	p->need_save = fresh > 0 ||
	    (mb->lock >= 0 && (moved || s->from != p->from));
	p->note_only = fresh == 0 && p->from == MD_NAME;
	if (mb->lock < 0 && s->from != p->from) {
		/* no session: the other server may go on for a while */
		p->need_save = fresh > 0 && p->from == MD_NAME;
		p->from = s->from;
	}
	return CULVER_OK;
}

/* Save what P found.  Where it is only a note, a full disk is no reason to
 * keep the user from removing mail. */
static culver_status
keep(struct culver_mailbox *mb, const struct pass *p,
    struct culver_call *call)
{
	culver_status status = save(mb, &p->state, p->from, call);

	if (status == CULVER_E_NOSPACE && p->note_only) {
		plug_warn(mb->store->host, call->err, "the next session will "
		    "look again whose UIDLs these are");
		status = CULVER_OK;
	}
	if (status == CULVER_OK)
		status = md_uidl_stamp(&mb->index, &mb->uidl, call);
	return status;
}

culver_status
md_uidl_assign(struct culver_mailbox *mb, const struct md_cache *cache,
    struct culver_call *call)
{
	struct pass p = { .from = MD_AUTO };
	culver_status status;
	bool made = false;
	int lock = -1;

	status = assign(mb, cache, &p, call);
	if (status == CULVER_OK && p.need_save && mb->lock < 0) {
		/* not a POP3 session, but this must not race with one */
		status = plug_lock(&mb->index, PLUG_LOCK, &lock, &made, call);
		if (status == CULVER_E_IN_USE)
			status = plug_fail_as(call, CULVER_E_TEMP,
			    "%s has messages without a UIDL and is in use",
			    mb->store->path);
		if (status == CULVER_OK)
			status = assign(mb, cache, &p, call);
	}
	if (status == CULVER_OK && p.need_save)
		status = keep(mb, &p, call);
	else
		mb->uidl = p.state.stamp;
	/* a lock file that another session locked first is that session's */
	if (lock >= 0 && made)
		unlinkat(mb->index.fd, PLUG_LOCK, 0);
	if (lock >= 0)
		close(lock);
	uidl_state_free(&p.state);
	return status;
}
