/*
 * new.c - culver-plugin new: a plugin that builds, from the installed
 * template, with its name put in.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/tools/kit/commands.h"

enum { FILE_MAX = 1 << 20 };

static const struct {
	const char *from, *to;		/* @NAME@ is the plugin's name */
	mode_t mode;
} files[] = {
	{ "README.md", "README.md", 0666 },
	{ "Makefile", "Makefile", 0666 },
	{ "storage.c", "storage_@NAME@.c", 0666 },
	{ "test/fixture", "test/fixture", 0777 },
};

/* TEXT to OUT, with NAME for each @NAME@; malloc'd. */
static char *
named(const char *text, const char *name)
{
	char *out = NULL;
	const char *at;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	if (f == NULL)
		return NULL;
	while ((at = strstr(text, "@NAME@")) != NULL) {
		fprintf(f, "%.*s%s", (int)(at - text), text, name);
		text = at + 6;
	}
	fputs(text, f);
	if (fclose(f) == 0)
		return out;
	free(out);
	return NULL;
}

static int
complain(const char *path)
{
	fprintf(stderr, "culver-plugin: %s: %s\n", path, strerror(errno));
	return 0;
}

static char *
read_file(const char *path)
{
	char *text = calloc(1, FILE_MAX + 1);
	FILE *f = fopen(path, "re");
	size_t n;

	if (text == NULL || f == NULL) {
		complain(path);
		free(text);
		if (f != NULL)
			fclose(f);
		return NULL;
	}
	n = fread(text, 1, FILE_MAX, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static int
make_file(const char *template, const char *dir, const char *name, size_t i)
{
	char from[PATH_MAX], to[2 * PATH_MAX], *file, *text, *out;
	FILE *f = NULL;
	int ok = 0;

	file = named(files[i].to, name);
	snprintf(from, sizeof(from), "%s/%s", template, files[i].from);
	snprintf(to, sizeof(to), "%s/%.200s", dir, file != NULL ? file : "");
	free(file);
	text = read_file(from);
	if (text == NULL)
		return 0;
	out = named(text, name);
	if (out != NULL && (f = fopen(to, "wxe")) != NULL) {
		ok = fputs(out, f) >= 0;
		ok = fclose(f) == 0 && ok;
	}
	if (ok && files[i].mode == 0777)
		ok = chmod(to, 0755) == 0;
	free(text);
	free(out);
	return ok || complain(to);
}

static int
is_name(const char *s)
{
	return s[0] >= 'a' && s[0] <= 'z' && strlen(s) < 64 &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(s);
}

int
kit_new_main(const char *template, const char *name)
{
	char dir[128], sub[160];
	size_t i;

	if (!is_name(name)) {
		fprintf(stderr, "culver-plugin: \"%s\" cannot be the name of a "
		    "plugin: wanted lower-case letters, digits and _\n", name);
		return EX_USAGE;
	}
	snprintf(dir, sizeof(dir), "storage_%s", name);
	snprintf(sub, sizeof(sub), "%s/test", dir);
	if (mkdir(dir, 0777) != 0 || mkdir(sub, 0777) != 0) {
		complain(dir);
		return EX_CANTCREAT;
	}
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!make_file(template, dir, name, i))
			return EX_CANTCREAT;
	printf("%s: a storage plugin. Next:\n\tcd %s && make && make check\n",
	    dir, dir);
	return 0;
}
