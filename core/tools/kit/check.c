/*
 * check.c - culver-plugin check: the groups, one after the other, and the
 * table at the end.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include <culver/storage.h>

#include "core/tools/kit/check.h"
#include "core/tools/kit/subject.h"

enum { STORAGE = 1 << CULVER_KIND_STORAGE, AUTH = 1 << CULVER_KIND_AUTH };

static const struct group {
	const struct kit_check *check;
	unsigned kinds;
} groups[] = {
	{ kit_elf, STORAGE | AUTH }, { kit_descriptor, STORAGE | AUTH },
	{ kit_options, STORAGE | AUTH }, { kit_storage, STORAGE },
	{ kit_auth, AUTH }, { kit_hygiene, STORAGE },
	{ kit_auth_hygiene, AUTH }, { kit_versions, STORAGE | AUTH },
	{ kit_deadline, STORAGE }, { kit_auth_deadline, AUTH },
	{ kit_crash, STORAGE }, { kit_faults, STORAGE },
	{ kit_auth_faults, AUTH }, { kit_power, STORAGE },
	{ kit_scale, STORAGE },
};

enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

/* Is group I for plugins of this kind? */
static bool
fits(const struct kit *k, size_t i)
{
	return (groups[i].kinds & 1u << k->plugin.desc.kind) != 0;
}

/* Is NAME in LIST, whose words are separated by commas? */
static bool
in_list(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; *list != '\0'; list += strcspn(list, ",")) {
		list += *list == ',';
		if (strncmp(list, name, n) == 0 &&
		    (list[n] == ',' || list[n] == '\0'))
			return true;
	}
	return false;
}

/* Every word of k->only must be a group. */
static bool
only_known(const struct kit *k)
{
	const char *only = k->only;
	char word[64];
	size_t n, i;

	for (; *only != '\0'; only += n + (only[n] == ',')) {
		n = strcspn(only, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, only);
		for (i = 0; i < GROUPS; i++)
			if (fits(k, i) &&
			    strcmp(groups[i].check[0].group, word) == 0)
				break;
		if (i < GROUPS)
			continue;
		fprintf(stderr, "culver-plugin: %s plugins have no group "
		    "\"%s\"; they have",
		    plugin_kind_name(k->plugin.desc.kind), word);
		for (i = 0; i < GROUPS; i++)
			if (fits(k, i))
				fprintf(stderr, " %s",
				    groups[i].check[0].group);
		fputc('\n', stderr);
		return false;
	}
	return true;
}

/* A folder for this run, where syncing is cheap if the caller does not say. */
static bool
make_top(struct kit *k)
{
	const char *dir = k->dir;
	char *real;
	bool made;

	if (dir == NULL)
		dir = getenv("TMPDIR");
	if (dir == NULL)
		dir = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" :
		    "/tmp";
	real = realpath(dir, NULL);
	made = real != NULL && strlen(real) <= 1000 &&
	    snprintf(k->top, sizeof(k->top), "%s/culver-kit-XXXXXX",
	    real) > 0 && mkdtemp(k->top) != NULL;
	if (!made)
		fprintf(stderr, "culver-plugin: no folder to work in below %s: "
		    "%s\n", dir, strerror(errno));
	free(real);
	if (!made)
		return false;
	snprintf(k->home, sizeof(k->home), "%s/home", k->top);
	return true;
}

static void
table(const struct kit_shared *s)
{
	const struct {
		const char *name;
		uint64_t n;
	} row[] = {
		{ "operations", s->operations }, { "kills", s->kills },
		{ "faults", s->faults }, { "power cuts", s->cuts },
		{ "losses", s->losses }, { "duplicates", s->duplicates },
	};
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		printf("# %-10s %9" PRIu64 "\n", row[i].name, row[i].n);
}

static bool
load(struct kit *k, unsigned kind)
{
	const struct plugin_rules rules = { .allow = UINT32_MAX };
	char err[PLUGIN_ERR];

	if (!plugin_load(k->module, kind, &rules, &k->plugin, err)) {
		printf("not ok 1 - load: %s\n1..1\n", err);
		return false;
	}
	if (!subject_check(k, err)) {
		fprintf(stderr, "culver-plugin: %s\n", err);
		return false;
	}
	return true;
}

bool
kit_begin(struct kit *k, unsigned kind)
{
	k->shared = kit_shared = mmap(NULL, sizeof(*kit_shared), PROT_READ |
	    PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kit_shared == MAP_FAILED) {
		fputs("culver-plugin: out of memory\n", stderr);
		return false;
	}
	return load(k, kind) && make_top(k);
}

void
kit_end(struct kit *k)
{
	kit_remove(k->top, true);
}

int
kit_check_main(struct kit *k)
{
	const struct kit_check *c;
	size_t i;

	if (k->fixture != NULL && access(k->fixture, X_OK) != 0) {
		fprintf(stderr, "culver-plugin: --fixture %s: %s\n",
		    k->fixture, strerror(errno));
		return EX_NOINPUT;
	}
	if (!kit_begin(k, 0))
		return EX_DATAERR;
	if (k->only != NULL && !only_known(k)) {
		kit_end(k);
		return EX_USAGE;
	}
	printf("# %s %s %s, seed %" PRIu64 "\n", k->module,
	    k->plugin.desc.name, k->plugin.desc.version != NULL ?
	    k->plugin.desc.version : "", k->seed);
	for (i = 0; i < GROUPS; i++)
		if (fits(k, i) && (k->only == NULL ||
		    in_list(k->only, groups[i].check[0].group)))
			for (c = groups[i].check; c->group != NULL; c++)
				kit_run(k, c);
	printf("1..%u\n", k->n);
	if (k->keep && k->failed > 0)
		printf("# kept: %s\n", k->top);
	else
		kit_end(k);
	table(k->shared);
	return k->failed == 0 ? 0 : 1;
}
