/*
 * out.h - where log lines go: a file, stderr or the syslog socket.
 *
 * Runs in the log role.  Formats whole lines into one buffer and writes it
 * at once; what cannot be written waits there, and when it is full, lines are
 * counted instead and the count is written as soon as writing works again.
 */
#ifndef LOG_OUT_H
#define LOG_OUT_H

#include <stddef.h>
#include <time.h>

#include "core/log/format.h"

enum { OUT_BUFFER = 128 * 1024 };

struct out {
	int fd;			/* -1: no target yet */
	enum out_kind kind;
	_Bool json;
	unsigned long lost;	/* lines that did not fit; the next one says
				 * so */
	unsigned long lost_ever;
	int error;		/* errno of the write that failed, or 0 */
	size_t n;
	char buf[OUT_BUFFER];
};

void out_init(struct out *out);

/* Write to FD (taken) from now on.  What the old target did not take is
 * counted as lost. */
void out_target(struct out *out, int fd, enum out_kind kind);

/* Add the line of E at NOW, whose texts are not trusted. */
void out_line(struct out *out, const struct timespec *now,
    const struct entry *e);

/* Write what is there; 0 if something had to stay: try again later.  A file
 * or terminal may block. */
_Bool out_flush(struct out *out);

#endif /* LOG_OUT_H */
