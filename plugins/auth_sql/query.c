/*
 * query.c - queries with placeholders, from the administrator's text.
 *
 * Runs in the config role, where queries are checked, and in a pool process.
 * A placeholder becomes one of the database's own, whose value is sent apart
 * from the query: no text of a client is ever read as SQL.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_sql/sql.h"

struct reader {
	enum sql_dialect dialect;
	const char *p, *end;
	const char *start;
	struct sql_query *out;
	size_t n;		/* octets of out->text */
	bool ended;		/* a ; was there */
};

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80) != 0;
}

static void
copy(struct reader *r, size_t n)
{
	memcpy(r->out->text + r->n, r->p, n);
	r->n += n;
	r->p += n;
}

static bool
at(const struct reader *r, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(r->end - r->p) >= n && memcmp(r->p, text, n) == 0;
}

/* Does the text from FROM to r->p have a placeholder, ours or Dovecot's? */
static bool
has_variable(const struct reader *r, const char *from)
{
	size_t n = (size_t)(r->p - from);

	for (size_t i = 0; i + 1 < n; i++)
		if (from[i] == '%' && from[i + 1] == '{')
			return true;
	/* '%u', with its marks */
	return n == 4 && from[1] == '%' && strchr("und", from[2]) != NULL;
}

/* --- what no placeholder may stand in ------------------------------------- */

/* Is a \ special in the literal that begins at r->p? */
static bool
has_backslashes(const struct reader *r)
{
	if (r->dialect == SQL_MYSQL)
		return *r->p != '`';
	return r->dialect == SQL_PGSQL && *r->p == '\'' && r->p > r->start &&
	    (r->p[-1] | 0x20) == 'e' &&
	    (r->p - 1 == r->start || !is_word(r->p[-2]));
}

static bool
skip_quoted(struct reader *r)
{
	bool backslash = has_backslashes(r);
	const char *from = r->p;
	char mark = *from == '[' ? ']' : *from;

	for (r->p++; r->p < r->end; r->p++) {
		if (backslash && *r->p == '\\') {
			r->p++;
		} else if (*r->p == mark) {
			/* a doubled one begins another part of the same */
			r->p++;
			return true;
		}
	}
	return false;
}

/* $tag$ ... $tag$ of PostgreSQL; *IS false: it is not one. */
static bool
skip_dollars(struct reader *r, bool *is)
{
	const char *tag = r->p, *p = r->p + 1;
	size_t n;

	while (p < r->end && is_word(*p))
		p++;
	*is = p < r->end && *p == '$' && !isdigit((unsigned char)tag[1]);
	if (!*is)
		return true;
	n = (size_t)(p - tag) + 1;
	for (p++; (size_t)(r->end - p) >= n; p++)
		if (memcmp(p, tag, n) == 0) {
			r->p = p + n;
			return true;
		}
	return false;
}

/* A comment, with its newline: a placeholder in it is a mistake. */
static bool
skip_comment(struct reader *r, bool *is)
{
	bool line = at(r, "--") || (r->dialect == SQL_MYSQL && *r->p == '#');

	*is = line || at(r, "/*");
	if (!*is)
		return true;
	for (r->p += line ? 1 : 2; r->p < r->end; r->p++) {
		if (line ? *r->p == '\n' : at(r, "*/")) {
			r->p += line ? 1 : 2;
			return true;
		}
	}
	return line;
}

/* Copy a literal, a quoted name or a comment, if one begins here. */
static bool
take_closed(struct reader *r, bool *is, const char **why)
{
	const char *from = r->p;
	bool ok = true;

	*is = *from == '\'' || *from == '"' || *from == '`' ||
	    (*from == '[' && r->dialect == SQL_SQLITE);
	if (*is)
		ok = skip_quoted(r);
	else if (*from == '$' && r->dialect == SQL_PGSQL &&
	    (from == r->start || !is_word(from[-1])))
		ok = skip_dollars(r, is);
	if (ok && !*is)
		ok = skip_comment(r, is);
	*why = "a quote or comment that does not end";
	if (!ok)
		return false;
	if (!*is)
		return true;
	*why = "a placeholder stands bare, as in WHERE name = %{user}: the "
	    "quotes around it, or the comment, must go";
	if (has_variable(r, from))
		return false;
	memcpy(r->out->text + r->n, from, (size_t)(r->p - from));
	r->n += (size_t)(r->p - from);
	return true;
}

/* --- placeholders ---------------------------------------------------------- */

static bool
take_variable(struct reader *r, const char **why)
{
	struct sql_query *q = r->out;
	const char *close = memchr(r->p, '}', (size_t)(r->end - r->p));
	struct span name;

	*why = "%{ without }";
	if (close == NULL)
		return false;
	name = (struct span){r->p + 2, (size_t)(close - r->p) - 2};
	*why = AUTH_VARS_KNOWN;
	if (q->n == SQL_MAX_VARS || !auth_var_find(name, &q->var[q->n]))
		return false;
	*why = "a placeholder stands bare: there must be a space or a sign "
	    "before and behind it";
	if ((r->p > r->start && (is_word(r->p[-1]) ||
	    strchr("'\"`$@:?", r->p[-1]) != NULL)) ||
	    (close + 1 < r->end && (is_word(close[1]) ||
	    strchr("'\"`$?", close[1]) != NULL)))
		return false;
	q->n++;
	r->p = close + 1;
	/* never longer than %{user}, with at most 32 of them */
	if (r->dialect == SQL_PGSQL)
		r->n += (size_t)snprintf(q->text + r->n, 5, "$%u", q->n);
	else
		q->text[r->n++] = '?';
	return true;
}

/* A % that is no %{...}, or another sign with a meaning of its own. */
static bool
take_other(struct reader *r, const char **why)
{
	char next = r->p + 1 < r->end ? r->p[1] : 0;

	if (*r->p == '%') {
		*why = "% before a letter: placeholders are written %{user}, "
		    "%{name}, %{domain}, %{remote}, %{local}, %{service}";
		if (isalpha((unsigned char)next))
			return false;
		if (next == '%')
			r->p++;
	}
	*why = "a placeholder of the database's own: write %{user} and so on";
	if ((*r->p == '?' && r->dialect != SQL_PGSQL) ||
	    (*r->p == '$' && r->dialect != SQL_MYSQL &&
	    (r->p == r->start || !is_word(r->p[-1]))) ||
	    ((*r->p == ':' || *r->p == '@') && r->dialect == SQL_SQLITE &&
	    is_word(next)))
		return false;
	*why = "more than one statement";
	if (r->ended && !isspace((unsigned char)*r->p))
		return false;
	r->ended |= *r->p == ';';
	if (*r->p == ';')
		r->p++;
	else
		copy(r, 1);
	return true;
}

bool
sql_query_parse(enum sql_dialect dialect, struct span text,
    struct sql_query *out, const char **why)
{
	struct reader r = {.dialect = dialect, .p = text.p, .start = text.p,
	    .end = text.p + text.n, .out = out};
	bool ok = true, is;

	*out = (struct sql_query){.text = calloc(1, text.n + 1)};
	*why = "no memory";
	if (out->text == NULL)
		return false;
	while (ok && r.p < r.end) {
		ok = take_closed(&r, &is, why);
		if (!ok || is)
			continue;
		ok = at(&r, "%{") ? take_variable(&r, why) :
		    take_other(&r, why);
	}
	if (!ok)
		sql_query_free(out);
	return ok;
}

void
sql_query_free(struct sql_query *q)
{
	free(q->text);
	*q = (struct sql_query){.text = NULL};
}

/* --- values ---------------------------------------------------------------- */

void
sql_values_set(const struct sql_query *q, const struct culver_auth_req *rq,
    struct sql_values *out)
{
	out->n = q->n;
	for (unsigned i = 0; i < q->n; i++)
		out->v[i] = auth_var_value(q->var[i], rq);
}
