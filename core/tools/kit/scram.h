/*
 * scram.h - the keys of SCRAM (RFC 5802, RFC 7677), made from a password, for
 * comparison with what a plugin has stored.
 */
#ifndef KIT_SCRAM_H
#define KIT_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCRAM_KEY = 64 };		/* octets of the longest hash */

/* Let the library start, which it does not survive when memory is short: a
 * plugin in this process finds it running. */
void scram_start(void);

/*
 * StoredKey and ServerKey for the PASSWORD of N octets, taken as it is (no
 * SASLprep).  Their length, or 0 if they cannot be made.
 */
size_t scram_keys(bool sha256, const void *password, size_t n,
    const void *salt, size_t salt_n, uint32_t iterations,
    unsigned char stored[SCRAM_KEY], unsigned char server[SCRAM_KEY]);

#endif /* KIT_SCRAM_H */
