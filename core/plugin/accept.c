/*
 * accept.c - the negotiation between a module's descriptor and this host.
 *
 * Runs where loader.c runs.  Works on own copies from the first step on, and
 * looks at no member before it knows that the module has it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/plugin/loader.h"

/* One op: its place, its capability (0: required) and its name. */
struct op {
	size_t at;
	uint64_t bit;
	const char *name;
};

#define ST(op, bit) {offsetof(struct culver_storage_ops, op), bit, #op}
static const struct op storage_ops[] = {
	ST(create, 0), ST(destroy, 0), ST(paths, 0), ST(open, 0),
	ST(close, 0), ST(list, 0), ST(read, 0), ST(next, 0), ST(done, 0),
	ST(expunge, 0),
	ST(keepalive, CULVER_ST_KEEPALIVE),
	ST(put_octets, CULVER_ST_SIZE_CACHE),
	ST(deliver_begin, CULVER_ST_DELIVER),
	ST(deliver_write, CULVER_ST_DELIVER),
	ST(deliver_commit, CULVER_ST_DELIVER),
	ST(deliver_abort, CULVER_ST_DELIVER),
	ST(check, CULVER_ST_CHECK),
	{0, 0, NULL}
};

#define AU(op, bit) {offsetof(struct culver_auth_ops, op), bit, #op}
static const struct op auth_ops[] = {
	AU(create, 0), AU(destroy, 0), AU(paths, 0),
	AU(verify_plain, CULVER_AU_VERIFY | CULVER_AU_TOKEN |
	    CULVER_AU_EXTERNAL), AU(lookup_creds, CULVER_AU_CREDS),
	AU(lookup_user, CULVER_AU_USER),
	{0, 0, NULL}
};

static const uint64_t storage_caps = CULVER_ST_ATOMIC_EXPUNGE |
    CULVER_ST_EXACT_OCTETS | CULVER_ST_KEEPALIVE | CULVER_ST_DELIVER |
    CULVER_ST_SIZE_CACHE | CULVER_ST_READONLY | CULVER_ST_KEEP_UID |
    CULVER_ST_CHECK | CULVER_ST_DOTLOCK;
static const uint64_t auth_caps = CULVER_AU_VERIFY | CULVER_AU_CREDS |
    CULVER_AU_USER | CULVER_AU_NO_CACHE | CULVER_AU_TOKEN |
    CULVER_AU_EXTERNAL | CULVER_AU_QUICK;
static const uint64_t known_needs = CULVER_NEED_NET | CULVER_NEED_EXEC |
    CULVER_NEED_THREADS;

/* What 0.0 had.  Later minors append; these stay. */
#define DESC_MIN (offsetof(struct culver_plugin, ops) + \
	sizeof(((struct culver_plugin *)0)->ops))
#define OPTION_MIN (offsetof(struct culver_option, help) + sizeof(char *))
#define OPS_MIN (2 * sizeof(uint32_t))

struct accept {			/* one negotiation */
	const char *path;
	char *err;
};

static _Bool __attribute__((format(printf, 2, 3)))
refuse(const struct accept *a, const char *fmt, ...)
{
	int n = snprintf(a->err, PLUGIN_ERR, "%s: ", a->path);
	va_list ap;

	if (n < 0 || n >= PLUGIN_ERR)
		return 0;
	va_start(ap, fmt);
	vsnprintf(a->err + n, PLUGIN_ERR - (size_t)n, fmt, ap);
	va_end(ap);
	return 0;
}

const char *
plugin_kind_name(unsigned kind)
{
	return kind == CULVER_KIND_STORAGE ? "storage" :
	    kind == CULVER_KIND_AUTH ? "auth" :
	    kind == CULVER_KIND_CHECK ? "check" : "?";
}

const char *
plugin_needs_text(uint64_t needs)
{
	static char text[64];
	static const char *const names[] = {"net", "exec", "threads"};
	size_t n = 0;

	text[0] = 0;
	for (unsigned i = 0; i < 3; i++)
		if (needs & (1u << i))
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%s%s", n > 0 ? ", " : "", names[i]);
	if (needs & ~known_needs)
		snprintf(text + n, sizeof(text) - n, "%s0x%" PRIx64,
		    n > 0 ? ", " : "", needs & ~known_needs);
	return text;
}

/* [a-z][a-z0-9_]*, not long: it becomes part of file names and log lines. */
static _Bool
name_ok(const char *s)
{
	size_t n = 0;

	if (s == NULL || s[0] < 'a' || s[0] > 'z')
		return 0;
	while (n < 64 && ((s[n] >= 'a' && s[n] <= 'z') || s[n] == '_' ||
	    (s[n] >= '0' && s[n] <= '9')))
		n++;
	return n < 64 && s[n] == 0;
}

/* Does PATH's file name say KIND_NAME, as the descriptor does? */
static _Bool
file_name_fits(const struct accept *a, const struct culver_plugin *d)
{
	const char *slash = strrchr(a->path, '/');
	const char *base = slash != NULL ? slash + 1 : a->path;
	const char *dot = strchr(base, '.'), *kind = plugin_kind_name(d->kind);
	size_t len = dot != NULL ? (size_t)(dot - base) : strlen(base);
	size_t n = strlen(kind);

	if (!name_ok(d->name))
		return refuse(a, "name: wanted a lower-case word of at most "
		    "63 letters, digits and _, got %s",
		    d->name != NULL ? "something else" : "none");
	if (len != n + 1 + strlen(d->name) || memcmp(base, kind, n) != 0 ||
	    base[n] != '_' || memcmp(base + n + 1, d->name, len - n - 1) != 0)
		return refuse(a, "name: wanted %.*s, as the file is called, "
		    "got %s_%s", (int)len, base, kind, d->name);
	return 1;
}

static _Bool
head_ok(const struct accept *a, const struct culver_plugin *from,
    struct culver_plugin *d)
{
	const struct culver_plugin own = {.size = sizeof(own)};
	size_t n;

	memset(d, 0, sizeof(*d));
	if (from->magic != CULVER_MAGIC)
		return refuse(a, "magic: wanted %#x, got %#x",
		    (unsigned)CULVER_MAGIC, (unsigned)from->magic);
	if (from->abi_major != CULVER_ABI_MAJOR)
		return refuse(a, "abi_major: wanted %u, got %u: it was built "
		    "for another Culver; build it again",
		    (unsigned)CULVER_ABI_MAJOR, (unsigned)from->abi_major);
	if (from->size < DESC_MIN)
		return refuse(a, "size: wanted at least %zu, got %u", DESC_MIN,
		    (unsigned)from->size);
	if (from->need_minor > CULVER_ABI_MINOR)
		return refuse(a, "need_minor: wanted at most %u, got %u: it "
		    "needs a newer Culver", (unsigned)CULVER_ABI_MINOR,
		    (unsigned)from->need_minor);
	n = from->size < own.size ? from->size : own.size;
	memcpy(d, from, n);
	return 1;
}

static _Bool
option_ok(const struct accept *a, const struct plugin *p, uint32_t i)
{
	struct culver_option o = plugin_option(p, i);

	if (!name_ok(o.name))
		return refuse(a, "options: wanted a lower-case word as name "
		    "of option %u, got something else", (unsigned)i);
	if (o.type < CULVER_OPT_BOOL || o.type > CULVER_OPT_LIST)
		return refuse(a, "option %s: type: wanted 1 to %u, got %u",
		    o.name, (unsigned)CULVER_OPT_LIST, (unsigned)o.type);
	if (o.type == CULVER_OPT_TEMPLATE &&
	    p->desc.kind != CULVER_KIND_STORAGE)
		return refuse(a, "option %s: type: wanted STRING or PATH, got "
		    "TEMPLATE, which only storage plugins may have", o.name);
	if (o.type == CULVER_OPT_ENUM &&
	    (o.choices == NULL || o.choices[0] == NULL))
		return refuse(a, "option %s: choices: wanted some for an "
		    "ENUM, got none", o.name);
	for (uint32_t k = 0; k < i; k++)
		if (strcmp(plugin_option(p, k).name, o.name) == 0)
			return refuse(a, "option %s: wanted it once, got it "
			    "twice", o.name);
	return 1;
}

static _Bool
options_ok(const struct accept *a, const struct plugin *p)
{
	const struct culver_plugin *d = &p->desc;

	if (d->n_options == 0)
		return 1;
	if (d->n_options > PLUGIN_MAX_OPTIONS || d->options == NULL)
		return refuse(a, "n_options: wanted at most %u and a table, "
		    "got %u", (unsigned)PLUGIN_MAX_OPTIONS,
		    (unsigned)d->n_options);
	if (d->option_size < OPTION_MIN || d->option_size > 4096 ||
	    d->option_size % sizeof(void *) != 0)
		return refuse(a, "option_size: wanted at least %zu, got %u",
		    OPTION_MIN, (unsigned)d->option_size);
	for (uint32_t i = 0; i < d->n_options; i++)
		if (!option_ok(a, p, i))
			return 0;
	return 1;
}

/* Is the function pointer at AT of the ops set?  (POSIX: object and function
 * pointers have one representation.) */
static _Bool
op_set(const uint8_t *ops, size_t at)
{
	void (*f)(void);

	memcpy(&f, ops + at, sizeof(f));
	return f != NULL;
}

static _Bool
ops_fit(const struct accept *a, const struct op *op, const uint8_t *ops,
    uint64_t caps)
{
	for (; op->name != NULL; op++) {
		_Bool set = op_set(ops, op->at);

		if (op->bit == 0 && !set)
			return refuse(a, "ops: wanted %s, which is required, "
			    "got NULL", op->name);
		if (op->bit != 0 && (caps & op->bit) != 0 && !set)
			return refuse(a, "ops: wanted %s, as caps has %#"
			    PRIx64 ", got NULL", op->name, op->bit);
		if (op->bit != 0 && (caps & op->bit) == 0 && set)
			return refuse(a, "caps: wanted %#" PRIx64 ", as ops "
			    "has %s, got 0", op->bit, op->name);
	}
	return 1;
}

/* Copy the module's ops into P, as much as both know. */
static _Bool
ops_take(const struct accept *a, struct plugin *p)
{
	_Bool is_auth = p->desc.kind == CULVER_KIND_AUTH;
	uint8_t *own = is_auth ? (uint8_t *)&p->auth : (uint8_t *)&p->storage;
	uint32_t room = is_auth ? sizeof(p->auth) : sizeof(p->storage);
	uint64_t known = is_auth ? auth_caps : storage_caps;
	const void *from = is_auth ? (const void *)p->desc.ops.auth :
	    (const void *)p->desc.ops.storage;
	uint32_t size;

	if (from == NULL)
		return refuse(a, "ops: wanted a table, got NULL");
	memcpy(&size, from, sizeof(size));
	if (size < OPS_MIN)
		return refuse(a, "ops: size: wanted at least %zu, got %u",
		    OPS_MIN, (unsigned)size);
	memcpy(own, from, size < room ? size : room);
	memcpy(own, &room, sizeof(room));
	if (p->desc.caps & ~known)
		log_debug("%s: caps: %#" PRIx64 " is not known here: ignored",
		    a->path, p->desc.caps & ~known);
	p->desc.caps &= known;
	return ops_fit(a, is_auth ? auth_ops : storage_ops, own,
	    p->desc.caps);
}

static _Bool
needs_ok(const struct accept *a, const struct culver_plugin *d,
    uint32_t allow)
{
	uint64_t surplus = d->needs & ~(uint64_t)allow;
	uint64_t never = d->kind == CULVER_KIND_STORAGE ?
	    d->needs & (CULVER_NEED_EXEC | CULVER_NEED_THREADS) : 0;

	if (never != 0)
		return refuse(a, "needs: wanted none of exec and threads in a "
		    "storage plugin, got %s", plugin_needs_text(never));
	if (surplus != 0 && allow == 0)
		return refuse(a, "needs: it needs %s, and its section allows "
		    "nothing: to trust it, add `allow = {%s}'",
		    plugin_needs_text(d->needs), plugin_needs_text(d->needs));
	if (surplus != 0)
		return refuse(a, "needs: its section does not allow %s: to "
		    "trust it, add that to `allow'",
		    plugin_needs_text(surplus));
	return 1;
}

/* What a plugin would like to have and may have is from here on as what it
 * needs. */
static void
wants_take(struct culver_plugin *d, uint32_t allow)
{
	uint64_t may = d->kind == CULVER_KIND_STORAGE ? CULVER_NEED_NET :
	    known_needs;

	d->wants &= may & ~d->needs;
	d->needs |= d->wants & allow;
}

_Bool
plugin_accept(const struct culver_plugin *from, const char *path,
    unsigned kind, const struct plugin_rules *rules, struct plugin *p,
    char err[PLUGIN_ERR])
{
	struct accept a = {.path = path, .err = err};

	memset(p, 0, sizeof(*p));
	if (!head_ok(&a, from, &p->desc) || !file_name_fits(&a, &p->desc))
		return 0;
	if ((p->desc.kind != CULVER_KIND_STORAGE &&
	    p->desc.kind != CULVER_KIND_AUTH) ||
	    (kind != 0 && p->desc.kind != kind))
		return refuse(&a, "kind: wanted %s, got %s",
		    kind != 0 ? plugin_kind_name(kind) : "storage or auth",
		    plugin_kind_name(p->desc.kind));
	if (!needs_ok(&a, &p->desc, rules->allow) || !options_ok(&a, p) ||
	    !ops_take(&a, p))
		return 0;
	wants_take(&p->desc, rules->allow);
	memcpy(p->path, path, strnlen(path, sizeof(p->path) - 1));
	return 1;
}

struct culver_option
plugin_option(const struct plugin *p, uint32_t i)
{
	struct culver_option o = {.name = NULL};
	size_t stride = p->desc.option_size;

	memcpy(&o, (const char *)p->desc.options + i * stride,
	    stride < sizeof(o) ? stride : sizeof(o));
	return o;
}
