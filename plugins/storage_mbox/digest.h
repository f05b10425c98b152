/*
 * digest.h - the two hashes that the mbox plugin needs.
 *
 * Pure functions over memory.  SipHash with a key that senders of mail do
 * not know names messages; MD5 is only what popa3d made its UIDLs of.
 */
#ifndef STORAGE_MBOX_DIGEST_H
#define STORAGE_MBOX_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 with a result of 128 bits, over bytes in any pieces. */
struct sip {
	uint64_t v[4];
	uint64_t total;
	unsigned char tail[8];
	size_t tail_n;
};

void sip_init(struct sip *s, const unsigned char key[16]);
void sip_add(struct sip *s, const void *buf, size_t n);
void sip_end(struct sip *s, uint64_t out[2]);

/* RFC 1321; for names that another program gave, never for security. */
struct md5 {
	uint32_t h[4];
	uint64_t total;
	unsigned char block[64];
};

void md5_init(struct md5 *m);
void md5_add(struct md5 *m, const void *buf, size_t n);
void md5_end(struct md5 *m, unsigned char out[16]);

#endif /* STORAGE_MBOX_DIGEST_H */
