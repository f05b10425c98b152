/*
 * mem.c - the config role's memory: one arena.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "core/base/log.h"
#include "core/config/mem.h"
#include "core/plugin/host.h"

enum { LIMIT = 64 << 20 };

void (*mem_full)(void);
static struct culver_arena *arena;

void *
mem_get(size_t n)
{
	void *p;

	if (arena == NULL)
		arena = arena_new(LIMIT);
	p = arena != NULL ? arena_alloc(arena, n) : NULL;
	if (p == NULL) {
		if (mem_full != NULL)
			mem_full();
		log_errorx("the configuration needs more memory than there is "
		    "or than %d octets", LIMIT);
		exit(EX_OSERR);
	}
	return p;
}

char *
mem_copy(const char *s, size_t n)
{
	char *copy = mem_get(n + 1);

	if (n > 0)
		memcpy(copy, s, n);
	return copy;
}

char *
mem_printf(const char *fmt, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return mem_copy(text, strlen(text));
}

void
mem_end(void)
{
	arena_free(&arena);
}
