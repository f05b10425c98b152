/*
 * culver/util.h - helpers for plugin authors; all of it is inline, so that a
 * plugin still links against no symbol of the host.
 *
 *	return culver_fail(call, CULVER_E_TEMP, errno, "open %s", path);
 */
#ifndef CULVER_UTIL_H
#define CULVER_UTIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <culver/abi.h>
#include <culver/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CULVER_PRINTF(f, a) __attribute__((format(printf, f, a), unused))
#define CULVER_UNUSED __attribute__((unused))
#else
#define CULVER_PRINTF(f, a)
#define CULVER_UNUSED
#endif

/*
 * Fill call->err with a text for the log and return STATUS, so that a
 * failure is one statement.  SYS_ERRNO is 0 if no system call failed.
 */
static CULVER_PRINTF(4, 5) culver_status
culver_fail(struct culver_call *call, culver_status status, int sys_errno,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->err->text, sizeof(call->err->text), fmt, ap);
	va_end(ap);
	call->err->sys_errno = sys_errno;
	return status;
}

/* Log one formatted line through the host. */
static CULVER_PRINTF(3, 4) void
culver_logf(const struct culver_host *host, int32_t level,
    const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	host->log(host, level, text);
}

/*
 * Does a message of OCTETS fit a quota of MAX_OCTETS and MAX_MESSAGES (0:
 * none), of which HAVE_OCTETS and HAVE_MESSAGES are used?
 */
static CULVER_UNUSED int
culver_quota_fits(uint64_t max_octets, uint64_t max_messages,
    uint64_t have_octets, uint64_t have_messages, uint64_t octets)
{
	return (max_messages == 0 || have_messages < max_messages) &&
	    (max_octets == 0 || (octets <= max_octets &&
	    have_octets <= max_octets - octets));
}

/* Memory from the call's arena, zeroed; NULL and ENOMEM if none is left. */
static CULVER_UNUSED void *
culver_alloc(const struct culver_host *host, struct culver_call *call,
    size_t n)
{
	void *p = host->alloc(call->arena, n);

	if (p == NULL)
		errno = ENOMEM;
	return p;
}

/* A NUL-terminated copy of N bytes there; NULL and ENOMEM likewise. */
static CULVER_UNUSED char *
culver_strndup(const struct culver_host *host, struct culver_call *call,
    const char *s, size_t n)
{
	char *copy = (char *)culver_alloc(host, call, n + 1);

	if (copy != NULL)
		memcpy(copy, s, n);
	return copy;
}

#ifdef __cplusplus
}
#endif

#endif /* CULVER_UTIL_H */
