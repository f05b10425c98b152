/*
 * cache.c - a cache: header, records and strings, as state.h says; and such
 * strings in memory.
 *
 * Runs in the worker as the mailbox's owner.  The file may vanish or be
 * damaged at any time; it is read whole, and losing it costs only speed.
 */
#include "config.h"

#include "plugins/common/state.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

_Static_assert(sizeof(struct plug_stamp) == 40, "layout of caches");
_Static_assert(sizeof(struct plug_cache_head) == 40, "layout of caches");

uint32_t
plug_blob_add(struct plug_blob *b, const char *s, size_t n)
{
	size_t cap = b->cap == 0 ? 1024 : b->cap;
	size_t at = b->n == 0 ? 1 : b->n;
	char *p;

	while (cap < at + n + 1)
		cap *= 2;
	if (cap > UINT32_MAX)
		return 0;
	if (cap != b->cap) {
		p = realloc(b->p, cap);
		if (p == NULL)
			return 0;
		p[0] = '\0';
		b->p = p;
		b->cap = cap;
	}
	memcpy(b->p + at, s, n);
	b->p[at + n] = '\0';
	b->n = at + n + 1;
	return (uint32_t)at;
}

void
plug_stamp_swap(struct plug_stamp *s)
{
	s->dev = htole64(s->dev);
	s->ino = htole64(s->ino);
	s->mtime = (int64_t)htole64((uint64_t)s->mtime);
	s->ctime = (int64_t)htole64((uint64_t)s->ctime);
	s->mtime_ns = htole32(s->mtime_ns);
	s->ctime_ns = htole32(s->ctime_ns);
}

/* What is wrong with the SIZE bytes at C->head, or NULL; fills C. */
static const char *
check(struct plug_cache *c, size_t size)
{
	const struct plug_cache_format *f = c->format;
	struct plug_cache_head *h = c->head;
	const size_t body = size - f->head_size;
	uint64_t sum;

	if (size < f->head_size || size % 8 != 0)
		return "its length";
	if (memcmp(h->magic, f->magic, sizeof(h->magic)) != 0)
		return "its first bytes";
	if (le32toh(h->version) != f->version ||
	    le32toh(h->rec_size) != f->rec_size)
		return "its version";
	c->n = le64toh(h->n);
	c->blob_len = le64toh(h->blob_len);
	if (c->n > body / f->rec_size ||
	    c->blob_len != body - c->n * f->rec_size)
		return "its length";
	sum = h->sum;
	h->sum = 0;
	if (plug_hash(0, h, size) != le64toh(sum))
		return "its checksum";
	c->rec = (char *)c->head + f->head_size;
	c->blob = (char *)c->rec + c->n * f->rec_size;
	if (c->n > 0 && (c->blob_len == 0 || c->blob[c->blob_len - 1] != '\0'))
		return f->unended;
	return NULL;
}

bool
plug_cache_load(const struct culver_host *host, const struct plug_index *ix,
    const struct plug_cache_format *f, void *arg, struct culver_call *call)
{
	struct plug_cache c = { .format = f };
	const char *wrong;
	size_t size;
	char *buf;

	if (plug_file_read(ix, f->name, &buf, &size, &c.st, call) !=
	    CULVER_OK) {
		plug_warn(host, call->err, "done without");
		return false;
	}
	if (buf == NULL)
		return false;
	c.head = buf;
	wrong = check(&c, size);
	if (wrong == NULL)
		wrong = f->parse(&c, arg);
	if (wrong == NULL)
		return true;
	culver_logf(host, CULVER_LOG_WARN,
	    "%s/%s is damaged or of another version (%s is wrong): "
	    "made again", ix->path, f->name, wrong);
	free(buf);
	return false;
}

void
plug_cache_begin(struct plug_cache *c, void *block, size_t n, size_t len)
{
	const struct plug_cache_format *f = c->format;
	struct plug_cache_head *h = block;

	memset(block, 0, f->head_size);
	memcpy(h->magic, f->magic, sizeof(h->magic));
	h->version = htole32(f->version);
	h->rec_size = htole32(f->rec_size);
	h->n = htole64(n);
	c->head = h;
	c->rec = (char *)block + f->head_size;
	c->n = n;
	c->blob = (char *)c->rec + n * f->rec_size;
	c->blob_len = PLUG_CACHE_PAD(len);
	memset(c->blob + len, 0, c->blob_len - len);
	h->blob_len = htole64(c->blob_len);
}

bool
plug_cache_make(struct plug_cache *c, size_t n, size_t len)
{
	const struct plug_cache_format *f = c->format;
	void *block;

	if (len > UINT32_MAX - 8 || (block = malloc(f->head_size +
	    n * f->rec_size + PLUG_CACHE_PAD(len))) == NULL)
		return false;
	plug_cache_begin(c, block, n, len);
	if (len > 0)
		c->blob[0] = '\0';
	return true;
}

void
plug_cache_save(const struct culver_host *host, const struct plug_index *ix,
    const struct plug_cache_format *f, void *arg)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call call = { .size = sizeof(call), .err = &err,
	    .deadline = UINT64_MAX };
	struct plug_cache c = { .format = f };
	struct plug_cache_head *h;
	culver_status status;
	size_t size = 0;
	int fd;

	status = plug_file_create(ix, f->name, &fd, &c.st, &call);
	if (status == CULVER_OK) {
		if (f->build(&c, arg)) {
			size = (size_t)(c.blob + c.blob_len - (char *)c.head);
			h = c.head;
			h->sum = htole64(plug_hash(0, c.head, size));
		}
		status = plug_file_commit(ix, f->name, fd,
		    (struct culver_str){ .p = c.head, .n = size }, false,
		    &call);
	}
	if (status != CULVER_OK)
		plug_warn(host, &err, "the next login is slower");
	free(c.head);
}
