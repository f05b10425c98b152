/*
 * reply.h - what the server says: fixed lines, so that no octet of a client, a
 * mailbox or a plugin gets into one.
 *
 * Runs in gate and worker.  RFC 1939 3 and RFC 2449 4 (at most 512 octets),
 * 8 and RFC 3206 (response codes).
 */
#ifndef POP3_REPLY_H
#define POP3_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>

#include "core/pop3/command.h"
#include "core/pop3/line.h"

enum {
	POP3_REPLY_MAX = 512,	/* octets, line end included */
	POP3_NUMBER_MAX = 20	/* octets of a number */
};

/* Whole lines with their CRLF. */
#define POP3_GREETING	"+OK Culver ready\r\n"
#define POP3_GREETING_APOP "+OK Culver ready %s\r\n"	/* RFC 1939 7 */
#define POP3_BYE	"+OK Bye\r\n"
#define POP3_LOGGED_IN	"+OK Logged in\r\n"
#define POP3_SEND_PASS	"+OK Now the password\r\n"
#define POP3_BEGIN_TLS	"+OK Begin TLS\r\n"
#define POP3_NO_TLS	"-ERR TLS is not available\r\n"
#define POP3_IN_TLS	"-ERR TLS is active already\r\n"
#define POP3_NEED_TLS	"-ERR Only with TLS: use STLS first\r\n"
#define POP3_NEED_USER	"-ERR USER first\r\n"
#define POP3_BAD_NAME	"-ERR That cannot be a user name\r\n"
#define POP3_NO_MECH	"-ERR Unknown SASL mechanism\r\n"
#define POP3_BAD_BASE64	"-ERR Not base64\r\n"
#define POP3_CANCELLED	"-ERR Authentication cancelled\r\n"
#define POP3_TOO_LONG	"-ERR Line too long\r\n"
#define POP3_TOO_MANY	"-ERR Too many bad commands\r\n"
#define POP3_TOO_SLOW	"-ERR Timeout\r\n"
#define POP3_BUSY	"-ERR [SYS/TEMP] Too many connections, try again " \
			"later\r\n"
#define POP3_KEPT_OUT	"-ERR [SYS/PERM] You may not connect here\r\n"
#define POP3_SHUTDOWN	"-ERR [SYS/TEMP] Server is shutting down, try again " \
			"later\r\n"
#define POP3_OK		"+OK\r\n"
#define POP3_NO_MESSAGE	"-ERR No such message\r\n"
#define POP3_READONLY	"-ERR [SYS/PERM] Mailbox is read-only\r\n"
#define POP3_DELETED	"-ERR Message is deleted\r\n"

/* Where a status meets the client; the wording and some codes differ. */
enum pop3_moment {
	POP3_AT_LOGIN,		/* PASS, AUTH, and opening the mailbox */
	POP3_AT_COMMAND,
	POP3_AT_UPDATE		/* QUIT after DELE */
};

/*
 * The line for a failed STATUS, by the table of ABI.md 5.  A status that is
 * not known, or makes no sense at that moment, is [SYS/TEMP].  Never NULL.
 */
const char *pop3_status_reply(culver_status status, enum pop3_moment moment);

/* Write V in decimal; returns how many octets of OUT that took.  A listing of
 * a large mailbox is little else. */
size_t pop3_number(uint64_t v, uint8_t out[POP3_NUMBER_MAX]);

/* The line for a command that did not parse; STATE words WRONG_STATE. */
const char *pop3_parse_reply(enum pop3_parsed parsed, enum pop3_state state);

#endif /* POP3_REPLY_H */
