/*
 * take.c - extents to octets, and whether their flags tell the truth.
 *
 * Runs in a check.  A flag is a promise: the core sends by it without looking.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/tools/kit/box.h"

enum { EXTENT_FLAGS = CULVER_EXT_CRLF | CULVER_EXT_LF | CULVER_EXT_NO_DOT |
    CULVER_EXT_AT_BOL };

static void
grow(struct taken *t, size_t more)
{
	size_t cap = t->cap == 0 ? 4096 : t->cap;

	while (cap < t->n + more)
		cap *= 2;
	if (cap > t->cap) {
		t->raw = realloc(t->raw, cap);
		t->cap = cap;
	}
	if (t->raw == NULL)
		kit_fail("no memory");
}

static void
copy(struct taken *t, const struct culver_extent *e, const char *doing)
{
	size_t got = 0;

	if (e->fd < 0) {
		if (e->length > 0)
			memcpy(t->raw + t->n, e->mem, (size_t)e->length);
		return;
	}
	while (got < e->length) {
		ssize_t r = pread(e->fd, t->raw + t->n + got,
		    (size_t)e->length - got, (off_t)(e->offset + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			kit_fail("%s: an extent of %llu octets at %llu of its "
			    "file ends after %zu: %s", doing,
			    (unsigned long long)e->length,
			    (unsigned long long)e->offset, got,
			    r < 0 ? strerror(errno) : "end of file");
		got += (size_t)r;
	}
}

/* The octets AT..N of RAW, of which those before AT were given before. */
static void
check_flags(const char *raw, size_t at, size_t n, uint32_t flags,
    const char *doing)
{
	bool bol = at == 0 || raw[at - 1] == '\n';
	size_t i;

	if ((flags & CULVER_EXT_AT_BOL) != 0 && !bol)
		kit_fail("%s: CULVER_EXT_AT_BOL, but the extent at octet %zu "
		    "does not begin a line", doing, at);
	for (i = at; i < n; i++) {
		bool cr = i > 0 && raw[i - 1] == '\r';

		if ((flags & CULVER_EXT_CRLF) != 0 &&
		    (cr ? raw[i] != '\n' && i > at : raw[i] == '\n'))
			kit_fail("%s: CULVER_EXT_CRLF, but octet %zu is %s",
			    doing, i, cr ? "behind a bare CR" : "a bare LF");
		if ((flags & CULVER_EXT_LF) != 0 && cr && raw[i] == '\n')
			kit_fail("%s: CULVER_EXT_LF, but the line end at octet "
			    "%zu is CRLF", doing, i);
		if ((flags & CULVER_EXT_NO_DOT) != 0 && raw[i] == '.' &&
		    (i == 0 || raw[i - 1] == '\n'))
			kit_fail("%s: CULVER_EXT_NO_DOT, but a line begins "
			    "with a dot at octet %zu", doing, i);
	}
}

void
take_extent(struct taken *t, const struct culver_extent *e, const char *doing)
{
	if (e->reserved != 0)
		kit_fail("%s: the extent's reserved is not zero", doing);
	if ((e->flags & ~(uint32_t)EXTENT_FLAGS) != 0)
		kit_fail("%s: unknown flags 0x%x of an extent", doing,
		    e->flags);
	if ((e->flags & CULVER_EXT_CRLF) != 0 &&
	    (e->flags & CULVER_EXT_LF) != 0)
		kit_fail("%s: an extent is both CRLF and LF", doing);
	if (e->fd < -1 || e->length > INT64_MAX || e->offset > INT64_MAX ||
	    (e->fd == -1 && e->length > 0 && e->mem == NULL))
		kit_fail("%s: an impossible extent (fd %d, offset %llu, "
		    "length %llu)", doing, (int)e->fd,
		    (unsigned long long)e->offset,
		    (unsigned long long)e->length);
	grow(t, (size_t)e->length + 1);
	copy(t, e, doing);
	check_flags(t->raw, t->n, t->n + (size_t)e->length, e->flags, doing);
	t->n += (size_t)e->length;
}

char *
take_wire(const char *raw, size_t n, size_t *wire_n)
{
	char *out = malloc(2 * n + 3);
	size_t i, w = 0;

	if (out == NULL)
		kit_fail("no memory");
	for (i = 0; i < n; i++) {
		if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
			out[w++] = '\r';
		out[w++] = raw[i];
	}
	if (n > 0 && raw[n - 1] != '\n') {
		out[w++] = '\r';
		out[w++] = '\n';
	}
	*wire_n = w;
	return out;
}
