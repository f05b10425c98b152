/*
 * out.c - write log lines to a file or to syslog.
 *
 * Runs in the log role as culver-log, confined; its descriptors come from
 * master.  The texts come from every other role and are not trusted.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/log/out.h"

enum { NOTE_MAX = 320 };	/* of the line that tells a gap */

void
out_init(struct out *out)
{
	out->fd = -1;
	out->kind = OUT_FILE;
	out->json = 0;
	out->lost = out->lost_ever = 0;
	out->error = 0;
	out->n = 0;
}

static void
lose(struct out *out, unsigned n)
{
	out->lost += n;
	out->lost_ever += n;
}

static _Bool
append(struct out *out, const char *line, size_t n)
{
	if (n > sizeof(out->buf) - out->n)
		return 0;
	memcpy(out->buf + out->n, line, n);
	out->n += n;
	return 1;
}

/* Room is there again: say what is missing at this place. */
static _Bool
note_lost(struct out *out, const struct timespec *now)
{
	char text[160], line[OUT_LINE_MAX];
	const struct entry e = {.level = LOG_ERROR_, .who = "log/1",
	    .text = text};
	size_t n;

	snprintf(text, sizeof(text), "%lu log lines were lost here: %s",
	    out->lost, out->error != 0 ? strerror(out->error) :
	    "they came faster than they could be written");
	n = format_line(line, out->kind, out->json, now, &e);
	if (!append(out, line, n))
		return 0;
	out->lost = 0;
	return 1;
}

void
out_line(struct out *out, const struct timespec *now, const struct entry *e)
{
	char line[OUT_LINE_MAX];
	size_t n = format_line(line, out->kind, out->json, now, e);

	if (n > sizeof(out->buf) - out->n)
		out_flush(out);
	/* A note only where the line fits as well: one note a gap. */
	if ((out->lost > 0 && (n + NOTE_MAX > sizeof(out->buf) - out->n ||
	    !note_lost(out, now))) || !append(out, line, n))
		lose(out, 1);
}

/* Octets that the target took of the N at P; -1 with errno. */
static ssize_t
put(const struct out *out, const char *p, size_t n)
{
	const char *end;
	ssize_t sent;

	if (out->kind == OUT_FILE)
		return write(out->fd, p, n);
	end = memchr(p, '\n', n);
	if (end == NULL)
		return (ssize_t)n;
	sent = send(out->fd, p, (size_t)(end - p),
	    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EMSGSIZE)
		return -1;
	return end - p + 1;
}

_Bool
out_flush(struct out *out)
{
	size_t at = 0;
	ssize_t n;

	while (at < out->n && out->fd >= 0) {
		n = put(out, out->buf + at, out->n - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			out->error = n == 0 ? EIO : errno;
			break;
		}
		at += (size_t)n;
	}
	memmove(out->buf, out->buf + at, out->n - at);
	out->n -= at;
	if (out->n > 0)
		return 0;
	if (out->lost > 0) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		note_lost(out, &now);
		return out_flush(out);
	}
	out->error = 0;
	return 1;
}

void
out_target(struct out *out, int fd, enum out_kind kind)
{
	out_flush(out);
	if (out->fd >= 0) {
		for (size_t i = 0; i < out->n; i++)
			lose(out, out->buf[i] == '\n');
		out->n = 0;
		close(out->fd);
	}
	out->fd = fd;
	out->kind = kind;
}
