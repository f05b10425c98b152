/*
 * maildir_torture.c - the Maildir plugin under torture.c.
 */
#include "config.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/torture/torture.h"

extern const struct culver_plugin storage_maildir_LTX_culver_plugin;

static void
set(struct drive *d, const char *dir)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/M", dir);
	drive_set(d, "path", path);
}

static bool
put(const char *dir, const char *name, unsigned i)
{
	char file[700], text[600];
	size_t n = torture_text(i, text, sizeof(text)), k, len = 0;
	FILE *f;

	/* at rest with LF */
	for (k = 0; k < n; k++)
		if (text[k] != '\r' || text[k + 1] != '\n')
			text[len++] = text[k];
	snprintf(file, sizeof(file), "%s/M/%s", dir, name);
	f = fopen(file, "w");
	return f != NULL && fwrite(text, 1, len, f) == len && fclose(f) == 0;
}

static bool
fill(const char *dir, uint64_t seed)
{
	static const char *const subs[] = { "", "/new", "/cur", "/tmp" };
	char name[310];
	unsigned i;

	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s/M%s", dir, subs[i]);
		if (mkdir(name, 0700) != 0)
			return false;
	}
	for (i = 0; i < TORTURE_OLD; i++) {
		unsigned kind = (unsigned)((seed >> i) + i) % 4;

		snprintf(name, sizeof(name), "%s/%u.M%uP1%s%s",
		    kind % 2 ? "cur" : "new", 1700000000 + i, i * 7,
		    kind >= 2 ? ".host with a space" : ".host",
		    kind % 2 ? ":2,S" : "");
		if (!put(dir, name, i))
			return false;
	}
	return true;
}

int
main(void)
{
	static const struct torture_kind maildir = {
		.plugin = &storage_maildir_LTX_culver_plugin,
		.cache = "M/culver-cache",
		.set = set,
		.fill = fill,
	};

	return torture_main(&maildir);
}
