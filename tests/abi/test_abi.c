/*
 * test_abi.c - this host and modules of other minors, and modules that are
 * wrong: each refusal is one line with path, field, wanted and got.
 */
#include "config.h"

#include <fcntl.h>
#include <ltdl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/plugin/host.h"
#include "core/plugin/loader.h"

static const struct plugin_rules all = {.allow = UINT32_MAX};

/* --- a plugin that is made here ------------------------------------------ */

static culver_status
create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	(void)out, (void)host, (void)vals, (void)user, (void)call;
	return 42;
}

/* For what is only looked at. */
static void
nothing(void)
{
}

static struct culver_storage_ops ops;
static struct culver_plugin desc;
static struct plugin taken;
static char err[PLUGIN_ERR];

static int
fresh(void **state)
{
	void (*f)(void) = nothing;
	unsigned char *raw = (unsigned char *)&ops;

	(void)state;
	memset(&ops, 0, sizeof(ops));
	for (size_t at = offsetof(struct culver_storage_ops, create);
	     at <= offsetof(struct culver_storage_ops, expunge);
	     at += sizeof(f))
		memcpy(raw + at, &f, sizeof(f));
	ops.size = sizeof(ops);
	ops.create = create;
	desc = (struct culver_plugin){.magic = CULVER_MAGIC,
	    .size = sizeof(desc), .abi_major = CULVER_ABI_MAJOR,
	    .abi_minor = CULVER_ABI_MINOR, .kind = CULVER_KIND_STORAGE,
	    .name = "t", .version = "1", .summary = "s",
	    .ops = {.storage = &ops}};
	err[0] = 0;
	return 0;
}

static _Bool
accepted(const struct culver_plugin *d)
{
	return plugin_accept(d, "/x/storage_t.so", CULVER_KIND_STORAGE, &all,
	    &taken, err);
}

static void
is_refused(const char *want)
{
	assert_false(accepted(&desc));
	assert_string_equal(err, want);
}

static void
a_right_one_is_accepted(void **state)
{
	(void)state;
	assert_true(accepted(&desc));
	assert_int_equal(taken.storage.create(NULL, NULL, NULL, NULL, NULL),
	    42);
	assert_string_equal(taken.path, "/x/storage_t.so");
}

static void
each_field_is_checked_in_order(void **state)
{
	char want[128];

	(void)state;
	/* Everything is wrong: what is complained about goes by the order of
	 * the rules; put right one by one. */
	desc = (struct culver_plugin){.magic = 1, .size = 8, .abi_major = 9,
	    .need_minor = 7, .kind = CULVER_KIND_AUTH, .name = "u",
	    .needs = CULVER_NEED_EXEC};
	is_refused("/x/storage_t.so: magic: wanted 0x31564c43, got 0x1");
	desc.magic = CULVER_MAGIC;
	is_refused("/x/storage_t.so: abi_major: wanted 0, got 9: it was built "
	    "for another Culver; build it again");
	desc.abi_major = CULVER_ABI_MAJOR;
	snprintf(want, sizeof(want), "/x/storage_t.so: size: wanted at least "
	    "%zu, got 8", offsetof(struct culver_plugin, wants));
	is_refused(want);
	desc.size = sizeof(desc);
	is_refused("/x/storage_t.so: need_minor: wanted at most 0, got 7: it "
	    "needs a newer Culver");
	desc.need_minor = 0;
	is_refused("/x/storage_t.so: name: wanted storage_t, as the file is "
	    "called, got auth_u");
	assert_false(plugin_accept(&desc, "/x/auth_u.so", CULVER_KIND_STORAGE,
	    &all, &taken, err));
	assert_string_equal(err, "/x/auth_u.so: kind: wanted storage, got "
	    "auth");
	desc.kind = CULVER_KIND_STORAGE;
	desc.name = "t";
	is_refused("/x/storage_t.so: needs: wanted none of exec and threads "
	    "in a storage plugin, got exec");
	desc.needs = 0;
	is_refused("/x/storage_t.so: ops: wanted a table, got NULL");
	desc.ops.storage = &ops;
	assert_true(accepted(&desc));
}

static void
needs_must_be_allowed(void **state)
{
	struct plugin_rules none = {.allow = 0};

	(void)state;
	desc.needs = CULVER_NEED_NET;
	assert_false(plugin_accept(&desc, "/x/storage_t.so", 0, &none, &taken,
	    err));
	assert_string_equal(err, "/x/storage_t.so: needs: it needs net, and "
	    "its section allows nothing: to trust it, add `allow = {net}'");
	none.allow = CULVER_NEED_NET;
	assert_true(plugin_accept(&desc, "/x/storage_t.so", 0, &none, &taken,
	    err));
}

/* It is there with what it would like to have and without. */
static void
wants_may_be_allowed(void **state)
{
	struct plugin_rules rules = {.allow = 0};

	(void)state;
	desc.wants = CULVER_NEED_NET | CULVER_NEED_EXEC;
	assert_true(plugin_accept(&desc, "/x/storage_t.so", 0, &rules, &taken,
	    err));
	assert_int_equal(taken.desc.needs, 0);
	rules.allow = CULVER_NEED_NET | CULVER_NEED_EXEC;
	assert_true(plugin_accept(&desc, "/x/storage_t.so", 0, &rules, &taken,
	    err));
	assert_int_equal(taken.desc.needs, CULVER_NEED_NET);
	/* a plugin of before knew no such member */
	desc.size = offsetof(struct culver_plugin, wants);
	assert_true(plugin_accept(&desc, "/x/storage_t.so", 0, &rules, &taken,
	    err));
	assert_int_equal(taken.desc.needs, 0);
}

static void
names_are_words(void **state)
{
	static const char *const bad[] = {NULL, "", "T", "1t", "t/../u", "t-u",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "a"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc.name = bad[i];
		assert_false(accepted(&desc));
		assert_non_null(strstr(err, "name: wanted"));
	}
}

/* --- ops ----------------------------------------------------------------- */

static void
a_required_op_must_be_there(void **state)
{
	const size_t first = offsetof(struct culver_storage_ops, create);
	unsigned char *raw = (unsigned char *)&ops;
	void (*keep)(void), (*none)(void) = NULL;

	(void)state;
	for (size_t at = first;
	     at <= offsetof(struct culver_storage_ops, expunge);
	     at += sizeof(keep)) {
		memcpy(&keep, raw + at, sizeof(keep));
		memcpy(raw + at, &none, sizeof(none));
		assert_false(accepted(&desc));
		assert_non_null(strstr(err, "which is required, got NULL"));
		memcpy(raw + at, &keep, sizeof(keep));
	}
	ops.create = NULL;
	is_refused("/x/storage_t.so: ops: wanted create, which is required, "
	    "got NULL");
}

static culver_status
keepalive(struct culver_mailbox *mb, struct culver_call *call)
{
	(void)mb, (void)call;
	return CULVER_OK;
}

static void
a_bit_and_its_op_agree(void **state)
{
	(void)state;
	desc.caps = CULVER_ST_KEEPALIVE;
	is_refused("/x/storage_t.so: ops: wanted keepalive, as caps has 0x4, "
	    "got NULL");
	ops.keepalive = keepalive;
	assert_true(accepted(&desc));
	desc.caps = 0;
	is_refused("/x/storage_t.so: caps: wanted 0x4, as ops has keepalive, "
	    "got 0");
}

static void
an_unknown_bit_is_ignored(void **state)
{
	(void)state;
	desc.caps = UINT64_C(1) << 40 | CULVER_ST_READONLY;
	assert_true(accepted(&desc));
	assert_int_equal(taken.desc.caps, CULVER_ST_READONLY);
}

/* Built when the ops ended before `keepalive'; behind them lies garbage. */
static void
an_older_ops_table_is_enough(void **state)
{
	const size_t cut = offsetof(struct culver_storage_ops, keepalive);
	unsigned char *exact = malloc(cut);

	(void)state;
	assert_non_null(exact);
	ops.size = (uint32_t)cut;
	memcpy(exact, &ops, cut);
	memcpy(&desc.ops.storage, &exact, sizeof(exact));
	assert_true(accepted(&desc));
	assert_null(taken.storage.keepalive);
	assert_null(taken.storage.deliver_abort);
	assert_int_equal(taken.storage.size, sizeof(ops));
	/* One member less, and a required one is missing. */
	ops.size = (uint32_t)offsetof(struct culver_storage_ops, expunge);
	memcpy(exact, &ops.size, sizeof(ops.size));
	is_refused("/x/storage_t.so: ops: wanted expunge, which is required, "
	    "got NULL");
	ops.size = 4;
	memcpy(exact, &ops.size, sizeof(ops.size));
	is_refused("/x/storage_t.so: ops: size: wanted at least 8, got 4");
	free(exact);
}

/* Descriptor, ops and options of a later minor: longer, with what we cannot
 * know behind our members. */
static void
a_newer_plugin_is_cut_to_what_we_know(void **state)
{
	struct { struct culver_plugin d; uint8_t more[256]; } d;
	struct { struct culver_storage_ops o; uint8_t more[256]; } o;
	struct { struct culver_option o; uint8_t more[64]; } opt[2];

	(void)state;
	memset(&d, 0xa5, sizeof(d));
	memset(&o, 0xa5, sizeof(o));
	memset(opt, 0xa5, sizeof(opt));
	for (int i = 0; i < 2; i++)
		opt[i].o = (struct culver_option){
		    .name = i == 0 ? "one" : "two", .type = CULVER_OPT_INT};
	o.o = ops;
	o.o.size = sizeof(o);
	d.d = desc;
	d.d.size = sizeof(d);
	d.d.abi_minor = CULVER_ABI_MINOR + 9;
	d.d.caps = UINT64_C(1) << 63;
	d.d.ops.storage = &o.o;
	d.d.options = &opt[0].o;
	d.d.n_options = 2;
	d.d.option_size = sizeof(opt[0]);
	assert_true(accepted(&d.d));
	assert_int_equal(taken.desc.caps, 0);
	assert_int_equal(taken.storage.size, sizeof(ops));
	assert_string_equal(plugin_option(&taken, 1).name, "two");
	d.d.need_minor = CULVER_ABI_MINOR + 1;
	assert_false(accepted(&d.d));
	assert_non_null(strstr(err, "need_minor: wanted at most"));
}

static void
option_tables_are_checked(void **state)
{
	struct culver_option o[2] = {
	    {.name = "a", .type = CULVER_OPT_INT},
	    {.name = "b", .type = CULVER_OPT_INT}};

	(void)state;
	desc.options = o;
	desc.n_options = 2;
	desc.option_size = sizeof(o[0]);
	assert_true(accepted(&desc));
	o[1].name = "a";
	is_refused("/x/storage_t.so: option a: wanted it once, got it twice");
	o[1].name = "B";
	assert_false(accepted(&desc));
	o[1].name = "b";
	o[1].type = CULVER_OPT_LIST + 1;
	is_refused("/x/storage_t.so: option b: type: wanted 1 to 9, got 10");
	o[1].type = CULVER_OPT_ENUM;
	is_refused("/x/storage_t.so: option b: choices: wanted some for an "
	    "ENUM, got none");
	o[1].type = CULVER_OPT_TEMPLATE;
	assert_true(accepted(&desc));
	desc.option_size = 8;
	assert_false(accepted(&desc));
	desc.option_size = sizeof(o[0]);
	desc.n_options = PLUGIN_MAX_OPTIONS + 1;
	assert_false(accepted(&desc));
	desc.n_options = 2;
	desc.options = NULL;
	assert_false(accepted(&desc));
}

/* --- modules ------------------------------------------------------------- */

static _Bool
load(const char *name, struct plugin *p)
{
	char path[PLUGIN_PATH];

	return plugin_find(TEST_OTHERS, name, CULVER_KIND_STORAGE, path,
	    err) && plugin_load(path, CULVER_KIND_STORAGE, &all, p, err);
}

static culver_status
create_with(const struct plugin *p, uint32_t host_size)
{
	struct culver_user user = {.size = sizeof(user), .name = "bob"};
	struct culver_values values = {.size = sizeof(values)};
	struct culver_store *store = NULL;
	struct plugin_host host;
	struct culver_error error;
	struct culver_call call = plugin_call(NULL, &error, UINT64_MAX);

	plugin_host_init(&host, "t");
	if (host_size < sizeof(host.host)) {
		memset((char *)&host.host + host_size, 0xa5,
		    sizeof(host.host) - host_size);
		host.host.size = host_size;
	}
	return p->storage.create(&store, &host.host, &values, &user, &call);
}

static void
a_module_of_the_next_minor_loads(void **state)
{
	(void)state;
	if (!load("newer", &taken))
		fail_msg("%s", err);
	assert_int_equal(taken.desc.abi_minor, 1);
	assert_int_equal(taken.desc.caps, CULVER_ST_EXACT_OCTETS);
	assert_string_equal(plugin_option(&taken, 1).name, "second");
	assert_string_equal(plugin_option(&taken, 1).help, "two");
	/* It sees that this host has count but not trace. */
	assert_int_equal(create_with(&taken, UINT32_MAX), 1);
	/* And that an older one had neither. */
	assert_int_equal(create_with(&taken,
	    offsetof(struct culver_host, count)), 0);
}

static void
a_module_that_needs_the_next_minor_does_not(void **state)
{
	(void)state;
	assert_false(load("needy", &taken));
	assert_non_null(strstr(err, "storage_needy.so: need_minor: wanted at "
	    "most 0, got 1: it needs a newer Culver"));
}

static void
wrong_modules_are_named_with_the_reason(void **state)
{
	char path[] = "/tmp/culver-test-XXXXXX.so";
	int fd = mkstemps(path, 3);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "no ELF\n", 7), 7);
	close(fd);
	assert_false(load("absent", &taken));
	assert_non_null(strstr(err, "no storage plugin \"absent\": "
	    TEST_OTHERS "/storage_absent.so: No such file"));
	assert_false(load("broken", &taken));
	assert_non_null(strstr(err, "undefined symbol: culver_test_nowhere"));
	assert_false(load("renamed", &taken));
	assert_non_null(strstr(err, "name: wanted storage_renamed, as the "
	    "file is called, got storage_original"));
	assert_false(load("../x", &taken));
	assert_false(load("X", &taken));
	assert_false(plugin_load(path, 0, &all, &taken, err));
	assert_non_null(strstr(err, "file too short"));
	unlink(path);
}

static void
an_absolute_path_needs_no_suffix(void **state)
{
	char path[PLUGIN_PATH];

	(void)state;
	assert_true(plugin_find("/nowhere", TEST_PLUGINS "/storage_sample",
	    CULVER_KIND_STORAGE, path, err));
	assert_string_equal(path, TEST_PLUGINS "/storage_sample.so");
	assert_true(plugin_find("/nowhere", TEST_PLUGINS "/storage_sample.so",
	    CULVER_KIND_STORAGE, path, err));
	assert_string_equal(path, TEST_PLUGINS "/storage_sample.so");
}

/* What libtool makes for a program that is linked with -dlpreopen. */
static struct culver_storage_ops inside_ops;
CULVER_PLUGIN(storage_inside) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .kind = CULVER_KIND_STORAGE,
	.name = "inside", .ops = {.storage = &inside_ops},
};
extern const lt_dlsymlist lt__PROGRAM__LTX_preloaded_symbols[];
const lt_dlsymlist lt__PROGRAM__LTX_preloaded_symbols[] = {
	{"@PROGRAM@", NULL}, {"storage_inside.a", NULL},
	{"storage_inside_LTX_culver_plugin",
	    (void *)(uintptr_t)&storage_inside_LTX_culver_plugin},
	{NULL, NULL}
};

static void
seen(void *ctx, const char *path)
{
	size_t *n = ctx;

	if (*n == 0)
		assert_string_equal(path, "storage_inside");
	(*n)++;
}

static void
a_preloaded_module_comes_first(void **state)
{
	char path[PLUGIN_PATH];
	size_t n = 0;

	(void)state;
	inside_ops = ops;
	assert_true(plugin_find("/nowhere", "inside", CULVER_KIND_STORAGE,
	    path, err));
	assert_string_equal(path, "storage_inside");
	if (!plugin_load(path, CULVER_KIND_STORAGE, &all, &taken, err))
		fail_msg("%s", err);
	assert_int_equal(taken.storage.create(NULL, NULL, NULL, NULL, NULL),
	    42);
	assert_true(plugin_each(TEST_OTHERS, 0, seen, &n));
	assert_in_range(n, 5, 50);
	plugin_files_only();
	assert_false(plugin_find("/nowhere", "inside", CULVER_KIND_STORAGE,
	    path, err));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_right_one_is_accepted, fresh),
	    cmocka_unit_test_setup(each_field_is_checked_in_order, fresh),
	    cmocka_unit_test_setup(needs_must_be_allowed, fresh),
	    cmocka_unit_test_setup(wants_may_be_allowed, fresh),
	    cmocka_unit_test_setup(names_are_words, fresh),
	    cmocka_unit_test_setup(a_required_op_must_be_there, fresh),
	    cmocka_unit_test_setup(a_bit_and_its_op_agree, fresh),
	    cmocka_unit_test_setup(an_unknown_bit_is_ignored, fresh),
	    cmocka_unit_test_setup(an_older_ops_table_is_enough, fresh),
	    cmocka_unit_test_setup(a_newer_plugin_is_cut_to_what_we_know,
		fresh),
	    cmocka_unit_test_setup(option_tables_are_checked, fresh),
	    cmocka_unit_test_setup(a_module_of_the_next_minor_loads, fresh),
	    cmocka_unit_test_setup(a_module_that_needs_the_next_minor_does_not,
		fresh),
	    cmocka_unit_test_setup(wrong_modules_are_named_with_the_reason,
		fresh),
	    cmocka_unit_test_setup(an_absolute_path_needs_no_suffix, fresh),
	    cmocka_unit_test_setup(a_preloaded_module_comes_first, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
