/*
 * trace.h - run a function in a child and see its file system calls, kill it
 * at one of them, or make that one fail, by ptrace(2).
 *
 * Linux only.  trace_run() hits one call a run, so a loop over n visits every
 * state that a crash or a single fault can leave behind; trace_follow() shows
 * all calls to its caller.
 */
#ifndef KIT_TRACE_H
#define KIT_TRACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct trace_plan {
	unsigned nth;		/* from 1; 0: only count */
	int err;		/* the errno to fail with; 0: SIGKILL */
	bool shorten;		/* transfer half of what was asked; not err */
	bool marked;		/* only calls between trace_on() and _off() */
};

struct trace_result {
	unsigned calls;		/* file system calls seen */
	bool hit;		/* the n-th one came */
	bool fit;		/* ... and PLAN could be done to it */
	long nr;		/* its number */
	int status;		/* as of waitpid() */
};

struct trace_call {
	pid_t pid;
	long nr;
	uint64_t arg[6];
	int64_t result;		/* at the exit: -errno or what it returned */
};

/* Called with the child stopped; only for the calls of trace_name(). */
struct trace_hooks {
	void *ctx;
	/* *ERR is the errno of TRACE_FAIL. */
	enum trace_verdict {
		TRACE_GO, TRACE_DIE, TRACE_FAIL, TRACE_HALVE
	} (*entry)(void *ctx, const struct trace_call *c, int *err);
	void (*exit)(void *ctx, const struct trace_call *c);
	bool marked;
};

/*
 * Run FN(ARG) in a child, whose exit status it returns.  False if this
 * machine does not let processes be traced, or cannot do what PLAN asks.
 */
bool trace_run(int (*fn)(void *), void *arg, const struct trace_plan *plan,
    struct trace_result *res);

/* The same with hooks; *STATUS as of waitpid(). */
bool trace_follow(int (*fn)(void *), void *arg,
    const struct trace_hooks *hooks, int *status);

/* Can calls be made to fail on this machine? */
bool trace_can_fail(void);

/* In the child: calls after this one are neither counted nor hit. */
void trace_end(void);

/* In the child: the borders of what is looked at, if that is marked. */
void trace_on(void);
void trace_off(void);

/* The name of a call that trace_run() counts, or NULL. */
const char *trace_name(long nr);

/* Can a call with this number transfer less than was asked? */
bool trace_transfers(long nr);

/* --- trace_look_linux.c: a child that is stopped --------------------------- */

struct stat;

/* The text at address ADDR of its memory; false: there is none. */
bool trace_text(pid_t pid, uint64_t addr, char out[PATH_MAX]);

/* As fstat() of its descriptor FD. */
bool trace_stat(pid_t pid, int fd, struct stat *st);

/* Position and flags of its descriptor FD. */
bool trace_position(pid_t pid, int fd, uint64_t *pos, unsigned *flags);

#endif /* KIT_TRACE_H */
