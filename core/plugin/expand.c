/*
 * expand.c - templates: a path in the configuration with parts of the user.
 *
 * Runs in the worker, on a login name that a client sent, and with no user in
 * the config role, to check the text.  No name can lead out of the folders
 * that the template names, nor make one of its components vanish.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/values.h"

struct expansion {
	const struct culver_user *user;	/* NULL: only check */
	char *out, *err;
	size_t n;
};

static _Bool
put(struct expansion *x, const char *s, size_t n)
{
	if (n >= VALUES_TEMPLATE - x->n) {
		snprintf(x->err, PLUGIN_ERR, "is longer than %u octets",
		    (unsigned)VALUES_TEMPLATE - 1);
		return 0;
	}
	memcpy(x->out + x->n, s, n);
	x->n += n;
	return 1;
}

static _Bool
put_home(struct expansion *x, const char *what)
{
	const char *home = x->user->home;

	if (home == NULL || home[0] != '/') {
		snprintf(x->err, PLUGIN_ERR, "%s: the user has no home", what);
		return 0;
	}
	return put(x, home, strlen(home));
}

/* A piece of the login name: not empty, and no path by itself. */
static _Bool
put_name(struct expansion *x, const char *what, const char *s, size_t n)
{
	if (n == 0) {
		snprintf(x->err, PLUGIN_ERR, "%%{%s}: the user's name has no "
		    "such part", what);
		return 0;
	}
	if (memchr(s, '/', n) != NULL) {
		snprintf(x->err, PLUGIN_ERR, "%%{%s}: the user's name has a "
		    "slash", what);
		return 0;
	}
	return put(x, s, n);
}

static _Bool
put_variable(struct expansion *x, const char *name, size_t n)
{
	static const char *const names[] = {"user", "name", "domain", "home",
	    "uid"};
	const char *user, *at;
	char uid[16];
	size_t i;

	for (i = 0; i < 5; i++)
		if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
			break;
	if (i == 5) {
		snprintf(x->err, PLUGIN_ERR, "%%{%.*s} is not one of %%{user}, "
		    "%%{name}, %%{domain}, %%{home}, %%{uid}",
		    n < 64 ? (int)n : 64, name);
		return 0;
	}
	if (x->user == NULL)
		return 1;
	user = x->user->name != NULL ? x->user->name : "";
	at = strrchr(user, '@');
	switch (i) {
	case 0:
		return put_name(x, "user", user, strlen(user));
	case 1:
		return put_name(x, "name", user,
		    at != NULL ? (size_t)(at - user) : strlen(user));
	case 2:
		return put_name(x, "domain", at != NULL ? at + 1 : "",
		    at != NULL ? strlen(at + 1) : 0);
	case 3:
		return put_home(x, "%{home}");
	default:
		snprintf(uid, sizeof(uid), "%" PRIu32, x->user->uid);
		return put(x, uid, strlen(uid));
	}
}

/* What follows a '%'; the octets it took, 0 if it is wrong. */
static size_t
put_percent(struct expansion *x, const char *s)
{
	const char *end;

	if (s[1] == '%')
		return put(x, "%", 1) ? 2 : 0;
	end = s[1] == '{' ? strchr(s, '}') : NULL;
	if (end == NULL) {
		snprintf(x->err, PLUGIN_ERR, "%% must be followed by {NAME} "
		    "or another %%");
		return 0;
	}
	return put_variable(x, s + 2, (size_t)(end - s - 2)) ?
	    (size_t)(end - s) + 1 : 0;
}

/* No component of S may be "." or "..". */
static _Bool
components_ok(const struct expansion *x, const char *s)
{
	while (*s != 0) {
		size_t n = strcspn(s, "/");

		if ((n == 1 || n == 2) && memcmp(s, "..", n) == 0) {
			snprintf(x->err, PLUGIN_ERR, "has a component \"%.*s\"",
			    (int)n, s);
			return 0;
		}
		s += n;
		s += *s == '/';
	}
	return 1;
}

_Bool
values_expand(const char *text, const struct culver_user *user,
    char out[VALUES_TEMPLATE], char err[PLUGIN_ERR])
{
	struct expansion x = {.user = user, .out = out, .err = err};
	const char *s = text;

	if (!components_ok(&x, text))
		return 0;
	if (s[0] == '~') {
		if (s[1] != '/' && s[1] != 0) {
			snprintf(err, PLUGIN_ERR, "~ must be followed by a "
			    "slash");
			return 0;
		}
		if (user != NULL && !put_home(&x, "~/"))
			return 0;
		s++;
	}
	while (*s != 0) {
		size_t n = strcspn(s, "%");

		if (!put(&x, s, n))
			return 0;
		s += n;
		if (*s == '%') {
			n = put_percent(&x, s);
			if (n == 0)
				return 0;
			s += n;
		}
	}
	out[x.n] = 0;
	return components_ok(&x, out);
}
