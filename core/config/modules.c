/*
 * modules.c - the plugins that the sections name, and their options.
 *
 * Runs in the config role, confined to reading the modules: loading one runs
 * its code.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/config/convert.h"
#include "core/config/load.h"
#include "core/config/mem.h"
#include "core/plugin/host.h"

enum { CALL_MEMORY = 1 << 20 };

static enum cf_opt
plugin_opt(const struct cf_section *s)
{
	return s->sect == CF_AUTH ? O_AUTH_PLUGIN : O_STORAGE_PLUGIN;
}

static unsigned
kind_of(const struct cf_section *s)
{
	return s->sect == CF_AUTH ? CULVER_KIND_AUTH : CULVER_KIND_STORAGE;
}

struct names {
	const char *v[256];
	size_t n;
	unsigned kind;
};

static void
name_seen(void *ctx, const char *path)
{
	struct names *all = ctx;
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	size_t skip = strlen(plugin_kind_name(all->kind)) + 1;

	if (all->n < 256)
		all->v[all->n++] = mem_copy(base + skip,
		    strcspn(base + skip, "."));
}

/* NAME was not found: what is there? */
static void
not_found(struct cf_section *s, const struct cf_env *env, const char *name,
    const char *why)
{
	struct names *all = mem_get(sizeof(*all));
	const char *near, *list = "";

	all->kind = kind_of(s);
	plugin_each(env->plugindir, all->kind, name_seen, all);
	near = diag_nearest(name, all->v, all->n);
	for (size_t i = 0; i < all->n && i < 20; i++)
		list = mem_printf("%s%s%s", list, i > 0 ? ", " : "",
		    all->v[i]);
	if (strchr(name, '/') != NULL)
		cf_blame(s, plugin_opt(s), "%s", why);
	else if (near != NULL)
		cf_blame(s, plugin_opt(s), "there is no %s plugin \"%s\", did "
		    "you mean %s?", plugin_kind_name(all->kind), name, near);
	else
		cf_blame(s, plugin_opt(s), "there is no %s plugin \"%s\" in "
		    "%s: wanted one of: %s", plugin_kind_name(all->kind),
		    name, env->plugindir, *list ? list : "(none is there)");
}

static void
load(struct cf_section *s, const struct cf_env *env)
{
	enum cf_opt o = plugin_opt(s);
	const struct plugin_rules rules = {.allow = s->allow,
	    .check_owner = env->check_owner, .owner = env->owner};
	const char *name = s->set[o] != NULL ? s->v[o].u.s.p : s->name;
	struct plugin *p = mem_get(sizeof(*p));
	char path[PLUGIN_PATH], err[PLUGIN_ERR];

	if (s->bad[o])
		return;
	s->v[o].u.s = (struct culver_str){.p = name, .n = strlen(name)};
	if (!plugin_find(env->plugindir, name, kind_of(s), path, err))
		not_found(s, env, name, err);
	else if (!plugin_load(path, kind_of(s), &rules, p, err))
		cf_blame(s, o, "%.900s", err);
	else
		s->plugin = p;
}

static void
unknown_option(struct cf_section *s, const struct cf_key *k)
{
	const char *words[PLUGIN_MAX_OPTIONS + O_COUNT], *near;
	const struct plugin *p = s->plugin;
	size_t n = 0;

	for (uint32_t i = 0; i < p->desc.n_options; i++)
		words[n++] = plugin_option(p, i).name;
	for (int o = 0; o < O_COUNT; o++)
		if (cf_options[o].sect == s->sect)
			words[n++] = cf_options[o].o.name;
	near = diag_nearest(k->name, words, n);
	if (near != NULL)
		diag_error(k->at, cf_where(s, k->name), "unknown option, did "
		    "you mean %s?", near);
	else
		diag_error(k->at, cf_where(s, k->name), "unknown option: "
		    "`culver-plugin doc %s_%s' lists those of this plugin",
		    plugin_kind_name(p->desc.kind), p->desc.name);
}

static const struct cf_key *
key_of(const struct cf_section *s, const char *name)
{
	for (const struct cf_other *k = s->others; k != NULL; k = k->next)
		if (strcmp(k->key->name, name) == 0)
			return k->key;
	return NULL;
}

static _Bool
same_choices(const char *const *a, const char *const *b)
{
	size_t i = 0;

	while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0)
		i++;
	return a[i] == NULL && b[i] == NULL;
}

/*
 * What O is by default if that is another option's value, else NULL: plugins
 * that refuse accounts by their uid do so below the limit, and those that
 * know users' names from elsewhere spell them as the core does.
 */
static const struct culver_value *
core_default(const struct cf_config *c, const struct culver_option *o)
{
	const struct culver_option *user_case = &cf_options[O_USER_CASE].o;

	if (o->type == CULVER_OPT_INT && !c->limits.bad[O_UID_MIN] &&
	    strcmp(o->name, cf_options[O_UID_MIN].o.name) == 0)
		return &c->limits.v[O_UID_MIN];
	if (o->type == CULVER_OPT_ENUM && !c->top.bad[O_USER_CASE] &&
	    strcmp(o->name, user_case->name) == 0 &&
	    same_choices(o->choices, user_case->choices))
		return &c->top.v[O_USER_CASE];
	return NULL;
}

/* False if it was complained about. */
static _Bool
convert_one(const struct cf_config *c, struct cf_section *s,
    const struct culver_option *o, struct culver_value *v)
{
	const struct cf_key *k = key_of(s, o->name);
	const struct culver_value *other = core_default(c, o);
	char err[CONVERT_ERR];

	if (k == NULL && other != NULL) {
		*v = *other;
		v->is_set = 0;
		return 1;
	}
	if (k == NULL && (o->flags & CULVER_OPT_REQUIRED) != 0) {
		diag_error(s->at, cf_where(s, o->name),
		    "required option is missing");
		return 0;
	}
	if (k == NULL) {
		if (convert_default(o, v, err))
			return 1;
		diag_error(s->at, cf_where(s, o->name), "the plugin's own "
		    "default is wrong (%s): set the option, and tell its "
		    "author", err);
		return 0;
	}
	if (k->value.broken)
		return 0;
	if (!convert_value(o, &k->value, v, err)) {
		diag_error(k->at, cf_where(s, o->name), "%s", err);
		return 0;
	}
	v->is_set = 1;
	v->line = k->at.line;
	v->file = k->at.file->path;
	if ((o->flags & CULVER_OPT_DEPRECATED) != 0)
		diag_warning(k->at, cf_where(s, o->name), "this option is "
		    "deprecated: %s", o->help != NULL ? o->help : "");
	return 1;
}

/* The plugin of a section that is checked has a warning. */
static const struct cf_section *warned;

static void
warn(const struct culver_host *host, int32_t level, const char *text)
{
	(void)host;
	if (level >= CULVER_LOG_WARN)
		diag_warning(warned->at, cf_where(warned, NULL), "%.900s",
		    text);
}

/* The plugin's own opinion about values that are right one by one. */
static void
check_options(struct cf_section *s)
{
	const struct culver_plugin *d = &s->plugin->desc;
	const struct culver_values values = {.size = sizeof(values),
	    .n = d->n_options, .v = s->values};
	struct plugin_host *host = mem_get(sizeof(*host));
	struct culver_error error;
	struct culver_arena *arena;
	struct culver_call call;
	struct cf_place at = s->at;
	uint32_t bad = UINT32_MAX;
	const char *name = NULL;

	if (d->check_options == NULL)
		return;
	arena = arena_new(CALL_MEMORY);
	plugin_host_init(host, d->name);
	warned = s;
	host->host.log = warn;
	/* by one or the other, somebody may write to the spool */
	if (s->set[O_LOCK_GROUP] != NULL || s->set[O_GROUPS] != NULL)
		host->host.provides |= CULVER_HOST_DOTLOCK;
	if ((d->needs & CULVER_NEED_NET) != 0)
		host->host.provides |= CULVER_HOST_NET;
	call = plugin_call(arena, &error, clock_now() + 10 * NS_PER_S);
	if (d->check_options(&host->host, &values, &bad, &call) != CULVER_OK) {
		if (bad < d->n_options) {
			name = plugin_option(s->plugin, bad).name;
			if (key_of(s, name) != NULL)
				at = key_of(s, name)->at;
		}
		diag_error(at, cf_where(s, name), "%s",
		    plugin_error_text(&error));
	}
	arena_free(&arena);
}

static void
convert_options(const struct cf_config *c, struct cf_section *s)
{
	const struct culver_plugin *d = &s->plugin->desc;
	_Bool ok = 1;

	s->values = mem_get((d->n_options + 1) * sizeof(*s->values));
	for (const struct cf_other *k = s->others; k != NULL; k = k->next) {
		uint32_t i = 0;

		while (i < d->n_options && strcmp(k->key->name,
		    plugin_option(s->plugin, i).name) != 0)
			i++;
		if (i == d->n_options) {
			unknown_option(s, k->key);
			ok = 0;
		}
	}
	for (uint32_t i = 0; i < d->n_options; i++) {
		struct culver_option o = plugin_option(s->plugin, i);

		ok &= convert_one(c, s, &o, &s->values[i]);
	}
	if (s->set[O_LOCK_GROUP] != NULL &&
	    (d->caps & CULVER_ST_DOTLOCK) == 0)
		cf_blame(s, O_LOCK_GROUP, "plugin %s makes no dotlocks: "
		    "remove this", d->name);
	if (ok)
		check_options(s);
}

void
cf_modules(struct cf_config *c, const struct cf_env *env)
{
	struct cf_section *lists[] = {c->auth, c->storage};

	for (int i = 0; i < 2; i++)
		for (struct cf_section *s = lists[i]; s != NULL; s = s->next) {
			load(s, env);
			if (s->plugin != NULL)
				convert_options(c, s);
		}
}
