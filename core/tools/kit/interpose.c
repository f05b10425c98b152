/*
 * interpose.c - malloc(), free() and clock_gettime() of this program; see
 * interpose.h.
 *
 * Runs in culver-plugin.  glibc lets a program replace its allocator; these
 * only count, and hand on to it.
 */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/tools/kit/interpose.h"

struct interpose interpose;

bool
interpose_fails(void)
{
	return interpose.armed && ++interpose.calls == interpose.fail_at;
}

#if defined(__GLIBC__) && !defined(WITH_SANITIZERS)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

bool
interpose_works(void)
{
	return true;
}

static bool
fails(void)
{
	if (!interpose_fails())
		return false;
	errno = ENOMEM;
	return true;
}

static void *
got(void *p)
{
	interpose.used += (int64_t)malloc_usable_size(p);
	return p;
}

void *
malloc(size_t n)
{
	return fails() ? NULL : got(__libc_malloc(n));
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : got(__libc_calloc(n, size));
}

void *
realloc(void *p, size_t n)
{
	int64_t had = (int64_t)malloc_usable_size(p);
	void *q;

	if (fails())
		return NULL;
	q = __libc_realloc(p, n);
	if (q != NULL || n == 0)
		interpose.used -= had;
	return got(q);
}

void
free(void *p)
{
	interpose.used -= (int64_t)malloc_usable_size(p);
	__libc_free(p);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	long r = syscall(SYS_clock_gettime, id, ts);
	uint64_t ns;

	if (r == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += interpose.ahead;
	if (r == 0 && id == CLOCK_MONOTONIC && interpose.moved != NULL) {
		ns = (uint64_t)ts->tv_nsec + *interpose.moved;
		ts->tv_sec += (time_t)(ns / NS_PER_S);
		ts->tv_nsec = (long)(ns % NS_PER_S);
	}
	return (int)r;
}
#else
bool
interpose_works(void)
{
	return false;
}
#endif
