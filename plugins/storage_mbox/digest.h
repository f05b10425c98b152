/*
 * digest.h - the hash that names messages.
 *
 * Pure functions over memory.  SipHash, with a key that senders of mail do
 * not know.
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

#endif /* STORAGE_MBOX_DIGEST_H */
