/*
 * reader.c - read a message out of the store (store.h): extents to octets.
 *
 * Runs in worker, as the mailbox's owner.  Extents are the plugin's word: each
 * is checked before it is used, and a file may be shorter than it said.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/plugin/host.h"
#include "core/pop3/wire.h"
#include "core/worker/rest.h"
#include "core/worker/store.h"
#include "core/worker/store-private.h"

culver_status
store_read(struct store *s, uint32_t index, struct store_reader *r)
{
	struct culver_call call = store_begin(s, STORE_SHORT_CALL);
	culver_status st;

	*r = (struct store_reader){ .s = s, .index = index };
	st = store_end(s, "read", s->ops->read(s->mailbox, index, &r->content,
	    &call), false);
	if (st != CULVER_OK)
		r->content = NULL;
	else if (r->content == NULL)
		st = store_broken("read", "no content");
	return st;
}

static bool
extents_sane(const struct store_reader *r)
{
	uint32_t i;

	for (i = 0; i < r->n; i++) {
		const struct culver_extent *e = &r->ext[i];

		if (e->fd < -1 || (e->fd == -1 && e->mem == NULL &&
		    e->length > 0) || (e->fd == -1 && e->length > SIZE_MAX / 2)
		    || e->offset > INT64_MAX || e->length > INT64_MAX ||
		    e->offset + e->length > INT64_MAX)
			return false;
	}
	return true;
}

static culver_status
next_extents(struct store_reader *r)
{
	struct culver_call call = store_begin(r->s, STORE_SHORT_CALL);
	culver_status st;

	memset(r->ext, 0, sizeof(r->ext));
	r->at = 0;
	r->done = 0;
	r->n = 0;
	st = store_end(r->s, "next", r->s->ops->next(r->content, r->ext,
	    STORE_EXTENTS, &r->n, &call), true);
	if (st == CULVER_DONE && r->n == 0)
		return st;
	if (st < CULVER_OK) {
		r->n = 0;
		return st;
	}
	if (r->n == 0 || r->n > STORE_EXTENTS) {
		r->n = 0;
		return store_broken("next", "an impossible count");
	}
	return extents_sane(r) ? CULVER_OK :
	    store_broken("next", "an impossible extent");
}

static uint8_t chunk[STORE_CHUNK];	/* of the file that is read */

void
store_rest(void)
{
	rest_pages(chunk, sizeof(chunk));
}

static culver_status
read_file(const struct store_reader *r, const struct culver_extent *e,
    size_t want, const uint8_t **p, size_t *n)
{
	ssize_t got;

	if (want > sizeof(chunk))
		want = sizeof(chunk);
	do {
		got = pread(e->fd, chunk, want, (off_t)(e->offset + r->done));
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		log_warn("storage: reading message %u", r->index + 1);
		return CULVER_E_TEMP;
	}
	if (got == 0) {
		log_warnx("storage: message %u is shorter than it was",
		    r->index + 1);
		return CULVER_E_TEMP;
	}
	*p = chunk;
	*n = (size_t)got;
	return CULVER_OK;
}

culver_status
store_chunk(struct store_reader *r, const uint8_t **p, size_t *n)
{
	const struct culver_extent *e;
	culver_status st;
	uint64_t left;

	for (;;) {
		if (r->at == r->n && (st = next_extents(r)) != CULVER_OK)
			return st;
		e = &r->ext[r->at];
		left = e->length - r->done;
		if (left > 0)
			break;
		r->at++;
		r->done = 0;
	}
	if (e->fd >= 0) {
		st = read_file(r, e, left < STORE_CHUNK ? (size_t)left :
		    STORE_CHUNK, p, n);
		if (st != CULVER_OK)
			return st;
	} else {
		*p = (const uint8_t *)e->mem + r->done;
		*n = (size_t)left;
	}
	r->done += *n;
	return CULVER_OK;
}

void
store_done(struct store_reader *r)
{
	if (r->content != NULL)
		r->s->ops->done(r->content);
	r->content = NULL;
}

static void
keep_octets(struct store *s, uint32_t index, uint64_t octets)
{
	struct culver_call call;

	s->msg[index].octets = octets;
	s->msg[index].flags |= STORE_EXACT;
	if ((s->caps & CULVER_ST_SIZE_CACHE) == 0)
		return;
	call = store_begin(s, STORE_SHORT_CALL);
	/* only a cache: the failure is logged and that is all */
	store_end(s, "put_octets", s->ops->put_octets(s->mailbox, index,
	    octets, &call), false);
}

culver_status
store_count(struct store *s, uint32_t index)
{
	struct store_reader r;
	struct wire_count c;
	const uint8_t *p;
	culver_status st;
	size_t n;

	wire_count_start(&c);
	st = store_read(s, index, &r);
	while (st == CULVER_OK && (st = store_chunk(&r, &p, &n)) == CULVER_OK)
		wire_count_add(&c, p, n);
	store_done(&r);
	if (st != CULVER_DONE)
		return st;
	keep_octets(s, index, wire_count_end(&c));
	return CULVER_OK;
}
