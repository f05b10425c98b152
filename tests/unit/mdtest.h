/*
 * mdtest.h - a Maildir in a temporary directory, and the system calls of the
 * plugin under control: the program is linked with --wrap for each of them.
 */
#ifndef TESTS_UNIT_MDTEST_H
#define TESTS_UNIT_MDTEST_H

#include <stdbool.h>

#include "tests/unit/storetest.h"

extern const struct culver_plugin storage_maildir_LTX_culver_plugin;

/* What the wrapped calls did, and are to do. */
extern struct mdtest_hook {
	int64_t ahead;		/* seconds that CLOCK_REALTIME is ahead */
	unsigned listed;	/* fdopendir() */
	unsigned stats;		/* fstatat() */
	unsigned syncs;		/* fsync() */
	int fail_sync;		/* errno for every fsync(), or 0 */
	int64_t still;		/* time stamp that directories keep, or 0 */
	bool skip_sync;		/* only count: the test is long enough */
	unsigned fail_memory;	/* n: the n-th malloc() and kin fail */
	unsigned fail_sync_from;	/* but only from the n-th on */
	void (*on_list)(unsigned nth);	/* before a directory is read */
	void (*on_listed)(unsigned nth);	/* before it is closed */
	void (*on_unlink)(const char *name);
	void (*on_stat)(const char *name);
	void (*on_create)(const char *name);	/* openat() with O_CREAT */
} mdtest_hook;

/* The directory, made anew for each test, and the drive. */
extern char mdtest_dir[];
extern struct drive mdtest;

/* cmocka fixtures: a Maildir M with new/, cur/ and tmp/, a started drive. */
int mdtest_setup(void **state);
int mdtest_teardown(void **state);

/* DIR/FMT...; four results live at a time. */
const char *mdtest_path(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* FMT... alone, in the same buffers. */
const char *mdtest_name(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* Make M/NAME with this content; NAME begins with new/ or cur/. */
void mdtest_put(const char *name, const char *content);
void mdtest_rename(const char *from, const char *to);
void mdtest_remove(const char *name);
bool mdtest_exists(const char *path);

/* How many entries a directory has. */
unsigned mdtest_entries(const char *path);

/* Stop, and start with options NAME, VALUE, ..., NULL. */
culver_status mdtest_restart(const char *name, ...);

/* storetest.h, with this drive. */
#define mdtest_open(n) storetest_open(&mdtest, n)
#define mdtest_reopen(n) storetest_reopen(&mdtest, n)
#define mdtest_open_fails(st, word) storetest_open_fails(&mdtest, st, word)
#define mdtest_fetch_is(index, text) storetest_fetch_is(&mdtest, index, text)
#define mdtest_slurp storetest_slurp
#define mdtest_spill storetest_spill

#endif /* TESTS_UNIT_MDTEST_H */
