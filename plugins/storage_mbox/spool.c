/*
 * spool.c - take a message that is delivered into a file of ours.
 *
 * Runs in a worker as the mailbox's owner.  The text comes from the network.
 * It is written with the line ends of the mbox and quoted, so that the locks
 * are held for one copy only (deliver.c).
 */
#include "config.h"

#include "plugins/storage_mbox/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void
mb_spool_free(struct culver_delivery *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->name[0] != '\0')
		unlinkat(d->index.fd, d->name, 0);
	if (d->index.fd >= 0)
		close(d->index.fd);
	free(d);
}

static void
flush(struct culver_delivery *d, struct culver_call *call)
{
	if (d->failed == CULVER_OK && !plug_write_all(d->fd, d->buf, d->n))
		d->failed = plug_fail(call, errno, "cannot write %s/%s",
		    d->index.path, d->name);
	d->size += d->n;
	d->n = 0;
}

static void
put(struct culver_delivery *d, const void *p, size_t n,
    struct culver_call *call)
{
	const unsigned char *s = p;

	for (; n > 0; n--, s++) {
		if (d->n == sizeof(d->buf))
			flush(d, call);
		d->buf[d->n++] = *s;
	}
}

static void
put_newline(struct culver_delivery *d, struct culver_call *call)
{
	put(d, d->crlf ? "\r\n" : "\n", d->crlf ? 2 : 1, call);
}

/* A line end that came as CR CR LF keeps its CR, and gets no third one. */
static void
put_newline_after(struct culver_delivery *d, unsigned char last,
    struct culver_call *call)
{
	if (last == '\r')
		put(d, "\n", 1, call);
	else
		put_newline(d, call);
}

/* The first bytes of a line are known: what does it need? */
static void
begin_line(struct culver_delivery *d, struct culver_call *call)
{
	const unsigned char *p = d->line;
	size_t k = 0;

	while (k < d->begun && p[k] == '>')
		k++;
	if ((k == 0 || d->all_quotes) && d->begun - k >= 5 &&
	    memcmp(p + k, "From ", 5) == 0)
		put(d, ">", 1, call);
	/* only programs with the mbox in their hands may write these */
	else if (d->header && mb_is_metadata(p, d->begun))
		put(d, MB_QUOTED, sizeof(MB_QUOTED) - 1, call);
	put(d, p, d->begun, call);
	d->begun = 0;
	d->bol = false;
}

/* Does the rest of the line matter for begin_line()? */
static bool
line_undecided(const struct culver_delivery *d)
{
	size_t k = 0;

	if (d->begun == sizeof(d->line))
		return false;
	if (d->header)
		return true;
	while (k < d->begun && d->line[k] == '>')
		k++;
	return d->begun - k < 5 &&
	    memcmp(d->line + k, "From ", d->begun - k) == 0;
}

/* One byte of the message, with CRLF as LF. */
static void
take_byte(struct culver_delivery *d, unsigned char c,
    struct culver_call *call)
{
	if (c == '\n') {
		bool empty = d->bol && d->begun == 0;

		if (empty)
			d->header = false;
		if (d->bol)
			begin_line(d, call);
		put_newline_after(d, d->last, call);
		d->bol = true;
	} else if (d->bol) {
		d->line[d->begun++] = c;
		if (!line_undecided(d))
			begin_line(d, call);
	} else
		put(d, &c, 1, call);
	d->last = c;
}

culver_status
mb_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	const unsigned char *p = buf, *end = p + n;

	for (; p < end && d->failed == CULVER_OK; p++) {
		/* the CR of a CRLF goes, but not after another CR */
		if (d->cr && (*p != '\n' || d->last == '\r'))
			take_byte(d, '\r', call);
		d->cr = *p == '\r';
		if (!d->cr)
			take_byte(d, *p, call);
	}
	if (d->failed == CULVER_OK)
		return plug_in_time(d->store->host, d->store->path, call);
	return d->failed;
}

/* Does the mbox have CRLF, and whose is it?  What is not known is as usual. */
static void
learn(struct culver_delivery *d)
{
	const struct culver_store *store = d->store;
	char buf[256], style[16];
	unsigned i, is = store->style == MB_AUTO ? MB_OWN : store->style;
	const char *p;
	ssize_t n;
	int fd;

	fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK | O_NOCTTY);
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), 0);
	if (fd >= 0)
		close(fd);
	p = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
	d->crlf = p != NULL && p > buf && p[-1] == '\r';
	fd = openat(d->index.fd, MB_UIDL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf) - 1, 0);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	p = strstr(buf, " style ");
	if (store->style == MB_AUTO && p != NULL &&
	    sscanf(p, " style %15s", style) == 1)
		for (i = MB_OWN; i < MB_STYLES; i++)
			if (strcmp(style, mb_styles[i]) == 0)
				is = i;
	mb_look_set(&d->look, is, store->quoting);
	d->all_quotes = d->look.unquote;
}

static culver_status
make_spool(struct culver_delivery *d, struct culver_call *call)
{
	uint64_t bits;

	d->store->host->random(d->store->host, &bits, sizeof(bits));
	snprintf(d->name, sizeof(d->name), MB_SPOOL "%016" PRIx64, bits);
	d->fd = openat(d->index.fd, d->name, O_RDWR | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->fd >= 0)
		return CULVER_OK;
	d->name[0] = '\0';
	return plug_fail(call, errno, "cannot create a file in %s",
	    d->index.path);
}

culver_status
mb_deliver_begin(struct culver_store *store, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	static const char no_seal[33] = "00000000000000000000000000000000";
	static const struct mb_append none;
	struct culver_delivery *d = malloc(sizeof(*d));
	culver_status status;
	struct timespec now;
	char from[512];
	size_t n;

	if (d == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	memset(d, 0, offsetof(struct culver_delivery, buf));
	d->store = store;
	d->fd = d->index.fd = -1;
	d->header = d->bol = true;
	if (CULVER_HAS(struct culver_envelope, env, uid) && env->uid != NULL) {
		snprintf(d->uid, sizeof(d->uid), "%s", env->uid);
		d->keep_uid = true;
	} else
		plug_uid_random(store->host, d->uid);
	status = mb_index_open(store, &d->index, call);
	if (status == CULVER_OK)
		status = make_spool(d, call);
	if (status != CULVER_OK) {
		mb_spool_free(d);
		return status;
	}
	learn(d);
	clock_gettime(CLOCK_REALTIME, &now);
	n = mb_from_make(from, sizeof(from), env->sender,
	    CULVER_HAS(struct culver_envelope, env, received) &&
	    env->received != 0 ? env->received : now.tv_sec);
	put(d, &none, sizeof(none), call);
	put(d, from, n, call);
	put_newline(d, call);
	n = (size_t)snprintf(from, sizeof(from), "%s %s ", MB_OWN_NAME,
	    d->uid);
	put(d, from, n, call);
	d->seal_at = d->n;
	put(d, no_seal, 32, call);
	put_newline(d, call);
	*out = d;
	return CULVER_OK;
}

void
mb_spool_finish(struct culver_delivery *d, struct culver_call *call)
{
	if (d->cr)
		take_byte(d, '\r', call);
	if (d->bol && d->begun > 0)
		begin_line(d, call);
	/* a CR at the end is no part of the line end that is added */
	if (!d->bol)
		put(d, d->crlf || d->last == '\r' ? "\r\n" : "\n",
		    d->crlf || d->last == '\r' ? 2 : 1, call);
	put_newline(d, call);
	flush(d, call);
}
