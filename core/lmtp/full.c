/*
 * full.c - whose quota was full when a message came last: RCPT is refused for
 * a while without asking again, so that a full mailbox costs no transfers.
 *
 * Runs in lmtp.  What is decided is decided by the storage plugin at the end
 * of a delivery; this is only the last that is known.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/lmtp/lmtp.h"

static struct {
	char user[256];
	uint64_t until;
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
full_add(const char *user)
{
	int i = find(user);

	if (i < 0) {
		i = (int)(next++ % FULL_USERS);
		snprintf(full[i].user, sizeof(full[i].user), "%s", user);
	}
	full[i].until = clock_now() + FULL_TIME;
}

_Bool
full_has(const char *user)
{
	int i = find(user);

	return i >= 0 && full[i].until > clock_now();
}

void
full_forget(const char *user)
{
	int i = find(user);

	if (i >= 0)
		full[i].user[0] = 0;
}
