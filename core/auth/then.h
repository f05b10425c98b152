/*
 * then.h - what a section's answer leads to.
 *
 * Runs in the auth coordinator and in culverctl.  Answers come from plugins.
 */
#ifndef AUTH_THEN_H
#define AUTH_THEN_H

#include <culver/abi.h>

#include "core/config/conf.h"

/*
 * Where the chain goes after section S said ST, which is not OK: on to the
 * next one, to a no, or to "try later".  An account that is closed is closed
 * also where others know it.
 */
enum conf_then chain_then(const struct conf_auth_part *s, culver_status st);

/* Could the section not tell?  OK and all that it can say of a user are no
 * failures. */
_Bool chain_is_failure(culver_status st);

#endif /* AUTH_THEN_H */
