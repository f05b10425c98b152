/*
 * dump.c - read what a server answered to LIST and UIDL: see dump.h.
 *
 * Pure functions over memory, run in culverctl as its caller, often root.
 */
#include "config.h"

#include "core/tools/dump.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1 << 24 };

struct reply {
	struct dump_row *row;	/* the value is in uidl */
	uint32_t n, cap;
	_Bool numbers;		/* all values are */
};

struct parse {
	struct reply reply[2];
	unsigned n;		/* replies that have begun */
	enum { NOTHING, AFTER_OK, IN_REPLY, IN_BARE } state;
	uint32_t last;		/* number */
};

static _Bool
number_take(const char **p, uint64_t max, uint64_t *v)
{
	const char *s = *p;

	for (*v = 0; *s >= '0' && *s <= '9'; s++) {
		*v = *v * 10 + (uint64_t)(*s - '0');
		if (*v > max)
			return 0;
	}
	if (s == *p)
		return 0;
	*p = s;
	return 1;
}

static _Bool
is_number(const char *s, uint64_t *v)
{
	return number_take(&s, UINT64_MAX / 16, v) && *s == 0;
}

static const char *
reply_begin(struct parse *p)
{
	if (p->n == 2)
		return "a third reply: only LIST and UIDL are wanted";
	p->reply[p->n++].numbers = 1;
	p->last = 0;
	return NULL;
}

static const char *
row_add(struct parse *p, uint32_t number, char *value)
{
	struct reply *r = &p->reply[p->n - 1];
	uint64_t v;

	if (r->n == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 256;
		void *row = cap > MAX_ROWS ? NULL :
		    reallocarray(r->row, cap, sizeof(*r->row));

		if (row == NULL)
			return "too many messages";
		r->row = row;
		r->cap = cap;
	}
	r->row[r->n++] = (struct dump_row){.number = number, .uidl = value};
	r->numbers = r->numbers && is_number(value, &v);
	p->last = number;
	return NULL;
}

/* A line "NUMBER VALUE". */
static const char *
on_row(struct parse *p, char *line)
{
	const char *s = line, *wrong = NULL;
	char *value;
	uint64_t number;

	if (!number_take(&s, UINT32_MAX, &number) || number == 0 || *s != ' ')
		return "neither a number and a value, nor +OK, nor a dot";
	value = line + (s - line);
	value += strspn(value, " ");
	if (*value == 0)
		return "no value";
	if (p->state == AFTER_OK || p->state == NOTHING ||
	    (p->state == IN_BARE && number <= p->last)) {
		wrong = reply_begin(p);
		p->state = p->state == AFTER_OK ? IN_REPLY : IN_BARE;
	} else if (number <= p->last)
		wrong = "numbers do not ascend";
	return wrong != NULL ? wrong : row_add(p, (uint32_t)number, value);
}

static const char *
on_line(struct parse *p, char *line)
{
	const char *wrong = NULL;

	if (*line == 0)
		return NULL;
	if (strncmp(line, "-ERR", 4) == 0)
		return "the server refused";
	if (strncmp(line, "+OK", 3) == 0) {
		if (p->state == IN_REPLY)
			return "a reply without a dot at its end";
		p->state = AFTER_OK;
		return NULL;
	}
	if (strcmp(line, ".") != 0)
		return on_row(p, line);
	if (p->state == AFTER_OK)	/* an empty one */
		wrong = reply_begin(p);
	else if (p->state == NOTHING)
		wrong = "a dot without a reply";
	p->state = NOTHING;
	return wrong;
}

/* Put LIST and UIDL together. */
static const char *
join(struct parse *p, struct dump *d)
{
	struct reply *uidl = &p->reply[0], *list = NULL;

	if (p->state == IN_REPLY)
		return "the reply is cut off";
	if (p->n == 0)
		return "no reply";
	if (p->n == 2) {
		list = &p->reply[0];
		uidl = &p->reply[1];
		if (!list->numbers) {
			list = &p->reply[1];
			uidl = &p->reply[0];
		}
		if (!list->numbers)
			return "neither reply has sizes";
		if (list->n != uidl->n)
			return "LIST and UIDL do not name the same messages";
	}
	for (uint32_t i = 0; list != NULL && i < uidl->n; i++)
		if (list->row[i].number != uidl->row[i].number ||
		    !is_number(list->row[i].uidl, &uidl->row[i].octets))
			return "LIST and UIDL do not name the same messages";
	d->sizes = list != NULL;
	d->row = uidl->row;
	d->n = uidl->n;
	uidl->row = NULL;
	return NULL;
}

const char *
dump_parse(struct dump *d, char *text, size_t n)
{
	struct parse p = {.state = NOTHING};
	const char *wrong = NULL;

	*d = (struct dump){0};
	if (memchr(text, 0, n) != NULL)
		wrong = "a zero octet";
	while (wrong == NULL && *text != 0) {
		size_t len = strcspn(text, "\n"), end = len;
		char *next = text + len + (text[len] != 0);

		while (end > 0 && strchr("\r \t", text[end - 1]) != NULL)
			end--;
		text[end] = 0;
		d->line++;
		wrong = on_line(&p, text);
		text = next;
	}
	if (wrong == NULL)
		wrong = join(&p, d);
	free(p.reply[0].row);
	free(p.reply[1].row);
	return wrong;
}
