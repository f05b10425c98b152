/*
 * reply.c - see reply.h.  Runs in gate and worker.
 */
#include "config.h"

#include <string.h>

#include "core/pop3/reply.h"

static const char *const temporary[] = {
	[POP3_AT_LOGIN] =
	    "-ERR [SYS/TEMP] Mailbox not available now, try again later\r\n",
	[POP3_AT_COMMAND] =
	    "-ERR [SYS/TEMP] Temporary failure, try again later\r\n",
	[POP3_AT_UPDATE] =
	    "-ERR [SYS/TEMP] Some deleted messages not removed\r\n",
};

static const char *const permanent[] = {
	[POP3_AT_LOGIN] =
	    "-ERR [SYS/PERM] Mailbox not available, call the "
	    "administrator\r\n",
	[POP3_AT_COMMAND] =
	    "-ERR [SYS/PERM] Failure, call the administrator\r\n",
	[POP3_AT_UPDATE] =
	    "-ERR [SYS/PERM] Some deleted messages not removed, call the "
	    "administrator\r\n",
};

const char *
pop3_status_reply(culver_status status, enum pop3_moment moment)
{
	switch (status) {
	case CULVER_E_PERM:
	case CULVER_E_CORRUPT:
		return permanent[moment];
	case CULVER_E_GONE:
		if (moment == POP3_AT_COMMAND)
			return "-ERR Message is gone\r\n";
		break;
	case CULVER_E_AUTH:
	case CULVER_E_NOUSER:
	case CULVER_E_DISABLED:
	case CULVER_E_EXPIRED:
		/* one wording: nobody learns which names exist */
		if (moment == POP3_AT_LOGIN)
			return "-ERR [AUTH] Authentication failed\r\n";
		break;
	case CULVER_E_DELAY:
		if (moment == POP3_AT_LOGIN)
			return "-ERR [LOGIN-DELAY] Too soon after the last "
			    "login\r\n";
		break;
	case CULVER_E_IN_USE:
		if (moment == POP3_AT_LOGIN)
			return "-ERR [IN-USE] Mailbox is in use by another "
			    "session\r\n";
		break;
	default:
		break;
	}
	return temporary[moment];
}

const char *
pop3_parse_reply(enum pop3_parsed parsed, enum pop3_state state)
{
	switch (parsed) {
	case POP3_OCTET:
		return "-ERR NUL or CR in a command\r\n";
	case POP3_NOT_OFFERED:
		return "-ERR Command not supported\r\n";
	case POP3_WRONG_STATE:
		return state == POP3_TRANSACTION ?
		    "-ERR Only before login\r\n" : "-ERR Log in first\r\n";
	case POP3_SYNTAX:
		return "-ERR Wrong arguments\r\n";
	case POP3_NUMBER:
		return "-ERR Not a number\r\n";
	case POP3_UNKNOWN:
	case POP3_PARSED:
		break;
	}
	return "-ERR Unknown command\r\n";
}

size_t
pop3_number(uint64_t v, uint8_t out[POP3_NUMBER_MAX])
{
	static const char pairs[] =
	    "00010203040506070809101112131415161718192021222324"
	    "25262728293031323334353637383940414243444546474849"
	    "50515253545556575859606162636465666768697071727374"
	    "75767778798081828384858687888990919293949596979899";
	uint64_t limit = 10;
	size_t n, at;

	for (n = 1; n < POP3_NUMBER_MAX && v >= limit; n++)
		limit *= 10;
	for (at = n; at >= 2; v /= 100) {
		at -= 2;
		memcpy(out + at, pairs + v % 100 * 2, 2);
	}
	if (at == 1)
		out[0] = (uint8_t)('0' + v);
	return n;
}
