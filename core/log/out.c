/*
 * out.c - format log lines and write them to a file or to syslog.
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

enum {
	FACILITY_MAIL = 2 << 3,
	NOTE_MAX = 320		/* of the line that tells a gap */
};

static const struct {
	const char *name;
	int severity;		/* RFC 3164, section 4.1.1 */
} levels[] = {
	[LOG_DEBUG_] = {"debug", 7},
	[LOG_INFO_] = {"info", 6},
	[LOG_WARN_] = {"warn", 4},
	[LOG_ERROR_] = {"error", 3},
};

void
out_init(struct out *out)
{
	out->fd = -1;
	out->kind = OUT_FILE;
	out->lost = 0;
	out->error = 0;
	out->n = 0;
}

/* RFC 3339 with milliseconds and the local offset. */
static size_t
stamp_file(char *buf, size_t cap, const struct timespec *now)
{
	struct tm tm = {0};
	size_t n;
	long off;

	localtime_r(&now->tv_sec, &tm);
	off = tm.tm_gmtoff / 60;
	n = strftime(buf, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(buf + n, cap - n, ".%03ld%c%02ld:%02ld ",
	    now->tv_nsec / 1000000, off < 0 ? '-' : '+',
	    (off < 0 ? -off : off) / 60, (off < 0 ? -off : off) % 60);
	return n;
}

/* RFC 3164, sections 4.1.1 and 4.1.2; a local socket takes no host name. */
static size_t
stamp_syslog(char *buf, size_t cap, const struct timespec *now, int severity)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};

	localtime_r(&now->tv_sec, &tm);
	return (size_t)snprintf(buf, cap, "<%d>%.3s %2d %02d:%02d:%02d ",
	    FACILITY_MAIL + severity, months + 3 * tm.tm_mon, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static size_t
escape(char *buf, size_t cap, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text != 0 && n + 4 <= cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c <= 0x7e) {
			buf[n++] = (char)c;
			continue;
		}
		buf[n++] = '\\';
		buf[n++] = 'x';
		buf[n++] = hex[c >> 4];
		buf[n++] = hex[c & 15];
	}
	return n;
}

/* One line with its end in BUF of OUT_LINE_MAX octets. */
static size_t
line_format(const struct out *out, char *buf, const struct timespec *now,
    int level, const char *who, const char *text)
{
	size_t n, cap = OUT_LINE_MAX - 1;

	if (level < LOG_DEBUG_ || level > LOG_ERROR_)
		level = LOG_ERROR_;
	n = out->kind == OUT_SYSLOG ?
	    stamp_syslog(buf, cap, now, levels[level].severity) :
	    stamp_file(buf, cap, now);
	n += (size_t)snprintf(buf + n, cap - n, "culver[%.40s]: %s ", who,
	    levels[level].name);
	n += escape(buf + n, cap - n, text);
	buf[n++] = '\n';
	return n;
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
	size_t n;

	snprintf(text, sizeof(text), "%lu log lines were lost here: %s",
	    out->lost, out->error != 0 ? strerror(out->error) :
	    "they came faster than they could be written");
	n = line_format(out, line, now, LOG_ERROR_, "log/1", text);
	if (!append(out, line, n))
		return 0;
	out->lost = 0;
	return 1;
}

void
out_line(struct out *out, const struct timespec *now, int level,
    const char *who, const char *text)
{
	char line[OUT_LINE_MAX];
	size_t n = line_format(out, line, now, level, who, text);

	if (n > sizeof(out->buf) - out->n)
		out_flush(out);
	/* A note only where the line fits as well: one note a gap. */
	if ((out->lost > 0 && (n + NOTE_MAX > sizeof(out->buf) - out->n ||
	    !note_lost(out, now))) || !append(out, line, n))
		out->lost++;
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
			out->lost += out->buf[i] == '\n';
		out->n = 0;
		close(out->fd);
	}
	out->fd = fd;
	out->kind = kind;
}
