/*
 * subject.c - options from the command line, converted as the config role
 * does it and handed over as a worker gets them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/tools/kit/door.h"
#include "core/tools/kit/subject.h"

/* What the command line says of option NAME, or NULL. */
static const char *
given(const struct kit *k, const char *name)
{
	size_t n = strlen(name);
	unsigned i;

	for (i = k->n_options; i-- > 0;)
		if (strncmp(k->option[i], name, n) == 0 &&
		    k->option[i][n] == '=')
			return k->option[i] + n + 1;
	return NULL;
}

/* Words are quoted, so that a path needs no quotes on the command line. */
static bool
parse(const struct culver_option *o, const char *text,
    struct culver_value *v, char err[CONVERT_ERR])
{
	struct cf_value raw;

	snprintf(err, CONVERT_ERR, "\"%.200s\" is no value", text);
	if (o->type != CULVER_OPT_LIST && text[0] != '"')
		text = convert_quote(text);
	return cf_parse_value(text, &raw) && convert_value(o, &raw, v, err);
}

static bool
convert(const struct kit *k, const struct culver_option *o,
    struct culver_value *v, char err[CONVERT_ERR])
{
	const char *text = given(k, o->name);

	*v = (struct culver_value){ .is_set = 0 };
	if (text == NULL && o->type == CULVER_OPT_BOOL &&
	    strcmp(o->name, "create") == 0)
		text = "yes";
	if (text == NULL && (o->flags & CULVER_OPT_REQUIRED) != 0) {
		snprintf(err, CONVERT_ERR, "required: say --option %s=...",
		    o->name);
		return false;
	}
	if (text == NULL)
		return convert_default(o, v, err);
	v->is_set = 1;
	v->file = "command line";
	v->line = 1;
	return parse(o, text, v, err);
}

static bool
known(const struct kit *k, const char *option)
{
	size_t n = strcspn(option, "=");
	uint32_t i;

	for (i = 0; i < k->plugin.desc.n_options; i++) {
		const char *name = plugin_option(&k->plugin, i).name;

		if (strlen(name) == n && memcmp(name, option, n) == 0)
			return option[n] == '=';
	}
	return false;
}

/* All options; NULL with a line in ERR. */
static struct culver_value *
convert_all(const struct kit *k, char err[PLUGIN_ERR])
{
	uint32_t n = k->plugin.desc.n_options, i;
	struct culver_value *v = mem_get((n + 1) * sizeof(*v));
	char why[CONVERT_ERR];

	for (i = 0; i < n; i++) {
		struct culver_option o = plugin_option(&k->plugin, i);

		if (!convert(k, &o, &v[i], why)) {
			snprintf(err, PLUGIN_ERR, "option %s: %s", o.name,
			    why);
			return NULL;
		}
	}
	return v;
}

bool
subject_check(struct kit *k, char err[PLUGIN_ERR])
{
	unsigned i;

	for (i = 0; i < k->n_options; i++)
		if (!known(k, k->option[i])) {
			snprintf(err, PLUGIN_ERR, "--option %.200s: wanted "
			    "KEY=VALUE with a key of this plugin's",
			    k->option[i]);
			return false;
		}
	return convert_all(k, err) != NULL;
}

bool
subject_password(struct kit *k, const char *path)
{
	char text[KIT_SECRET + 2];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	size_t len = 0, i;

	if (n < 0)
		fprintf(stderr, "culver-plugin: %s: %s\n", path,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	while (len < (size_t)n && text[len] != '\n')
		len++;
	if (len == 0 || len > KIT_SECRET) {
		fprintf(stderr, "culver-plugin: %s: wanted a line with a "
		    "password of at most %d octets\n", path, KIT_SECRET);
		return false;
	}
	for (i = 0; i < len; i++)
		k->secret[i] = (unsigned char)text[i] ^ DOOR_MASK;
	k->n_secret = len;
	explicit_bzero(text, sizeof(text));
	return true;
}

void
subject_user(const struct kit *k, struct box_user *u)
{
	memset(u->later, 0xA5, sizeof(u->later));
	u->u = (struct culver_user){ .size = sizeof(u->u), .uid = geteuid(),
	    .gid = getegid(), .name = "alice@example.org", .home = k->home };
}

bool
subject_with(struct kit *k, const char *name, const char *text,
    struct culver_values *v)
{
	uint32_t n = k->plugin.desc.n_options, i;
	struct culver_value *all;
	char err[PLUGIN_ERR], why[CONVERT_ERR];
	bool ok = false;

	all = convert_all(k, err);
	for (i = 0; all != NULL && i < n; i++) {
		struct culver_option o = plugin_option(&k->plugin, i);

		if (strcmp(o.name, name) == 0)
			ok = parse(&o, text, &all[i], why);
	}
	*v = (struct culver_values){ .size = sizeof(*v), .n = n, .v = all };
	return ok;
}

static struct values *
make_values(struct kit *k, const struct culver_user *user,
    char err[PLUGIN_ERR])
{
	struct culver_value *v = convert_all(k, err);
	struct values *out = NULL;
	uint8_t *buf;
	size_t n;

	if (v == NULL)
		return NULL;
	snprintf(err, PLUGIN_ERR, "no memory");
	buf = values_encode(&k->plugin, v, &n);
	if (buf != NULL)
		out = values_decode(buf, n, &k->plugin, user, err);
	free(buf);
	return out;
}

struct values *
subject_values(struct kit *k, const struct culver_user *user)
{
	char err[PLUGIN_ERR];
	struct values *v = make_values(k, user, err);

	if (v == NULL)
		kit_fail("options: %s", err);
	return v;
}

bool
subject_can_expand(struct kit *k)
{
	char err[PLUGIN_ERR];
	struct box_user user;
	struct values *v;

	subject_user(k, &user);
	v = make_values(k, &user.u, err);
	if (v == NULL)
		return false;
	values_destroy(&v);
	return true;
}
