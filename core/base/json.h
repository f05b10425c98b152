/*
 * json.h - texts of others in JSON (RFC 8259), so that the result is valid
 * UTF-8 whatever their octets are.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>

/* Are the N octets at S UTF-8 (RFC 3629)? */
_Bool json_is_utf8(const char *s, size_t n);

enum { JSON_CHAR = 8 };		/* octets at most of one character */

/*
 * The character at *S, before END, as it stands in a JSON string, into OUT;
 * returns its octets, and *S is behind it.  A text that is no UTF-8 counts as
 * Latin-1.  What could change how a terminal shows the line (control
 * characters of both sorts, line separators, directions) is escaped.
 */
size_t json_char(char out[JSON_CHAR], const char **s, const char *end,
    _Bool utf8);

#endif /* BASE_JSON_H */
