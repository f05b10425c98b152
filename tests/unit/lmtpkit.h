/*
 * lmtpkit.h - an LMTP server without sockets, for the unit test and the fuzz
 * target: octets in, replies and messages out.
 */
#ifndef UNIT_LMTPKIT_H
#define UNIT_LMTPKIT_H

#include <stddef.h>
#include <stdint.h>

enum { KIT_ROOM = 1 << 18 };

struct kit_result {
	char replies[KIT_ROOM];		/* all of them, NUL-terminated */
	size_t n_replies;
	uint8_t text[KIT_ROOM];		/* of all messages, each with an octet
					 * 0xff behind it */
	size_t n_text;
	unsigned messages, copies;	/* copies: one a recipient */
	_Bool closed;			/* by the server */
};

/*
 * Serve the N octets at IN, given STEP at a time (0: 1, 2, 3, ...).  Users
 * are what begins with "user"; "full" is over quota, "temp" cannot be
 * told, "off" is disabled.  Messages may have SIZE_MAX_ octets.
 */
void kit_serve(const uint8_t *in, size_t n, size_t step, uint64_t size_max,
    struct kit_result *out);

#endif /* UNIT_LMTPKIT_H */
