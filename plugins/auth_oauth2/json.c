/*
 * json.c - JSON that nobody vouches for.
 *
 * Runs in a pool process, on what clients and servers sent.  Its length was
 * limited by who read it, its depth is by jansson (2,048).
 */
#include "config.h"

#include <string.h>

#include "plugins/auth_oauth2/oauth2.h"

json_t *
oauth_json_object(const char *p, size_t n)
{
	/* Of two members of a name, others may believe the other one. */
	json_t *j = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);

	if (j != NULL && !json_is_object(j)) {
		json_decref(j);
		j = NULL;
	}
	return j;
}

const char *
oauth_json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

bool
oauth_list_has(const struct culver_value *list, const char *text, size_t n)
{
	for (size_t i = 0; i < list->u.list.n; i++) {
		const struct culver_str *s = &list->u.list.v[i];

		if (s->n == n && memcmp(s->p, text, n) == 0)
			return true;
	}
	return false;
}
