/*
 * expunge.c - remove the messages that a session deleted.
 *
 * Runs in the worker as the mailbox's owner, in the UPDATE state.  What is
 * removed was found under the lock and is what was listed; all else, also
 * what arrived since, stays as it is.  A journal makes it one step.
 */
#include "config.h"

#include "plugins/storage_mbox/uidl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A range of the file that goes. */
struct cut {
	uint64_t start, next;
};

static int
cut_order(const void *va, const void *vb)
{
	const struct cut *a = va, *b = vb;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* Does the stamp prove that F is what was listed? */
static bool
is_unchanged(const struct culver_mailbox *mb, const struct mb_file *f)
{
	const struct mb_snap *s = &mb->snap;
	struct plug_stamp now;

	plug_stamp_set(&now, &f->st);
	return !mb->changed && plug_stamp_equal(&now, &s->file) &&
	    (uint64_t)f->st.st_size == s->size &&
	    plug_is_old(now.mtime, now.mtime_ns, s->start, s->start_ns) &&
	    plug_is_old(now.ctime, now.ctime_ns, s->start, s->start_ns);
}

/*
 * As load_added() does: was mail only added, and is so all that was listed
 * where it was?
 */
static culver_status
is_added_to(struct culver_mailbox *mb, struct mb_file *f, bool *is,
    struct culver_call *call)
{
	*is = !mb->changed && mb->list.n > 0 &&
	    mb->snap.file.dev == f->st.st_dev &&
	    mb->snap.file.ino == f->st.st_ino &&
	    mb->snap.size < (uint64_t)f->st.st_size;
	return *is ? mb_verify(mb, f, &mb->list.rec[mb->list.n - 1], is,
	    call) : CULVER_OK;
}

/*
 * Make sure that each message to remove is where the list says.  *KNOWN: all
 * others are, too.
 */
static culver_status
find_all(struct culver_mailbox *mb, struct mb_file *f, const uint32_t *index,
    uint32_t n, bool *known, struct culver_call *call)
{
	culver_status status;
	uint32_t i;
	bool is;

	*known = is_unchanged(mb, f);
	if (*known)
		return CULVER_OK;
	status = is_added_to(mb, f, known, call);
	if (status != CULVER_OK)
		return status;
	for (i = 0; i < n; i++) {
		const struct mb_rec *r = &mb->list.rec[index[i]];

		if ((r->flags & MB_GONE) != 0)
			continue;
		status = mb_verify(mb, f, r, &is, call);
		if (status != CULVER_OK)
			return status;
		if (!is) {
			*known = false;
			return mb_relocate(mb, f, call);
		}
	}
	return CULVER_OK;
}

/*
 * The X-IMAPbase header of the first message keeps UIDs of other programs
 * valid.  If that message goes, the header moves on: *LEN bytes at *LINE, in
 * BUF.
 */
static culver_status
find_base(struct culver_mailbox *mb, const struct mb_file *f,
    const struct cut *first, unsigned char *buf, size_t room,
    const unsigned char **line, size_t *len, struct culver_call *call)
{
	static const char name[] = "X-IMAPbase:";
	unsigned char *p, *nl, *end;
	culver_status status;
	size_t n;

	*len = 0;
	if (mb->list.pseudo || first->start != mb->list.first)
		return CULVER_OK;
	n = first->next - first->start < room ?
	    (size_t)(first->next - first->start) : room;
	status = mb_pread(mb->store, f->fd, buf, n, first->start, call);
	if (status != CULVER_OK)
		return status;
	for (p = buf, end = buf + n; p < end && *p != '\n'; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			break;
		if ((size_t)(nl - p) > sizeof(name) - 1 && strncasecmp(
		    (const char *)p, name, sizeof(name) - 1) == 0) {
			*line = p;
			*len = (size_t)(nl + 1 - p);
			break;
		}
	}
	return CULVER_OK;
}

/* How long is the From_ line at OFFSET?  0 if that cannot be told. */
static culver_status
from_length(struct culver_mailbox *mb, const struct mb_file *f,
    uint64_t offset, size_t *len, struct culver_call *call)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	unsigned char buf[MB_LINE], *nl;
	culver_status status;
	size_t n = size - offset < sizeof(buf) ? (size_t)(size - offset) :
	    sizeof(buf);

	status = mb_pread(mb->store, f->fd, buf, n, offset, call);
	nl = status == CULVER_OK ? memchr(buf, '\n', n) : NULL;
	*len = nl != NULL ? (size_t)(nl + 1 - buf) : 0;
	return status;
}

/* What stays behind the first cut, as pieces; at most N + 3 of them. */
static size_t
make_pieces(const struct mb_file *f, const struct cut *cut, size_t n,
    struct mb_piece *piece)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		uint64_t end = i + 1 < n ? cut[i + 1].start : size;

		if (end > cut[i].next)
			piece[k++] = (struct mb_piece){ .fd = f->fd,
			    .offset = cut[i].next,
			    .length = end - cut[i].next };
	}
	return k;
}

/* Remove the ranges.  *MOVED: so long is a line that was moved on. */
static culver_status
remove_cuts(struct culver_mailbox *mb, struct mb_file *f, struct cut *cut,
    size_t n, size_t *moved, bool *later, struct culver_call *call)
{
	unsigned char head[16384];
	const unsigned char *line = NULL;
	struct mb_piece *piece = calloc(n + 3, sizeof(*piece));
	culver_status status;
	size_t k, len = 0, from = 0;

	if (piece == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	qsort(cut, n, sizeof(*cut), cut_order);
	k = make_pieces(f, cut, n, piece);
	status = find_base(mb, f, &cut[0], head, sizeof(head), &line, &len,
	    call);
	if (status == CULVER_OK && len > 0 && k > 0)
		status = from_length(mb, f, piece[0].offset, &from, call);
	if (status != CULVER_OK)
		goto out;
	/* the cut message had the line too, so nothing gets longer */
	if (from > 0 && from < piece[0].length) {
		memmove(piece + 2, piece, k * sizeof(*piece));
		k += 2;
		piece[0] = (struct mb_piece){ .fd = f->fd,
		    .offset = piece[2].offset, .length = from };
		piece[1] = (struct mb_piece){ .fd = -1, .mem = line,
		    .length = len };
		piece[2].offset += from;
		piece[2].length -= from;
		*moved = len;
	}
	status = mb_journal(mb->store, &mb->index, f, cut[0].start, piece, k,
	    later, call);
out:
	free(piece);
	return status;
}

/* The messages INDEX, as ranges; those that are gone already have none. */
static culver_status
make_cuts(const struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct cut **out, size_t *k, struct culver_call *call)
{
	uint32_t i;

	*k = 0;
	*out = calloc((size_t)n + 1, sizeof(**out));
	if (*out == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	for (i = 0; i < n; i++) {
		const struct mb_rec *r = &mb->list.rec[index[i]];

		if ((r->flags & MB_GONE) == 0)
			(*out)[(*k)++] = (struct cut){ r->start, r->next };
	}
	return CULVER_OK;
}

/* The messages are gone: their UIDLs shall never come back. */
static void
forget(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_call *call)
{
	struct culver_call own = *call;
	culver_status status;
	uint32_t i;

	own.deadline = UINT64_MAX;
	for (i = 0; i < n; i++)
		mb->list.rec[index[i]].flags |= MB_GONE;
	mb->dirty = true;
	status = mb_uidl_forget(mb->store, &mb->index, &mb->list, &own);
	if (status == CULVER_OK)
		status = mb_state_stamp(&mb->index, &mb->snap.uidl, &own);
	if (status == CULVER_OK)
		return;
	mb->changed = true;
	plug_warn(mb->store->host, own.err, "UIDLs of removed messages are "
	    "kept");
}

/*
 * Nobody else changed the file, so what is left of the list is in it, earlier
 * by what was cut out, which N ranges say.  The next session need not read it.
 */
static void
follow(struct culver_mailbox *mb, const struct cut *cut, size_t n,
    size_t moved)
{
	uint64_t back = 0;
	size_t i, k = 0;

	for (i = 0; i < mb->list.n; i++) {
		struct mb_rec *r = &mb->list.rec[i];

		if (k < n && r->start == cut[k].start) {
			back += cut[k].next - cut[k].start;
			k++;
			continue;
		}
		r->start -= back;
		r->head -= back;
		if (k > 0) {		/* the line is in the first of them */
			back -= moved;
			moved = 0;
		}
		r->end -= back;
		r->next -= back;
	}
	mb->snap.size -= back;
}

/* Note what the file is now, if all of it is KNOWN. */
static void
take_stock(struct culver_mailbox *mb, struct mb_file *f,
    const struct timespec *before, bool known, struct culver_call *call)
{
	struct mb_tally t = { .messages = MB_UNCOUNTED,
	    .look = mb_look_number(&mb->look) };
	size_t i;

	memcpy(t.key, mb->snap.key, sizeof(t.key));
	if (known && fstat(f->fd, &f->st) == 0 &&
	    mb->snap.size == (uint64_t)f->st.st_size)
		for (i = 0, t.messages = 0; i < mb->list.n; i++)
			if ((mb->list.rec[i].flags & MB_GONE) == 0) {
				t.octets += mb->list.rec[i].octets;
				t.messages++;
			}
	mb_tally_save(mb->store, &mb->index, f, before, true, &t, call);
	mb->changed |= !known;
	plug_stamp_set(&mb->snap.file, &f->st);
	mb->snap.start = mb->snap.start_ns = 0;
	if (t.settled)
		mb_snap_settle(&mb->snap);
}

static culver_status
check_call(const struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_call *call)
{
	uint32_t i;

	if ((mb->flags & CULVER_OPEN_READONLY) != 0)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s was opened for reading only", mb->store->path);
	for (i = 0; i < n; i++)
		if (index[i] >= mb->list.n)
			return plug_fail_as(call, CULVER_E_TEMP,
			    "%s: there is no message %lu", mb->store->path,
			    (unsigned long)index[i]);
	return CULVER_OK;
}

culver_status
mb_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	struct mb_file f = MB_FILE_NONE;
	struct cut *cut = NULL;
	struct timespec before;
	culver_status status;
	bool later = false, known = false;
	size_t k = 0, moved = 0;

	res->removed = 0;
	status = check_call(mb, index, n, call);
	if (status != CULVER_OK || n == 0)
		return status;
	status = mb_file_open(mb->store, &f, true, call);
	if (status == CULVER_OK && !f.writable)
		status = plug_fail_as(call, CULVER_E_PERM,
		    "%s may not be written", mb->store->path);
	if (status == CULVER_OK)
		status = mb_recover(mb->store, &mb->index, &f, call);
	if (status == CULVER_OK)
		status = find_all(mb, &f, index, n, &known, call);
	if (status == CULVER_OK)
		status = make_cuts(mb, index, n, &cut, &k, call);
	mb_tally_begin(&before);
	if (status == CULVER_OK && k > 0)
		status = remove_cuts(mb, &f, cut, k, &moved, &later, call);
	if (status == CULVER_OK) {
		res->removed = n;
		known &= !later && k == n;
		if (known)
			follow(mb, cut, k, moved);
		forget(mb, index, n, call);
		take_stock(mb, &f, &before, known, call);
	}
	mb_file_close(mb->store, &f);
	free(cut);
	return status;
}
