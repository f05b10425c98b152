/*
 * diag.c - what is wrong, before there is a log role that could write it.
 *
 * Runs unprivileged in manager.  At culverd's start FD_DIAG is the terminal of
 * who started it.  A manager that was started again has what the log role of
 * the last one wrote to there: a file or syslog's socket, so that its lines
 * look like the others.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/manager/manager.h"

enum { LINE = 2048, PRIORITY = 2 << 3 | 3 };	/* mail, error: RFC 3164 */

static _Bool is_syslog;

void
diag_open(void)
{
	int type = 0;
	socklen_t n = sizeof(type);

	tzset();		/* reads a file: before the confinement */
	is_syslog = getsockopt(FD_DIAG, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	    type == SOCK_DGRAM;
}

static void
line(const char *text)
{
	char stamp[64] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (!manager.again) {
		dprintf(FD_DIAG, "%s\n", text);
		return;
	}
	if (is_syslog)
		snprintf(stamp, sizeof(stamp), "<%d>", PRIORITY);
	else if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S%z ", &tm);
	/* one write, which is one datagram of syslog's */
	dprintf(FD_DIAG, "%sculver[manager/%u]: error %s\n", stamp,
	    manager.instance, text);
}

void
diag_log(int level, const char *text)
{
	char whole[LINE];

	if (manager.again) {
		if (level >= LOG_WARN_)
			line(text);
		return;
	}
	snprintf(whole, sizeof(whole), "culverd: %s", text);
	line(whole);
}

uint64_t
diag_copy(int diag, uint64_t last)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	char buf[LINE + 1], *end;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(diag, buf, LINE, at)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = (sum ^ (unsigned char)buf[i]) *
			    UINT64_C(0x100000001b3);
		at += n;
	}
	for (at = 0; sum != last && (n = pread(diag, buf, LINE, at)) > 0;
	     at += n) {
		buf[n] = 0;
		end = strchr(buf, '\n');
		if (end != NULL) {
			n = end - buf + 1;
			*end = 0;
		}
		line(buf);
	}
	return sum;
}
