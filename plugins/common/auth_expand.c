/*
 * auth_expand.c - make a user's home directory from the `home` option.
 *
 * Runs in a pool process.  The user's name comes from a client; whatever it
 * is, the result stays below the directory that the option names.
 */
#include "config.h"

#include <string.h>

#include "plugins/common/auth.h"

enum part { PART_NONE, PART_USER, PART_NAME, PART_DOMAIN, PART_PERCENT };

/* The variable at TEXT, which begins with "%", and how long it is. */
static enum part
variable(const char *text, size_t *n)
{
	static const struct {
		const char *text;
		enum part part;
	} names[] = {
		{"%{user}", PART_USER}, {"%u", PART_USER},
		{"%{name}", PART_NAME}, {"%n", PART_NAME},
		{"%{domain}", PART_DOMAIN}, {"%d", PART_DOMAIN},
		{"%%", PART_PERCENT},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*n = strlen(names[i].text);
		if (strncmp(text, names[i].text, *n) == 0)
			return names[i].part;
	}
	return PART_NONE;
}

static struct span
value_of(enum part part, const char *user)
{
	const char *at = strrchr(user, '@');
	size_t n = strlen(user);

	if (part == PART_PERCENT)
		return (struct span){"%", 1};
	if (part == PART_NAME)
		return (struct span){user,
		    at != NULL ? (size_t)(at - user) : n};
	if (part == PART_DOMAIN)
		return at != NULL ? (struct span){at + 1, strlen(at + 1)} :
		    (struct span){"", 0};
	return (struct span){user, n};
}

/* May V be a component of a path, or a part of one? */
static _Bool
value_safe(struct span v)
{
	return v.n > 0 && v.p[0] != '.' && memchr(v.p, '/', v.n) == NULL &&
	    memchr(v.p, 0, v.n) == NULL;
}

_Bool
home_expand(const char *text, const char *user, char out[AUTH_MAX_VALUE + 1],
    const char **why)
{
	size_t n = 0, took;

	for (const char *p = text; *p != 0; p += took) {
		struct span v = {p, took = 1};

		if (*p == '%') {
			enum part part = variable(p, &took);

			*why = "only %{user}, %{name}, %{domain} and %% are "
			    "known";
			if (part == PART_NONE)
				return 0;
			v = value_of(part, user != NULL ? user : "u@d");
			*why = "a part of the user's name is empty or begins "
			    "with a dot";
			if (!value_safe(v))
				return 0;
		}
		*why = "it is longer than 4095 octets";
		if (v.n > AUTH_MAX_VALUE - n)
			return 0;
		memcpy(out + n, v.p, v.n);
		n += v.n;
	}
	out[n] = 0;
	*why = "it is not an absolute path";
	return out[0] == '/';
}
