/*
 * host.h - the services that this host lends to a plugin, and the arena that
 * one call's results live in.
 *
 * Runs wherever a plugin runs.  What a plugin passes in is bounded and
 * escaped before it goes anywhere.
 */
#ifndef PLUGIN_HOST_H
#define PLUGIN_HOST_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>
#include <culver/host.h>

enum { HOST_COUNTERS = 16, HOST_LINES = 16 };

struct plugin_host {
	struct culver_host host;	/* first: a plugin gets its address */
	char name[64];			/* of the plugin */
	struct host_counter {
		const char *name;	/* a literal of the plugin */
		uint64_t n;
	} counter[HOST_COUNTERS];
	struct host_line {		/* what was logged lately */
		uint64_t hash, since;
		uint32_t n;
	} line[HOST_LINES];
};

/* Make H the table for the plugin NAME; H must outlive the plugin. */
void plugin_host_init(struct plugin_host *h, const char *name);

/* Memory for the results of one call, never more than MAX octets.  NULL: out
 * of memory. */
struct culver_arena *arena_new(size_t max);

/* Zeroed, aligned for anything; NULL if A is full or memory is short. */
void *arena_alloc(struct culver_arena *a, size_t n);

/* Forget everything; what was handed out is no longer valid. */
void arena_reset(struct culver_arena *a);

/* The same, and zero it first: for calls that saw a secret. */
void arena_wipe(struct culver_arena *a);

void arena_free(struct culver_arena **a);

/* A call with DEADLINE (clock_now(); UINT64_MAX: none), ARENA and ERR, which
 * is emptied. */
struct culver_call plugin_call(struct culver_arena *arena,
    struct culver_error *err, uint64_t deadline);

/* End and escape the text that a plugin left in ERR, for a log line. */
const char *plugin_error_text(struct culver_error *err);

#endif /* PLUGIN_HOST_H */
