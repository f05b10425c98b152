/*
 * culver/abi.h - types shared by the host and every plugin.
 *
 * Rules that hold for the whole ABI:
 *  - Nothing is owned across the boundary.  What a plugin returns lives in
 *    the arena of the call, or until the documented close of its object.
 *  - Every struct that may grow starts with its size, set by whoever made
 *    the struct; where a call fills in what the caller made, that is the
 *    caller, and the callee leaves size as it is.  Members are only appended.
 *    Who reads or fills in one uses CULVER_HAS() first.
 *  - Members called reserved are 0, whoever fills the struct.
 *  - Calls come from one thread at a time.  A plugin never blocks past
 *    call->deadline, never exits, forks, or changes signals, cwd, umask,
 *    locale, environment or resource limits.
 */
#ifndef CULVER_ABI_H
#define CULVER_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CULVER_ABI_MAJOR	0	/* layout and meaning; must be equal; 1 when frozen */
#define CULVER_ABI_MINOR	0	/* members appended since .0 */
#define CULVER_MAGIC	0x31564c43u	/* bytes 'C' 'L' 'V' '1', little endian */

/* Is member M of the size-headed struct T at P present? */
#define CULVER_HAS(T, p, m) \
	((p)->size >= offsetof(T, m) + sizeof(((T *)0)->m))

/*
 * Result of every fallible call.  In brackets: the POP3 response code the
 * core sends when the status reaches a client.  Before authentication the
 * core sends [AUTH] for NOUSER, DISABLED and EXPIRED as well, so that a
 * client cannot tell an unknown user from a wrong password.
 */
typedef int32_t culver_status;
enum {
	CULVER_OK = 0,
	CULVER_DONE = 1,		/* iteration over, or no more input wanted */

	CULVER_E_TEMP = -1,	/* [SYS/TEMP] try again later */
	CULVER_E_PERM = -2,	/* [SYS/PERM] an administrator must act */
	CULVER_E_IN_USE = -3,	/* [IN-USE] lock held by another session */
	CULVER_E_STALE = -4,	/* [SYS/TEMP] mailbox changed underneath us */
	CULVER_E_GONE = -5,	/* no code: that message no longer exists */
	CULVER_E_NOSPACE = -6,	/* [SYS/TEMP] disk full, or the file system's quota */
	CULVER_E_CORRUPT = -7,	/* [SYS/PERM] stored data is damaged */
	CULVER_E_TIMEOUT = -8,	/* [SYS/TEMP] call->deadline passed */
	CULVER_E_NOMEM = -9,	/* [SYS/TEMP] */
	CULVER_E_UNSUPPORTED = -10, /* op or flag unknown; the core falls back */
	CULVER_E_CONFIG = -11,	/* bad options; at startup only */
	CULVER_E_QUOTA = -12,	/* deliver_commit(): over the user's quota */

	CULVER_E_AUTH = -20,	/* [AUTH] wrong password or proof */
	CULVER_E_NOUSER = -21,	/* [AUTH] this plugin does not know the user */
	CULVER_E_DISABLED = -22,	/* [AUTH] account locked */
	CULVER_E_EXPIRED = -23,	/* [AUTH] password expired */
	CULVER_E_DELAY = -24,	/* [LOGIN-DELAY] too soon after last login */
	CULVER_E_DECLINE = -25	/* not mine: ask the next auth plugin */
	/* A status the host does not know is treated as CULVER_E_TEMP. */
};

/* One line for the log, never for the client.  Written via culver_fail(). */
struct culver_error {
	uint32_t size;
	int32_t  sys_errno;	/* 0 if no system call failed */
	char     text[248];	/* NUL-terminated UTF-8, no CR or LF */
};

/* Bytes with a length.  n does not count the NUL that always follows. */
struct culver_str {
	const char *p;
	size_t      n;
};

struct culver_arena;		/* host-owned; freed whole after the call */

/* What the host lends to one call.  Valid only until that call returns. */
struct culver_call {
	uint32_t size;
	uint32_t reserved0;
	uint64_t deadline;	/* host->now() nanoseconds; UINT64_MAX: none */
	struct culver_arena *arena;	/* results go here */
	struct culver_error *err;	/* never NULL; fill it before failing */
};

#ifdef __cplusplus
}
#endif

#endif /* CULVER_ABI_H */
