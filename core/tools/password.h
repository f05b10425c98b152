/*
 * password.h - read a password; used by culverctl and its helper hash.
 */
#ifndef TOOLS_PASSWORD_H
#define TOOLS_PASSWORD_H

#include <sys/types.h>

enum { PASSWORD_MAX = 4096 };

/*
 * One line from stdin into BUF, asked for with PROMPT and read without echo
 * if that is a terminal.  Octets without the line end, followed by a NUL, or
 * -1 after a message: too long, an octet 0 in it, or nothing there.  The
 * caller wipes it.
 */
ssize_t password_read(const char *prompt, char buf[PASSWORD_MAX]);

/* Is stdin a terminal? */
_Bool password_interactive(void);

#endif /* TOOLS_PASSWORD_H */
