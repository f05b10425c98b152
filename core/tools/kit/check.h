/*
 * check.h - the commands of culver-plugin(1) that run a plugin.
 */
#ifndef KIT_CHECK_H
#define KIT_CHECK_H

#include "core/tools/kit/kit.h"

/*
 * Load k->module, run the checks of k->only, write TAP to standard output.
 * Returns an exit status: 0 only if no check failed.
 */
int kit_check_main(struct kit *k);

/* Load k->module and make a folder to work in; false with a line on standard
 * error.  kit_end() removes the folder. */
bool kit_begin(struct kit *k);
void kit_end(struct kit *k);

/* The names of the groups, for messages. */
const char *kit_groups(void);

#endif /* KIT_CHECK_H */
