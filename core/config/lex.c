/*
 * lex.c - cut a configuration file into tokens.
 */
#include "config.h"

#include <string.h>

#include "core/config/lex.h"
#include "core/config/mem.h"

static struct cf_place
here(const struct lex *l)
{
	return (struct cf_place){.file = l->file, .line = l->line};
}

static _Bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What ends a bare word, besides white space. */
static _Bool
is_mark(char c)
{
	return c != 0 && strchr("{}=,#\"", c) != NULL;
}

static void
skip_blank(struct lex *l)
{
	while (l->p < l->end) {
		if (*l->p == '#') {
			const char *nl = memchr(l->p, '\n',
			    (size_t)(l->end - l->p));

			l->p = nl != NULL ? nl : l->end;
		} else if (is_space(*l->p)) {
			if (*l->p++ == '\n') {
				l->line++;
				l->fresh = 1;
			}
		} else {
			return;
		}
	}
}

/* Octets of the %{NAME} at P; 0 if there is none.  A template needs no
 * quotes, although braces are marks elsewhere. */
static size_t
variable(const char *p, const char *end)
{
	const char *s = p + 2;

	if (end - p < 3 || p[0] != '%' || p[1] != '{')
		return 0;
	while (s < end && *s >= 'a' && *s <= 'z')
		s++;
	return s < end && *s == '}' ? (size_t)(s - p) + 1 : 0;
}

static void
read_word(struct lex *l, struct lex_token *t)
{
	const char *start = l->p;
	_Bool odd = 0;

	while (l->p < l->end && !is_space(*l->p) && !is_mark(*l->p)) {
		size_t n = variable(l->p, l->end);

		odd |= (unsigned char)*l->p < 0x21 ||
		    (unsigned char)*l->p > 0x7e;
		l->p += n > 0 ? n : 1;
	}
	t->kind = LEX_WORD;
	t->text = mem_copy(start, (size_t)(l->p - start));
	if (odd) {
		diag_error(here(l), NULL, "\"%.60s\" has octets that are not "
		    "printable ASCII: put text in double quotes", t->text);
		t->broken = 1;
	}
}

/* One octet of a string, escapes undone. */
static char
string_octet(struct lex *l, struct lex_token *t)
{
	unsigned char c = (unsigned char)*l->p++;

	if (c == '\\') {
		c = l->p < l->end ? (unsigned char)*l->p : 0;
		if ((c != '"' && c != '\\') && !t->broken) {
			diag_error(here(l), NULL, "\\%c is unknown in a "
			    "string: write \\\\ for a backslash, \\\" for a "
			    "quote", c > 0x20 && c < 0x7f ? c : '?');
			t->broken = 1;
		}
		if (c == '"' || c == '\\')
			l->p++;
	} else if ((c < 0x20 && c != '\t') || c == 0x7f) {
		if (!t->broken)
			diag_error(here(l), NULL, "a string has the control "
			    "octet \\x%02x: remove it", c);
		t->broken = 1;
		c = '?';
	}
	return (char)c;
}

/* Octets up to what ends the string at P. */
static size_t
string_length(const char *p, const char *end)
{
	const char *s = p;

	while (s < end && *s != '\n' && *s != '"')
		s += *s == '\\' && end - s > 1 && s[1] != '\n' ? 2 : 1;
	return (size_t)(s - p);
}

static void
read_string(struct lex *l, struct lex_token *t)
{
	char *text = mem_get(string_length(l->p + 1, l->end) + 1);
	size_t n = 0;

	t->kind = LEX_STRING;
	l->p++;
	while (l->p < l->end && *l->p != '\n' && *l->p != '"')
		text[n++] = string_octet(l, t);
	t->text = text;
	if (l->p < l->end && *l->p == '"') {
		l->p++;
		return;
	}
	if (!t->broken)
		diag_error(here(l), NULL, "a string is not closed on its line: "
		    "add a double quote at its end");
	t->broken = 1;
}

static struct lex_token
read_token(struct lex *l)
{
	static const char marks[] = "{}=,";
	static const enum lex_kind kinds[] = {LEX_OPEN, LEX_CLOSE, LEX_EQUALS,
	    LEX_COMMA};
	struct lex_token t = {.kind = LEX_END, .text = ""};
	const char *mark;

	skip_blank(l);
	t.line = l->line;
	t.first = l->fresh;
	if (l->p == l->end)
		return t;
	l->fresh = 0;
	mark = *l->p != 0 ? strchr(marks, *l->p) : NULL;
	if (mark != NULL) {
		t.kind = kinds[mark - marks];
		l->p++;
	} else if (*l->p == '"') {
		read_string(l, &t);
	} else {
		read_word(l, &t);
	}
	return t;
}

void
lex_start(struct lex *l, const struct cf_file *file, const char *text,
    size_t n)
{
	*l = (struct lex){.file = file, .p = text, .end = text + n, .line = 1,
	    .fresh = 1};
	l->ahead = read_token(l);
}

struct lex_token
lex_next(struct lex *l)
{
	struct lex_token t = l->ahead;

	if (t.kind != LEX_END)
		l->ahead = read_token(l);
	return t;
}

const char *
lex_show(const struct lex_token *t)
{
	switch (t->kind) {
	case LEX_END: return "the end of the file";
	case LEX_OPEN: return "`{'";
	case LEX_CLOSE: return "`}'";
	case LEX_EQUALS: return "`='";
	case LEX_COMMA: return "`,'";
	case LEX_WORD:
	case LEX_STRING: break;
	}
	return mem_printf("\"%.60s\"", t->text);
}
