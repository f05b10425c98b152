/*
 * optdoc.c - the lists of culver.conf(5) and culver-plugin(7) that come from
 * tables: `optdoc SECTION' (top, listen, ...) or `optdoc calls'.
 *
 * Not installed; the manual pages hold its output, and a test compares.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "core/config/doc.h"
#include "core/config/filter.h"
#include "core/config/options.h"

static int
section(const char *word)
{
	_Bool found = 0;

	if (strcmp(word, "top") == 0)
		word = "";
	puts(".Bl -tag -width Ds");
	for (int o = 0; o < O_COUNT; o++)
		if (strcmp(cf_sects[cf_options[o].sect].word, word) == 0) {
			doc_mdoc(stdout, &cf_options[o].o,
			    cf_options[o].computed);
			found = 1;
		}
	puts(".El");
	return found ? 0 : EX_USAGE;
}

/* The names in lines of at most 78 columns. */
static int
calls(void)
{
	char *text = NULL, *name, *rest;
	size_t size, column = 0;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return EX_OSERR;
	filter_print_base(f);
	fclose(f);
	for (name = strtok_r(text, "\n", &rest); name != NULL;
	     name = strtok_r(NULL, "\n", &rest)) {
		size_t n = strlen(name);

		if (column > 0 && column + n + 3 > 78) {
			puts(",");
			column = 0;
		}
		column += (size_t)printf("%s%s", column > 0 ? ", " : "",
		    name);
	}
	puts(".");
	free(text);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return EX_USAGE;
	if (strcmp(argv[1], "calls") == 0)
		return calls();
	return section(argv[1]);
}
