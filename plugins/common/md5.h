/*
 * md5.h - MD5 (RFC 1321), of which other servers made their UIDLs.
 *
 * Pure functions over memory.  For names that another program gave, never
 * for security.
 */
#ifndef PLUGINS_COMMON_MD5_H
#define PLUGINS_COMMON_MD5_H

#include <stddef.h>
#include <stdint.h>

/* A sum that is being made, over bytes in any pieces. */
struct md5 {
	uint32_t h[4];
	uint64_t total;
	unsigned char block[64];
};

void md5_init(struct md5 *m);
void md5_add(struct md5 *m, const void *buf, size_t n);
void md5_end(struct md5 *m, unsigned char out[16]);

#endif /* PLUGINS_COMMON_MD5_H */
