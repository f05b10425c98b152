/*
 * sqtest.h - a database in a temporary directory, and a second connection to
 * it that does what other programs might.
 */
#ifndef TESTS_UNIT_SQTEST_H
#define TESTS_UNIT_SQTEST_H

#include <stdbool.h>

#include "tests/unit/storetest.h"

/* The directory, made anew for each test, the drive, what statfs() says. */
extern char sqtest_dir[];
extern struct drive sqtest;
extern uint32_t sqtest_magic;	/* of the file system; 0: the truth */

/* cmocka fixtures: a started drive with create = yes and path DIR/m.db. */
int sqtest_setup(void **state);
int sqtest_teardown(void **state);

/* DIR/NAME; four results live at a time. */
const char *sqtest_path(const char *name);

/* As drive_stop(), also twice. */
void sqtest_stop(void);

/* Stop, and start with options NAME, VALUE, ..., NULL. */
culver_status sqtest_restart(const char *name, ...);

/* Deliver the text; its UIDL, until the next call. */
const char *sqtest_deliver(const char *text);

/* storetest.h, with this drive. */
#define sqtest_open(n) storetest_open(&sqtest, n)
#define sqtest_reopen(n) storetest_reopen(&sqtest, n)
#define sqtest_open_fails(st, word) storetest_open_fails(&sqtest, st, word)
#define sqtest_fetch_is(index, text) storetest_fetch_is(&sqtest, index, text)
#define sqtest_expunge(...) storetest_expunge(&sqtest, __VA_ARGS__)

/* Run SQL as another program would; it must succeed, unless it is tried. */
void sqtest_sql(const char *sql);
int sqtest_try(const char *sql);
int64_t sqtest_number(const char *sql);

/* Findings of check(); the first is at *TEXT, or "". */
uint32_t sqtest_check(const char **text);

/* Write N bytes of C at AT of the file NAME, or cut it there with N == 0. */
void sqtest_damage(const char *name, long at, int c, size_t n);
bool sqtest_exists(const char *name);
long sqtest_size(const char *name);

#endif /* TESTS_UNIT_SQTEST_H */
