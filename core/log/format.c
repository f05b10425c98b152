/*
 * format.c - see format.h.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/log/format.h"
#include "core/log/record.h"

enum { FACILITY_MAIL = 2 << 3 };

static const struct {
	const char *name;
	int severity;		/* RFC 3164, section 4.1.1 */
} levels[] = {
	[LOG_DEBUG_] = {"debug", 7},
	[LOG_INFO_] = {"info", 6},
	[LOG_WARN_] = {"warn", 4},
	[LOG_ERROR_] = {"error", 3},
};

struct text {			/* what does not fit is left out */
	char *p;
	size_t n, cap;
};

/* RFC 3339 with milliseconds and the local offset. */
static void
stamp_file(struct text *t, const struct timespec *now)
{
	char *buf = t->p + t->n;
	struct tm tm = {0};
	size_t n;
	long off;

	localtime_r(&now->tv_sec, &tm);
	off = tm.tm_gmtoff / 60;
	n = strftime(buf, t->cap - t->n, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(buf + n, t->cap - t->n - n,
	    ".%03ld%c%02ld:%02ld", now->tv_nsec / 1000000,
	    off < 0 ? '-' : '+', (off < 0 ? -off : off) / 60,
	    (off < 0 ? -off : off) % 60);
	t->n += n;
}

/* RFC 3164, sections 4.1.1 and 4.1.2; a local socket takes no host name. */
static void
stamp_syslog(struct text *t, const struct timespec *now, int severity)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};

	localtime_r(&now->tv_sec, &tm);
	t->n += (size_t)snprintf(t->p + t->n, t->cap - t->n,
	    "<%d>%.3s %2d %02d:%02d:%02d", FACILITY_MAIL + severity,
	    months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
}

static void
put(struct text *t, const char *s, size_t n)
{
	if (n > t->cap - t->n)
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
}

static void
put_text(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

/* --- as text ---------------------------------------------------------------- */

static void
put_escaped(struct text *t, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	for (; *s != 0 && t->n + 4 <= t->cap; s++) {
		unsigned char c = (unsigned char)*s;
		char out[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

		if (c >= 0x20 && c <= 0x7e)
			put(t, s, 1);
		else
			put(t, out, sizeof(out));
	}
}

static void
as_text(struct text *t, const struct entry *e)
{
	t->n += (size_t)snprintf(t->p + t->n, t->cap - t->n,
	    " culver[%.40s]: %s ", e->who, levels[e->level].name);
	put_escaped(t, e->text);
}

/* --- as JSON ---------------------------------------------------------------- */

/* Room for the quote and what closes the object is kept by the caller. */
static void
put_string(struct text *t, const char *s, size_t n)
{
	const char *end = s + n;
	_Bool utf8 = json_is_utf8(s, n);
	char out[JSON_CHAR];

	put(t, "\"", 1);
	while (s < end && t->n + JSON_CHAR <= t->cap)
		put(t, out, json_char(out, &s, end, utf8));
	put(t, "\"", 1);
}

/* , "KEY": VALUE of that kind. */
static void
put_member(struct text *t, const char *key, enum record_kind kind,
    const char *value, size_t n)
{
	put_text(t, ",\"");
	put_text(t, key);
	put_text(t, "\":");
	if (kind == RECORD_NUMBER)
		put(t, value, n);
	else if (kind == RECORD_BOOL)
		put_text(t, *value == 'y' ? "true" : "false");
	else
		put_string(t, value, n);
}

static void
put_word(struct text *t, const char *key, const char *value)
{
	put_member(t, key, RECORD_TEXT, value, strlen(value));
}

/* "gate/1": a role and its number; a worker has its session's. */
static void
put_who(struct text *t, const char *who)
{
	const char *slash = strchr(who, '/');
	size_t n = slash != NULL ? (size_t)(slash - who) : strlen(who);

	put_member(t, "role", RECORD_TEXT, who, n);
	if (slash == NULL)
		return;
	if (strncmp(who, "worker/", 7) == 0)
		put_word(t, "session", slash + 1);
	else
		put_member(t, "instance", RECORD_NUMBER, slash + 1,
		    strlen(slash + 1));
}

static void
as_json(struct text *t, const struct timespec *now, const struct entry *e)
{
	static struct record r;
	const char *note = e->text;

	put_text(t, "{\"time\":\"");
	stamp_file(t, now);
	put_text(t, "\"");
	put_word(t, "level", levels[e->level].name);
	put_who(t, e->who);
	if (e->pairs != NULL && record_parse(&r, e->pairs)) {
		put_word(t, "event", r.event);
		for (unsigned i = 0; i < r.n; i++)
			put_member(t, r.pair[i].key->name, r.pair[i].key->kind,
			    r.pair[i].value, r.pair[i].n);
		note = e->note;
	}
	if (note != NULL)
		put_word(t, "message", note);
	put_text(t, "}");
}

size_t
format_line(char *buf, enum out_kind kind, _Bool json,
    const struct timespec *now, const struct entry *entry)
{
	struct text t = {.p = buf, .cap = OUT_LINE_MAX - 1};
	struct entry e = *entry;

	if (e.level < LOG_DEBUG_ || e.level > LOG_ERROR_)
		e.level = LOG_ERROR_;
	if (kind == OUT_SYSLOG)
		stamp_syslog(&t, now, levels[e.level].severity);
	else if (!json)
		stamp_file(&t, now);
	if (json && kind == OUT_SYSLOG)
		put_text(&t, " culver: ");
	if (json)
		as_json(&t, now, &e);
	else
		as_text(&t, &e);
	buf[t.n++] = '\n';
	return t.n;
}
