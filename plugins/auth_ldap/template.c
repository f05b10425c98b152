/*
 * template.c - filters and DNs with %{user} and so on in them.
 *
 * Runs in the config role, where they are checked, and in a pool process.
 * Values come from clients: quoted, they can neither end the value that they
 * are a part of nor be a pattern.
 */
#include "config.h"

#include <string.h>

#include "plugins/auth_ldap/dir.h"

static bool
is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != 0 && strchr("-._@", c) != NULL);
}

/* Append V; false: there is no room for it and a NUL. */
static bool
append(char out[DIR_MAX_EXPANDED], size_t *n, struct span v, bool quote)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];
		bool bare = !quote || is_safe(v.p[i]);

		if (*n + (bare ? 1 : 3) >= DIR_MAX_EXPANDED)
			return false;
		if (bare) {
			out[(*n)++] = v.p[i];
			continue;
		}
		out[(*n)++] = '\\';
		out[(*n)++] = digits[c >> 4];
		out[(*n)++] = digits[c & 15];
	}
	return true;
}

/* The part of P..END that begins at P: %%, a variable, or other text. */
static bool
part_read(const char *p, const char *end, struct span *part,
    enum auth_var *var, bool *is_var, const char **why)
{
	const char *close;
	struct span name;

	*part = (struct span){p, 1};
	*is_var = false;
	if (*p != '%')
		return true;
	if (end - p > 1 && p[1] == '%') {
		part->n = 2;
		return true;
	}
	*why = "% without a variable: they are written %{user}, %{name}, "
	    "%{domain}, %{remote}, %{local}, %{service}; %% is a %";
	if (end - p < 2 || p[1] != '{' ||
	    (close = memchr(p, '}', (size_t)(end - p))) == NULL)
		return false;
	name = (struct span){p + 2, (size_t)(close - p) - 2};
	part->n = (size_t)(close - p) + 1;
	*is_var = true;
	*why = AUTH_VARS_KNOWN;
	return auth_var_find(name, var);
}

bool
dir_expand(struct span text, const struct culver_auth_req *rq, bool quote,
    char out[DIR_MAX_EXPANDED], const char **why)
{
	const char *p = text.p, *end = text.p + text.n;
	enum auth_var var = AUTH_VAR_USER;
	struct span part;
	size_t n = 0;
	bool is_var;

	for (; p < end; p += part.n) {
		struct span v;

		if (!part_read(p, end, &part, &var, &is_var, why))
			return false;
		v = is_var ? auth_var_value(var, rq) : (struct span){p, 1};
		*why = "it would be too long";
		if (!append(out, &n, v, is_var && quote))
			return false;
	}
	out[n] = 0;
	return true;
}

bool
dir_template_check(struct span text, const char **why)
{
	static const struct culver_auth_req nobody = {.user = "u@d"};
	char out[DIR_MAX_EXPANDED];

	return dir_expand(text, &nobody, true, out, why);
}

unsigned
dir_template_vars(struct span text)
{
	const char *p = text.p, *end = text.p + text.n, *why;
	enum auth_var var = AUTH_VAR_USER;
	struct span part;
	unsigned vars = 0;
	bool is_var;

	for (; p < end && part_read(p, end, &part, &var, &is_var, &why);
	    p += part.n)
		if (is_var)
			vars |= 1U << var;
	return vars;
}

bool
dir_template_varies(struct span text)
{
	return dir_template_vars(text) != 0;
}

bool
dir_template_names(struct span text)
{
	return (dir_template_vars(text) &
	    (1U << AUTH_VAR_USER | 1U << AUTH_VAR_NAME)) != 0;
}

bool
dir_name_is_plain(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || name[0] == ' ' || name[n - 1] == ' ' ||
	    strstr(name, "  ") != NULL || strstr(name, " @") != NULL ||
	    strstr(name, "@ ") != NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 ||
		    (unsigned char)name[i] > 0x7e)
			return false;
	return true;
}
