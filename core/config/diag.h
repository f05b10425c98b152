/*
 * diag.h - what is wrong with a configuration, all of it, in file order.
 *
 * Runs in the config role.  Every line is `FILE:LINE: where: what is wrong
 * and what would be right`; control octets of quoted text are escaped.
 */
#ifndef CONFIG_DIAG_H
#define CONFIG_DIAG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cf_file {		/* one file that was read */
	struct cf_file *next;
	const char *path;	/* as master names it */
	unsigned rank;		/* 0 is the main file */
};

struct cf_place {
	const struct cf_file *file;
	uint32_t line;
};

/* Forget all; the next run begins. */
void diag_start(void);

/* A mistake at AT; WHERE ("limits: idle_time") may be NULL. */
void diag_error(struct cf_place at, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, but it does not stop anything. */
void diag_warning(struct cf_place at, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* How many mistakes (warnings do not count). */
size_t diag_errors(void);

/* Print all, sorted by file and line. */
void diag_print(FILE *out);

/* The one of the N words at WORDS that WORD was probably meant to be, or
 * NULL. */
const char *diag_nearest(const char *word, const char *const *words,
    size_t n);

#endif /* CONFIG_DIAG_H */
