/*
 * reply.c - checkpassword-reply: what a checkpassword program runs when the
 * password was right.
 *
 * Runs as the auth user, confined as its pool process is.  Writes what the
 * environment says of the user to descriptor 4, as Dovecot's program of that
 * name does: USER, HOME, and the variables that EXTRA names.  Trusts none of
 * it: the plugin checks what it reads.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/auth_checkpassword/checkpassword.h"

enum { REPLY_FD = 4, EX_OK = 0, EX_LOOKUP = 2, EX_TEMP = 111 };

static char buf[CHECK_REPLY - 1];
static size_t used;

static void __attribute__((noreturn))
fail(const char *why)
{
	if (write(STDERR_FILENO, why, strlen(why)) < 0)
		_exit(EX_TEMP);
	_exit(EX_TEMP);
}

static void
put(const char *text, size_t n)
{
	if (n > sizeof(buf) - used)
		fail("checkpassword-reply: the environment is too large\n");
	memcpy(buf + used, text, n);
	used += n;
}

/* The variable whose name has N octets at NAME, as AS or by its own name in
 * lower case. */
static void
put_variable(const char *name, size_t n, const char *as)
{
	char own[64], *p;
	const char *value;

	if (n == 0)
		return;
	if (n >= sizeof(own) || memchr(name, '=', n) != NULL)
		fail("checkpassword-reply: EXTRA is not names of variables\n");
	memcpy(own, name, n);
	own[n] = 0;
	value = getenv(own);
	if (value == NULL)
		return;
	for (p = own; *p != 0; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	put(as != NULL ? as : own, strlen(as != NULL ? as : own));
	put("=", 1);
	put(value, strlen(value) + 1);
}

int
main(void)
{
	const char *extra = getenv("EXTRA"), *authorized;
	size_t done = 0;
	ssize_t n;

	put_variable("USER", 4, "user");
	put_variable("HOME", 4, "userdb_home");
	while (extra != NULL && *extra != 0) {
		size_t len = strcspn(extra, " ");

		put_variable(extra, len, NULL);
		extra += len + (extra[len] == ' ');
	}
	put("", 1);
	while (done < used) {
		n = write(REPLY_FD, buf + done, used - done);
		if (n < 0 && errno != EINTR)
			fail("checkpassword-reply: descriptor 4 is not for "
			    "writing: Culver's plugin runs this program\n");
		done += n > 0 ? (size_t)n : 0;
	}
	authorized = getenv("AUTHORIZED");
	return authorized != NULL && strcmp(authorized, "2") == 0 ?
	    EX_LOOKUP : EX_OK;
}
