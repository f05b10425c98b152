/*
 * fakehost.h - a host for plugins under test, in one process.
 *
 * Used by unit tests and by the torture programs; links to nothing.  The
 * arena is a list of separate blocks, so that sanitizers see every overrun.
 */
#ifndef TESTS_FAKEHOST_H
#define TESTS_FAKEHOST_H

#include <culver/host.h>

struct fakehost {
	struct culver_host host;	/* first: the plugin's pointer */
	uint64_t clock;		/* 0: the real one, else what now() says */
	uint64_t seed;		/* 0: real randomness */
	unsigned fail_alloc;	/* n: the n-th alloc() gives NULL */
	unsigned logged;	/* lines since the last fakehost_reset() */
	char log[4096];		/* the lines, each with its newline */
	struct culver_error err;
	struct culver_call call;
};

/* Prepare F; its call has no deadline and an empty arena. */
void fakehost_init(struct fakehost *f);

/*
 * The call to give to an operation: clears the error text; the arena lives
 * on until fakehost_reset().
 */
struct culver_call *fakehost_call(struct fakehost *f);

/* Empty the arena and forget the log. */
void fakehost_reset(struct fakehost *f);

/* Free everything. */
void fakehost_free(struct fakehost *f);

#endif /* TESTS_FAKEHOST_H */
