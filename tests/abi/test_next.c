/*
 * test_next.c - a host of the next minor: core/plugin and this file are built
 * with the headers of next.sed, the modules with today's or with those.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/plugin/host.h"
#include "core/plugin/loader.h"

static const struct plugin_rules rules = {.allow = UINT32_MAX};

static int
trace(const struct culver_host *host, int depth)
{
	(void)host;
	return depth;
}

static void
load(const char *dir, const char *name, struct plugin *p)
{
	char path[PLUGIN_PATH], err[PLUGIN_ERR];

	if (!plugin_find(dir, name, CULVER_KIND_STORAGE, path, err) ||
	    !plugin_load(path, CULVER_KIND_STORAGE, &rules, p, err))
		fail_msg("%s", err);
}

static culver_status
create(const struct plugin *p, _Bool with_trace)
{
	struct culver_user user = {.size = sizeof(user), .name = "bob"};
	struct culver_values values = {.size = sizeof(values)};
	struct culver_store *store = NULL;
	struct plugin_host host;
	struct culver_error err;
	struct culver_call call = plugin_call(NULL, &err, UINT64_MAX);

	plugin_host_init(&host, "t");
	assert_int_equal(host.host.abi_minor, 1);
	if (with_trace)
		host.host.trace = trace;
	return p->storage.create(&store, &host.host, &values, &user, &call);
}

static void
an_older_plugin_loads(void **state)
{
	struct culver_option o;
	struct plugin p;

	(void)state;
	load(TEST_PLUGINS, "sample", &p);
	assert_int_equal(p.desc.abi_minor, 0);
	assert_null(p.desc.license);
	assert_null(p.storage.novelty);
	assert_int_equal(p.storage.size, sizeof(p.storage));
	assert_non_null(p.storage.expunge);
	o = plugin_option(&p, 1);
	assert_string_equal(o.name, "kind");
	assert_string_equal(o.choices[2], "dovecot");
	assert_null(o.since);
	o = plugin_option(&p, p.desc.n_options - 1);
	assert_string_equal(o.name, "high");
	assert_int_equal(create(&p, 1), CULVER_OK);
}

static void
a_plugin_of_the_same_minor_has_all(void **state)
{
	struct plugin p;

	(void)state;
	load(TEST_OTHERS, "newer", &p);
	assert_string_equal(p.desc.license, "MIT");
	assert_int_equal(p.storage.novelty(NULL), 77);
	assert_string_equal(plugin_option(&p, 1).since, "1.1");
	assert_int_equal(create(&p, 1), 2 + 1);
	load(TEST_OTHERS, "needy", &p);
	assert_int_equal(p.desc.need_minor, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_older_plugin_loads),
	    cmocka_unit_test(a_plugin_of_the_same_minor_has_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
