/*
 * lines.h - from messages to lines of the log.
 *
 * Runs in the log role.  Nothing here is trusted but the name of a source,
 * which manager gave it.
 */
#ifndef LOG_LINES_H
#define LOG_LINES_H

#include <stdint.h>

#include "core/ipc/ipc.h"
#include "core/log/out.h"

struct lines {
	struct out out;
	uint32_t level;		/* lines below it are dropped */
	struct stats *stats;	/* NULL: nothing is counted */
	void (*on_held)(void);	/* one is counted only: lines_held() soon */
};

/* Where lines come from, and the last one. */
struct source {
	char name[32];		/* "gate/1" */
	int level;
	char who[40];
	char last[OUT_TEXT_MAX];
	unsigned same;		/* times in a row */
	unsigned held;		/* of these not written */
};

/* A line of S, a LOG_* level of base/log.h, which FREE_TEXT says is no event
 * even if it looks like one; one of our own. */
void lines_add(struct lines *l, struct source *s, uint32_t level,
    const char *text, _Bool free_text);
void lines_own(struct lines *l, int level, const char *text);

/* The lines of a session's begin or end, of a worker, and of the memfd that
 * a config role or a checker wrote. */
void lines_session(struct lines *l, struct source *s,
    const struct ipc_log_session *m);
void lines_worker(struct lines *l, struct source *s,
    const struct ipc_log_worker *m);
void lines_text(struct lines *l, struct source *s, uint32_t level, int fd);

/* Write how often the last line of S came again since it was written. */
void lines_held(struct lines *l, struct source *s);

#endif /* LOG_LINES_H */
