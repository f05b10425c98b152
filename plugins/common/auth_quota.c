/*
 * auth_quota.c - read Dovecot's quota_rule of a user.
 *
 * Runs in a pool process, on what a file or database says.  A rule that cannot
 * be kept is a mistake: a user without a limit is not what was meant.
 */
#include "config.h"

#include <string.h>

#include "plugins/common/auth.h"

/* Cut what stands before the next colon off REST. */
static struct span
part_next(struct span *rest)
{
	const char *colon = memchr(rest->p, ':', rest->n);
	struct span part = *rest;

	if (colon == NULL) {
		rest->p += rest->n;
		rest->n = 0;
		return part;
	}
	part.n = (size_t)(colon - rest->p);
	rest->p = colon + 1;
	rest->n -= part.n + 1;
	return part;
}

/* Octets that one of SUFFIX stands for; 0: no suffix is that one. */
static uint64_t
suffix_octets(struct span suffix)
{
	static const char letters[] = "BKMGT";
	const char *at;

	if (suffix.n == 2 && (suffix.p[1] | 0x20) == 'b')
		suffix.n = 1;
	at = suffix.n == 1 ? strchr(letters, suffix.p[0] & ~0x20) : NULL;
	return at == NULL || *at == 0 ? 0 :
	    UINT64_C(1) << 10 * (at - letters);
}

/* Digits and, where UNIT is not 0, perhaps a suffix; UNIT counts without. */
static _Bool
number_parse(struct span s, uint64_t unit, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		if (v > UINT64_MAX / 10 - 1)
			return 0;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (i == 0)
		return 0;
	if (i < s.n) {
		s.p += i;
		s.n -= i;
		unit = unit == 0 ? 0 : suffix_octets(s);
		if (unit == 0)
			return 0;
	} else if (unit == 0) {
		unit = 1;
	}
	if (v > UINT64_MAX / unit)
		return 0;
	*out = v * unit;
	return 1;
}

static _Bool
limit_parse(struct span part, struct culver_user *out)
{
	const char *eq = memchr(part.p, '=', part.n);
	struct span value;

	if (eq == NULL)
		return 0;
	value = (struct span){eq + 1,
	    part.n - (size_t)(eq - part.p) - 1};
	part.n = (size_t)(eq - part.p);
	if (span_is(part, "storage"))
		return number_parse(value, 1024, &out->quota_octets);
	if (span_is(part, "bytes"))
		return number_parse(value, 1, &out->quota_octets);
	if (span_is(part, "messages"))
		return number_parse(value, 0, &out->quota_messages);
	return 0;
}

_Bool
quota_parse(struct span rule, struct culver_user *out)
{
	struct span folder = part_next(&rule), part;

	if (!span_is(folder, "*") && !span_is(folder, "INBOX"))
		return folder.n > 0;
	while (rule.n > 0) {
		part = part_next(&rule);
		if (!limit_parse(part, out))
			return 0;
	}
	return 1;
}
