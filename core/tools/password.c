/*
 * password.c - read a password from stdin, without echo on a terminal.
 *
 * Runs in culverctl and in its helper hash, as their caller.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "core/tools/password.h"

_Bool
password_interactive(void)
{
	return isatty(0) == 1;
}

/* One line; its octets without the end, or -1. */
static ssize_t
line_read(char *buf, size_t cap)
{
	_Bool ended = 0;
	size_t n = 0;
	ssize_t got = 1;

	/* Octet by octet, so that nothing of it stays in a buffer of stdio. */
	while (!ended && got > 0 && n < cap) {
		got = read(0, buf + n, 1);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got == 1)
			ended = buf[n++] == '\n';
	}
	if (n == cap || got < 0 || n == 0)
		return -1;
	n -= ended;
	if (ended && n > 0 && buf[n - 1] == '\r')
		n--;
	buf[n] = 0;
	return memchr(buf, 0, n) == NULL ? (ssize_t)n : -1;
}

ssize_t
password_read(const char *prompt, char buf[PASSWORD_MAX])
{
	struct termios old, quiet;
	_Bool terminal = tcgetattr(0, &old) == 0;
	ssize_t n;

	if (terminal) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		fputs(prompt, stderr);
		tcsetattr(0, TCSAFLUSH, &quiet);
	}
	n = line_read(buf, PASSWORD_MAX);
	if (terminal) {
		tcsetattr(0, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (n >= 0)
		return n;
	explicit_bzero(buf, PASSWORD_MAX);
	fprintf(stderr, "culverctl: no password on stdin, or one of more than "
	    "%d octets or with an octet 0\n", PASSWORD_MAX - 2);
	return -1;
}
