/*
 * auth_vars.c - %{user} and the others in what an administrator has asked.
 *
 * Runs in the config role, where such texts are checked, and in a pool
 * process.
 */
#include "config.h"

#include <string.h>

#include "plugins/common/servers.h"

static const struct {
	const char *name;
	enum auth_var var;
} names[] = {
	{"user", AUTH_VAR_USER}, {"name", AUTH_VAR_NAME},
	{"domain", AUTH_VAR_DOMAIN}, {"remote", AUTH_VAR_REMOTE},
	{"address", AUTH_VAR_REMOTE}, {"local", AUTH_VAR_LOCAL},
	{"service", AUTH_VAR_SERVICE},
};

bool
auth_var_find(struct span name, enum auth_var *out)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_is(name, names[i].name)) {
			*out = names[i].var;
			return true;
		}
	return false;
}

static struct span
text_of(const char *s)
{
	return s != NULL ? (struct span){s, strlen(s)} : (struct span){"", 0};
}

struct span
auth_var_value(enum auth_var var, const struct culver_auth_req *rq)
{
	const char *sign = strrchr(rq->user, '@');
	struct span user = text_of(rq->user);

	switch (var) {
	case AUTH_VAR_NAME:
		return sign != NULL ? (struct span){user.p,
		    (size_t)(sign - user.p)} : user;
	case AUTH_VAR_DOMAIN:
		return text_of(sign != NULL ? sign + 1 : "");
	case AUTH_VAR_REMOTE:
		return text_of(rq->remote);
	case AUTH_VAR_LOCAL:
		return text_of(rq->local);
	case AUTH_VAR_SERVICE:
		return text_of(rq->service);
	case AUTH_VAR_USER:
		break;
	}
	return user;
}
