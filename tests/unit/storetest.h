/*
 * storetest.h - what the kits of the storage plugins' tests share: files, and
 * what a drive is expected to do.
 */
#ifndef TESTS_UNIT_STORETEST_H
#define TESTS_UNIT_STORETEST_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/storage/drive.h"

#define EXCL CULVER_OPEN_EXCLUSIVE
#define RDONLY CULVER_OPEN_READONLY

/* A new directory, in memory where that can be; its name, of 64 octets at
 * most, to DIR. */
void storetest_dir(char *dir, const char *name);

/* A whole file, and a NUL, for the caller to free; write one. */
char *storetest_slurp(const char *path, size_t *n);
void storetest_spill(const char *path, const void *buf, size_t n);

/* Set the options NAME, VALUE, ..., NULL; AP begins behind NAME. */
void storetest_options(struct drive *d, const char *name, va_list ap);

/* Open exclusively and expect OK and N messages; or close and do so. */
void storetest_open(struct drive *d, uint32_t n);
void storetest_reopen(struct drive *d, uint32_t n);

/* Close, and expect that open() fails with ST and a text that has WORD. */
void storetest_open_fails(struct drive *d, culver_status st,
    const char *word);

/* Expect message INDEX on the wire to be TEXT. */
void storetest_fetch_is(struct drive *d, uint32_t index, const char *text);

/* Remove messages by their N indexes: all or, on failure, none. */
culver_status storetest_expunge(struct drive *d, uint32_t n, ...);

#endif /* TESTS_UNIT_STORETEST_H */
