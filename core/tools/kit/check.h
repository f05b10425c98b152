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

/* Load k->module, of KIND if that is not 0, and make a folder to work in;
 * false with a line on standard error.  kit_end() removes the folder. */
bool kit_begin(struct kit *k, unsigned kind);
void kit_end(struct kit *k);

#endif /* KIT_CHECK_H */
