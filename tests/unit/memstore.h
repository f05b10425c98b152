/*
 * memstore.h - a storage plugin in memory that does what a test tells it to,
 * wrong things included.
 */
#ifndef TESTS_MEMSTORE_H
#define TESTS_MEMSTORE_H

#include <stddef.h>
#include <stdint.h>

#include <culver/storage.h>

enum { MEM_MAX = 4096 };

struct mem_message {
	const char *uid;
	const void *data;
	size_t n;
	uint64_t octets;	/* what list() says */
	uint32_t flags;		/* CULVER_MSG_* */
	culver_status read;	/* of read() */
	size_t fail_at;		/* next() fails behind so many octets; */
	culver_status next;	/* with this */
	int fd;			/* >= 0: the data is there, not in memory */
	uint64_t kept;		/* put_octets() said so */
	int is_kept, is_gone;
};

/* One for all: a session is one process. */
extern struct mem {
	struct mem_message msg[MEM_MAX];
	uint32_t n;
	size_t extent;		/* octets of one extent; 0: all */
	culver_status open, list, expunge;
	uint32_t removed;	/* by an expunge() that fails */
	uint32_t list_n;	/* > 0: lie about the count */
	int opened, closed, destroyed, reading, expunged;
	uint64_t last_deadline;
	culver_status keepalive;
	void (*on_keepalive)(void);	/* or NULL */
} mem;

extern const struct culver_storage_ops mem_ops;
#define MEM_CAPS (CULVER_ST_SIZE_CACHE | CULVER_ST_ATOMIC_EXPUNGE)

void mem_reset(void);

/* Add a message with its true size; data is borrowed. */
struct mem_message *mem_add(const char *uid, const void *data, size_t n);

#endif /* TESTS_MEMSTORE_H */
