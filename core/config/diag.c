/*
 * diag.c - collect and print mistakes.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/diag.h"
#include "core/config/mem.h"

enum { DIAG_MAX = 1000 };	/* a file of noise must not fill the log */

struct diag {
	unsigned rank, seq;
	uint32_t line;
	const char *text;
};

static struct diag diags[DIAG_MAX];
static size_t n_diags, n_errors;

void
diag_start(void)
{
	n_diags = n_errors = 0;
}

size_t
diag_errors(void)
{
	return n_errors;
}

/* TEXT quotes what was found in files. */
static void
escape(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != 0 && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = 0;
}

static void __attribute__((format(printf, 4, 0)))
add(struct cf_place at, const char *kind, const char *where, const char *fmt,
    va_list ap)
{
	char text[4096], line[8000];

	if (n_diags == DIAG_MAX)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	escape(line, sizeof(line), mem_printf("%s:%u: %s%s%s%s",
	    at.file->path, (unsigned)at.line, kind,
	    where != NULL ? where : "", where != NULL ? ": " : "", text));
	diags[n_diags] = (struct diag){.rank = at.file->rank,
	    .line = at.line, .seq = (unsigned)n_diags,
	    .text = mem_copy(line, strlen(line))};
	n_diags++;
}

void
diag_error(struct cf_place at, const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(at, "", where, fmt, ap);
	va_end(ap);
	n_errors++;
}

void
diag_warning(struct cf_place at, const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(at, "warning: ", where, fmt, ap);
	va_end(ap);
}

static int
order(const void *a, const void *b)
{
	const struct diag *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void
diag_print(FILE *out)
{
	qsort(diags, n_diags, sizeof(diags[0]), order);
	for (size_t i = 0; i < n_diags; i++)
		fprintf(out, "%s\n", diags[i].text);
	if (n_diags == DIAG_MAX)
		fprintf(out, "(and more: these are the first %d)\n", DIAG_MAX);
}

/* How many letters to insert, delete, change or swap to get from A to B; both
 * are shorter than 64. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned d[64][64];
	size_t n = strlen(a), m = strlen(b);

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (size_t k = 0; k <= m; k++)
		d[0][k] = (unsigned)k;
	for (size_t i = 1; i <= n; i++)
		for (size_t k = 1; k <= m; k++) {
			unsigned best = d[i - 1][k - 1] +
			    (a[i - 1] != b[k - 1]);

			if (d[i - 1][k] + 1 < best)
				best = d[i - 1][k] + 1;
			if (d[i][k - 1] + 1 < best)
				best = d[i][k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1] && d[i - 2][k - 2] + 1 < best)
				best = d[i - 2][k - 2] + 1;
			d[i][k] = best;
		}
	return d[n][m];
}

const char *
diag_nearest(const char *word, const char *const *words, size_t n)
{
	size_t len = strlen(word);
	unsigned best = len < 4 ? 2 : len < 8 ? 3 : 4;	/* one too many */
	const char *found = NULL;

	if (len >= 64)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		unsigned d = strlen(words[i]) < 64 ?
		    distance(word, words[i]) : best;

		if (d < best) {
			best = d;
			found = words[i];
		}
	}
	return found;
}
