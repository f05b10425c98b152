/*
 * mem.h - memory of one run of the config role: taken, never given back one
 * by one.  No function returns NULL: a process that cannot read its
 * configuration has nothing else to do and exits with EX_OSERR.
 */
#ifndef CONFIG_MEM_H
#define CONFIG_MEM_H

#include <stddef.h>

/* Called, if set, before the process exits for want of memory: says so to
 * whoever waits. */
extern void (*mem_full)(void);

/* Zeroed memory for N octets. */
void *mem_get(size_t n);

/* A NUL-terminated copy of N octets of S. */
char *mem_copy(const char *s, size_t n);

char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Wipe and free everything: for tests, which read many configurations. */
void mem_end(void);

#endif /* CONFIG_MEM_H */
