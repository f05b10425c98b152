/*
 * auth_row.c - what a database or a program answered about a user, as names
 * and values.
 *
 * Runs in a pool process.  What is said is copied and checked: no value has
 * octets that its reader would not expect.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/common/auth.h"

static const char prefix[] = "userdb_";

static void
lower(char *s)
{
	for (; *s != 0; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s | 0x20);
}

culver_status
auth_row_add(const struct culver_host *host, struct auth_row *row,
    const char *name, const void *value, size_t n, struct culver_call *call)
{
	struct auth_column *c = &row->column[row->n];
	const char *v = value;
	size_t name_n;
	char *lowered;

	if (value == NULL)
		return CULVER_OK;
	if (name == NULL || name[0] == 0 || row->n == AUTH_MAX_COLUMNS)
		return culver_fail(call, CULVER_E_TEMP, 0, "there are more "
		    "than %d columns, or one without a name",
		    AUTH_MAX_COLUMNS);
	if (n > AUTH_MAX_VALUE)
		return culver_fail(call, CULVER_E_TEMP, 0, "the column %.60s "
		    "has more than %d octets", name, AUTH_MAX_VALUE);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)v[i] < 0x20 || v[i] == 0x7f)
			return culver_fail(call, CULVER_E_TEMP, 0, "the "
			    "column %.60s has control octets", name);
	name_n = strlen(name);
	lowered = culver_strndup(host, call, name, name_n);
	c->value = (struct span){culver_strndup(host, call, v, n), n};
	if (lowered == NULL || c->value.p == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "row");
	lower(lowered);
	c->name = (struct span){lowered, name_n};
	row->n++;
	return CULVER_OK;
}

struct span
auth_row_get(const struct auth_row *row, const char *name)
{
	for (unsigned i = 0; i < row->n; i++)
		if (span_is(row->column[i].name, name))
			return row->column[i].value;
	return (struct span){NULL, 0};
}

/* --- may the user log in, and as whom --------------------------------------- */

culver_status
auth_row_user(const struct culver_host *host, const char *where,
    const struct auth_row *row, const char **out, struct culver_call *call)
{
	struct span user = auth_row_get(row, "user");
	struct span domain = auth_row_get(row, "domain");
	char *made;

	if (user.n == 0)
		user = auth_row_get(row, "username");
	if (user.n == 0)
		return CULVER_OK;
	if (memchr(user.p, '@', user.n) != NULL)
		domain.n = 0;
	if (user.n + domain.n > 254 || memchr(user.p, '/', user.n) != NULL ||
	    user.p[0] == '.')
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: the "
		    "column user is not a name that a user can have", where);
	made = culver_alloc(host, call, user.n + domain.n + 2);
	if (made == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "user");
	memcpy(made, user.p, user.n);
	if (domain.n > 0) {
		made[user.n] = '@';
		memcpy(made + user.n + 1, domain.p, domain.n);
	}
	*out = made;
	return CULVER_OK;
}

culver_status
auth_row_hash(const struct auth_check *c, struct auth_account *a,
    const struct auth_row *row, _Bool open_only, struct culver_call *call)
{
	culver_status st = auth_hash(c, a, auth_row_get(row, "password"),
	    call);

	if (a->hash.state == HASH_GOOD)
		auth_costs_learn(c->costs, &a->hash);
	return open_only && a->hash.state != HASH_LOCKED ? CULVER_OK : st;
}

_Bool
auth_row_closes(const struct auth_check *c, const struct auth_account *a,
    const struct auth_row *row)
{
	for (unsigned i = 0; i < row->n; i++)
		if (auth_field_closes(c, a, row->column[i].name,
		    row->column[i].value))
			return 1;
	return 0;
}

/* --- the user's data --------------------------------------------------------- */

static _Bool
is_user_column(const struct auth_column *c)
{
	return c->name.n >= sizeof(prefix) &&
	    memcmp(c->name.p, prefix, sizeof(prefix) - 1) == 0;
}

/* The user's name is no field of his data. */
static _Bool
is_name(struct span column)
{
	return span_is(column, "userdb_user");
}

culver_status
auth_row_give(const struct auth_row *row, _Bool prefetch,
    struct auth_user *u, const char *user, struct culver_call *call)
{
	struct span own = auth_row_get(row, prefetch ? "userdb_user" : "user");
	culver_status st = auth_user_begin(u, own.n > 0 ? own.p : user,
	    row->n, call);

	for (unsigned i = 0; st == CULVER_OK && i < row->n; i++) {
		const struct auth_column *c = &row->column[i];

		if (prefetch ? is_user_column(c) && !is_name(c->name) :
		    !span_is(c->name, "user"))
			st = auth_user_field(u, c->name, c->value, call);
	}
	return st;
}

/* --- what came with the password -------------------------------------------- */

void
auth_kept_drop(struct auth_kept *k)
{
	if (k->text != NULL)
		explicit_bzero(k->text, k->n);
	free(k->text);
	*k = (struct auth_kept){.text = NULL};
}

static size_t
append(char *to, struct span s)
{
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
	return s.n + 1;
}

void
auth_kept_set(struct auth_kept *k, const struct culver_auth_req *rq,
    const char *user, const struct auth_row *row)
{
	size_t n = 0, session_n = rq->session != NULL ?
	    strlen(rq->session) : 0;

	auth_kept_drop(k);
	for (unsigned i = 0; i < row->n; i++)
		if (is_user_column(&row->column[i]))
			n += row->column[i].name.n +
			    row->column[i].value.n + 2;
	if (n == 0 || session_n == 0 || session_n >= sizeof(k->session) ||
	    strlen(user) >= sizeof(k->user))
		return;
	k->text = malloc(n);
	if (k->text == NULL)
		return;
	memcpy(k->session, rq->session, session_n + 1);
	memcpy(k->user, user, strlen(user) + 1);
	for (unsigned i = 0; i < row->n; i++) {
		const struct auth_column *c = &row->column[i];

		if (!is_user_column(c))
			continue;
		k->n += append(k->text + k->n, c->name);
		k->n += append(k->text + k->n, c->value);
		k->columns++;
	}
}

_Bool
auth_kept_has(const struct auth_kept *k, const struct culver_auth_req *rq)
{
	return k->text != NULL && rq->session != NULL &&
	    strcmp(k->session, rq->session) == 0 &&
	    strcmp(k->user, rq->user) == 0;
}

culver_status
auth_kept_give(const struct auth_kept *k, struct auth_user *u, const char *user,
    struct culver_call *call)
{
	culver_status st = auth_user_begin(u, user, k->columns, call);
	const char *p = k->text;

	while (st == CULVER_OK && p < k->text + k->n) {
		struct span name = {p, strlen(p)};
		struct span value = {name.p + name.n + 1,
		    strlen(name.p + name.n + 1)};

		p = value.p + value.n + 1;
		if (!is_name(name))
			st = auth_user_field(u, name, value, call);
	}
	return st;
}
