/*
 * convert.c - numbers, sizes, times, words, paths, templates and lists.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/plugin/values.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit counts[] = {
	{"", 1}, {"k", 1000}, {"K", 1000}, {"M", 1000000},
	{"G", 1000000000}, {NULL, 0}
};
static const struct unit sizes[] = {
	{"", 1}, {"B", 1}, {"K", 1 << 10}, {"k", 1 << 10}, {"KiB", 1 << 10},
	{"M", 1 << 20}, {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30},
	{"T", INT64_C(1) << 40}, {"TiB", INT64_C(1) << 40}, {NULL, 0}
};
static const struct unit times[] = {
	{"ms", INT64_C(1000000)}, {"s", INT64_C(1000000000)},
	{"m", INT64_C(60000000000)}, {"h", INT64_C(3600000000000)},
	{"d", INT64_C(86400000000000)}, {NULL, 0}
};

/* TEXT as a number with one of UNITS; false if it is none or too large. */
static _Bool
number(const char *text, const struct unit *units, int64_t *out)
{
	_Bool minus = text[0] == '-';
	const char *p = text + minus;
	int64_t n = 0;

	if (*p < '0' || *p > '9')
		return 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, (int64_t)10, &n) ||
		    __builtin_add_overflow(n, (int64_t)(*p - '0'), &n))
			return 0;
	if (n == 0 && *p == 0) {
		*out = 0;	/* nothing needs no unit */
		return 1;
	}
	for (; units->name != NULL; units++)
		if (strcmp(units->name, p) == 0) {
			*out = minus ? -n : n;
			return !__builtin_mul_overflow(*out, units->factor,
			    out);
		}
	return 0;
}

const char *
convert_show_time(int64_t t)
{
	for (int i = 4; i >= 0; i--)
		if (t != 0 && t % times[i].factor == 0)
			return mem_printf("%" PRId64 "%s",
			    t / times[i].factor, times[i].name);
	return t == 0 ? "0s" : mem_printf("%" PRId64 "ns", t);
}

static const char *
show_size(int64_t n)
{
	if (n > 0 && n % (1 << 30) == 0)
		return mem_printf("%" PRId64 "G", n >> 30);
	if (n > 0 && n % (1 << 20) == 0)
		return mem_printf("%" PRId64 "M", n >> 20);
	if (n > 0 && n % (1 << 10) == 0)
		return mem_printf("%" PRId64 "K", n >> 10);
	return mem_printf("%" PRId64, n);
}

static const char *
show_number(uint32_t type, int64_t n)
{
	return type == CULVER_OPT_TIME ? convert_show_time(n) :
	    type == CULVER_OPT_SIZE ? show_size(n) :
	    mem_printf("%" PRId64, n);
}

/* How to name what was written: not at all if it is secret. */
static const char *
shown(const struct culver_option *o, const char *text)
{
	return (o->flags & CULVER_OPT_SECRET) != 0 ? "its value" :
	    mem_printf("\"%.200s\"", text);
}

static _Bool
convert_number(const struct culver_option *o, const char *text,
    struct culver_value *out, char *err)
{
	const struct unit *units = o->type == CULVER_OPT_TIME ? times :
	    o->type == CULVER_OPT_SIZE ? sizes : counts;

	if (!number(text, units, &out->u.i)) {
		snprintf(err, CONVERT_ERR, "%s is not %s", shown(o, text),
		    o->type == CULVER_OPT_TIME ?
		    "a time: wanted a number with ms, s, m, h or d, as in "
		    "\"30s\"" : o->type == CULVER_OPT_SIZE ?
		    "a size: wanted a number, with K, M, G or T if it is large"
		    : "a number: wanted digits, with k or M if it is large");
		return 0;
	}
	if ((o->min != 0 || o->max != 0) &&
	    (out->u.i < o->min || out->u.i > o->max)) {
		snprintf(err, CONVERT_ERR, "%s is out of range: wanted %s to "
		    "%s", shown(o, text), show_number(o->type, o->min),
		    show_number(o->type, o->max));
		return 0;
	}
	return 1;
}

static _Bool
convert_bool(const struct culver_option *o, const char *text,
    struct culver_value *out, char *err)
{
	static const char *const words[] = {"no", "yes", "false", "true",
	    "off", "on", "0", "1"};

	for (int i = 0; i < 8; i++)
		if (strcmp(text, words[i]) == 0) {
			out->u.i = i % 2;
			return 1;
		}
	snprintf(err, CONVERT_ERR, "%s is not yes or no", shown(o, text));
	return 0;
}

static _Bool
convert_enum(const struct culver_option *o, const char *text,
    struct culver_value *out, char *err)
{
	char all[512] = "";
	size_t n = 0;

	for (int i = 0; o->choices[i] != NULL; i++) {
		if (strcmp(o->choices[i], text) == 0) {
			out->u.i = i;
			return 1;
		}
		if (n < sizeof(all))
			n += (size_t)snprintf(all + n, sizeof(all) - n,
			    "%s%s", i > 0 ? ", " : "", o->choices[i]);
	}
	snprintf(err, CONVERT_ERR, "%s is not one of %s", shown(o, text), all);
	return 0;
}

/* Make TEXT a path that means one thing: absolute, no "//", "/./" or final
 * slash.  ".." is refused, because behind a link it is not what it seems. */
static _Bool
convert_path(const struct culver_option *o, const char *text,
    struct culver_value *out, char *err)
{
	char *path = mem_get(strlen(text) + 2);
	size_t n = 0;

	if (text[0] != '/') {
		snprintf(err, CONVERT_ERR, "%s is not absolute: wanted a path "
		    "that begins with /", shown(o, text));
		return 0;
	}
	while (*text != 0) {
		size_t len;

		text += strspn(text, "/");
		len = strcspn(text, "/");
		if (len == 2 && memcmp(text, "..", 2) == 0) {
			snprintf(err, CONVERT_ERR, "a path with \"..\": "
			    "write it without");
			return 0;
		}
		if (len > 0 && !(len == 1 && text[0] == '.')) {
			path[n++] = '/';
			memcpy(path + n, text, len);
			n += len;
		}
		text += len;
	}
	if (n == 0)
		path[n++] = '/';
	out->u.s = (struct culver_str){.p = path, .n = n};
	return 1;
}

static _Bool
length_ok(const struct culver_option *o, size_t n, char *err)
{
	if ((o->min == 0 && o->max == 0) ||
	    ((int64_t)n >= o->min && (int64_t)n <= o->max))
		return 1;
	snprintf(err, CONVERT_ERR, "it has %zu octets: wanted %" PRId64
	    " to %" PRId64, n, o->min, o->max);
	return 0;
}

static _Bool
convert_text(const struct culver_option *o, const char *text,
    struct culver_value *out, char *err)
{
	char scratch[VALUES_TEMPLATE], why[PLUGIN_ERR];

	out->u.s = (struct culver_str){.p = text, .n = strlen(text)};
	if (o->type == CULVER_OPT_PATH && !convert_path(o, text, out, err))
		return 0;
	if (o->type == CULVER_OPT_TEMPLATE &&
	    !values_expand(text, NULL, scratch, why)) {
		snprintf(err, CONVERT_ERR, "%s is no path for a user: %.400s",
		    shown(o, text), why);
		return 0;
	}
	return length_ok(o, out->u.s.n, err);
}

static _Bool
convert_list(const struct culver_option *o, const struct cf_value *raw,
    struct culver_value *out, char *err)
{
	struct culver_str *v = mem_get((raw->n + 1) * sizeof(*v));

	for (uint32_t i = 0; i < raw->n; i++) {
		v[i].p = raw->text[i];
		v[i].n = strlen(raw->text[i]);
		if (!length_ok(o, v[i].n, err))
			return 0;
	}
	out->u.list.v = v;
	out->u.list.n = raw->n;
	return 1;
}

_Bool
convert_value(const struct culver_option *o, const struct cf_value *raw,
    struct culver_value *out, char err[CONVERT_ERR])
{
	if (o->type == CULVER_OPT_LIST)
		return convert_list(o, raw, out, err);
	if (raw->is_list) {
		snprintf(err, CONVERT_ERR, "it takes one value, not a list: "
		    "remove the braces");
		return 0;
	}
	switch (o->type) {
	case CULVER_OPT_BOOL:
		return convert_bool(o, raw->text[0], out, err);
	case CULVER_OPT_ENUM:
		return convert_enum(o, raw->text[0], out, err);
	case CULVER_OPT_INT:
	case CULVER_OPT_SIZE:
	case CULVER_OPT_TIME:
		return convert_number(o, raw->text[0], out, err);
	default:
		return convert_text(o, raw->text[0], out, err);
	}
}

_Bool
convert_default(const struct culver_option *o, struct culver_value *out,
    char err[CONVERT_ERR])
{
	static const struct culver_str none[1];
	struct cf_value raw;

	*out = (struct culver_value){.is_set = 0};
	if (o->def != NULL) {
		snprintf(err, CONVERT_ERR, "%.200s", o->def);
		return cf_parse_value(o->def, &raw) &&
		    convert_value(o, &raw, out, err);
	}
	if (o->type == CULVER_OPT_LIST)
		out->u.list.v = none;
	else if (o->type > CULVER_OPT_ENUM)
		out->u.s.p = "";
	return 1;
}

const char *
convert_quote(const char *text)
{
	char *out = mem_get(2 * strlen(text) + 3);
	size_t n = 0;

	out[n++] = '"';
	for (; *text != 0; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n] = '"';
	return out;
}

static const char *
show_list(const struct culver_value *v)
{
	size_t room = 3, n = 0;
	char *all;

	for (size_t i = 0; i < v->u.list.n; i++)
		room += 2 * v->u.list.v[i].n + 4;
	all = mem_get(room);
	all[n++] = '{';
	for (size_t i = 0; i < v->u.list.n; i++)
		n += (size_t)snprintf(all + n, room - n, "%s%s",
		    i > 0 ? ", " : "", convert_quote(v->u.list.v[i].p));
	all[n] = '}';
	return all;
}

const char *
convert_show(const struct culver_option *o, const struct culver_value *v)
{
	if ((o->flags & CULVER_OPT_SECRET) != 0)
		return "(secret)";
	switch (o->type) {
	case CULVER_OPT_BOOL:
		return v->u.i != 0 ? "yes" : "no";
	case CULVER_OPT_ENUM:
		return o->choices[v->u.i];
	case CULVER_OPT_INT:
	case CULVER_OPT_SIZE:
		return show_number(o->type, v->u.i);
	case CULVER_OPT_TIME:
		return convert_quote(convert_show_time(v->u.i));
	case CULVER_OPT_LIST:
		return show_list(v);
	default:
		return convert_quote(v->u.s.p);
	}
}
