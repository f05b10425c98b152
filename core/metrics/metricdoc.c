/*
 * metricdoc.c - print the list of metrics in culver-metrics(7); a program of
 * the build, not installed.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/stats.h"
#include "core/metrics/openmetrics.h"

enum { MAX = 64, COLUMNS = 78 };

static const char *
suffix(const char *type)
{
	return strcmp(type, "counter") == 0 ? "_total" :
	    strcmp(type, "info") == 0 ? "_info" : "";
}

/* In lines that are not too long for a page's source. */
static void
print_text(const char *text)
{
	size_t column = 0, n;

	for (; *text != 0; text += n + (text[n] == ' ')) {
		n = strcspn(text, " ");
		if (column > 0 && column + 1 + n > COLUMNS) {
			putchar('\n');
			column = 0;
		}
		column += (size_t)printf("%s%.*s", column > 0 ? " " : "",
		    (int)n, text);
	}
	putchar('\n');
}

static void
print_label(const struct stats_label *l)
{
	printf(".br\nLabel\n.Cm %s :\n", l->name);
	for (unsigned i = 0; i < l->n; i++)
		printf("%s%s", l->value[i], i + 1 < l->n ? ",\n" : ".\n");
}

int
main(void)
{
	struct openmetrics_family f[MAX];
	unsigned n = openmetrics_families(f, MAX);

	printf(".Bl -tag -width Ds\n");
	for (unsigned i = 0; i < n && i < MAX; i++) {
		printf(".It Li %s%s Pq %s\n", f[i].name, suffix(f[i].type),
		    f[i].type);
		print_text(f[i].help);
		if (f[i].labels != NULL)
			printf(".br\nLabel\n.Cm %s .\n", f[i].labels);
	}
	for (unsigned i = 0; i < STATS_FAMILIES; i++) {
		const struct stats_family *s = &stats_families[i];

		printf(".It Li %s%s Pq %s\n", s->name,
		    s->kind == STATS_COUNTER ? "_total" : "",
		    s->kind == STATS_COUNTER ? "counter" : "histogram");
		print_text(s->help);
		for (unsigned k = 0; k < 2 && s->label[k].n > 0; k++)
			print_label(&s->label[k]);
	}
	printf(".El\n");
	return ferror(stdout) != 0;
}
