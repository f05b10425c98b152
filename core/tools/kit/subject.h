/*
 * subject.h - the module under test: its options and its user.
 */
#ifndef KIT_SUBJECT_H
#define KIT_SUBJECT_H

#include "core/tools/kit/box.h"

/* Check the options of K once; false with a line in ERR. */
bool subject_check(struct kit *k, char err[PLUGIN_ERR]);

/* Take the first line of the file at PATH as k->secret; false with a line on
 * standard error. */
bool subject_password(struct kit *k, const char *path);

/* The user that every check has, with k->home. */
void subject_user(const struct kit *k, struct box_user *u);

/* The options as a worker gets them, templates expanded for USER; as an auth
 * pool does if USER is NULL. */
struct values *subject_values(struct kit *k, const struct culver_user *user);

/*
 * The values with option NAME set to TEXT, and the others as they are;
 * templates as written.  False if a host would not take TEXT.
 */
bool subject_with(struct kit *k, const char *name, const char *text,
    struct culver_values *v);

/* Can the options of K be expanded for its user? */
bool subject_can_expand(struct kit *k);

#endif /* KIT_SUBJECT_H */
