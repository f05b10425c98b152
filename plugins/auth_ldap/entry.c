/*
 * entry.c - which attributes are asked for, and what an entry's say.
 *
 * Runs in a pool process, on what a directory answered.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include <culver/util.h>

#include "plugins/auth_ldap/dir.h"

/* When an account was locked; present only while it is, or until its next
 * bind. */
static const char locked_at[] = "pwdAccountLockedTime";

/* --- attributes = {...} ----------------------------------------------------- */

static bool
is_made_of(struct span s, const char *others, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') ||
		    (c != 0 && strchr(others, c) != NULL)))
			return false;
	}
	return s.n > 0 && s.n <= max;
}

/* Is the field about logging in, not the user's data? */
static bool
is_for_login(struct span field)
{
	static const char *const names[] = {"password", "user", "username",
	    "domain", "nologin", "allow_nets", "allow_real_nets", "proxy",
	    "proxy_maybe", "nopassword", "noauthenticate"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_is(field, names[i]))
			return true;
	return false;
}

static void
text_set(char out[DIR_MAX_NAME + 1], const char *before, struct span s)
{
	size_t n = strlen(before);

	memcpy(out, before, n);
	memcpy(out + n, s.p, s.n);
	out[n + s.n] = 0;
}

static bool
pair_add(struct dir_map *m, struct span attr, struct span field,
    const char **why)
{
	static const char prefix[] = "userdb_";
	const char *before = prefix;
	unsigned i;

	if (is_for_login(field) || (field.n > sizeof(prefix) - 1 &&
	    memcmp(field.p, prefix, sizeof(prefix) - 1) == 0))
		before = "";
	*why = "it wants ATTRIBUTE=FIELD";
	if (!is_made_of(attr, "-.;_", DIR_MAX_NAME) || !is_made_of(field,
	    "-_", DIR_MAX_NAME - strlen(before)))
		return false;
	*why = "there are more than 32";
	if (m->n == DIR_MAX_MAPPED)
		return false;
	text_set(m->v[m->n].attr, "", attr);
	text_set(m->v[m->n].field, before, field);
	*why = "two of them are for the same field";
	for (i = 0; i < m->n; i++)
		if (strcmp(m->v[i].field, m->v[m->n].field) == 0)
			return false;
	m->has_password |= span_is(field, "password");
	m->n++;
	return true;
}

/* Ask for ATTR, once. */
static void
ask_add(struct dir_map *m, unsigned *n, const char *attr)
{
	for (unsigned i = 0; i < *n; i++)
		if (strcasecmp(m->ask[i], attr) == 0)
			return;
	m->ask[(*n)++] = attr;
}

/* What closes an account does so, too, where the password is not from here. */
static bool
closing_add(struct dir_map *m, struct span attr, struct span field,
    const char **why)
{
	if (span_is(field, "nologin"))
		return pair_add(m, attr, (struct span){"userdb_nologin", 14},
		    why);
	if (span_is(field, "allow_nets"))
		return pair_add(m, attr, (struct span){"userdb_allow_nets",
		    17}, why);
	return true;
}

bool
dir_map_parse(const struct culver_value *list, const struct dir_filter *filter,
    struct dir_map *out, const char **why)
{
	unsigned n = 0;

	*out = (struct dir_map){.n = 0};
	for (size_t i = 0; i < list->u.list.n; i++) {
		struct span s = {list->u.list.v[i].p, list->u.list.v[i].n};
		const char *sign = memchr(s.p, '=', s.n);
		size_t at = sign != NULL ? (size_t)(sign - s.p) : s.n;
		struct span field = {s.p + at + 1, sign != NULL ?
		    s.n - at - 1 : 0};

		s.n = at;
		if (!pair_add(out, s, field, why) ||
		    !closing_add(out, s, field, why))
			return false;
	}
	for (unsigned i = 0; i < out->n; i++)
		ask_add(out, &n, out->v[i].attr);
	for (unsigned i = 0; i < filter->n; i++)
		ask_add(out, &n, filter->test[i].attr);
	ask_add(out, &n, locked_at);
	return true;
}

/* --- an entry -------------------------------------------------------------- */

static bool
equals(const struct berval *v, const char *text)
{
	return v->bv_len == strlen(text) &&
	    strncasecmp(v->bv_val, text, v->bv_len) == 0;
}

static enum dir_truth
test_judge(const struct dir_test *t, LDAP *ld, LDAPMessage *e,
    const struct culver_auth_req *rq)
{
	struct berval **v = ldap_get_values_len(ld, e, t->attr);
	enum dir_truth is = v != NULL ? DIR_OTHER : DIR_UNREAD;
	char want[DIR_MAX_EXPANDED];
	const char *why;

	if (v != NULL && dir_expand(t->value, rq, false, want, &why))
		for (unsigned i = 0; v[i] != NULL; i++)
			if (equals(v[i], want))
				is = t->is_name ? DIR_SAME : DIR_OPEN;
	ldap_value_free_len(v);
	return is;
}

/*
 * Servers compare loosely: other forms of a letter, accents, and spaces may
 * count as the same.  Whoever writes his name so would be one user to the
 * server and another one to everybody else.
 */
static culver_status
name_check(struct culver_auth *au, LDAP *ld, LDAPMessage *e,
    const struct culver_auth_req *rq, struct culver_call *call)
{
	enum dir_truth of[DIR_MAX_TESTS] = {DIR_OPEN}, is;
	const char *unread = "";

	for (unsigned i = 0; i < au->filter.n; i++) {
		of[i] = test_judge(&au->filter.test[i], ld, e, rq);
		if (of[i] == DIR_UNREAD)
			unread = au->filter.test[i].attr;
	}
	is = dir_filter_judge(&au->filter, of);
	if (is == DIR_UNREAD)
		return culver_fail(call, CULVER_E_TEMP, 0, "the attribute %s "
		    "of user %s may not be read, which the filter tests",
		    unread, rq->user);
	/* a filter that names nobody goes with a base that does */
	return is == DIR_SAME || (is == DIR_OPEN &&
	    !dir_filter_names(&au->filter)) ? CULVER_OK : CULVER_E_NOUSER;
}

/* The values of a list, with commas between. */
static culver_status
list_add(struct culver_auth *au, const char *field, struct berval **v,
    struct auth_row *row, struct culver_call *call)
{
	char text[AUTH_MAX_VALUE + 1];
	size_t n = 0;

	for (unsigned i = 0; v[i] != NULL; i++) {
		if (v[i]->bv_len + 1 > sizeof(text) - n)
			return culver_fail(call, CULVER_E_TEMP, 0, "the field "
			    "%s is too long", field);
		if (i > 0)
			text[n++] = ',';
		memcpy(text + n, v[i]->bv_val, v[i]->bv_len);
		n += v[i]->bv_len;
	}
	return auth_row_add(au->host, row, field, text, n, call);
}

static culver_status
field_add(struct culver_auth *au, unsigned i, struct berval **v,
    const char *user, struct auth_row *row, struct culver_call *call)
{
	const char *field = au->map.v[i].field;
	const char *bare = strncmp(field, "userdb_", 7) == 0 ? field + 7 :
	    field;

	if (v == NULL || v[0] == NULL)
		return CULVER_OK;
	if (strcmp(bare, "allow_nets") == 0)
		return list_add(au, field, v, row, call);
	if (v[1] != NULL)
		return culver_fail(call, CULVER_E_TEMP, 0, "the attribute %s "
		    "of user %s has several values", au->map.v[i].attr, user);
	/* RFC 4517 3.3.3 */
	if (strcmp(bare, "nologin") == 0 && equals(v[0], "FALSE"))
		return CULVER_OK;
	return auth_row_add(au->host, row, field, v[0]->bv_val, v[0]->bv_len,
	    call);
}

static culver_status
dn_take(struct culver_auth *au, LDAP *ld, LDAPMessage *e,
    struct dir_found *out, struct culver_call *call)
{
	char *dn = ldap_get_dn(ld, e);

	if (dn != NULL && dn[0] != 0)
		out->dn = culver_strndup(au->host, call, dn, strlen(dn));
	ldap_memfree(dn);
	return out->dn != NULL ? CULVER_OK : culver_fail(call, CULVER_E_TEMP,
	    0, "an entry without a name");
}

static bool
lock_has(LDAP *ld, LDAPMessage *e)
{
	struct berval **v = ldap_get_values_len(ld, e, locked_at);

	ldap_value_free_len(v);
	return v != NULL;
}

culver_status
dir_entry_take(struct culver_auth *au, LDAP *ld, LDAPMessage *e,
    const struct culver_auth_req *rq, struct dir_found *out,
    struct culver_call *call)
{
	culver_status st = name_check(au, ld, e, rq, call);

	if (st == CULVER_OK)
		st = dn_take(au, ld, e, out, call);
	out->is_locked = lock_has(ld, e);
	for (unsigned i = 0; i < au->map.n && st == CULVER_OK; i++) {
		struct berval **v = ldap_get_values_len(ld, e,
		    au->map.v[i].attr);

		st = field_add(au, i, v, rq->user, &out->row, call);
		for (unsigned j = 0; v != NULL && v[j] != NULL; j++)
			explicit_bzero(v[j]->bv_val, v[j]->bv_len);
		ldap_value_free_len(v);
	}
	return st;
}
