/*
 * options.c - every option at and beside its bounds, as a host can pass it.
 *
 * Runs in a check.  A host never passes what its own conversion refuses, so
 * only what convert_value() takes reaches the plugin, with the other options
 * as the command line set them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/base/clock.h"
#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/plugin/host.h"
#include "core/tools/kit/auth.h"
#include "core/tools/kit/subject.h"

enum { HUGE_TEXT = 3000, TRIES = 16 };

static const char *
number(int64_t n)
{
	return mem_printf("%" PRId64, n);
}

/* A time has a unit; the smallest is the millisecond. */
static const char *
scaled(const struct culver_option *o, int64_t n)
{
	return o->type == CULVER_OPT_TIME && n % 1000000 == 0 ?
	    mem_printf("%" PRId64 "ms", n / 1000000) : number(n);
}

static char *
huge(const char *start, size_t n)
{
	char *p = mem_get(n + 1);
	size_t i, skip = strlen(start);

	for (i = 0; i < n; i++)
		p[i] = i < skip ? start[i] : i % 200 == 199 ? '/' : 'x';
	return p;
}

/* What to try for O; the number of texts. */
static unsigned
tries(const struct culver_option *o, const char *text[TRIES])
{
	unsigned n = 0;
	int i;

	switch (o->type) {
	case CULVER_OPT_BOOL:
		text[n++] = "yes";
		text[n++] = "no";
		break;
	case CULVER_OPT_INT:
	case CULVER_OPT_SIZE:
	case CULVER_OPT_TIME:
		text[n++] = scaled(o, o->min - (o->min > INT64_MIN));
		text[n++] = scaled(o, o->min);
		text[n++] = scaled(o, o->max);
		text[n++] = scaled(o, o->max + (o->max < INT64_MAX));
		text[n++] = number(INT64_MAX);
		text[n++] = "0";
		text[n++] = "-1";
		break;
	case CULVER_OPT_ENUM:
		for (i = 0; o->choices[i] != NULL && n < TRIES; i++)
			text[n++] = o->choices[i];
		break;
	default:
		text[n++] = "";
		text[n++] = "x";
		text[n++] = "/";
		text[n++] = "//a/./b/";
		text[n++] = "\xff\xfe\x80 not UTF-8";
		text[n++] = "~/x";
		text[n++] = "%{user}";
		text[n++] = huge("/", HUGE_TEXT);
		text[n++] = huge("~/", HUGE_TEXT);
		text[n++] = huge("", HUGE_TEXT);
	}
	return n;
}

static void
check_one(struct kit *k, const struct culver_values *values)
{
	struct culver_arena *arena = arena_new(1 << 20);
	uint32_t bad = UINT32_MAX;
	struct plugin_host host;
	struct culver_error err;
	struct culver_call call = plugin_call(arena, &err,
	    clock_now() + 10 * NS_PER_S);
	culver_status st;

	plugin_host_init(&host, k->plugin.desc.name);
	k->shared->operations++;
	st = k->plugin.desc.check_options(&host.host, values, &bad, &call);
	arena_free(&arena);
	if (st == CULVER_OK)
		return;
	if (st != CULVER_E_CONFIG && st != CULVER_E_NOMEM)
		kit_fail("check_options: returned %d, wanted CULVER_OK or "
		    "CULVER_E_CONFIG", (int)st);
	if (st == CULVER_E_CONFIG && bad >= k->plugin.desc.n_options)
		kit_fail("check_options: CULVER_E_CONFIG blames option %u of "
		    "%u", bad, k->plugin.desc.n_options);
	if (memchr(err.text, 0, sizeof(err.text)) == NULL ||
	    err.text[0] == '\0')
		kit_fail("check_options: failed and gave no text");
}

static void
check_list(struct kit *k)
{
	uint32_t i;

	if (k->plugin.desc.check_options == NULL)
		kit_skip("no check_options()");
	for (i = 0; i < k->plugin.desc.n_options; i++) {
		struct culver_option o = plugin_option(&k->plugin, i);
		const char *text[TRIES];
		unsigned n = tries(&o, text), j;

		for (j = 0; j < n; j++) {
			struct culver_values v;

			if (subject_with(k, o.name, text[j], &v))
				check_one(k, &v);
		}
	}
}

/* A host that is configured wrong may be far away. */
static void
soon(struct box *b)
{
	b->time = NS_PER_S;
}

static bool
create_only(struct kit *k)
{
	struct box b;

	if (k->plugin.desc.kind == CULVER_KIND_AUTH) {
		box_hooks = (struct box_hooks){ .host = soon };
		return auth_create_only(k);
	}
	return box_create_only(&b, k) == CULVER_OK;
}

/* create() and destroy(), which for storage do no I/O yet. */
static void
create_list(struct kit *k)
{
	unsigned refused = 0, made = 0;
	uint32_t i;

	for (i = 0; i < k->plugin.desc.n_options; i++) {
		struct culver_option o = plugin_option(&k->plugin, i);
		const char *text[TRIES];
		unsigned n = tries(&o, text), j;

		for (j = 0; j < n; j++) {
			struct culver_values v;

			if (!subject_with(k, o.name, text[j], &v))
				continue;
			k->option[k->n_options++] = mem_printf("%s=%s",
			    o.name, text[j]);
			if (!subject_can_expand(k))
				refused++;
			else
				made += create_only(k);
			k->n_options--;
		}
	}
	kit_note("%u made, %u values that no user can have", made,
	    refused);
}

const struct kit_check kit_options[] = {
	{ "options", "check_options() at every bound", check_list, 60, 0 },
	{ "options", "create() at every bound", create_list, 60, 0 },
	{ .group = NULL },
};
