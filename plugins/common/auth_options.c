/*
 * auth_options.c - options that sections of several plugins have.
 *
 * Runs in a pool process as the auth user, and where a configuration is
 * checked.  The values are an administrator's.
 */
#include "config.h"

#include <culver/util.h>

#include "plugins/common/auth.h"

culver_status
auth_password_options(const struct culver_value *v, uint32_t first,
    uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *weak = &v[first + AUTH_ALLOW_WEAK];

	*bad = first + AUTH_SCHEME;
	if (!scheme_known(span_option(&v[first + AUTH_SCHEME])))
		return culver_fail(call, CULVER_E_CONFIG, 0, "not one of "
		    "CRYPT, YESCRYPT, SHA512-CRYPT, SHA256-CRYPT, BLF-CRYPT, "
		    "SCRYPT, PLAIN, SCRAM-SHA-256, SCRAM-SHA-1, MD5-CRYPT, "
		    "DES-CRYPT");
	*bad = first + AUTH_ALLOW_WEAK;
	for (size_t i = 0; i < weak->u.list.n; i++) {
		const struct culver_str *s = &weak->u.list.v[i];
		const struct method *m = method_find((struct span){s->p, s->n});

		if (m == NULL || !m->weak)
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.40s\" is not one of MD5-CRYPT, DES-CRYPT",
			    s->p);
	}
	return CULVER_OK;
}

culver_status
auth_user_options(const struct culver_value *v, uint32_t first, uint32_t *bad,
    struct culver_call *call)
{
	struct span home = span_option(&v[first + AUTH_HOME]);
	char out[AUTH_MAX_VALUE + 1];
	const char *why;

	*bad = first + AUTH_GID;
	if ((v[first + AUTH_UID].u.i == 0) != (v[first + AUTH_GID].u.i == 0))
		return culver_fail(call, CULVER_E_CONFIG, 0, "uid and gid "
		    "go together: set both or none");
	*bad = first + AUTH_HOME;
	if (home.n > 0 && !home_expand(home.p, NULL, out, &why))
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s", why);
	return CULVER_OK;
}
