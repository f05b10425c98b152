/*
 * print.c - print configurations and modules for people and programs.
 *
 * Runs in the config role.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/config/print.h"

struct printer {
	FILE *out;
	_Bool json;
	_Bool first;		/* of the array */
};

/* Octets of the UTF-8 sequence at S; 0: it is none. */
static size_t
utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
	    s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
	    s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* TEXT as a JSON string. */
static void
json_text(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', out);
	while (*s != 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			fputs("\\ufffd", out);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else
			fwrite(s, 1, n, out);
		s += n > 0 ? n : 1;
	}
	fputc('"', out);
}

static void
json_value(FILE *out, const struct culver_option *o,
    const struct culver_value *v)
{
	if ((o->flags & CULVER_OPT_SECRET) != 0) {
		fputs("null", out);
	} else if (o->type == CULVER_OPT_BOOL) {
		fputs(v->u.i != 0 ? "true" : "false", out);
	} else if (o->type == CULVER_OPT_INT || o->type == CULVER_OPT_SIZE) {
		fprintf(out, "%" PRId64, v->u.i);
	} else if (o->type == CULVER_OPT_TIME) {
		json_text(out, convert_show_time(v->u.i));
	} else if (o->type == CULVER_OPT_ENUM) {
		json_text(out, o->choices[v->u.i]);
	} else if (o->type == CULVER_OPT_LIST) {
		fputc('[', out);
		for (size_t i = 0; i < v->u.list.n; i++) {
			if (i > 0)
				fputc(',', out);
			json_text(out, v->u.list.v[i].p);
		}
		fputc(']', out);
	} else {
		json_text(out, v->u.s.p);
	}
}

static void
json_option(struct printer *p, const struct cf_section *s,
    const struct culver_option *o, const struct culver_value *v)
{
	fprintf(p->out, "%s\n{\"section\":", p->first ? "" : ",");
	json_text(p->out, cf_sects[s->sect].word);
	fputs(",\"name\":", p->out);
	json_text(p->out, s->name);
	fputs(",\"option\":", p->out);
	json_text(p->out, o->name);
	fputs(",\"value\":", p->out);
	json_value(p->out, o, v);
	if (v->is_set) {
		fputs(",\"file\":", p->out);
		json_text(p->out, v->file);
		fprintf(p->out, ",\"line\":%u", (unsigned)v->line);
	}
	fprintf(p->out, ",\"default\":%s}", v->is_set ? "false" : "true");
	p->first = 0;
}

static void
option(struct printer *p, const struct cf_section *s, unsigned depth,
    const struct culver_option *o, const struct culver_value *v)
{
	const char *shown = convert_show(o, v);

	if (p->json) {
		json_option(p, s, o, v);
		return;
	}
	/* What has no value and no default cannot be written. */
	fprintf(p->out, "%.*s%s%s = %s", (int)depth, "\t\t",
	    !v->is_set && (strcmp(shown, "\"\"") == 0 ||
	    strcmp(shown, "{}") == 0) ? "# " : "", o->name, shown);
	if (v->is_set)
		fprintf(p->out, "\t# %s:%u\n", v->file, (unsigned)v->line);
	else
		fputs("\t# default\n", p->out);
}

static void
options(struct printer *p, const struct cf_section *s, unsigned depth)
{
	for (int o = 0; o < O_COUNT; o++)
		if (cf_options[o].sect == s->sect)
			option(p, s, depth, &cf_options[o].o, &s->v[o]);
	if (s->plugin == NULL)
		return;
	for (uint32_t i = 0; i < s->plugin->desc.n_options; i++) {
		struct culver_option o = plugin_option(s->plugin, i);

		option(p, s, depth, &o, &s->values[i]);
	}
}

static void
section_open(struct printer *p, const struct cf_section *s, unsigned depth)
{
	if (p->json)
		return;
	fprintf(p->out, "%s%.*s%s%s%s {\t# ", depth == 0 ? "\n" : "",
	    (int)depth, "\t\t", cf_sects[s->sect].word,
	    *s->name ? " " : "", *s->name ? convert_quote(s->name) : "");
	if (s->implied)
		fputs("default\n", p->out);
	else
		fprintf(p->out, "%s:%u\n", s->at.file->path,
		    (unsigned)s->at.line);
}

static void
section_close(struct printer *p, unsigned depth)
{
	if (!p->json)
		fprintf(p->out, "%.*s}\n", (int)depth, "\t\t");
}

static void
sections(struct printer *p, const struct cf_section *s, unsigned depth)
{
	for (; s != NULL; s = s->next) {
		section_open(p, s, depth);
		options(p, s, depth + 1);
		section_close(p, depth);
	}
}

void
print_config(FILE *out, const struct cf_config *c, _Bool json)
{
	struct printer p = {.out = out, .json = json, .first = 1};

	if (json)
		fputc('[', out);
	options(&p, &c->top, 0);
	sections(&p, c->listen, 0);
	section_open(&p, &c->tls, 0);
	options(&p, &c->tls, 1);
	sections(&p, c->host, 1);
	section_close(&p, 0);
	sections(&p, c->auth, 0);
	sections(&p, c->storage, 0);
	section_open(&p, &c->cache, 0);
	options(&p, &c->cache, 1);
	section_close(&p, 0);
	section_open(&p, &c->limits, 0);
	options(&p, &c->limits, 1);
	section_close(&p, 0);
	if (json)
		fputs("\n]\n", out);
}

/* --- modules --------------------------------------------------------- */

struct modules {
	struct printer p;
	const struct cf_env *env;
};

static void
json_module(struct printer *p, const char *path, const struct plugin *m,
    const char *err)
{
	const struct culver_plugin *d = &m->desc;

	fprintf(p->out, "%s\n{\"path\":", p->first ? "" : ",");
	p->first = 0;
	json_text(p->out, path);
	if (err != NULL) {
		fputs(",\"error\":", p->out);
		json_text(p->out, err);
		fputc('}', p->out);
		return;
	}
	fprintf(p->out, ",\"kind\":\"%s\",\"name\":\"%s\",\"version\":",
	    plugin_kind_name(d->kind), d->name);
	json_text(p->out, d->version != NULL ? d->version : "");
	fprintf(p->out, ",\"abi\":\"%u.%u\",\"needs\":\"%s\",",
	    (unsigned)d->abi_major, (unsigned)d->abi_minor,
	    plugin_needs_text(d->needs & ~d->wants));
	fprintf(p->out, "\"wants\":\"%s\",\"summary\":",
	    plugin_needs_text(d->wants));
	json_text(p->out, d->summary != NULL ? d->summary : "");
	fputc('}', p->out);
}

static void
text_module(FILE *out, const char *path, const struct plugin *m,
    const char *err)
{
	const struct culver_plugin *d = &m->desc;
	uint64_t needs;

	if (err != NULL) {
		fprintf(out, "%s: cannot be loaded\n\t%s\n", path, err);
		return;
	}
	needs = d->needs & ~d->wants;
	fprintf(out, "%s %s %s (ABI %u.%u%s%s", plugin_kind_name(d->kind),
	    d->name, d->version != NULL ? d->version : "",
	    (unsigned)d->abi_major, (unsigned)d->abi_minor,
	    needs != 0 ? ", needs " : "", plugin_needs_text(needs));
	fprintf(out, "%s%s): %s\n\t%s\n", d->wants != 0 ? ", can use " : "",
	    plugin_needs_text(d->wants),
	    d->summary != NULL ? d->summary : "",
	    strchr(path, '/') != NULL ? path : "linked in");
}

static void
module_seen(void *ctx, const char *path)
{
	struct modules *all = ctx;
	const struct plugin_rules rules = {.allow = UINT32_MAX,
	    .check_owner = all->env->check_owner, .owner = all->env->owner};
	struct plugin *m = mem_get(sizeof(*m));
	char text[PLUGIN_ERR];
	const char *err = NULL;

	if (!plugin_load(path, 0, &rules, m, text))
		err = text;
	if (all->p.json)
		json_module(&all->p, path, m, err);
	else
		text_module(all->p.out, path, m, err);
}

void
print_plugins(FILE *out, const struct cf_env *env, _Bool json)
{
	struct modules all = {.p = {.out = out, .json = json, .first = 1},
	    .env = env};

	if (json)
		fputc('[', out);
	if (!plugin_each(env->plugindir, 0, module_seen, &all) && !json)
		fprintf(out, "%s: cannot be read\n", env->plugindir);
	if (json)
		fputs("\n]\n", out);
}
