/*
 * auth_user.c - a user's data from Dovecot's fields, and the options that say
 * what is not in them.
 *
 * Runs in a pool process, on what a file or database says of a user.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/common/auth.h"

_Bool
span_is(struct span s, const char *literal)
{
	return s.n == strlen(literal) && memcmp(s.p, literal, s.n) == 0;
}

_Bool
span_id(struct span s, uint32_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 10)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (v == 0 || v >= UINT32_MAX)
		return 0;
	*out = (uint32_t)v;
	return 1;
}

struct span
span_option(const struct culver_value *v)
{
	return (struct span){v->u.s.p != NULL ? v->u.s.p : "", v->u.s.n};
}

/* --- fields --------------------------------------------------------------- */

static culver_status
no_memory(struct culver_call *call)
{
	return culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

/* Dovecot writes "maildir:/path"; the storage section knows the format. */
culver_status
auth_user_location(struct auth_user *u, struct span v,
    struct culver_call *call)
{
	static const char *const formats[] = {"maildir:", "mbox:", "sqlite:"};
	size_t strip = 0;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = strlen(formats[i]);

		if (v.n > n && memcmp(v.p, formats[i], n) == 0)
			strip = n;
	}
	v.p += strip;
	v.n -= strip;
	if (v.n == 0 || v.n > AUTH_MAX_VALUE ||
	    (v.p[0] != '/' && v.p[0] != '~') ||
	    (strip > 0 && memchr(v.p, ':', v.n) != NULL))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s: "
		    "mail=%.*s is not a path from / or ~/ without options",
		    u->where, u->out->name, (int)(v.n < 60 ? v.n : 60), v.p);
	u->out->location = culver_strndup(u->host, call, v.p, v.n);
	return u->out->location != NULL ? CULVER_OK : no_memory(call);
}

/* What the core has a member for; E_UNSUPPORTED: a field like any other. */
static culver_status
known_set(struct auth_user *u, struct span name, struct span v,
    struct culver_call *call)
{
	struct culver_user *out = u->out;
	uint32_t *id = span_is(name, "uid") ? &out->uid :
	    span_is(name, "gid") ? &out->gid : NULL;
	const char **text = span_is(name, "home") ? &out->home :
	    span_is(name, "storage") ? &out->storage : NULL;

	if (span_is(name, "mail"))
		return auth_user_location(u, v, call);
	if (id != NULL)
		return span_id(v, id) ? CULVER_OK :
		    culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s: %.*s "
			"is not a number above 0", u->where, out->name,
			(int)name.n, name.p);
	if (text == NULL)
		return CULVER_E_UNSUPPORTED;
	*text = culver_strndup(u->host, call, v.p, v.n);
	return *text != NULL ? CULVER_OK : no_memory(call);
}

culver_status
auth_user_field(struct auth_user *u, struct span name, struct span value,
    struct culver_call *call)
{
	static const char prefix[] = "userdb_";
	struct culver_field *f = &u->fields[u->out->n_fields];
	culver_status st;

	if (name.n > sizeof(prefix) - 1 &&
	    memcmp(name.p, prefix, sizeof(prefix) - 1) == 0) {
		name.p += sizeof(prefix) - 1;
		name.n -= sizeof(prefix) - 1;
	}
	st = known_set(u, name, value, call);
	if (st != CULVER_E_UNSUPPORTED)
		return st;
	f->name = culver_strndup(u->host, call, name.p, name.n);
	f->value = culver_strndup(u->host, call, value.p, value.n);
	if (span_is(name, "quota_rule") && !quota_parse(value, u->out))
		return culver_fail(call, CULVER_E_TEMP, 0, "user %s: "
		    "quota_rule is not one that is known: wanted "
		    "*:storage=SIZE:messages=COUNT", u->out->name);
	if (f->name == NULL || f->value == NULL)
		return no_memory(call);
	u->out->n_fields++;
	return CULVER_OK;
}

culver_status
auth_user_begin(struct auth_user *u, const char *name, size_t n,
    struct culver_call *call)
{
	u->out->name = culver_strndup(u->host, call, name, strlen(name));
	u->fields = culver_alloc(u->host, call, (n + 1) * sizeof(*u->fields));
	u->out->fields = u->fields;
	return u->fields != NULL && u->out->name != NULL ? CULVER_OK :
	    no_memory(call);
}

static culver_status
home_set(struct auth_user *u, struct span option, struct culver_call *call)
{
	char made[AUTH_MAX_VALUE + 1];
	const char *why;

	if (u->out->home != NULL || option.n == 0)
		return CULVER_OK;
	if (!home_expand(option.p, u->out->name, made, &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "home of user %s: "
		    "%s", u->out->name, why);
	u->out->home = culver_strndup(u->host, call, made, strlen(made));
	return u->out->home != NULL ? CULVER_OK : no_memory(call);
}

culver_status
auth_user_end(struct auth_user *u, const struct culver_value *v,
    struct culver_call *call)
{
	struct culver_user *out = u->out;

	if (out->uid == 0)
		out->uid = (uint32_t)v[AUTH_UID].u.i;
	if (out->gid == 0)
		out->gid = (uint32_t)v[AUTH_GID].u.i;
	/* Passwords only leave the rest to another section. */
	if (out->uid == 0 && out->gid == 0)
		return culver_fail(call, CULVER_E_DECLINE, 0, "%s: user %s "
		    "has no uid, and the section sets none", u->where,
		    out->name);
	if (out->uid == 0 || out->gid == 0)
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s "
		    "has no %s", u->where, out->name,
		    out->uid == 0 ? "uid" : "gid");
	return home_set(u, span_option(&v[AUTH_HOME]), call);
}
