/*
 * then.c - what a section's answer leads to.
 *
 * Runs in the auth coordinator, and in culverctl, which asks in the same
 * order.  Pure.
 */
#include "config.h"

#include "core/auth/then.h"

_Bool
chain_is_failure(culver_status st)
{
	return st != CULVER_OK && (st > CULVER_E_AUTH ||
	    st < CULVER_E_DECLINE);
}

enum conf_then
chain_then(const struct conf_auth_part *s, culver_status st)
{
	switch (st) {
	case CULVER_E_DECLINE:
		return CONF_THEN_NEXT;
	case CULVER_E_NOUSER:
		return (enum conf_then)s->on_unknown;
	case CULVER_E_AUTH:
		return (enum conf_then)s->on_wrong;
	case CULVER_E_DISABLED:
	case CULVER_E_EXPIRED:
	case CULVER_E_DELAY:
		return CONF_THEN_STOP;
	default:
		return (enum conf_then)s->on_failure;
	}
}
