/*
 * mbox_torture.c - the mbox plugin under torture.c.
 */
#include "config.h"

#include <stdio.h>

#include "tests/torture/torture.h"

extern const struct culver_plugin storage_mbox_LTX_culver_plugin;

static void
set(struct drive *d, const char *dir)
{
	static char path[300], index[300];

	snprintf(path, sizeof(path), "%s/M", dir);
	snprintf(index, sizeof(index), "%s/I", dir);
	drive_set(d, "path", path);
	drive_set(d, "index_dir", index);
}

static bool
put(FILE *f, unsigned i)
{
	char text[600];
	size_t n = torture_text(i, text, sizeof(text)), k, len = 0;

	for (k = 0; k < n; k++)
		if (text[k] != '\r' || text[k + 1] != '\n')
			text[len++] = text[k];
	return fprintf(f, "From a@b Thu Nov 29 22:%02u:52 2001\n", i) > 0 &&
	    fwrite(text, 1, len, f) == len && fputc('\n', f) == '\n';
}

static bool
fill(const char *dir, uint64_t seed)
{
	char file[300];
	bool ok = true;
	unsigned i;
	FILE *f;

	(void)seed;
	snprintf(file, sizeof(file), "%s/M", dir);
	f = fopen(file, "w");
	for (i = 0; i < TORTURE_OLD && f != NULL; i++)
		ok &= put(f, i);
	return f != NULL && fclose(f) == 0 && ok;
}

/* A delivery agent: append, an empty line before it if there is none. */
static bool
disturb(const char *dir, unsigned i)
{
	char file[300];
	FILE *f;
	bool ok;

	snprintf(file, sizeof(file), "%s/M", dir);
	f = fopen(file, "a");
	ok = f != NULL && put(f, i);
	return ok && fclose(f) == 0;
}

int
main(void)
{
	static const struct torture_kind mbox = {
		.plugin = &storage_mbox_LTX_culver_plugin,
		.atomic = true,
		.cache = "I/culver-cache",
		.set = set,
		.fill = fill,
		.disturb = disturb,
	};

	return torture_main(&mbox);
}
