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

struct file {
	const char *from, *to;		/* @NAME@ is the plugin's name */
	mode_t mode;
};

static const struct kind {
	const char *name, *check;	/* @KIND@, @CHECK@ */
	struct file file[6];
} kinds[] = {
	{ "storage", "--fixture ./test/fixture", {
		{ "README.md", "README.md", 0666 },
		{ "Makefile", "Makefile", 0666 },
		{ "storage.c", "storage_@NAME@.c", 0666 },
		{ "test/fixture", "test/fixture", 0777 } } },
	{ "auth", "--option path=$(CURDIR)/test/users \\\n"
	    "\t    --user alice --password-file test/password", {
		{ "README-auth.md", "README.md", 0666 },
		{ "Makefile", "Makefile", 0666 },
		{ "auth.c", "auth_@NAME@.c", 0666 },
		{ "test/users", "test/users", 0666 },
		{ "test/password", "test/password", 0666 } } },
};

/* What stands for the word @...@ at AT; *N is its length. */
static const char *
value(const struct kind *kind, const char *name, const char *at, size_t *n)
{
	const struct {
		const char *word, *value;
	} list[] = { { "@NAME@", name }, { "@KIND@", kind->name },
	    { "@CHECK@", kind->check } };
	size_t i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		*n = strlen(list[i].word);
		if (strncmp(at, list[i].word, *n) == 0)
			return list[i].value;
	}
	*n = 1;
	return "@";
}

/* TEXT with what stands for each @...@; malloc'd. */
static char *
named(const char *text, const struct kind *kind, const char *name)
{
	char *out = NULL;
	const char *at;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	if (f == NULL)
		return NULL;
	while ((at = strchr(text, '@')) != NULL) {
		fprintf(f, "%.*s%s", (int)(at - text), text,
		    value(kind, name, at, &n));
		text = at + n;
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
make_file(const char *template, const char *dir, const char *name,
    const struct kind *kind, const struct file *what)
{
	char from[PATH_MAX], to[2 * PATH_MAX], *file, *text, *out;
	FILE *f = NULL;
	int ok = 0;

	file = named(what->to, kind, name);
	snprintf(from, sizeof(from), "%s/%s", template, what->from);
	snprintf(to, sizeof(to), "%s/%.200s", dir, file != NULL ? file : "");
	free(file);
	text = read_file(from);
	if (text == NULL)
		return 0;
	out = named(text, kind, name);
	if (out != NULL && (f = fopen(to, "wxe")) != NULL) {
		ok = fputs(out, f) >= 0;
		ok = fclose(f) == 0 && ok;
	}
	if (ok && what->mode == 0777)
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

static const struct kind *
find_kind(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	fprintf(stderr, "culver-plugin: --kind %s: wanted storage or auth\n",
	    name);
	return NULL;
}

int
kit_new_main(const char *template, const char *kind_name, const char *name)
{
	const struct kind *kind = find_kind(kind_name);
	char dir[128], sub[160];
	const struct file *f;

	if (kind == NULL)
		return EX_USAGE;
	if (!is_name(name)) {
		fprintf(stderr, "culver-plugin: \"%s\" cannot be the name of a "
		    "plugin: wanted lower-case letters, digits and _\n", name);
		return EX_USAGE;
	}
	snprintf(dir, sizeof(dir), "%s_%s", kind->name, name);
	snprintf(sub, sizeof(sub), "%s/test", dir);
	if (mkdir(dir, 0777) != 0 || mkdir(sub, 0777) != 0) {
		complain(dir);
		return EX_CANTCREAT;
	}
	for (f = kind->file; f->from != NULL; f++)
		if (!make_file(template, dir, name, kind, f))
			return EX_CANTCREAT;
	printf("%s: %s %s plugin. Next:\n\tcd %s && make && make check\n",
	    dir, strcmp(kind->name, "auth") == 0 ? "an" : "a", kind->name,
	    dir);
	return 0;
}
