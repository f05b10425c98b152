/*
 * wire.c - read and write lines of the protocol between the plugin and its
 * program.
 *
 * Runs in a pool process.  Pure: no descriptor, no memory of its own.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/auth_exec/exec.h"

/* --- write ---------------------------------------------------------------- */

static void
put(struct exec_out *o, const char *s, size_t n)
{
	if (o->full || n > o->cap - o->n) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->n, s, n);
	o->n += n;
}

void
exec_begin(struct exec_out *o, const char *word)
{
	o->n = 0;
	o->full = false;
	put(o, word, strlen(word));
}

void
exec_put(struct exec_out *o, const char *name, const char *value, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";

	put(o, "\t", 1);
	put(o, name, strlen(name));
	put(o, "=", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];
		char hex[3] = {'%', digits[c >> 4], digits[c & 15]};

		if (c > 0x20 && c < 0x7f && c != '%')
			put(o, value + i, 1);
		else
			put(o, hex, sizeof(hex));
	}
}

void
exec_text(struct exec_out *o, const char *name, const char *value)
{
	if (value != NULL && value[0] != 0)
		exec_put(o, name, value, strlen(value));
}

void
exec_number(struct exec_out *o, const char *name, uint64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu",
	    (unsigned long long)value);

	exec_put(o, name, text, (size_t)n);
}

void
exec_end(struct exec_out *o)
{
	put(o, "\n", 1);
}

/* --- read ----------------------------------------------------------------- */

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'A' && c <= 'F' ? c - 'A' + 10 :
	    c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode S in place. */
static bool
decode(struct span *s, char *p)
{
	size_t to = 0;

	for (size_t i = 0; i < s->n; i++) {
		int hi, lo;

		if (p[i] != '%') {
			p[to++] = p[i];
			continue;
		}
		if (s->n - i < 3 || (hi = digit(p[i + 1])) < 0 ||
		    (lo = digit(p[i + 2])) < 0)
			return false;
		p[to++] = (char)(hi << 4 | lo);
		i += 2;
	}
	s->n = to;
	p[to] = 0;
	return true;
}

static bool
is_name(struct span s)
{
	if (s.n == 0 || s.n > 63 || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if ((s.p[i] < 'a' || s.p[i] > 'z') && s.p[i] != '_' &&
		    (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return true;
}

static bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

/* The field in the N octets at P, behind which there is room for a NUL. */
static const char *
field_parse(char *p, size_t n, struct exec_line *out)
{
	struct exec_field *f = &out->field[out->n];
	char *eq = memchr(p, '=', n);

	if (out->n == EXEC_FIELDS)
		return "more fields than it may have";
	if (eq == NULL)
		return "a field without =";
	f->name = (struct span){p, (size_t)(eq - p)};
	f->value = (struct span){eq + 1, n - f->name.n - 1};
	if (!is_name(f->name))
		return "a field's name is not one";
	*eq = 0;
	if (!decode(&f->value, eq + 1))
		return "a % that is not followed by two digits";
	if (has_control(f->value))
		return "a value has control octets";
	if (exec_get(out, f->name.p).p != NULL)
		return "a field is there twice";
	out->n++;
	return NULL;
}

bool
exec_parse(char *line, size_t n, struct exec_line *out, const char **why)
{
	char *p = line, *end = line + n, *tab;

	out->n = 0;
	*why = "control octets";
	for (size_t i = 0; i < n; i++)
		if ((line[i] != '\t' && (unsigned char)line[i] < 0x20) ||
		    line[i] == 0x7f)
			return false;
	for (;; p = tab + 1) {
		tab = memchr(p, '\t', (size_t)(end - p));
		if (tab == NULL)
			tab = end;
		*tab = 0;
		if (p == line) {
			out->word = (struct span){p, (size_t)(tab - p)};
			*why = is_name(out->word) ? NULL :
			    "it does not begin with a word";
		} else {
			*why = field_parse(p, (size_t)(tab - p), out);
		}
		if (*why != NULL)
			return false;
		if (tab == end)
			return true;
	}
}

struct span
exec_get(const struct exec_line *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (span_is(l->field[i].name, name))
			return l->field[i].value;
	return (struct span){NULL, 0};
}
