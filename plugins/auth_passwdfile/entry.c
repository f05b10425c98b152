/*
 * entry.c - split a line of a passwd file:
 * user:password:uid:gid:gecos:home:shell:extra, the trailing ones optional.
 *
 * Runs in a pool process.  Works on the text as it is; copies nothing.
 */
#include "config.h"

#include <string.h>

#include "plugins/auth_passwdfile/passwdfile.h"

/* Cut the next field off LINE; false when nothing is left. */
static _Bool
field_next(struct span *line, struct span *field)
{
	const char *colon;

	field->p = line->p;
	field->n = 0;
	if (line->p == NULL)
		return 0;
	colon = memchr(line->p, ':', line->n);
	if (colon == NULL) {
		*field = *line;
		line->p = NULL;
		return 1;
	}
	field->n = (size_t)(colon - line->p);
	line->n -= field->n + 1;
	line->p = colon + 1;
	return 1;
}

static _Bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return 1;
	return 0;
}

/* What stands behind the shell.  A colon is not special in it.  In the old
 * format the field is empty and the place of the mail follows. */
static void
extra_parse(struct span rest, struct entry *out)
{
	out->extra = rest;
	if (rest.n > 0 && rest.p[0] == ':') {
		out->extra_is_mail = 1;
		out->extra.p++;
		out->extra.n--;
	}
}

_Bool
entry_parse(const char *line, size_t n, struct entry *out, const char **why)
{
	struct span rest = {line, n}, uid, gid, skipped;

	*out = (struct entry){.user = {"", 0}, .password = {"", 0},
	    .home = {"", 0}, .extra = {"", 0}};
	field_next(&rest, &out->user);
	*why = "the line is longer than 65535 octets";
	if (n > PF_MAX_LINE)
		return 0;
	*why = "control octets in it";
	if (has_control((struct span){line, n}))
		return 0;
	*why = "the user's name is longer than 255 octets";
	if (out->user.n > PF_MAX_USER)
		return 0;
	if (!field_next(&rest, &out->password) || !field_next(&rest, &uid))
		return 1;
	*why = "the uid is not a number from 1 to 4294967294";
	if (uid.n > 0 && !span_id(uid, &out->uid))
		return 0;
	field_next(&rest, &gid);
	*why = "the gid is not a number from 1 to 4294967294";
	if (gid.n > 0 && !span_id(gid, &out->gid))
		return 0;
	field_next(&rest, &skipped);			/* gecos */
	field_next(&rest, &out->home);
	*why = "the home directory is not an absolute path";
	if (out->home.n > 0 && out->home.p[0] != '/')
		return 0;
	*why = "the home directory is longer than 4095 octets";
	if (out->home.n > AUTH_MAX_VALUE)
		return 0;
	field_next(&rest, &skipped);			/* shell */
	if (rest.p != NULL)
		extra_parse(rest, out);
	return 1;
}

_Bool
entry_next_extra(struct span *rest, struct span *name, struct span *value)
{
	const char *end, *eq;

	while (rest->n > 0 && rest->p[0] == ' ') {
		rest->p++;
		rest->n--;
	}
	if (rest->n == 0)
		return 0;
	end = memchr(rest->p, ' ', rest->n);
	name->p = rest->p;
	name->n = end != NULL ? (size_t)(end - rest->p) : rest->n;
	rest->p += name->n;
	rest->n -= name->n;
	eq = memchr(name->p, '=', name->n);
	value->p = eq != NULL ? eq + 1 : "";
	value->n = eq != NULL ? name->n - (size_t)(eq - name->p) - 1 : 0;
	if (eq != NULL)
		name->n = (size_t)(eq - name->p);
	return 1;
}
