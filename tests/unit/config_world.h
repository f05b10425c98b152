/*
 * config_world.h - files in memory for tests of the configuration.
 */
#ifndef TESTS_CONFIG_WORLD_H
#define TESTS_CONFIG_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/load.h"
#include "core/config/mem.h"

struct world_file {
	const char *name;	/* "" is the main file */
	const char *text;
};

static const struct world_file *world;

static inline int
world_open(void *ctx, const char *name, const char **path, const char **text,
    size_t *n)
{
	(void)ctx;
	*path = name[0] != 0 ? mem_printf("/etc/culver/%s", name) :
	    "/etc/culver/culver.conf";
	for (const struct world_file *f = world; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0) {
			*text = f->text;
			*n = strlen(f->text);
			return 0;
		}
	return ENOENT;
}

/* The environment of tests: modules of the build tree, users of the source
 * tree. */
static inline struct cf_env
world_env(void)
{
	return (struct cf_env){.source = {.open = world_open},
	    .plugindir = TEST_PLUGINS, .cpus = 4,
	    .hostname = "test.example.org",
	    .passwd = TEST_DATA "/passwd", .group = TEST_DATA "/group"};
}

/* Load FILES; the caller frees the diagnosis. */
static inline char *
world_load(struct cf_config *c, const struct world_file *files)
{
	struct cf_env env = world_env();
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	world = files;
	diag_start();
	cf_load(c, &env);
	diag_print(out);
	fclose(out);
	return text;
}

#endif /* TESTS_CONFIG_WORLD_H */
