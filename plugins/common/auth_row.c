/*
 * row.c - the columns that a database answered with.
 *
 * Runs in a pool process.  What a database says is copied and checked: no
 * value has octets that its reader would not expect.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

static void
lower(char *s)
{
	for (; *s != 0; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s | 0x20);
}

culver_status
sql_row_add(const struct culver_host *host, struct sql_row *row,
    const char *name, const void *value, size_t n, struct culver_call *call)
{
	struct sql_column *c = &row->column[row->n];
	const char *v = value;
	size_t name_n;
	char *lowered;

	if (value == NULL)
		return CULVER_OK;
	if (name == NULL || name[0] == 0 || row->n == SQL_MAX_COLUMNS)
		return culver_fail(call, CULVER_E_TEMP, 0, "the query gives "
		    "more than %d columns, or one without a name",
		    SQL_MAX_COLUMNS);
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
sql_row_get(const struct sql_row *row, const char *name)
{
	for (unsigned i = 0; i < row->n; i++)
		if (span_is(row->column[i].name, name))
			return row->column[i].value;
	return (struct span){NULL, 0};
}
