/*
 * base64.h - what SASL responses come in (RFC 4648 4), read strictly.
 */
#ifndef SASL_BASE64_H
#define SASL_BASE64_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decode N octets at P into OUT.  False: not base64 (other octets, white
 * space, wrong or missing padding, stray bits), or more than CAP octets.
 */
_Bool base64_decode(const uint8_t *p, size_t n, uint8_t *out, size_t cap,
    size_t *out_n);

/* Encode N octets into OUT, which has room for BASE64_ROOM(n). */
size_t base64_encode(const uint8_t *p, size_t n, char *out);
#define BASE64_ROOM(n) (((n) + 2) / 3 * 4 + 1)

#endif /* SASL_BASE64_H */
