/*
 * format.h - the UIDLs that Dovecot made by its pop3_uidl_format.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.  The
 * format is the administrator's; names and guids are bytes that others chose.
 */
#ifndef PLUGINS_COMMON_FORMAT_H
#define PLUGINS_COMMON_FORMAT_H

#include "plugins/common/plug.h"

/* Dovecot's variables. */
enum {
	PLUG_FMT_UID = 1,	/* u, the UID */
	PLUG_FMT_VALIDITY = 2,	/* v, the UID validity of the mailbox */
	PLUG_FMT_MD5 = 4,	/* m, of some headers (mbox) */
	PLUG_FMT_NAME = 8,	/* f, the base name (Maildir) */
	PLUG_FMT_GUID = 16	/* g, a name that goes with the message */
};

/* Those of a message; NULL if the storage has none. */
struct plug_format_vars {
	uint32_t uid, validity;
	const char *md5, *name, *guid;
};

/*
 * Which variables a format uses, of HAVE; 0 if it is none, uses another one,
 * is the same for all messages, or makes UIDLs that are never legal.  Both
 * "%08Xu" (Dovecot 2.3) and "%{uid | hex(8)}" (2.4) are understood; where
 * Dovecot would cut a number, the format is refused.
 */
unsigned plug_format_uses(const char *format, unsigned have);

/* Make a UIDL; false if it is not legal (RFC 1939 section 7). */
bool plug_format_make(const char *format, const struct plug_format_vars *vars,
    char out[PLUG_UID_MAX + 1]);

#endif /* PLUGINS_COMMON_FORMAT_H */
