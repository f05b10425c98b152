/*
 * read.c - read one message, chunk by chunk.
 *
 * Runs in the worker as the mailbox's owner.  Each piece is read with
 * incremental BLOB I/O in a transaction of its own, so a slow client keeps
 * no lock and a large message needs little memory.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The chunk could not be opened with RC: is the message gone, or damaged? */
static culver_status
explain(struct culver_content *c, int rc, struct culver_call *call)
{
	struct culver_store *store = c->mb->store;
	const struct sq_message *m = &c->mb->msg[c->index];
	sqlite3_stmt *st;

	if ((rc & 0xff) != SQLITE_ERROR)
		return sq_fail(store, call, rc, "cannot read a message");
	st = sq_stmt(&store->db, SQ_FIND);
	if (st == NULL)
		return sq_fail(store, call,
		    sqlite3_extended_errcode(store->db.db), "cannot read it");
	sqlite3_bind_int64(st, 1, m->id);
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return plug_fail_as(call, CULVER_E_GONE,
		    "%s: message %lld was removed", store->path,
		    (long long)m->id);
	if (rc != SQLITE_ROW)
		return sq_fail(store, call, rc, "cannot read a message");
	return plug_fail_as(call, CULVER_E_CORRUPT,
	    "%s: message %lld lacks its chunk %lld", store->path,
	    (long long)m->id, (long long)m->id + c->chunk);
}

/* The next piece of the chunk at hand to c->buf; *n is 0 at its end. */
static culver_status
read_piece(struct culver_content *c, size_t *n, struct culver_call *call)
{
	struct culver_store *store = c->mb->store;
	const struct sq_message *m = &c->mb->msg[c->index];
	sqlite3_blob *blob = NULL;
	int64_t size;
	int rc;

	rc = sqlite3_blob_open(store->db.db, "main", "chunk", "data",
	    m->id + c->chunk, 0, &blob);
	if (rc != SQLITE_OK)
		return explain(c, rc, call);
	size = sqlite3_blob_bytes(blob) - c->offset;
	*n = size <= 0 ? 0 : size < SQ_CHUNK ? (size_t)size : SQ_CHUNK;
	if (*n > 0)
		rc = sqlite3_blob_read(blob, c->buf, (int)*n, (int)c->offset);
	sqlite3_blob_close(blob);
	if (rc != SQLITE_OK)
		return sq_fail(store, call, rc, "cannot read a message");
	c->offset += (int64_t)*n;
	if ((int64_t)*n >= size) {
		c->chunk++;
		c->offset = 0;
	}
	return CULVER_OK;
}

/* Fill the buffer; CULVER_DONE at the end of the message. */
static culver_status
fill(struct culver_content *c, struct culver_call *call)
{
	const struct sq_message *m = &c->mb->msg[c->index];
	culver_status status = sq_db_open(c->mb->store, call);

	c->n = 0;
	while (status == CULVER_OK && c->n == 0) {
		if (c->chunk == m->chunks)
			break;
		status = read_piece(c, &c->n, call);
	}
	if (status != CULVER_OK)
		return status;
	if (c->n > c->left || (c->n == 0 && c->left > 0))
		return plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s: message %lld does not have the %llu octets that its "
		    "row says", c->mb->store->path, (long long)m->id,
		    (unsigned long long)m->octets);
	c->left -= c->n;
	return c->n > 0 ? CULVER_OK : CULVER_DONE;
}

culver_status
sq_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	struct culver_content *c = &mb->content;
	culver_status status;

	if (index >= mb->n || c->mb != NULL)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s: read of message %lu out of turn", mb->store->path,
		    (unsigned long)index);
	if (c->buf == NULL && (c->buf = malloc(SQ_CHUNK)) == NULL)
		return plug_fail(call, ENOMEM, "%s", mb->store->path);
	*c = (struct culver_content){ .mb = mb, .index = index,
	    .left = mb->msg[index].octets, .buf = c->buf, .last_lf = true };
	/* what is wrong should be known before the first octet is sent */
	status = fill(c, call);
	if (status == CULVER_OK || status == CULVER_DONE) {
		*out = c;
		return CULVER_OK;
	}
	sq_done(c);
	return status;
}

culver_status
sq_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const uint32_t flags = c->mb->msg[c->index].flags;
	culver_status status = CULVER_OK;

	*n = 0;
	if (cap == 0)
		return CULVER_OK;
	if (c->n == 0)
		status = fill(c, call);
	if (status != CULVER_OK)
		return status;
	memset(out, 0, sizeof(*out));
	out->fd = -1;
	out->mem = c->buf;
	out->length = c->n;
	out->flags = ((flags & SQ_CRLF) != 0 ? CULVER_EXT_CRLF : 0) |
	    ((flags & SQ_NO_DOT) != 0 ? CULVER_EXT_NO_DOT : 0) |
	    (c->last_lf ? CULVER_EXT_AT_BOL : 0);
	c->last_lf = c->buf[c->n - 1] == '\n';
	c->n = 0;
	*n = 1;
	return CULVER_OK;
}

void
sq_done(struct culver_content *c)
{
	c->mb = NULL;
}
