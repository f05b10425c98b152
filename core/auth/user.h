/*
 * user.h - which names can be a user's.
 *
 * Runs in the auth coordinator, on what clients and pools say.
 */
#ifndef AUTH_USER_H
#define AUTH_USER_H

enum { USER_MAX = 255 };

/*
 * Copy NAME to OUT, ASCII letters in lower case if LOWER.  False if it cannot
 * be a user's name: not 1..255 octets of UTF-8, a control octet, a slash, or
 * a dot in front; such a name could be a path that leads elsewhere.
 */
_Bool user_check(const char *name, _Bool lower, char out[USER_MAX + 1]);

/*
 * Take NAME, "user*master", apart at SEP (0: there is none) into TARGET and
 * MASTER, which have room for USER_MAX octets.  False if it is a name like any
 * other.
 */
_Bool master_split(const char *name, char sep, char target[USER_MAX + 1],
    char master[USER_MAX + 1]);

/* Is TEXT made of printable ASCII only? */
_Bool text_printable(const char *text);

#endif /* AUTH_USER_H */
