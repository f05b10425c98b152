/*
 * trace.c - the headers that final delivery puts before a message, and the
 * names that a recipient may have; see proto.h.
 *
 * Runs in lmtp.  Addresses have no control octets and their quotes are
 * balanced (command.c), so they cannot add a header.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/lmtp/proto.h"

size_t
lmtp_head(const struct lmtp_session *s, unsigned i, const char *remote,
    const char *id, time_t now, char out[LMTP_HEAD_MAX])
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu",
	    "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const char *to = s->rcpt[i].addr.raw;
	struct tm tm;
	int n;

	gmtime_r(&now, &tm);
	n = snprintf(out, LMTP_HEAD_MAX, "Return-Path: <%s>\r\n"
	    "Delivered-To: %s\r\n"
	    "Received: from %s (%s)\r\n\tby %s with %s id %s\r\n"
	    "\tfor <%s>; %s, %d %s %d %02d:%02d:%02d +0000\r\n",
	    s->sender.raw, to, s->helo, remote, s->hostname,
	    s->smtputf8 ? "UTF8LMTP" : "LMTP", id, to, days[tm.tm_wday],
	    tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	return n > 0 && n < LMTP_HEAD_MAX ? (size_t)n : 0;
}

_Bool
lmtp_user(const struct lmtp_addr *a, enum lmtp_names names,
    const char *delimiters, unsigned k, char out[256])
{
	size_t plain = a->local_n > 0 ? 1 + strcspn(a->name + 1, delimiters) :
	    0, len = strlen(a->name);
	unsigned cuts = delimiters[0] != 0 && plain < a->local_n ? 2 : 1;
	_Bool has_domain = len > a->local_n;
	unsigned n = 0;

	for (int whole = 1; whole >= 0; whole--) {
		if (has_domain ? names == (whole ? LMTP_LOCAL_NAME :
		    LMTP_WHOLE_NAME) : whole)
			continue;
		for (unsigned cut = 0; cut < cuts; cut++) {
			size_t local = cut ? plain : a->local_n;

			if (n++ != k)
				continue;
			snprintf(out, 256, "%.*s%s", (int)local, a->name,
			    whole ? a->name + a->local_n : "");
			return 1;
		}
	}
	return 0;
}
