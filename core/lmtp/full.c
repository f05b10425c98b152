/*
 * full.c - for whom a message was too large for his quota lately: RCPT is
 * refused for a while if another one is said to be as large, so that a full
 * mailbox costs no transfers.  A smaller one may fit: who sends large ones
 * must not keep a user from the others.
 *
 * Runs in lmtp.  What is decided is decided by the storage plugin at the end
 * of a delivery; this is only the last that is known.  It is kept nowhere else:
 * to know more at RCPT takes a process that is the recipient, and a figure on
 * disk would be of before the sessions and programs that made room since,
 * while forgetting one costs one transfer.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/lmtp/lmtp.h"

static struct {
	char user[256];
	uint64_t octets, until;
} full[FULL_USERS];
static unsigned next;

static int
find(const char *user)
{
	for (int i = 0; i < FULL_USERS; i++)
		if (strcmp(full[i].user, user) == 0)
			return i;
	return -1;
}

void
full_add(const char *user, uint64_t octets)
{
	int i = find(user);

	if (i < 0) {
		i = (int)(next++ % FULL_USERS);
		snprintf(full[i].user, sizeof(full[i].user), "%s", user);
	}
	full[i].octets = octets;
	full[i].until = clock_now() + FULL_TIME;
}

_Bool
full_has(const char *user, uint64_t octets)
{
	int i = find(user);

	/* not all count the octets of a message alike */
	return i >= 0 && full[i].until > clock_now() &&
	    octets >= full[i].octets - full[i].octets / 8 && octets > 0;
}

void
full_forget(const char *user)
{
	int i = find(user);

	if (i >= 0)
		full[i].user[0] = 0;
}
