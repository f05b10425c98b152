/*
 * commands.h - the commands of culver-plugin(1) that do not judge a plugin.
 * Each returns an exit status.
 */
#ifndef KIT_COMMANDS_H
#define KIT_COMMANDS_H

#include "core/tools/kit/kit.h"

/* Make ./KIND_NAME from the files in TEMPLATE; KIND: storage or auth. */
int kit_new_main(const char *template, const char *kind, const char *name);

/*
 * Serve POP3 on 127.0.0.1:PORT (0: any free one) with k->module for users
 * whose home is HOME, one session after the other, in this process and not
 * confined, until a signal ends it.
 */
int kit_serve_main(struct kit *k, unsigned port, const char *home);

/* Time calls on mailboxes of up to k->messages messages. */
int kit_bench_main(struct kit *k, bool json);

#endif /* KIT_COMMANDS_H */
