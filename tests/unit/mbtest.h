/*
 * mbtest.h - an mbox in a temporary directory, and the clock of the plugin
 * under control: the program is linked with --wrap for it.
 */
#ifndef TESTS_UNIT_MBTEST_H
#define TESTS_UNIT_MBTEST_H

#include <stdbool.h>

#include "tests/unit/storetest.h"

extern const struct culver_plugin storage_mbox_LTX_culver_plugin;

/* What the wrapped calls did, and are to do. */
extern struct mbtest_hook {
	int64_t ahead;		/* seconds that CLOCK_REALTIME is ahead */
	uint64_t bytes;		/* what pread() gave */
	unsigned syncs;		/* fsync() */
	unsigned fail_sync;	/* n: the n-th fsync() fails with EIO */
	unsigned fail_write;	/* n: the n-th write() or pwrite() fails */
	int write_errno;
	int64_t slow;		/* seconds that each pwrite() takes */
} mbtest_hook;

/* The directory, made anew for each test; the mbox is DIR/M, and what the
 * plugin keeps is in DIR/I. */
extern char mbtest_dir[];
extern struct drive mbtest;

/* cmocka fixtures: a started drive, no mbox yet. */
int mbtest_setup(void **state);
int mbtest_teardown(void **state);

/* DIR/FMT...; four results live at a time. */
const char *mbtest_path(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* The mbox, whole; and more of it. */
void mbtest_put(const char *text);
void mbtest_append(const char *text);

/* An mbox of N octets and a NUL, for the caller to free: one message whose
 * body is the letter x in BODY octets of lines. */
char *mbtest_big(size_t body, size_t *n);

/* Add what FMT says, and a NUL, to the N octets in BUF, which has room for
 * SIZE. */
void mbtest_add(char *buf, size_t size, size_t *n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

bool mbtest_exists(const char *path);

/* Expect the mbox to be TEXT. */
void mbtest_is(const char *text);

/* Stop, and start with options NAME, VALUE, ..., NULL. */
culver_status mbtest_restart(const char *name, ...);

/* Expect message INDEX on the wire to be TEXT, and its octets to agree. */
void mbtest_fetch_is(uint32_t index, const char *text);

/* Expect that reading message INDEX fails with ST. */
void mbtest_fetch_fails(uint32_t index, culver_status st);

/* A copy of the UIDL of message INDEX; eight live at a time. */
const char *mbtest_uid(uint32_t index);

/* storetest.h, with this drive. */
#define mbtest_open(n) storetest_open(&mbtest, n)
#define mbtest_reopen(n) storetest_reopen(&mbtest, n)
#define mbtest_open_fails(st, word) storetest_open_fails(&mbtest, st, word)
#define mbtest_expunge(...) storetest_expunge(&mbtest, __VA_ARGS__)
#define mbtest_slurp storetest_slurp
#define mbtest_spill storetest_spill

/* "From X..." and what a program may add behind it, in one string. */
#define FROM(who) "From " who " Thu Nov 29 22:33:52 2001\n"

#endif /* TESTS_UNIT_MBTEST_H */
