/*
 * delay.c - when users with a login delay logged in last (RFC 2449 6.5).
 *
 * Runs in the auth coordinator.  A table of fixed size, keyed by hashes that
 * nobody outside can predict; who logged in longest ago gives way.
 */
#include "config.h"

#include <stdlib.h>

#include "core/auth/coord-private.h"

enum { SETS = 8192, WAYS = 4 };

struct last {
	uint64_t user, at;
};

struct last *
delay_new(void)
{
	return calloc(SETS * WAYS, sizeof(struct last));
}

_Bool
delay_passed(struct job *j, const char *user, uint64_t now)
{
	struct coord *c = j->coord;
	uint64_t key = throttle_key(c->throttle, "", user).user;
	struct last *set, *place;

	if (j->login_delay < NS_PER_S)	/* CAPA has whole seconds */
		return 1;
	set = place = &c->logins[key % SETS * WAYS];
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].user == key) {
			place = &set[i];
			break;
		}
		if (set[i].at < place->at)
			place = &set[i];
	}
	if (place->user == key && now - place->at < j->login_delay)
		return 0;
	*place = (struct last){.user = key, .at = now};
	return 1;
}
