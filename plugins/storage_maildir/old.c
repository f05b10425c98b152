/*
 * old.c - lines, numbers and records of the files that other servers wrote.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 */
#include "config.h"

#include "plugins/storage_maildir/old.h"

#include <stdlib.h>
#include <string.h>

/* No mailbox has so many messages; short lines could make more of a file. */
#define MAX_RECORDS ((size_t)1 << 22)

const char old_no_memory[] = "no memory";

const char *
old_begin(struct old_file *o, size_t n)
{
	o->next = o->text;
	o->line = 0;
	if (memchr(o->text, '\0', n) != NULL)
		return "a zero byte";
	return n == 0 ? "nothing" : NULL;
}

char *
old_line(struct old_file *o)
{
	char *line = o->next, *end = strchr(line, '\n');

	if (end == NULL) {
		o->torn = *line != '\0';
		return NULL;
	}
	*end = '\0';
	o->next = end + 1;
	o->line++;
	return line;
}

const char *
old_add(struct old_file *o, const struct old_rec *r)
{
	size_t cap = o->cap == 0 ? 64 : o->cap * 2;
	struct old_rec *rec;

	if (o->n == o->cap) {
		if (cap > MAX_RECORDS)
			return "more lines than any mailbox has messages";
		rec = realloc(o->rec, cap * sizeof(*rec));
		if (rec == NULL)
			return old_no_memory;
		o->rec = rec;
		o->cap = cap;
	}
	o->rec[o->n] = *r;
	o->rec[o->n++].line = o->line;
	return NULL;
}

static int
rec_order(const void *va, const void *vb)
{
	const struct old_rec *a = va, *b = vb;
	int c = md_order(a->base, b->base);

	return c != 0 ? c : a->line < b->line ? -1 : a->line > b->line;
}

bool
old_sort(struct old_file *o,
    bool (*same)(const struct old_rec *a, const struct old_rec *b))
{
	size_t i, n = 0;

	if (o->n == 0)
		return true;
	qsort(o->rec, o->n, sizeof(*o->rec), rec_order);
	for (i = 0; i < o->n; i++) {
		if (n > 0 && strcmp(o->rec[n - 1].base, o->rec[i].base) == 0) {
			if (same != NULL && !same(&o->rec[n - 1],
			    &o->rec[i])) {
				o->line = o->rec[i].line;
				return false;
			}
			n--;
		}
		o->rec[n++] = o->rec[i];
	}
	o->n = n;
	return true;
}

bool
old_number(const char **p, uint64_t max, uint64_t *v)
{
	const char *s = *p;

	*v = 0;
	for (; *s >= '0' && *s <= '9'; s++) {
		const uint64_t digit = (uint64_t)(*s - '0');

		if (digit > max || *v > (max - digit) / 10)
			return false;
		*v = *v * 10 + digit;
	}
	if (s == *p)
		return false;
	*p = s;
	return true;
}

const struct old_rec *
old_find(const struct old_file *o, const char *base)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = md_order(base, o->rec[mid].base);

		if (c == 0)
			return &o->rec[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

void
old_free(struct old_file *o)
{
	free(o->text);
	free(o->rec);
	memset(o, 0, sizeof(*o));
}
