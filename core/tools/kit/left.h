/*
 * left.h - what is left of a plugin's calls when its objects are destroyed:
 * descriptors, and memory as far as interpose.h sees it.
 *
 * In between, a store may keep what it likes; so a run is judged at its end.
 */
#ifndef KIT_LEFT_H
#define KIT_LEFT_H

#include <stdbool.h>

enum { LEFT_FDS = 256 };

/* Which descriptors below LEFT_FDS are open?  Returns how many.  One system
 * call. */
unsigned left_open(bool fd[LEFT_FDS]);

/* In a child that plays a run, before the first call of the plugin. */
void left_begin(void);

/* After each call: who opened what. */
void left_call(const char *doing);

/*
 * After destroy(): fails the check if a descriptor of a call's is open still,
 * and notes for left_weigh() how much memory is in use.
 */
void left_end(void);

/*
 * In the parent, after each run whose child got to its end: the fault that it
 * had, or NULL if it had none, which is the last of its kind.  That one fails
 * the check if a run before it left more memory than it did.  Not for auth
 * plugins: libraries as libcrypto keep what they know of the last errors.
 */
void left_weigh(const char *fault);

#endif /* KIT_LEFT_H */
