/*
 * read.c - give the core the bytes of a message.
 *
 * Runs in the worker as the mailbox's owner.  Others remove, move and change
 * messages between two calls, so every byte is checked before it is given
 * away: a message is read under the lock, hashed and compared with what was
 * listed.  One that is larger than a chunk is read twice: once to know the
 * hash of each chunk, then chunk by chunk.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read the chunk that begins at AT of what ends at END: whole lines. */
static culver_status
read_chunk(struct culver_mailbox *mb, const struct mb_file *f, uint64_t at,
    uint64_t end, unsigned char *buf, size_t *n, struct culver_call *call)
{
	const unsigned char *nl;
	culver_status status;

	*n = end - at < MB_CHUNK ? (size_t)(end - at) : MB_CHUNK;
	status = mb_pread(mb->store, f->fd, buf, *n, at, call);
	if (status != CULVER_OK || *n == end - at)
		return status;
	nl = memrchr(buf, '\n', *n);
	if (nl != NULL)
		*n = (size_t)(nl + 1 - buf);
	else
		*n -= 8;	/* a long line; never between CR and LF */
	return CULVER_OK;
}

/* Keep the hash of a chunk; false without memory. */
static bool
add_sum(struct culver_content *c, const unsigned char *buf, size_t n)
{
	uint64_t *sum;

	if (c->chunks % 64 == 0) {
		sum = realloc(c->sum, (c->chunks + 64) * sizeof(*sum));
		if (sum == NULL)
			return false;
		c->sum = sum;
	}
	c->sum[c->chunks++] = plug_hash(n, buf, n);
	return true;
}

/*
 * Read R, at its place in F, and hash it.  If C is not NULL its buffer gets
 * what is shown, if that is one chunk, and its sums else.  *OCTETS: the size
 * now.
 */
static culver_status
hash_message(struct culver_mailbox *mb, struct mb_file *f,
    const struct mb_rec *r, struct culver_content *c, unsigned char *buf,
    uint64_t id[2], uint64_t *octets, struct culver_call *call)
{
	culver_status status = CULVER_OK;
	struct mb_msg m;
	uint64_t at;
	size_t n, shown;

	mb_msg_begin(&m, &mb->look, mb->snap.key);
	for (at = r->head; at < r->end && status == CULVER_OK; at += n) {
		status = read_chunk(mb, f, at, r->end, buf, &n, call);
		if (status == CULVER_OK)
			status = mb_file_tick(mb->store, f, call);
		if (status != CULVER_OK)
			return status;
		if (c != NULL && !add_sum(c, buf, n))
			return plug_fail(call, ENOMEM, "%s", mb->store->path);
		shown = mb_msg_add(&m, buf, n, c != NULL ? buf : NULL, NULL);
		if (c != NULL)
			c->n = shown;
	}
	mb_msg_end(&m, false, id);
	*octets = m.octets;
	return status;
}

/* Does R fit into F, and does a message begin there? */
static culver_status
check_place(struct culver_mailbox *mb, const struct mb_file *f,
    const struct mb_rec *r, bool *is, struct culver_call *call)
{
	unsigned char from[5];
	culver_status status;

	*is = r->next <= (uint64_t)f->st.st_size;
	if (!*is)
		return CULVER_OK;
	status = mb_pread(mb->store, f->fd, from, sizeof(from), r->start,
	    call);
	if (status != CULVER_OK)
		return status;
	*is = memcmp(from, "From ", 5) == 0;
	return *is ? mb_is_boundary(mb->store, f, &mb->look, r->next, is,
	    call) : CULVER_OK;
}

culver_status
mb_verify(struct culver_mailbox *mb, struct mb_file *f,
    const struct mb_rec *r, bool *is, struct culver_call *call)
{
	unsigned char *buf;
	culver_status status;
	uint64_t id[2], octets;

	status = check_place(mb, f, r, is, call);
	if (status != CULVER_OK || !*is)
		return status;
	buf = malloc(MB_CHUNK);
	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	status = hash_message(mb, f, r, NULL, buf, id, &octets, call);
	*is = id[0] == r->id[0] && id[1] == r->id[1];
	free(buf);
	return status;
}

/* Read and check the message of C, under the lock. */
static culver_status
load(struct culver_content *c, struct mb_file *f, bool *is,
    struct culver_call *call)
{
	struct culver_mailbox *mb = c->mb;
	const struct mb_rec *r = &mb->list.rec[c->index];
	culver_status status;
	uint64_t id[2] = { 0, 0 }, octets = 0;

	c->chunks = 0;
	c->n = 0;
	status = check_place(mb, f, r, is, call);
	if (status != CULVER_OK || !*is)
		return status;
	status = hash_message(mb, f, r, c, c->buf, id, &octets, call);
	if (status != CULVER_OK)
		return status;
	*is = id[0] == r->id[0] && id[1] == r->id[1];
	if (!*is || octets == r->octets)
		return CULVER_OK;
	/* the next session must look again, or it would say this for ever */
	mb->changed = mb->dirty = true;
	return plug_fail_as(call, CULVER_E_TEMP,
	    "%s: message %s had %llu octets when it was listed, now %llu",
	    mb->store->path, mb_uid(&mb->list, r),
	    (unsigned long long)r->octets, (unsigned long long)octets);
}

static culver_status
fail_gone(struct culver_mailbox *mb, uint32_t index, struct culver_call *call)
{
	return plug_fail_as(call, CULVER_E_GONE,
	    "%s: another program removed message %s", mb->store->path,
	    mb_uid(&mb->list, &mb->list.rec[index]));
}

static culver_status
find_and_load(struct culver_content *c, struct culver_call *call)
{
	struct culver_mailbox *mb = c->mb;
	const struct mb_rec *r = &mb->list.rec[c->index];
	struct mb_file f = MB_FILE_NONE;
	culver_status status;
	bool is = false;

	if ((r->flags & MB_GONE) != 0)
		return fail_gone(mb, c->index, call);
	status = mb_file_open(mb->store, &f, false, call);
	if (status == CULVER_OK)
		status = load(c, &f, &is, call);
	if (status == CULVER_OK && !is) {
		status = mb_relocate(mb, &f, call);
		if (status == CULVER_OK && (r->flags & MB_GONE) != 0)
			status = fail_gone(mb, c->index, call);
		if (status == CULVER_OK)
			status = load(c, &f, &is, call);
		if (status == CULVER_OK && !is)
			status = plug_fail_as(call, CULVER_E_TEMP,
			    "%s: message %s is lost", mb->store->path,
			    mb_uid(&mb->list, r));
	}
	mb_file_close(mb->store, &f);
	return status;
}

culver_status
mb_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	struct culver_content *c = &mb->content;
	culver_status status;

	if (index >= mb->list.n || c->open)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s: read of message %lu out of turn", mb->store->path,
		    (unsigned long)index);
	if (c->buf == NULL && (c->buf = malloc(MB_CHUNK)) == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	c->mb = mb;
	c->index = index;
	c->open = true;
	status = find_and_load(c, call);
	if (status != CULVER_OK) {
		mb_done(c);
		return status;
	}
	c->at = mb->list.rec[index].head;
	c->chunk = 0;
	c->ready = c->chunks <= 1;
	if (c->ready)
		c->at = mb->list.rec[index].end;
	else
		mb_msg_begin(&c->msg, &mb->look, mb->snap.key);
	*out = c;
	return CULVER_OK;
}

/* Read the next chunk again, and check that it is the same. */
static culver_status
next_chunk(struct culver_content *c, struct culver_call *call)
{
	struct culver_mailbox *mb = c->mb;
	const struct mb_rec *r = &mb->list.rec[c->index];
	struct mb_file f = MB_FILE_NONE;
	culver_status status;
	size_t n = 0;

	status = mb_file_open(mb->store, &f, false, call);
	if (status == CULVER_OK)
		status = read_chunk(mb, &f, c->at, r->end, c->buf, &n, call);
	mb_file_close(mb->store, &f);
	if (status != CULVER_OK)
		return status;
	if (c->chunk == c->chunks ||
	    plug_hash(n, c->buf, n) != c->sum[c->chunk])
		return plug_fail_as(call, CULVER_E_STALE,
		    "%s: another program changed the file while message %s "
		    "was sent", mb->store->path, mb_uid(&mb->list, r));
	c->chunk++;
	c->at += n;
	c->n = mb_msg_add(&c->msg, c->buf, n, c->buf, NULL);
	c->ready = true;
	return CULVER_OK;
}

culver_status
mb_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const struct mb_rec *r = &c->mb->list.rec[c->index];
	culver_status status;

	*n = 0;
	if (cap == 0)
		return CULVER_OK;
	while (!c->ready || c->n == 0) {
		if (c->at == r->end)
			return CULVER_DONE;
		status = next_chunk(c, call);
		if (status != CULVER_OK)
			return status;
	}
	memset(out, 0, sizeof(*out));
	out->fd = -1;
	out->mem = c->buf;
	out->length = c->n;
	if (c->chunk <= 1)
		out->flags = CULVER_EXT_AT_BOL;
	c->ready = false;
	c->n = 0;
	*n = 1;
	return CULVER_OK;
}

void
mb_done(struct culver_content *c)
{
	free(c->sum);
	c->sum = NULL;
	c->chunks = 0;
	c->n = 0;
	c->open = c->ready = false;
}
