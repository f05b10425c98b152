/*
 * user.c - check names of users.
 *
 * Runs in the auth coordinator, on what clients and pools say.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/auth/user.h"

/* Octets of the UTF-8 sequence at P; 0 if there is none (RFC 3629 4). */
static size_t
utf8_next(const uint8_t *p)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 :
	    (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)	/* the NUL at the end too */
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

_Bool
user_check(const char *name, _Bool lower, char out[USER_MAX + 1])
{
	size_t n = strnlen(name, USER_MAX + 1), took;

	if (n == 0 || n > USER_MAX || name[0] == '.')
		return 0;
	for (size_t i = 0; i < n; i += took) {
		const uint8_t *p = (const uint8_t *)name + i;

		took = utf8_next(p);
		if (took == 0 || *p < 0x20 || *p == 0x7f || *p == '/' ||
		    (*p == 0xc2 && p[1] < 0xa0))	/* C1 controls */
			return 0;
	}
	for (size_t i = 0; i <= n; i++)
		out[i] = lower && name[i] >= 'A' && name[i] <= 'Z' ?
		    (char)(name[i] - 'A' + 'a') : name[i];
	return 1;
}

_Bool
master_split(const char *name, char sep, char target[USER_MAX + 1],
    char master[USER_MAX + 1])
{
	size_t n = strnlen(name, USER_MAX + 1);
	const char *at = sep != 0 && n <= USER_MAX ? strrchr(name, sep) : NULL;

	if (at == NULL)
		return 0;
	memcpy(target, name, (size_t)(at - name));
	target[at - name] = 0;
	memcpy(master, at + 1, n - (size_t)(at - name));
	return 1;
}

_Bool
text_printable(const char *text)
{
	for (; *text != 0; text++)
		if (*text < 0x20 || *text > 0x7e)
			return 0;
	return 1;
}
