/*
 * rest.c - see rest.h.  Runs in worker, as the mailbox's owner.
 */
#include "config.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/worker/rest.h"

enum {
	STACK_MAX = 512 << 10,	/* less than the gap below a stack, in which
				 * the kernel puts nothing else */
	STACK_NEAR = 1024	/* of this call and those that it makes */
};

void
rest_pages(void *p, size_t n)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)p + n) & ~(page - 1);

	/* if it fails, the memory stays */
	if (from < end)
		(void)madvise((void *)from, end - from, MADV_DONTNEED);
}

void
rest_memory(void)
{
#ifndef WITH_SANITIZERS
	uint8_t *here = __builtin_frame_address(0);

#ifdef __GLIBC__
	malloc_trim(0);
#endif
	/* parts of it that were never used are no error that matters */
	rest_pages(here - STACK_MAX, STACK_MAX - STACK_NEAR);
#endif
}
