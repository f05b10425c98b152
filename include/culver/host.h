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

struct culver_host {
	uint32_t size;
	uint16_t abi_major, abi_minor;
	uint64_t provides;	/* bits for later minors; 0 now */

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
	/* ABI 1.0 ends here. */
};

#ifdef __cplusplus
}
#endif

#endif /* CULVER_HOST_H */
