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

/* Is TEXT made of printable ASCII only? */
_Bool text_printable(const char *text);

#endif /* AUTH_USER_H */
