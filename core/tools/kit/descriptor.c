/*
 * descriptor.c - the descriptor beyond what every host checks when it loads a
 * module (core/plugin/accept.c).  Runs in a check.
 */
#include "config.h"

#include <string.h>

#include <culver/storage.h>

#include "core/config/convert.h"
#include "core/tools/kit/kit.h"

enum { KNOWN_CAPS = CULVER_ST_ATOMIC_EXPUNGE | CULVER_ST_EXACT_OCTETS |
    CULVER_ST_KEEPALIVE | CULVER_ST_DELIVER | CULVER_ST_SIZE_CACHE |
    CULVER_ST_READONLY | CULVER_ST_KEEP_UID | CULVER_ST_CHECK |
    CULVER_ST_DOTLOCK };
enum { KNOWN_AUTH_CAPS = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_USER |
    CULVER_AU_NO_CACHE | CULVER_AU_TOKEN | CULVER_AU_EXTERNAL |
    CULVER_AU_QUICK };
enum { KNOWN_NEEDS = CULVER_NEED_NET | CULVER_NEED_EXEC |
    CULVER_NEED_THREADS };

static void
texts(struct kit *k)
{
	const struct culver_plugin *d = &k->plugin.desc;

	if (d->version == NULL || d->version[0] == '\0')
		kit_fail("it has no version: logs name it");
	if (d->summary == NULL || d->summary[0] == '\0' ||
	    strlen(d->summary) > 70 || strpbrk(d->summary, "\r\n") != NULL)
		kit_fail("summary: wanted one line of at most 70 octets");
	if (d->abi_minor < d->need_minor)
		kit_fail("need_minor %u is above abi_minor %u", d->need_minor,
		    d->abi_minor);
	if (k->plugin.storage.reserved0 != 0 || k->plugin.auth.reserved0 != 0)
		kit_fail("reserved0 of the ops is not zero");
}

static void
capabilities(struct kit *k)
{
	const struct culver_plugin *d = &k->plugin.desc;
	bool auth = d->kind == CULVER_KIND_AUTH;
	uint64_t caps = auth ? KNOWN_AUTH_CAPS : KNOWN_CAPS;
	uint64_t needs = auth ? KNOWN_NEEDS : CULVER_NEED_NET;

	if (d->abi_minor <= CULVER_ABI_MINOR && (d->caps & ~caps) != 0)
		kit_fail("caps 0x%llx has bits that ABI minor %u does not "
		    "know", (unsigned long long)d->caps, d->abi_minor);
	if (d->abi_minor <= CULVER_ABI_MINOR && (d->needs & ~needs) != 0)
		kit_fail("needs 0x%llx%s", (unsigned long long)d->needs,
		    auth ? "" : ": a storage plugin may need net only");
	if (auth && (d->caps & (CULVER_AU_VERIFY | CULVER_AU_CREDS |
	    CULVER_AU_USER | CULVER_AU_TOKEN | CULVER_AU_EXTERNAL)) == 0)
		kit_fail("caps: none of VERIFY, CREDS, USER, TOKEN and "
		    "EXTERNAL");
	if (!auth && (d->caps & CULVER_ST_READONLY) != 0 &&
	    (d->caps & CULVER_ST_DELIVER) != 0)
		kit_fail("caps: READONLY and DELIVER");
}

static void
check_option(const struct culver_option *o)
{
	struct culver_value v;
	char err[CONVERT_ERR];
	int i;

	if (o->help == NULL || o->help[0] == '\0' ||
	    strpbrk(o->help, "\r\n") != NULL)
		kit_fail("option %s: wanted one line of help", o->name);
	if (o->min > o->max)
		kit_fail("option %s: min is above max", o->name);
	if ((o->flags & ~(uint32_t)(CULVER_OPT_REQUIRED | CULVER_OPT_SECRET |
	    CULVER_OPT_DEPRECATED)) != 0)
		kit_fail("option %s: unknown flags 0x%x", o->name, o->flags);
	if ((o->flags & CULVER_OPT_REQUIRED) != 0 && o->def != NULL)
		kit_fail("option %s: required, and has a default", o->name);
	if (o->def != NULL && !convert_default(o, &v, err))
		kit_fail("option %s: its own default is wrong: %s", o->name,
		    err);
	if (o->type != CULVER_OPT_ENUM)
		return;
	if (o->choices == NULL || o->choices[0] == NULL)
		kit_fail("option %s: no choices", o->name);
	for (i = 1; o->choices[i] != NULL; i++)
		if (strcmp(o->choices[i], o->choices[i - 1]) == 0)
			kit_fail("option %s: the choice %s twice", o->name,
			    o->choices[i]);
	if (o->def == NULL && (o->flags & CULVER_OPT_REQUIRED) == 0)
		kit_fail("option %s: neither required nor with a default",
		    o->name);
}

static void
option_table(struct kit *k)
{
	uint32_t i, j;

	for (i = 0; i < k->plugin.desc.n_options; i++) {
		struct culver_option o = plugin_option(&k->plugin, i);

		check_option(&o);
		for (j = 0; j < i; j++)
			if (strcmp(plugin_option(&k->plugin, j).name,
			    o.name) == 0)
				kit_fail("option %s is there twice", o.name);
	}
}

const struct kit_check kit_descriptor[] = {
	{ "descriptor", "name, version, summary, minors", texts, 10, 0 },
	{ "descriptor", "capabilities and needs", capabilities, 10, 0 },
	{ "descriptor", "the table of options", option_table, 10, 0 },
	{ .group = NULL },
};
