/*
 * trace.h - run a function in a child and kill it at its n-th file system
 * call, or make that call fail, by ptrace(2).
 *
 * Linux only.  One call a run is hit, so a loop over n visits every state
 * that a crash or a single fault can leave behind.
 */
#ifndef TESTS_TORTURE_TRACE_H
#define TESTS_TORTURE_TRACE_H

#include <stdbool.h>

struct trace_plan {
	unsigned nth;		/* from 1; 0: only count */
	int err;		/* the errno to fail with; 0: SIGKILL */
};

struct trace_result {
	unsigned calls;		/* file system calls seen */
	bool hit;		/* the n-th one came */
	long nr;		/* its number */
	int status;		/* as of waitpid() */
};

/*
 * Run FN(ARG) in a child, whose exit status it returns.  False if this
 * machine does not let processes be traced, or cannot do what PLAN asks.
 */
bool trace_run(int (*fn)(void *), void *arg, const struct trace_plan *plan,
    struct trace_result *res);

/* In the child: calls after this one are neither counted nor hit. */
void trace_end(void);

/* The name of a call that trace_run() counts. */
const char *trace_name(long nr);

#endif /* TESTS_TORTURE_TRACE_H */
