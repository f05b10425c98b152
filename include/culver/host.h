/*
 * culver/host.h - services the host lends to a plugin.
 *
 * Passed to create() and valid until destroy().  A plugin links against no
 * symbol of the host; this table is all it gets.
 */
#ifndef CULVER_HOST_H
#define CULVER_HOST_H

#include <culver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CULVER_LOG_DEBUG = 1, CULVER_LOG_INFO, CULVER_LOG_WARN, CULVER_LOG_ERROR };

enum {				/* culver_host.provides */
	CULVER_HOST_DOTLOCK = 1u << 0,	/* of check_options(): will be there */
	CULVER_HOST_NET = 1u << 1	/* of check_options() only: the section
					 * allows CULVER_NEED_NET */
};

enum { CULVER_DOTLOCK_TAKE = 1, CULVER_DOTLOCK_KEEP, CULVER_DOTLOCK_DROP };

struct culver_host {
	uint32_t size;
	uint16_t abi_major, abi_minor;
	uint64_t provides;	/* CULVER_HOST_* bits; a member marked [BIT]
				 * is NULL without it */

	/*
	 * Log one line.  The host adds time, session, user and plugin name,
	 * escapes control bytes and limits the rate.  No secrets, ever.
	 */
	void (*log)(const struct culver_host *host, int32_t level,
	    const char *text);

	/* Zeroed, max-aligned memory from the call's arena; NULL if out. */
	void *(*alloc)(struct culver_arena *arena, size_t n);

	/* CLOCK_MONOTONIC in nanoseconds, the clock of call->deadline. */
	uint64_t (*now)(const struct culver_host *host);

	/* Fill BUF from the system CSPRNG.  Cannot fail. */
	void (*random)(const struct culver_host *host, void *buf, size_t n);

	/* Zero memory in a way the compiler keeps. */
	void (*wipe)(void *buf, size_t n);

	/* Add to a counter, NAME a literal; nothing shows them yet. */
	void (*count)(const struct culver_host *host, const char *name,
	    uint64_t add);

	/*
	 * [DOTLOCK] Make FILE.lock, FILE being the mailbox that paths() named
	 * with CULVER_PATH_DOTLOCK, where the user may not make it himself.
	 * TAKE tries once: OK, it is ours; IN_USE, another program has it:
	 * try again after a pause; PERM, not in this session; TEMP.  KEEP it
	 * young in long work, so that nobody thinks it forgotten.  DROP it;
	 * the end of the process does, too.  These two return OK; CALL may
	 * be NULL.  Waits for the disk, not for other programs.
	 */
	culver_status (*dotlock)(const struct culver_host *host, int32_t op,
	    struct culver_call *call);
	/* ABI 1.0 ends here. */
};

#ifdef __cplusplus
}
#endif

#endif /* CULVER_HOST_H */
