/*
 * auth.h - checks of auth plugins that are in files of their own.
 */
#ifndef KIT_AUTH_H
#define KIT_AUTH_H

#include "core/tools/kit/kit.h"

/* Group auth: log lines and memory after a call. */
void auth_secrets(struct kit *k);

/* Groups options, hygiene and versions. */
bool auth_create_only(struct kit *k);
void auth_rounds(struct kit *k);	/* all calls, some times */
void auth_cycle(struct kit *k);		/* the same from create to destroy */

#endif /* KIT_AUTH_H */
