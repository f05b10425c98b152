/*
 * test_values.c - templates, the arena, the host table, and options on their
 * way from the config role to a plugin.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/log.h"
#include "core/plugin/host.h"
#include "core/plugin/values.h"

static const char *const choices[] = {"auto", "name", NULL};
static const struct culver_option options[] = {
	{.name = "path", .type = CULVER_OPT_TEMPLATE,
	    .flags = CULVER_OPT_REQUIRED},
	{.name = "kind", .type = CULVER_OPT_ENUM, .choices = choices,
	    .def = "auto"},
	{.name = "count", .type = CULVER_OPT_INT, .min = 1, .max = 9},
	{.name = "names", .type = CULVER_OPT_LIST},
	{.name = "key", .type = CULVER_OPT_STRING,
	    .flags = CULVER_OPT_SECRET},
};
enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct plugin plugin = {.path = "/x/storage_t.so",
    .desc = {.kind = CULVER_KIND_STORAGE, .name = "t", .options = options,
	.n_options = N_OPTIONS, .option_size = sizeof(options[0])}};

static const struct culver_str two_names[] = {{"one", 3}, {"", 0}};
static const struct culver_value values[N_OPTIONS] = {
	{.is_set = 1, .line = 7, .file = "culver.conf",
	    .u.s = {"~/%{name}", 9}},
	{.u.i = 1},
	{.is_set = 1, .line = 9, .u.i = 9},
	{.is_set = 1, .u.list = {two_names, 2}},
	{.u.s = {"", 0}},
};

static struct culver_user
user_named(const char *name)
{
	return (struct culver_user){.size = sizeof(struct culver_user),
	    .uid = 1234, .name = name, .home = "/home/bob"};
}

static void
expands(const char *text, const char *name, const char *want)
{
	struct culver_user user = user_named(name);
	char out[VALUES_TEMPLATE], err[PLUGIN_ERR] = "";

	assert_true(values_expand(text, NULL, out, err));
	if (!values_expand(text, &user, out, err))
		fail_msg("%s: %s", text, err);
	assert_string_equal(out, want);
}

static void
refuses(const char *text, const char *name, const char *why)
{
	struct culver_user user = user_named(name);
	char out[VALUES_TEMPLATE], err[PLUGIN_ERR] = "";

	assert_false(values_expand(text, &user, out, err));
	if (strstr(err, why) == NULL)
		fail_msg("%s: \"%s\" does not say \"%s\"", text, err, why);
}

static void
templates_name_the_users_own_place(void **state)
{
	(void)state;
	expands("~/Maildir", "bob", "/home/bob/Maildir");
	expands("~", "bob", "/home/bob");
	expands("/m/%{domain}/%{name}", "bob@a.org", "/m/a.org/bob");
	expands("/m/%{domain}/%{name}", "bob@x@a.org", "/m/a.org/bob@x");
	expands("/m/%{user}-%{uid}%%", "bob@a.org", "/m/bob@a.org-1234%");
	expands("%{home}/m", "bob", "/home/bob/m");
	expands("/m/x~/y", "bob", "/m/x~/y");
}

static void
names_lead_nowhere_else(void **state)
{
	(void)state;
	refuses("/m/%{user}", "..", "component \"..\"");
	refuses("/m/%{user}", ".", "component \".\"");
	refuses("/m/.%{name}", ".@a.org", "component \"..\"");
	refuses("/m/%{domain}/x", "bob@..", "component \"..\"");
	refuses("/m/%{user}", "a/../b", "slash");
	refuses("/m/%{user}", "", "no such part");
	refuses("/m/%{domain}/%{name}", "bob", "%{domain}");
	refuses("/m/%{domain}/%{name}", "bob@", "%{domain}");
	refuses("/m/%{name}", "@a.org", "%{name}");
	refuses("/m/../%{name}", "bob", "component \"..\"");
}

static void
wrong_templates_are_explained(void **state)
{
	char long_text[VALUES_TEMPLATE + 8];
	struct culver_user user = user_named("bob");
	char out[VALUES_TEMPLATE], err[PLUGIN_ERR];

	(void)state;
	refuses("/m/%{usr}", "bob", "%{user}");
	refuses("/m/%u", "bob", "{NAME}");
	refuses("/m/%{user", "bob", "{NAME}");
	refuses("/m/%", "bob", "{NAME}");
	refuses("~bob/m", "bob", "slash");
	memset(long_text, 'a', sizeof(long_text));
	long_text[VALUES_TEMPLATE - 1] = 0;
	assert_true(values_expand(long_text, &user, out, err));
	long_text[VALUES_TEMPLATE - 1] = 'a';
	long_text[VALUES_TEMPLATE] = 0;
	assert_false(values_expand(long_text, &user, out, err));
	user.home = NULL;
	assert_false(values_expand("~/Maildir", &user, out, err));
	assert_non_null(strstr(err, "no home"));
	assert_false(values_expand("%{home}", &user, out, err));
	user.home = "relative";
	assert_false(values_expand("~/Maildir", &user, out, err));
}

static void
values_arrive_as_they_were(void **state)
{
	struct culver_user user = user_named("bob");
	char err[PLUGIN_ERR] = "";
	struct values *v;
	uint8_t *buf;
	size_t n;

	(void)state;
	buf = values_encode(&plugin, values, &n);
	assert_non_null(buf);
	v = values_decode(buf, n, &plugin, &user, err);
	assert_non_null(v);
	assert_int_equal(v->c.n, N_OPTIONS);
	assert_string_equal(v->c.v[0].u.s.p, "/home/bob/bob");
	assert_int_equal(v->c.v[0].u.s.n, 13);
	assert_int_equal(v->c.v[0].line, 7);
	assert_string_equal(v->c.v[0].file, "culver.conf");
	assert_int_equal(v->c.v[1].u.i, 1);
	assert_int_equal(v->c.v[1].is_set, 0);
	assert_int_equal(v->c.v[2].u.i, 9);
	assert_int_equal(v->c.v[3].u.list.n, 2);
	assert_string_equal(v->c.v[3].u.list.v[0].p, "one");
	assert_string_equal(v->c.v[3].u.list.v[1].p, "");
	assert_string_equal(v->c.v[4].u.s.p, "");
	values_destroy(&v);
	assert_null(v);
	user.home = NULL;
	assert_null(values_decode(buf, n, &plugin, &user, err));
	assert_non_null(strstr(err, "option path: ~/: the user has no home"));
	free(buf);
}

/* A template that needs a home says so, but "path" does not stand in the way
 * of the user's own location. */
static void
a_location_takes_the_place_of_the_path(void **state)
{
	struct culver_user user = user_named("bob");
	struct culver_option renamed[N_OPTIONS];
	struct plugin other = plugin;
	char err[PLUGIN_ERR] = "";
	struct values *v;
	uint8_t *buf;
	size_t n;

	(void)state;
	buf = values_encode(&plugin, values, &n);
	assert_non_null(buf);
	user.location = "/srv/bob";
	v = values_decode(buf, n, &plugin, &user, err);
	assert_non_null(v);
	assert_string_equal(v->c.v[0].u.s.p, "/home/bob/bob");
	values_destroy(&v);
	user.home = NULL;
	v = values_decode(buf, n, &plugin, &user, err);
	assert_non_null(v);
	assert_int_equal(v->c.v[0].u.s.n, 0);
	assert_string_equal(v->c.v[0].u.s.p, "");
	values_destroy(&v);
	user.location = "";
	assert_null(values_decode(buf, n, &plugin, &user, err));
	free(buf);

	user.location = "/srv/bob";
	memcpy(renamed, options, sizeof(options));
	renamed[0].name = "index";
	other.desc.options = renamed;
	buf = values_encode(&other, values, &n);
	assert_non_null(buf);
	assert_null(values_decode(buf, n, &other, &user, err));
	assert_non_null(strstr(err, "option index: ~/: the user has no home"));
	free(buf);
}

/* Cut anywhere, any octet changed: refused or read, but never believed
 * beyond its bounds (the sanitizers watch). */
static void
damaged_values_are_refused(void **state)
{
	struct culver_user user = user_named("bob");
	char err[PLUGIN_ERR];
	struct values *v;
	uint8_t *buf, *cut;
	size_t n;

	(void)state;
	buf = values_encode(&plugin, values, &n);
	assert_non_null(buf);
	for (size_t i = 0; i < n; i++) {
		cut = malloc(i + 1);
		assert_non_null(cut);
		memcpy(cut, buf, i);
		assert_null(values_decode(cut, i, &plugin, &user, err));
		free(cut);
	}
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			buf[i] ^= (uint8_t)(1u << bit);
			v = values_decode(buf, n, &plugin, &user, err);
			if (v != NULL) {
				assert_in_range(v->c.v[1].u.i, 0, 1);
				assert_in_range(v->c.v[2].u.i, 1, 9);
			}
			values_destroy(&v);
			buf[i] ^= (uint8_t)(1u << bit);
		}
	free(buf);
}

static void
another_module_is_noticed(void **state)
{
	struct culver_option changed[N_OPTIONS];
	struct plugin other = plugin;
	char err[PLUGIN_ERR] = "";
	uint8_t *buf;
	size_t n;

	(void)state;
	buf = values_encode(&plugin, values, &n);
	memcpy(changed, options, sizeof(options));
	other.desc.options = changed;
	changed[2].name = "number";
	assert_null(values_decode(buf, n, &other, NULL, err));
	assert_non_null(strstr(err, "reload"));
	changed[2].name = "count";
	changed[2].type = CULVER_OPT_BOOL;
	assert_null(values_decode(buf, n, &other, NULL, err));
	changed[2].type = CULVER_OPT_INT;
	other.desc.n_options--;
	assert_null(values_decode(buf, n, &other, NULL, err));
	free(buf);
}

static void
an_arena_is_bounded_zeroed_and_aligned(void **state)
{
	struct culver_arena *a = arena_new(100000);
	unsigned char *p;
	size_t total = 0;

	(void)state;
	assert_non_null(a);
	for (int round = 0; round < 2; round++) {
		for (total = 0; (p = arena_alloc(a, 1000)) != NULL;
		     total += 1000) {
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < 1000; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, 1000);
		}
		assert_in_range(total, 80000, 100000);
		arena_reset(a);
	}
	assert_non_null(arena_alloc(a, 90000));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 8));
	arena_wipe(a);
	assert_non_null(arena_alloc(a, 0));
	arena_free(&a);
	assert_null(a);
}

static char logged[64][1200];
static unsigned n_logged;

static void
remember(int level, const char *text)
{
	(void)level;
	assert_in_range(n_logged, 0, 63);
	snprintf(logged[n_logged++], sizeof(logged[0]), "%s", text);
}

static void
a_plugins_lines_are_escaped_and_limited(void **state)
{
	struct plugin_host h;
	char long_text[5000];

	(void)state;
	log_set_sink(remember);
	plugin_host_init(&h, "maildir");
	h.host.log(&h.host, CULVER_LOG_INFO, "a\nb\x7f\x01");
	assert_string_equal(logged[0], "plugin=maildir a\\x0ab\\x7f\\x01");
	for (int i = 0; i < 50; i++)
		h.host.log(&h.host, CULVER_LOG_WARN, "again");
	h.host.log(&h.host, CULVER_LOG_WARN, "another");
	assert_int_equal(n_logged, 1 + 10 + 1);
	assert_non_null(strstr(logged[10], "not repeated"));
	assert_string_equal(logged[11], "plugin=maildir another");
	memset(long_text, '\t', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	h.host.log(&h.host, 99, long_text);
	assert_in_range(strlen(logged[12]), 800, 1000);
	h.host.log(&h.host, CULVER_LOG_WARN, NULL);
	assert_int_equal(n_logged, 13);
	log_set_sink(NULL);
}

static void
the_host_counts_and_draws(void **state)
{
	struct plugin_host h;
	unsigned char a[32] = {0}, b[32] = {0};

	(void)state;
	plugin_host_init(&h, "t");
	h.host.count(&h.host, "scans", 2);
	h.host.count(&h.host, "hits", 1);
	h.host.count(&h.host, "scans", 3);
	assert_string_equal(h.counter[0].name, "scans");
	assert_int_equal(h.counter[0].n, 5);
	assert_int_equal(h.counter[1].n, 1);
	h.host.random(&h.host, a, sizeof(a));
	h.host.random(&h.host, b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	h.host.wipe(a, sizeof(a));
	memset(b, 0, sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(templates_name_the_users_own_place),
	    cmocka_unit_test(names_lead_nowhere_else),
	    cmocka_unit_test(wrong_templates_are_explained),
	    cmocka_unit_test(values_arrive_as_they_were),
	    cmocka_unit_test(a_location_takes_the_place_of_the_path),
	    cmocka_unit_test(damaged_values_are_refused),
	    cmocka_unit_test(another_module_is_noticed),
	    cmocka_unit_test(an_arena_is_bounded_zeroed_and_aligned),
	    cmocka_unit_test(a_plugins_lines_are_escaped_and_limited),
	    cmocka_unit_test(the_host_counts_and_draws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
