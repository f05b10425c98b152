/*
 * baseline.c - numbers that depend on the machine: printed, and compared only
 * with a file that somebody made for this machine.
 *
 * Runs in a check.  The file has "NAME MOST" a line; "#" begins a comment.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/tools/kit/kit.h"

/* What the file allows for NAME; negative if it says nothing. */
static double
most(const char *path, const char *name)
{
	double limit, found = -1;
	char line[256], word[128];
	FILE *f = fopen(path, "re");

	if (f == NULL)
		kit_fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[strspn(line, " \t\n")] == '\0' || line[0] == '#')
			continue;
		if (sscanf(line, "%127s %lf", word, &limit) != 2 || limit < 0)
			kit_fail("%s: wanted NAME MOST, got %s", path, line);
		if (strcmp(word, name) == 0)
			found = limit;
	}
	fclose(f);
	return found;
}

void
kit_number(const struct kit *k, const char *name, double value)
{
	double limit = k->baseline != NULL ? most(k->baseline, name) : -1;

	kit_note("%s %.3f", name, value);
	if (limit >= 0 && value > limit)
		kit_fail("%s is %.3f; %s has at most %.3f", name, value,
		    k->baseline, limit);
}
