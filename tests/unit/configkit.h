/*
 * configkit.h - run the config role, the program itself, with a test in
 * master's place, and keep what it sends.
 */
#ifndef TESTS_UNIT_CONFIGKIT_H
#define TESTS_UNIT_CONFIGKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>

#define RUN_SNAPS 32

/* The last run. */
extern struct run {
	int channel, log, diag;
	pid_t pid;
	int status;			/* of CONFIG_DONE */
	struct { unsigned kind, index; int fd; } snap[RUN_SNAPS];
	unsigned n_snaps;
	char said[65536];
} run;

/* A folder with the sample modules, since modules_make(). */
extern char modules[];

/* A configuration with a bit of everything; its file is "main". */
extern const char good[];

/* cmocka fixtures of a group. */
int modules_make(void **state);
int modules_remove(void **state);

/* Run the role in MODE on TEXT (NULL: there is no file); INCLUDED is what
 * every include gives. */
void run_role(const char *mode, const char *text, const char *included);

/* Close the snapshots of the last run. */
void run_end(void);

/* The snapshot of KIND and INDEX, still the kit's; there must be one. */
int snap_fd(unsigned kind, unsigned index);

#endif /* TESTS_UNIT_CONFIGKIT_H */
