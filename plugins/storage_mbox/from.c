/*
 * from.c - the From_ line that begins a message: "From SENDER DATE".
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 * Every program writes the date in its own way, and no line of a message's
 * text may pass for one by accident: so the date must be one, to the end.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What is left of a line. */
struct text {
	const char *p, *end;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool
skip_spaces(struct text *t)
{
	const char *p = t->p;

	while (t->p < t->end && is_space(*t->p))
		t->p++;
	return t->p > p;
}

/* The index of one of N three-letter names, or -1. */
static int
take_name(struct text *t, const char *names, int n)
{
	int i;

	if (t->end - t->p < 3)
		return -1;
	for (i = 0; i < n; i++)
		if (strncasecmp(t->p, names + 3 * i, 3) == 0) {
			t->p += 3;
			return i;
		}
	return -1;
}

/* A number of MIN to MAX digits, not followed by another; or -1. */
static int
take_number(struct text *t, int min, int max)
{
	int v = 0, n;

	for (n = 0; t->p < t->end && *t->p >= '0' && *t->p <= '9'; n++) {
		if (n == max)
			return -1;
		v = v * 10 + (*t->p++ - '0');
	}
	return n < min ? -1 : v;
}

static bool
take_month(struct text *t, struct tm *tm)
{
	tm->tm_mon = take_name(t, "JanFebMarAprMayJunJulAugSepOctNovDec", 12);
	return tm->tm_mon >= 0;
}

/* "Nov 29", or with DAY_FIRST "29 Nov 2001"; and the space behind. */
static bool
take_day(struct text *t, struct tm *tm, bool day_first)
{
	if (!day_first && (!take_month(t, tm) || !skip_spaces(t)))
		return false;
	tm->tm_mday = take_number(t, 1, 2);
	if (tm->tm_mday < 0 || tm->tm_mday > 31 || !skip_spaces(t))
		return false;
	if (!day_first)
		return true;
	if (!take_month(t, tm) || !skip_spaces(t))
		return false;
	tm->tm_year = take_number(t, 2, 4);
	return tm->tm_year >= 0 && skip_spaces(t);
}

/* "22:33" or "22:33:52". */
static bool
take_time(struct text *t, struct tm *tm)
{
	tm->tm_hour = take_number(t, 1, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || t->p == t->end ||
	    *t->p++ != ':')
		return false;
	tm->tm_min = take_number(t, 2, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59)
		return false;
	if (t->p == t->end || *t->p != ':')
		return true;
	t->p++;
	tm->tm_sec = take_number(t, 2, 2);
	return tm->tm_sec >= 0 && tm->tm_sec <= 61;
}

/* "+0100" gives *OFFSET; "EST", "(CET)" only have to look like a zone. */
static bool
take_zone(struct text *t, long *offset)
{
	struct text u = *t;
	bool minus = u.p < u.end && *u.p == '-';
	int v;

	if (u.p < u.end && (*u.p == '+' || *u.p == '-')) {
		u.p++;
		v = take_number(&u, 4, 4);
		if (v < 0)
			return false;
		*offset = (v / 100 * 60 + v % 100) * (minus ? -60L : 60L);
	} else {
		while (u.p < u.end && ((*u.p >= 'A' && *u.p <= 'Z') ||
		    *u.p == '(' || *u.p == ')'))
			u.p++;
		if (u.p - t->p < 1 || u.p - t->p > 7)
			return false;
	}
	*t = u;
	return true;
}

/* Up to two zones, each with a space before it. */
static void
take_zones(struct text *t, long *offset)
{
	struct text u = *t;
	int i;

	for (i = 0; i < 2; i++) {
		if (!skip_spaces(&u) || !take_zone(&u, offset))
			return;
		*t = u;
	}
}

static bool
take_year(struct text *t, struct tm *tm)
{
	struct text u = *t;

	if (!skip_spaces(&u))
		return false;
	tm->tm_year = take_number(&u, 2, 4);
	if (tm->tm_year < 0)
		return false;
	*t = u;
	return true;
}

/* What stands behind the date: nothing, or UUCP's "remote from HOST". */
static bool
take_end(struct text *t)
{
	static const char remote[] = "remote from ";

	skip_spaces(t);
	return t->p == t->end ||
	    ((size_t)(t->end - t->p) > sizeof(remote) - 1 &&
	    memcmp(t->p, remote, sizeof(remote) - 1) == 0);
}

/* A date that begins with a weekday at P and goes on to END. */
static bool
parse_date(const char *p, const char *end, int64_t *when)
{
	struct text t = { p, end };
	struct tm tm = { .tm_year = -1 };
	bool day_first;
	long offset = 0;

	if (take_name(&t, "SunMonTueWedThuFriSat", 7) < 0)
		return false;
	if (t.p < t.end && *t.p == ',')
		t.p++;
	if (!skip_spaces(&t) || t.p == t.end)
		return false;
	day_first = *t.p >= '0' && *t.p <= '9';
	if (!take_day(&t, &tm, day_first) || !take_time(&t, &tm))
		return false;
	if (!day_first && !take_year(&t, &tm)) {
		take_zones(&t, &offset);
		if (!take_year(&t, &tm))
			return false;
	}
	take_zones(&t, &offset);
	if (!take_end(&t))
		return false;
	if (tm.tm_year < 100)
		tm.tm_year += tm.tm_year < 70 ? 2000 : 1900;
	tm.tm_year -= 1900;
	*when = (int64_t)timegm(&tm) - offset;
	return true;
}

bool
mb_from_parse(const unsigned char *line, size_t n, int64_t *when)
{
	const char *p = (const char *)line, *end = p + n;

	if (n < 5 || memcmp(p, "From ", 5) != 0)
		return false;
	if (end > p && end[-1] == '\n')
		end--;
	if (end > p && end[-1] == '\r')
		end--;
	/* the sender may hold spaces, or be missing */
	for (p += 5; p < end; p++)
		if (is_space(p[-1]) && parse_date(p, end, when))
			return true;
	return false;
}

size_t
mb_from_make(char *out, size_t n, const char *sender, int64_t when)
{
	static const char names[] = "SunMonTueWedThuFriSat"
	    "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)when;
	struct tm tm;
	size_t i;
	int k;

	if (sender == NULL || *sender == '\0')
		sender = "MAILER-DAEMON";
	k = snprintf(out, n - 40, "From %s", sender);
	k = k < 0 ? 5 : k >= (int)(n - 40) ? (int)(n - 41) : k;
	for (i = 5; i < (size_t)k; i++)
		if ((unsigned char)out[i] <= 0x20 || out[i] == 0x7f)
			out[i] = '-';
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year + 1900 > 9999 ||
	    tm.tm_year + 1900 < 1000)
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1, .tm_wday = 4 };
	return (size_t)k + (size_t)snprintf(out + k, n - (size_t)k,
	    " %.3s %.3s %2d %02d:%02d:%02d %d", names + 3 * tm.tm_wday,
	    names + 21 + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, tm.tm_year + 1900);
}
