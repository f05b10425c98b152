/*
 * settings.c - what a user's data says about logins of that user.
 *
 * Runs in the auth coordinator and in culverctl.  Which plugin the data is from
 * does not matter; what cannot be understood lets nobody in.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/auth/settings.h"
#include "core/base/clock.h"
#include "plugins/common/nets.h"

enum { MOST_DAYS = 36500 };
#define MOST_DELAY (86400 * NS_PER_S)

/* Digits of TEXT, and where they end; false: there are none, or too many. */
static _Bool
number(const char *text, uint64_t *out, const char **end)
{
	size_t n = strspn(text, "0123456789");

	*out = 0;
	for (size_t i = 0; i < n && i < 10; i++)
		*out = *out * 10 + (uint64_t)(text[i] - '0');
	*end = text + n;
	return n > 0 && n <= 9;
}

static _Bool
expire_read(const char *text, uint32_t *out)
{
	const char *end;
	uint64_t v;

	if (strcmp(text, "never") == 0)
		*out = UINT32_MAX;
	else if (strcmp(text, "off") == 0)
		*out = UINT32_MAX - 1;
	else if (number(text, &v, &end) && *end == 0 && v > 0 &&
	    v <= MOST_DAYS)
		*out = (uint32_t)v;
	else
		return 0;
	return 1;
}

static _Bool
delay_read(const char *text, uint64_t *out)
{
	static const uint64_t scale[] = {1, 60, 3600, 86400};
	static const char units[] = "smhd";
	const char *end, *unit;
	uint64_t v;

	if (!number(text, &v, &end))
		return 0;
	unit = *end == 0 ? units : strchr(units, *end);
	if (unit == NULL || (*end != 0 && end[1] != 0))
		return 0;
	*out = v * scale[unit - units] * NS_PER_S;
	return *out <= MOST_DELAY;
}

static _Bool
field_read(const char *name, const char *value, struct settings *out)
{
	if (strcmp(name, "nologin") == 0) {
		out->closed |= strcmp(value, "no") != 0 &&
		    strcmp(value, "n") != 0;
	} else if (strcmp(name, "allow_nets") == 0) {
		out->nets = value;
	} else if (strcmp(name, "expire") == 0) {
		return expire_read(value, &out->expire_days);
	} else if (strcmp(name, "login_delay") == 0) {
		out->has_delay = 1;
		return delay_read(value, &out->login_delay);
	}
	return 1;
}

const char *
settings_read(const struct ipc_bytes *fields, struct settings *out)
{
	const char *p = (const char *)fields->p, *end = p + fields->n;
	const char *name, *value;

	*out = (struct settings){.nets = NULL};
	if (fields->n == 0)
		return NULL;
	if (end[-1] != 0)
		return "the last one";
	while (p < end) {
		name = p;
		value = name + strlen(name) + 1;
		if (value >= end)
			return "the last one";
		p = value + strlen(value) + 1;
		if (!field_read(name, value, out))
			return name;
	}
	return NULL;
}

_Bool
settings_allow(const struct settings *s, const char *remote)
{
	return s->nets == NULL || auth_nets_have((struct span){s->nets,
	    strlen(s->nets)}, remote);
}
