/*
 * authlog.h - the coordinator's log lines about logins that failed.
 *
 * Whoever guesses passwords must not fill the disk: the same line is written
 * at most 10 times a minute, and what was left out is counted.
 */
#ifndef AUTH_AUTHLOG_H
#define AUTH_AUTHLOG_H

#include <stdint.h>

enum {
	AUTHLOG_LINES = 256,
	AUTHLOG_A_MINUTE = 10
};

struct authlog {
	struct authlog_line {
		uint64_t hash, since;
		uint32_t n;
	} line[AUTHLOG_LINES];
};

/* Log TEXT at LEVEL (core/base/log.h), unless it was said often enough. */
void authlog_write(struct authlog *a, int level, const char *text,
    uint64_t now);

#endif /* AUTH_AUTHLOG_H */
