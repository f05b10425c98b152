/*
 * format.h - one line of the log as it is written: as text, or as JSON.
 *
 * Runs in the log role.  Trusts no text.
 */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include <stddef.h>
#include <time.h>

enum {
	OUT_TEXT_MAX = 2048,			/* of a text before escaping */
	OUT_LINE_MAX = 6 * OUT_TEXT_MAX + 1024	/* of a line as written */
};

enum out_kind { OUT_FILE = 0, OUT_SYSLOG = 1 };	/* as in LOG_TARGET */

/* What a line says. */
struct entry {
	int level;		/* base/log.h */
	const char *who;	/* "gate/1"; a worker's session */
	const char *text;	/* all of it, for people */
	const char *pairs;	/* TEXT or what it begins with, if that is an
				 * event and its pairs; NULL: it is not */
	const char *note;	/* the rest of TEXT then; NULL: nothing */
};

/*
 * E at NOW with its end, in BUF of OUT_LINE_MAX octets; returns how many.  In
 * text, octets outside of 0x20..0x7e become \xNN; JSON is one object with the
 * keys of the text's pairs.  For syslog, what that wants comes first.
 */
size_t format_line(char *buf, enum out_kind kind, _Bool json,
    const struct timespec *now, const struct entry *e);

#endif /* LOG_FORMAT_H */
