/*
 * merge.c - from the tree of all files to sections: what overrides what, and
 * which words exist.
 *
 * Runs in the config role.  What is read later overrides what was read
 * before, but not within one file: there it is a mistake.
 */
#include "config.h"

#include <string.h>

#include "core/config/convert.h"
#include "core/config/load.h"
#include "core/config/mem.h"

const char *
cf_where(const struct cf_section *s, const char *key)
{
	const char *word = cf_sects[s->sect].word;

	if (s->sect == CF_TOP)
		return key;
	if (s->sect == CF_HOST)
		word = "tls: host";
	return mem_printf("%s%s%.80s%s%.60s", word, *s->name ? " " : "",
	    s->name, key != NULL ? ": " : "", key != NULL ? key : "");
}

/* Where else could NAME have been meant to be?  NULL: nowhere. */
static const struct cf_option *
option_elsewhere(const char *name)
{
	for (int i = 0; i < O_COUNT; i++)
		if (strcmp(cf_options[i].o.name, name) == 0)
			return &cf_options[i];
	return NULL;
}

static void
unknown_key(const struct cf_section *s, const struct cf_key *k)
{
	const char *words[O_COUNT], *near;
	const struct cf_option *other = option_elsewhere(k->name);
	size_t n = 0;

	for (int i = 0; i < O_COUNT; i++)
		if (cf_options[i].sect == s->sect)
			words[n++] = cf_options[i].o.name;
	near = diag_nearest(k->name, words, n);
	if (near != NULL)
		diag_error(k->at, cf_where(s, k->name), "unknown option, did "
		    "you mean %s?", near);
	else if (other != NULL && other->sect == CF_TOP)
		diag_error(k->at, cf_where(s, k->name), "this option stands "
		    "outside of all sections");
	else if (other != NULL)
		diag_error(k->at, cf_where(s, k->name), "this option belongs "
		    "into a section `%s'", cf_sects[other->sect].word);
	else if (cf_sect_find(k->name, CF_TOP) != CF_SECTS)
		diag_error(k->at, cf_where(s, k->name), "this is a section: "
		    "wanted `%s'", cf_sects[cf_sect_find(k->name,
		    CF_TOP)].example);
	else
		diag_error(k->at, cf_where(s, k->name), "unknown option: "
		    "culver.conf(5) lists those of this place");
}

/* Was OLD set in the same file as K?  Then say so. */
static _Bool
set_twice(const struct cf_section *s, const struct cf_key *old,
    const struct cf_key *k)
{
	if (old == NULL || old->at.file != k->at.file)
		return 0;
	diag_error(k->at, cf_where(s, k->name), "set twice in this file, "
	    "first in line %u: remove one", (unsigned)old->at.line);
	return 1;
}

static void
merge_other(struct cf_section *s, const struct cf_key *k)
{
	struct cf_other **p = &s->others;

	for (; *p != NULL; p = &(*p)->next)
		if (strcmp((*p)->key->name, k->name) == 0) {
			if (!set_twice(s, (*p)->key, k))
				(*p)->key = k;
			return;
		}
	*p = mem_get(sizeof(**p));
	(*p)->key = k;
}

static void
merge_key(struct cf_section *s, const struct cf_key *k)
{
	enum cf_opt o = cf_option_find(s->sect, k->name);

	if (o != O_COUNT) {
		if (!set_twice(s, s->set[o], k))
			s->set[o] = k;
	} else if (cf_sects[s->sect].has_plugin) {
		merge_other(s, k);
	} else {
		unknown_key(s, k);
	}
}

static void
merge_keys(struct cf_section *s, const struct cf_block *b)
{
	for (const struct cf_key *k = b->keys; k != NULL; k = k->next)
		merge_key(s, k);
}

static _Bool
name_ok(enum cf_sect sect, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > (sect == CF_HOST ? 255u : 63u))
		return 0;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-*") == n;
}

static _Bool
block_name_ok(enum cf_sect sect, const struct cf_block *b)
{
	const struct cf_sect_info *info = &cf_sects[sect];

	if (info->named == CF_NAMED && b->name == NULL)
		diag_error(b->at, b->type, "the section has no name: wanted "
		    "`%s'", info->example);
	else if (info->named == CF_UNNAMED && b->name != NULL)
		diag_error(b->at, b->type, "this section takes no name, got "
		    "\"%.60s\": wanted `%s'", b->name, info->example);
	else if (b->name != NULL && !name_ok(sect, b->name))
		diag_error(b->at, b->type, "\"%.80s\" cannot be its name: "
		    "wanted at most %d letters, digits and _ . -", b->name,
		    sect == CF_HOST ? 255 : 63);
	else
		return 1;
	return 0;
}

/* The section of B in LIST: new at its end, or in the place of an older one
 * of another file.  NULL: it is there already. */
static struct cf_section *
section_of(struct cf_section **list, enum cf_sect sect,
    const struct cf_block *b)
{
	struct cf_section *next = NULL;

	for (; *list != NULL; list = &(*list)->next) {
		if (strcasecmp((*list)->name, b->name) != 0)
			continue;
		if ((*list)->at.file == b->at.file) {
			diag_error(b->at, cf_where(*list, NULL), "this section "
			    "is in this file twice, first in line %u: rename "
			    "or remove one", (unsigned)(*list)->at.line);
			return NULL;
		}
		next = (*list)->next;
		break;
	}
	*list = mem_get(sizeof(**list));
	(*list)->next = next;
	(*list)->sect = sect;
	(*list)->name = b->name;
	(*list)->at = b->at;
	return *list;
}

static void
unknown_block(const struct cf_block *b, const struct cf_section *parent)
{
	const char *words[CF_SECTS], *near;
	size_t n = 0;

	for (int s = CF_LISTEN; s < CF_SECTS; s++)
		if (cf_sect_find(cf_sects[s].word, parent->sect) != CF_SECTS)
			words[n++] = cf_sects[s].word;
	near = n > 0 ? diag_nearest(b->type, words, n) : NULL;
	if (near != NULL)
		diag_error(b->at, cf_where(parent, NULL), "unknown section "
		    "\"%.60s\", did you mean %s?", b->type, near);
	else if (strcmp(b->type, "host") == 0)
		diag_error(b->at, cf_where(parent, NULL), "a section `host' "
		    "stands inside `tls'");
	else if (parent->sect != CF_TOP)
		diag_error(b->at, cf_where(parent, NULL), "no section "
		    "\"%.60s\" can stand here: is a `}' missing before it?",
		    b->type);
	else
		diag_error(b->at, NULL, "unknown section \"%.60s\": wanted "
		    "listen, tls, auth, storage, auth_cache or limits", b->type);
}

static void merge_block(struct cf_config *c, const struct cf_block *b,
    const struct cf_section *parent);

static void
merge_content(struct cf_config *c, struct cf_section *s,
    const struct cf_block *b)
{
	merge_keys(s, b);
	for (const struct cf_block *in = b->blocks; in != NULL; in = in->next)
		merge_block(c, in, s);
}

static void
merge_block(struct cf_config *c, const struct cf_block *b,
    const struct cf_section *parent)
{
	struct cf_section **lists[CF_SECTS] = {[CF_LISTEN] = &c->listen,
	    [CF_HOST] = &c->host, [CF_AUTH] = &c->auth,
	    [CF_STORAGE] = &c->storage};
	enum cf_sect sect = cf_sect_find(b->type, parent->sect);
	struct cf_section *s;

	if (sect == CF_SECTS) {
		unknown_block(b, parent);
		return;
	}
	if (!block_name_ok(sect, b))
		return;
	if (lists[sect] == NULL) {
		s = sect == CF_TLS ? &c->tls : sect == CF_CACHE ? &c->cache :
		    &c->limits;
		if (s->at.file == NULL)
			s->at = b->at;
	} else {
		s = section_of(lists[sect], sect, b);
	}
	if (s != NULL)
		merge_content(c, s, b);
}

void
cf_merge(struct cf_config *c, const struct cf_block *root)
{
	*c = (struct cf_config){.top = {.sect = CF_TOP, .name = "",
	    .at = root->at},
	    .tls = {.sect = CF_TLS, .name = ""},
	    .cache = {.sect = CF_CACHE, .name = ""},
	    .limits = {.sect = CF_LIMITS, .name = ""}};
	merge_content(c, &c->top, root);
}
