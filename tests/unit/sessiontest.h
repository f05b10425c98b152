/*
 * sessiontest.h - a worker's session over a socket pair, with a store in
 * memory, for one test at a time.
 */
#ifndef TESTS_SESSIONTEST_H
#define TESTS_SESSIONTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/worker/session.h"
#include "tests/unit/mechs.h"

extern struct sessiontest {
	struct client client;
	struct store store;
	struct session session;
	uint8_t *got;		/* all that the client read, NUL behind it */
	size_t n, packets;
	int fd;			/* the client's end */
	int channel[2];		/* [1] is master's end */
	int type;		/* of the socket pair */
	uint64_t idle_time;
	uint64_t caps;		/* of the plugin */
	bool keep_open;		/* the client does not close its side */
	unsigned warnings;
	char last[2048];	/* log line */
} t;

/* cmocka's fixtures; between them a test may change what it likes in t, mem
 * and t.session. */
int session_setup(void **state);
int session_teardown(void **state);
#define T(f) cmocka_unit_test_setup_teardown(f, session_setup, \
	session_teardown)

/* Run a session in which the client says IN at once, to its end. */
void run_bytes(const void *in, size_t n);
void run(const char *in);

/* The client read exactly this; the session ended for this reason. */
void expect(const char *wanted);
void expect_reason(const char *wanted);

/* Put three small messages into the store: 31, 25 and 15 octets. */
void three_messages(void);

#define IN "+OK Logged in\r\n"
#define BYE "+OK Bye\r\n"

#endif /* TESTS_SESSIONTEST_H */
