/*
 * values.c - options as octets, there and back.
 *
 * Encodes in the config role; decodes in workers and pools, which check every
 * octet against the module that they have: it may be another one by now.
 *
 *	u32 magic, u32 options, then for each option
 *	TEXT name, u32 type, u32 is_set, u32 line, TEXT file, the value
 *
 * A value is an i64, a TEXT, or u32 count and as many TEXTs; a TEXT is a u32
 * length and octets without NUL.  Numbers are in this machine's order.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/plugin/host.h"
#include "core/plugin/values.h"

#define MAGIC 0x534c4156u

enum value_form { FORM_INT, FORM_TEXT, FORM_LIST };

static enum value_form
form_of(uint32_t type)
{
	return type <= CULVER_OPT_ENUM ? FORM_INT :
	    type == CULVER_OPT_LIST ? FORM_LIST : FORM_TEXT;
}

/* --- encoding -------------------------------------------------------- */

struct out {
	uint8_t *p;
	size_t n, cap;
	_Bool failed;
};

static void
put(struct out *o, const void *p, size_t n)
{
	size_t cap = o->cap;
	uint8_t *grown;

	if (o->failed || n > VALUES_MAX - o->n) {
		o->failed = 1;
		return;
	}
	while (cap < o->n + n)
		cap = cap == 0 ? 1024 : cap * 2;
	if (cap > o->cap) {
		/* Not realloc(): a secret must not stay in what it frees. */
		grown = malloc(cap);
		if (grown == NULL) {
			o->failed = 1;
			return;
		}
		if (o->n > 0) {
			memcpy(grown, o->p, o->n);
			explicit_bzero(o->p, o->n);
		}
		free(o->p);
		o->p = grown;
		o->cap = cap;
	}
	if (n > 0)
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void
put_u32(struct out *o, size_t v)
{
	uint32_t v32 = (uint32_t)v;

	put(o, &v32, sizeof(v32));
}

static void
put_text(struct out *o, const char *s, size_t n)
{
	put_u32(o, n);
	put(o, s, n);
}

static void
put_value(struct out *o, const struct culver_option *opt,
    const struct culver_value *v)
{
	const char *file = v->file != NULL ? v->file : "";

	put_text(o, opt->name, strlen(opt->name));
	put_u32(o, opt->type);
	put_u32(o, v->is_set);
	put_u32(o, v->line);
	put_text(o, file, strlen(file));
	switch (form_of(opt->type)) {
	case FORM_INT:
		put(o, &v->u.i, sizeof(v->u.i));
		break;
	case FORM_TEXT:
		put_text(o, v->u.s.p, v->u.s.n);
		break;
	case FORM_LIST:
		put_u32(o, v->u.list.n);
		for (size_t i = 0; i < v->u.list.n; i++)
			put_text(o, v->u.list.v[i].p, v->u.list.v[i].n);
		break;
	}
}

uint8_t *
values_encode(const struct plugin *p, const struct culver_value *v, size_t *n)
{
	struct out o = {.p = NULL};

	put_u32(&o, MAGIC);
	put_u32(&o, p->desc.n_options);
	for (uint32_t i = 0; i < p->desc.n_options; i++) {
		struct culver_option opt = plugin_option(p, i);

		put_value(&o, &opt, &v[i]);
	}
	*n = o.n;
	if (!o.failed)
		return o.p;
	if (o.p != NULL)
		explicit_bzero(o.p, o.n);
	free(o.p);
	return NULL;
}

/* --- decoding -------------------------------------------------------- */

struct in {
	const uint8_t *p;
	size_t left;
	struct culver_arena *arena;
	const struct plugin *plugin;
	const struct culver_user *user;
	char *err;
};

static _Bool
malformed(const struct in *in, const char *what)
{
	snprintf(in->err, PLUGIN_ERR, "%s: options: %s: the module is not the "
	    "one that the configuration was read for: reload",
	    in->plugin->path, what);
	return 0;
}

static _Bool
no_memory(const struct in *in)
{
	snprintf(in->err, PLUGIN_ERR, "%s: options: out of memory",
	    in->plugin->path);
	return 0;
}

static _Bool
get(struct in *in, void *out, size_t n)
{
	if (n > in->left)
		return malformed(in, "they end too early");
	memcpy(out, in->p, n);
	in->p += n;
	in->left -= n;
	return 1;
}

static _Bool
get_text(struct in *in, struct culver_str *s)
{
	uint32_t n;
	char *copy;

	if (!get(in, &n, sizeof(n)))
		return 0;
	if (n > in->left || memchr(in->p, 0, n) != NULL)
		return malformed(in, "a text does not fit");
	copy = arena_alloc(in->arena, (size_t)n + 1);
	if (copy == NULL)
		return no_memory(in);
	s->p = copy;
	s->n = n;
	return get(in, copy, n);
}

static _Bool
get_list(struct in *in, struct culver_value *v)
{
	struct culver_str *items;
	uint32_t n;

	if (!get(in, &n, sizeof(n)))
		return 0;
	if (n > in->left / sizeof(uint32_t))
		return malformed(in, "a list does not fit");
	items = arena_alloc(in->arena, n * sizeof(*items));
	if (items == NULL)
		return no_memory(in);
	for (uint32_t i = 0; i < n; i++)
		if (!get_text(in, &items[i]))
			return 0;
	v->u.list.v = items;
	v->u.list.n = n;
	return 1;
}

static _Bool
int_fits(const struct culver_option *o, const struct culver_value *v)
{
	int64_t n = 0;

	if (!v->is_set && o->def == NULL)
		return v->u.i == 0;
	switch (o->type) {
	case CULVER_OPT_BOOL:
		return v->u.i == 0 || v->u.i == 1;
	case CULVER_OPT_ENUM:
		while (o->choices[n] != NULL)
			n++;
		return v->u.i >= 0 && v->u.i < n;
	default:
		return (o->min == 0 && o->max == 0) ||
		    (v->u.i >= o->min && v->u.i <= o->max);
	}
}

/* Does the user's own location take the place of option O? */
static _Bool
overridden(const struct in *in, const struct culver_option *o)
{
	const char *location = in->user->location;

	return location != NULL && location[0] != 0 &&
	    strcmp(o->name, "path") == 0;
}

/* Replace a template by what it means for this user. */
static _Bool
expand(struct in *in, const struct culver_option *o, struct culver_value *v)
{
	char text[VALUES_TEMPLATE], why[PLUGIN_ERR];
	char *copy;

	if (!values_expand(v->u.s.p, in->user, text, why)) {
		if (overridden(in, o)) {
			v->u.s = (struct culver_str){.p = "", .n = 0};
			return 1;
		}
		snprintf(in->err, PLUGIN_ERR, "option %s: %.1400s", o->name,
		    why);
		return 0;
	}
	v->u.s.n = strlen(text);
	copy = arena_alloc(in->arena, v->u.s.n + 1);
	if (copy == NULL)
		return no_memory(in);
	memcpy(copy, text, v->u.s.n);
	v->u.s.p = copy;
	return 1;
}

static _Bool
get_value(struct in *in, const struct culver_option *o, struct culver_value *v)
{
	struct culver_str name, file;
	uint32_t type;

	if (!get_text(in, &name) || !get(in, &type, sizeof(type)) ||
	    !get(in, &v->is_set, sizeof(v->is_set)) ||
	    !get(in, &v->line, sizeof(v->line)) || !get_text(in, &file))
		return 0;
	if (strcmp(name.p, o->name) != 0 || type != o->type || v->is_set > 1)
		return malformed(in, o->name);
	v->file = file.p;
	switch (form_of(type)) {
	case FORM_INT:
		return get(in, &v->u.i, sizeof(v->u.i)) &&
		    (int_fits(o, v) || malformed(in, o->name));
	case FORM_TEXT:
		return get_text(in, &v->u.s) &&
		    (type != CULVER_OPT_TEMPLATE || in->user == NULL ||
		    v->u.s.n == 0 || expand(in, o, v));
	case FORM_LIST:
		return get_list(in, v);
	}
	return 0;
}

static _Bool
get_values(struct in *in, struct values *out)
{
	uint32_t head[2], n = in->plugin->desc.n_options;
	struct culver_value *v;

	if (!get(in, head, sizeof(head)))
		return 0;
	if (head[0] != MAGIC || head[1] != n)
		return malformed(in, "their number is another");
	v = arena_alloc(in->arena, n * sizeof(*v));
	if (v == NULL)
		return no_memory(in);
	out->c = (struct culver_values){.size = sizeof(out->c), .n = n,
	    .v = v};
	for (uint32_t i = 0; i < n; i++) {
		struct culver_option o = plugin_option(in->plugin, i);

		if (!get_value(in, &o, &v[i]))
			return 0;
	}
	return in->left == 0 || malformed(in, "they do not end in time");
}

struct values *
values_decode(const uint8_t *buf, size_t n, const struct plugin *p,
    const struct culver_user *user, char err[PLUGIN_ERR])
{
	struct in in = {.p = buf, .left = n, .plugin = p, .user = user,
	    .err = err};
	struct values *v = calloc(1, sizeof(*v));

	if (v == NULL ||
	    (v->arena = arena_new((size_t)8 * VALUES_MAX)) == NULL) {
		no_memory(&in);
		free(v);
		return NULL;
	}
	in.arena = v->arena;
	if (!get_values(&in, v))
		values_destroy(&v);
	return v;
}

struct values *
values_read(int fd, const struct conf_head *head, const struct plugin *p,
    const struct culver_user *user, char err[PLUGIN_ERR])
{
	struct values *v = NULL;
	size_t n = head->extra_n;
	uint8_t *buf = n <= VALUES_MAX ? malloc(n + 1) : NULL;

	if (buf == NULL) {
		snprintf(err, PLUGIN_ERR, "%s: options: out of memory",
		    p->path);
		return NULL;
	}
	if (pread(fd, buf, n, (off_t)head->extra_at) == (ssize_t)n)
		v = values_decode(buf, n, p, user, err);
	else
		snprintf(err, PLUGIN_ERR, "%s: options: cannot be read: %s",
		    p->path, strerror(errno));
	explicit_bzero(buf, n);
	free(buf);
	return v;
}

void
values_destroy(struct values **vp)
{
	if (*vp == NULL)
		return;
	arena_free(&(*vp)->arena);
	free(*vp);
	*vp = NULL;
}
