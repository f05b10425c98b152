/*
 * scan.c - find the messages of an mbox.
 *
 * Runs in the worker as the mailbox's owner, with the file locked.  What the
 * file holds was sent by strangers: a From_ line counts only if it is one to
 * the end, a Content-Length only if it leads to one or to the end of the
 * file.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The part of the file that is in memory. */
struct window {
	unsigned char *buf;
	size_t len;
	uint64_t base, size;	/* of the file: the offset; its length */
};

struct scan {
	struct culver_store *store;
	struct mb_file *f;
	const struct mb_look *look;
	const unsigned char *key;
	struct mb_list *list;
	struct culver_call *call;
	struct window w;
	struct mb_msg msg;
	struct mb_rec rec;
	bool open;		/* inside a message */
	bool more;		/* the list has messages from before */
	uint64_t until;		/* what Content-Length says is text */
};

/* Make sure that the next N bytes from AT, or all there are, are in memory. */
static culver_status
fill(struct scan *s, uint64_t at, size_t n, unsigned char **p, size_t *avail)
{
	struct window *w = &s->w;
	size_t keep = (size_t)(w->base + w->len - at), more;
	culver_status status;

	if (keep < n && w->base + w->len < w->size) {
		memmove(w->buf, w->buf + (at - w->base), keep);
		w->base = at;
		more = MB_CHUNK - keep;
		if (more > w->size - at - keep)
			more = (size_t)(w->size - at - keep);
		w->len = keep;
		status = mb_pread(s->store, s->f->fd, w->buf + keep, more,
		    at + keep, s->call);
		if (status == CULVER_OK)
			status = mb_file_tick(s->store, s->f, s->call);
		if (status != CULVER_OK)
			return status;
		w->len += more;
	}
	*p = w->buf + (at - w->base);
	*avail = (size_t)(w->base + w->len - at);
	return CULVER_OK;
}

/* Does a From_ line begin at P?  The rules of LOOK; *WHEN its date. */
static bool
is_from(const struct mb_look *look, const unsigned char *p, size_t n,
    int64_t *when)
{
	const unsigned char *nl;

	*when = 0;
	if (n < 5 || memcmp(p, "From ", 5) != 0)
		return false;
	nl = memchr(p, '\n', n < MB_LINE ? n : MB_LINE);
	if (nl != NULL && mb_from_parse(p, (size_t)(nl - p), when))
		return true;
	return look->any_from;
}

culver_status
mb_is_boundary(const struct culver_store *store, const struct mb_file *f,
    const struct mb_look *look, uint64_t offset, bool *is,
    struct culver_call *call)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	unsigned char buf[MB_LINE + 2], *p = buf;
	culver_status status;
	int64_t when;
	size_t n;

	*is = offset == size;
	if (offset >= size)
		return CULVER_OK;
	n = size - offset < sizeof(buf) ? (size_t)(size - offset) :
	    sizeof(buf);
	status = mb_pread(store, f->fd, buf, n, offset, call);
	if (status != CULVER_OK)
		return status;
	/* the separator, or whoever appended found none and made one */
	if (*p == '\r' && n > 1) {
		p++;
		n--;
	}
	if (*p == '\n') {
		p++;
		n--;
	}
	*is = (n == 0 && offset + 2 >= size) || is_from(look, p, n, &when);
	return CULVER_OK;
}

/* The headers ended: where does Content-Length lead? */
static culver_status
use_length(struct scan *s)
{
	uint64_t body = s->rec.head + s->msg.body;
	culver_status status;
	bool is;

	if (!s->look->use_length || !s->msg.has_length)
		return CULVER_OK;
	is = s->msg.length <= s->w.size - body;
	status = !is ? CULVER_OK : mb_is_boundary(s->store, s->f, s->look,
	    body + s->msg.length, &is, s->call);
	if (status != CULVER_OK)
		return status;
	if (is)
		s->until = body + s->msg.length;
	else if (s->list->odd_lengths++ == 0)
		s->list->odd_first = s->rec.start;
	return CULVER_OK;
}

/* What an earlier server may have shown as the UIDL. */
static bool
keep_hint(struct scan *s)
{
	char headers[33], seal[33];

	if (s->msg.own_uid[0] != '\0') {
		mb_seal(s->key, s->msg.own_uid, s->rec.id, seal);
		if (strcmp(seal, s->msg.own_seal) == 0) {
			s->rec.flags |= MB_SEALED;
			s->rec.hint = plug_blob_add(&s->list->blob,
			    s->msg.own_uid, strlen(s->msg.own_uid));
			return s->rec.hint != 0;
		}
	}
	s->rec.x_uid = s->msg.x_uid;
	if (s->look->md5) {
		mb_msg_headers(&s->msg, headers);
		s->rec.hint = plug_blob_add(&s->list->blob, headers,
		    strlen(headers));
		return s->rec.hint != 0;
	}
	if (s->msg.x_uidl[0] == '\0')
		return true;
	s->rec.hint = plug_blob_add(&s->list->blob, s->msg.x_uidl,
	    strlen(s->msg.x_uidl));
	return s->rec.hint != 0;
}

/* The message that is open ends before AT. */
static culver_status
finish(struct scan *s, uint64_t at)
{
	bool first = s->rec.start == s->list->first;

	if (!s->open)
		return CULVER_OK;
	s->open = false;
	s->rec.next = at;
	s->rec.end = at - mb_msg_end(&s->msg, true, s->rec.id);
	s->rec.octets = s->msg.octets;
	if (first && s->msg.validity != 0) {
		s->list->validity = s->msg.validity;
		s->list->last_uid = s->msg.last_uid;
		s->list->base_padded = s->msg.base_padded;
	}
	s->list->uid_padded |= s->msg.uid_padded;
	if (first && s->msg.pseudo && !s->look->show_pseudo) {
		s->list->pseudo = 1;
		return CULVER_OK;
	}
	if (!keep_hint(s) || !mb_list_add(s->list, &s->rec))
		return plug_fail(s->call, ENOMEM, "%s", s->store->path);
	return CULVER_OK;
}

/* A message begins at AT, with the line at P. */
static void
begin(struct scan *s, uint64_t *at, const unsigned char *p, size_t n,
    int64_t when)
{
	const unsigned char *nl = memchr(p, '\n', n);
	size_t line = nl != NULL ? (size_t)(nl + 1 - p) : n;

	s->rec = (struct mb_rec){ .start = *at, .head = *at + line,
	    .received = when };
	mb_msg_begin(&s->msg, s->look, s->key);
	s->open = true;
	s->until = 0;
	*at += line;
}

/* Before the first message: empty lines, and nothing else. */
static culver_status
before_first(struct scan *s, uint64_t *at, const unsigned char *p, size_t n)
{
	const unsigned char *nl;
	int64_t when;

	if (*p == '\n' || (*p == '\r' && n > 1 && p[1] == '\n')) {
		*at += *p == '\n' ? 1 : 2;
		return CULVER_OK;
	}
	is_from(s->look, p, n, &when);
	if (n < 5 || memcmp(p, "From ", 5) != 0 ||
	    memchr(p, '\n', n) == NULL)
		return plug_fail_as(s->call, CULVER_E_CORRUPT,
		    "%s is no mbox: there is no From_ line at offset %llu",
		    s->store->path, (unsigned long long)*at);
	nl = memchr(p, '\n', n);
	if (!s->more) {
		s->list->first = *at;
		s->list->lines_crlf = nl[-1] == '\r';
	}
	begin(s, at, p, n, when);
	return CULVER_OK;
}

/* How much of N bytes at P is text that ends before a possible From_ line. */
static size_t
text_length(const struct scan *s, uint64_t at, const unsigned char *p,
    size_t n, bool last)
{
	size_t skip = s->until > at + 1 ? (size_t)(s->until - at - 1) : 0;
	const unsigned char *q = NULL;

	if (skip < n)
		q = memmem(p + skip, n - skip, "\nFrom ", 6);
	if (q != NULL)
		return (size_t)(q + 1 - p);
	if (last)
		return n;
	q = memrchr(p, '\n', n);
	if (q != NULL)
		return (size_t)(q + 1 - p);
	/* a long line: leave what decides how it ends */
	return n - 8;
}

/* Take one piece at AT: a From_ line, a header line, or much text. */
static culver_status
step(struct scan *s, uint64_t *at)
{
	const unsigned char *nl;
	unsigned char *p;
	culver_status status;
	int64_t when;
	size_t n, len;
	bool last;

	status = fill(s, *at, MB_LINE + 16, &p, &n);
	if (status != CULVER_OK)
		return status;
	last = *at + n == s->w.size;
	if (!s->open)
		return before_first(s, at, p, n);
	if (s->msg.bol && *at >= s->until &&
	    (!s->look->need_blank || s->msg.blank) &&
	    is_from(s->look, p, n, &when)) {
		status = finish(s, *at);
		if (status == CULVER_OK)
			begin(s, at, p, n, when);
		return status;
	}
	if (!s->msg.header)
		len = text_length(s, *at, p, n, last);
	else {
		nl = memchr(p, '\n', n);
		len = nl != NULL ? (size_t)(nl + 1 - p) : last ? n : n - 8;
	}
	mb_msg_add(&s->msg, p, len, NULL, NULL);
	*at += len;
	if (s->msg.body != 0 && s->rec.head + s->msg.body == *at)
		status = use_length(s);
	return status;
}

culver_status
mb_scan(struct culver_store *store, struct mb_file *f,
    const struct mb_look *look, const unsigned char key[16], uint64_t from,
    struct mb_list *l, struct culver_call *call)
{
	struct scan s = { .store = store, .f = f, .look = look, .key = key,
	    .list = l, .call = call, .more = from > 0,
	    .w = { .base = from, .size = (uint64_t)f->st.st_size } };
	culver_status status = CULVER_OK;
	uint64_t at = from;

	s.w.buf = malloc(MB_CHUNK);
	if (s.w.buf == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	while (at < s.w.size && status == CULVER_OK)
		status = step(&s, &at);
	if (status == CULVER_OK)
		status = finish(&s, at);
	free(s.w.buf);
	return status;
}

culver_status
mb_scan_base(const struct culver_store *store, const struct mb_file *f,
    const struct mb_look *look, struct mb_list *l, struct culver_call *call)
{
	static const unsigned char key[16];
	const uint64_t size = (uint64_t)f->st.st_size;
	unsigned char buf[16384], *nl;
	culver_status status;
	struct mb_msg m;
	size_t n, end;

	if (l->first >= size)
		return CULVER_OK;
	n = size - l->first < sizeof(buf) ? (size_t)(size - l->first) :
	    sizeof(buf);
	status = mb_pread(store, f->fd, buf, n, l->first, call);
	if (status != CULVER_OK)
		return status;
	nl = memchr(buf, '\n', n);
	if (nl == NULL)
		return CULVER_OK;
	mb_msg_begin(&m, look, key);
	mb_msg_add(&m, nl + 1, n - (size_t)(nl + 1 - buf), NULL, &end);
	if (m.validity != 0) {
		l->validity = m.validity;
		l->last_uid = m.last_uid;
	}
	return CULVER_OK;
}
