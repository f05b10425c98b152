/*
 * test_config.c - what is in force after reading configurations, and what is
 * said about wrong ones.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <culver/auth.h>

#include "core/config/conf.h"
#include "core/config/convert.h"
#include "core/config/lex.h"
#include "config_world.h"

#define REST "auth sample { path = /u allow = {net} }\n" \
	"storage sample { path = \"~/Maildir\" }\n"

static int
end(void **state)
{
	(void)state;
	mem_end();
	return 0;
}

static void
is_right(struct cf_config *c, const struct world_file *files)
{
	char *text = world_load(c, files);

	assert_string_equal(text, "");
	assert_int_equal(diag_errors(), 0);
	free(text);
}

#define ONE(text) ((const struct world_file[]){{"", text}, {NULL, NULL}})

/* FILES give exactly the lines WANT. */
static void
says(const struct world_file *files, const char *want)
{
	struct cf_config c;
	char *text = world_load(&c, files);

	assert_string_equal(text, want);
	free(text);
}

#define F "/etc/culver/culver.conf:"

static const struct culver_value *
option(const struct cf_section *s, const char *name)
{
	for (uint32_t i = 0; i < s->plugin->desc.n_options; i++)
		if (strcmp(plugin_option(s->plugin, i).name, name) == 0)
			return &s->values[i];
	fail_msg("no option %s", name);
	return NULL;
}

static void
little_is_enough(void **state)
{
	struct cf_config c;

	(void)state;
	char *text = world_load(&c, ONE(REST));
	assert_string_equal(text, F "1: warning: listen pop3: without TLS "
	    "only clients on this machine can log in: add a certificate, or "
	    "set plain_login = always\n");
	free(text);
	assert_int_equal(diag_errors(), 0);
	assert_string_equal(c.top.v[O_HOSTNAME].u.s.p, "test.example.org");
	assert_string_equal(c.top.v[O_RUN_DIR].u.s.p, "/run/culver");
	assert_string_equal(c.top.v[O_LOG].u.s.p, "syslog");
	assert_int_equal(c.top.v[O_GATES].u.i, 4);
	assert_non_null(c.listen);
	assert_null(c.listen->next);
	assert_string_equal(c.listen->v[O_ADDRESS].u.list.v[0].p,
	    "0.0.0.0:110");
	assert_int_equal(c.listen->v[O_TLS].u.i, CONF_TLS_OFF);
	assert_int_equal(c.auth->v[O_PROCESSES].u.i, 4);
	assert_int_equal(c.limits.v[O_IDLE_TIME].u.i,
	    INT64_C(600000000000));
	assert_int_equal(c.limits.v[O_CONNECTIONS].u.i, 20000);
	assert_string_equal(option(c.storage, "path")->u.s.p, "~/Maildir");
	assert_int_equal(option(c.storage, "wait")->u.i,
	    INT64_C(30000000000));
	assert_int_equal(option(c.storage, "size")->u.i, 1 << 20);
	assert_string_equal(option(c.storage, "names")->u.list.v[1].p, "b c");
}

static void
a_certificate_brings_tls_listeners(void **state)
{
	struct cf_config c;

	(void)state;
	is_right(&c, ONE("tls { certificate = /c.pem key = /k.pem }\n" REST));
	assert_string_equal(c.listen->name, "pop3");
	assert_int_equal(c.listen->v[O_TLS].u.i, CONF_TLS_STARTTLS);
	assert_string_equal(c.listen->next->name, "pop3s");
	assert_int_equal(c.listen->next->v[O_TLS].u.i, CONF_TLS_IMPLICIT);
	assert_string_equal(c.listen->next->v[O_ADDRESS].u.list.v[1].p,
	    "[::]:995");
}

static void
the_designs_example_is_right(void **state)
{
	struct cf_config c;

	(void)state;
	char *text = world_load(&c, ONE(
	    "hostname = \"mail.example.org\"\n\n"
	    "listen pop3  { address = {\"0.0.0.0:110\", \"[::]:110\"} }\n"
	    "listen pop3s { address = {\"0.0.0.0:995\", \"[::]:995\"}"
	    "  tls = implicit }\n"
	    "tls {\n certificate = \"/etc/culver/tls/fullchain.pem\"\n"
	    " key         = \"/etc/culver/tls/key.pem\"\n"
	    " host \"mail.example.net\" { certificate = \"/a\" "
	    " key = \"/b\" }\n}\n"
	    "auth x { plugin = sample path = \"/etc/culver/users\" "
	    "allow={net}} # asked in this order\n"
	    "storage sample { path = \"~/Maildir\" }\n"
	    "limits {                                # the defaults\n"
	    "    login_time = \"60s\"\n    idle_time = \"10m\"\n"
	    "    connections = 20000       connections_per_ip = 100\n"
	    "    bad_commands = 20\n"
	    "    failure_delay = \"1s\"      failure_delay_max = \"15s\"\n"
	    "    takeover = \"30s\"          reload_grace = \"1h\""
	    "           gate_logins = 100000\n"
	    "    uid_min = 500             uid_ranges = {}"
	    "              shared_uid = confined\n}\n"));
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(diag_errors(), 0);
	assert_string_equal(c.host->name, "mail.example.net");
	assert_string_equal(c.auth->plugin->desc.name, "sample");
	for (int o = O_LOGIN_TIME; o < O_COUNT; o++) {
		struct culver_value def;
		char err[CONVERT_ERR];

		assert_true(convert_default(&cf_options[o].o, &def, err));
		if (cf_options[o].o.type != CULVER_OPT_LIST &&
		    cf_options[o].o.type != CULVER_OPT_STRING)
			assert_int_equal(c.limits.v[o].u.i, def.u.i);
	}
}

static void
later_files_override(void **state)
{
	struct cf_config c;

	(void)state;
	is_right(&c, ((const struct world_file[]){
	    {"", "hostname = a.example\n"
		"tls { certificate = /c key = /k host x.example "
		"{ certificate = /xc key = /xk } }\n"
		"listen one { address = 127.0.0.1:1100 }\n"
		"listen two { address = 127.0.0.1:1101 tls = off }\n"
		REST
		"storage other { plugin = sample path = /m/%{user} }\n"
		"limits { connections = 5 sessions = 6 }\n"
		"include \"more.conf\"\ninclude last.conf\n"},
	    {"more.conf", "hostname = b.example\n"
		"tls { key = /k2 host X.example { certificate = /yc "
		"key = /yk } host z.example { certificate = /zc key = /zk } "
		"}\n"
		"listen one { address = 127.0.0.1:1102 }\n"
		"storage sample { path = ~/Mail kind = name }\n"
		"storage third { plugin = sample path = /n }\n"
		"limits { connections = 7 }\n"},
	    {"last.conf", "limits { bad_commands = 3 }\n"},
	    {NULL, NULL}}));
	assert_string_equal(c.top.v[O_HOSTNAME].u.s.p, "b.example");
	assert_string_equal(c.tls.v[O_CERTIFICATE].u.list.v[0].p, "/c");
	assert_string_equal(c.tls.v[O_KEY].u.list.v[0].p, "/k2");
	assert_string_equal(c.host->v[O_HOST_KEY].u.list.v[0].p, "/yk");
	assert_string_equal(c.host->next->name, "z.example");
	assert_null(c.host->next->next);
	assert_string_equal(c.listen->name, "one");
	assert_string_equal(c.listen->v[O_ADDRESS].u.list.v[0].p,
	    "127.0.0.1:1102");
	assert_string_equal(c.listen->next->name, "two");
	assert_string_equal(c.storage->name, "sample");
	assert_string_equal(option(c.storage, "path")->u.s.p, "~/Mail");
	assert_string_equal(option(c.storage, "path")->file,
	    "/etc/culver/more.conf");
	assert_string_equal(c.storage->next->name, "other");
	assert_string_equal(c.storage->next->next->name, "third");
	assert_int_equal(c.limits.v[O_CONNECTIONS].u.i, 7);
	assert_int_equal(c.limits.v[O_SESSIONS].u.i, 6);
	assert_int_equal(c.limits.v[O_BAD_COMMANDS].u.i, 3);
	assert_int_equal(c.limits.v[O_CONNECTIONS].line, 6);
}

static void
texts_keep_every_octet(void **state)
{
	struct cf_config c;

	(void)state;
	is_right(&c, ONE("tls{certificate=/c key=/k}#x\n"
	    "storage sample{path=\"/m/\\\"\\\\\t#{}=,\" title=a-b:c}\r\n"
	    "auth sample\n{\n\tpath\t=\t/u\n\tallow = {\"net\",}\n}"));
	assert_string_equal(option(c.storage, "path")->u.s.p,
	    "/m/\"\\\t#{}=,");
	assert_string_equal(option(c.storage, "title")->u.s.p, "a-b:c");
}

static void
paths_are_normalised(void **state)
{
	struct cf_config c;

	(void)state;
	is_right(&c, ONE("tls { certificate = //c/./d/ key = /k }\n"
	    "run_dir = /run//x/\n"
	    "auth sample { path = /u allow = net }\n"
	    "storage sample { path = /m index_dir = ///a//./b/. }\n"));
	assert_string_equal(c.top.v[O_RUN_DIR].u.s.p, "/run/x");
	assert_string_equal(c.tls.v[O_CERTIFICATE].u.list.v[0].p, "/c/d");
	assert_string_equal(option(c.storage, "index_dir")->u.s.p, "/a/b");
}

/* TYPE with bounds: TEXT converts to WANT, or not. */
static void
number_is(uint32_t type, const char *text, _Bool ok, int64_t want)
{
	const struct culver_option o = {.name = "n", .type = type,
	    .min = -5, .max = INT64_C(1) << 60};
	struct cf_value raw = {.n = 1, .text = &text};
	struct culver_value v;
	char err[CONVERT_ERR];

	if (convert_value(&o, &raw, &v, err) != ok)
		fail_msg("%s: %s", text, ok ? err : "was taken");
	if (ok)
		assert_int_equal(v.u.i, want);
}

static void
numbers_have_suffixes_and_bounds(void **state)
{
	(void)state;
	number_is(CULVER_OPT_INT, "0", 1, 0);
	number_is(CULVER_OPT_INT, "-5", 1, -5);
	number_is(CULVER_OPT_INT, "-6", 0, 0);
	number_is(CULVER_OPT_INT, "20k", 1, 20000);
	number_is(CULVER_OPT_INT, "2M", 1, 2000000);
	number_is(CULVER_OPT_INT, "1152921504606846976", 1, INT64_C(1) << 60);
	number_is(CULVER_OPT_INT, "1152921504606846977", 0, 0);
	number_is(CULVER_OPT_INT, "9223372036854775808", 0, 0);
	number_is(CULVER_OPT_INT, "99999999999999999999", 0, 0);
	number_is(CULVER_OPT_INT, "9223372036854775807k", 0, 0);
	number_is(CULVER_OPT_INT, "", 0, 0);
	number_is(CULVER_OPT_INT, "-", 0, 0);
	number_is(CULVER_OPT_INT, "+5", 0, 0);
	number_is(CULVER_OPT_INT, "5x", 0, 0);
	number_is(CULVER_OPT_INT, "0x5", 0, 0);
	number_is(CULVER_OPT_INT, " 5", 0, 0);
	number_is(CULVER_OPT_SIZE, "10", 1, 10);
	number_is(CULVER_OPT_SIZE, "10K", 1, 10240);
	number_is(CULVER_OPT_SIZE, "3MiB", 1, 3 << 20);
	number_is(CULVER_OPT_SIZE, "1T", 1, INT64_C(1) << 40);
	number_is(CULVER_OPT_SIZE, "9000000T", 0, 0);
	number_is(CULVER_OPT_SIZE, "1m", 0, 0);
	number_is(CULVER_OPT_TIME, "0", 1, 0);
	number_is(CULVER_OPT_TIME, "5", 0, 0);
	number_is(CULVER_OPT_TIME, "5ms", 1, 5000000);
	number_is(CULVER_OPT_TIME, "2m", 1, INT64_C(120000000000));
	number_is(CULVER_OPT_TIME, "1d", 1, INT64_C(86400000000000));
	number_is(CULVER_OPT_TIME, "99999999999d", 0, 0);
	number_is(CULVER_OPT_TIME, "10min", 0, 0);
}

static void
lengths_and_words_have_bounds(void **state)
{
	(void)state;
	says(ONE("tls{certificate=/c key=/k}\nauth sample{path=/u allow=net}\n"
	    "storage sample { path = /m\n title = x }\n"
	    "storage b { plugin = sample path = /m\n title = 12345678901 }\n"
	    "storage d { plugin = sample path = /m\n create = maybe }\n"
	    "storage e { plugin = sample path = /m\n create = {yes} }\n"
	    "storage f { plugin = sample path = /m\n count = -6 }\n"
	    "storage g { plugin = sample path = /m\n count = 5001 }\n"
	    "storage h { plugin = sample path = /m\n wait = 0 }\n"
	    "storage i { plugin = sample path = /m\n size = 2G }\n"),
	    F "4: storage sample: title: it has 1 octets: wanted 2 to 10\n"
	    F "6: storage b: title: it has 11 octets: wanted 2 to 10\n"
	    F "8: storage d: create: \"maybe\" is not yes or no\n"
	    F "10: storage e: create: it takes one value, not a list: remove "
	    "the braces\n"
	    F "12: storage f: count: \"-6\" is out of range: wanted -5 to "
	    "5000\n"
	    F "14: storage g: count: \"5001\" is out of range: wanted -5 to "
	    "5000\n"
	    F "16: storage h: wait: \"0\" is out of range: wanted 1ms to 1h\n"
	    F "18: storage i: size: \"2G\" is out of range: wanted 1K to 1G\n");
}

static void
plugins_speak_for_themselves(void **state)
{
	(void)state;
	says(ONE("tls{certificate=/c key=/k}\n"
	    "auth sample {\n path = /u }\n"
	    "storage sample {\n"
	    " kind = \"dovcot\"\n index_dri = /x\n}\n"
	    "storage two { plugin = sample path = ~x/y\n"
	    " low = 10\n high = 9 }\n"
	    "storage three { plugin = sample path = /m/%{usr} low = 10\n"
	    " high = 5 old_name = yes api_key = \"s3cret\"\n"
	    " colour = red }\n"
	    "storage four { plugin = sampel path = /m }\n"
	    "storage nothing { path = /m }\n"
	    "storage five { plugin = \"./x\" }\n"
	    "storage six { plugin = /nowhere/storage_x.so }\n"
	    "storage seven { plugin = sample path = /m\n low = 10 }\n"),
	    F "2: auth sample: plugin: " TEST_PLUGINS "/auth_sample.so: "
	    "needs: it needs net, and its section allows nothing: to trust "
	    "it, add `allow = {net}'\n"
	    F "4: storage sample: path: required option is missing\n"
	    F "5: storage sample: kind: \"dovcot\" is not one of auto, name, "
	    "dovecot, courier\n"
	    F "6: storage sample: index_dri: unknown option, did you mean "
	    "index_dir?\n"
	    F "8: storage two: path: \"~x/y\" is no path for a user: ~ must be "
	    "followed by a slash\n"
	    F "11: storage three: path: \"/m/%{usr}\" is no path for a user: "
	    "%{usr} is not one of %{user}, %{name}, %{domain}, %{home}, "
	    "%{uid}\n"
	    F "12: warning: storage three: old_name: this option is "
	    "deprecated: use create\n"
	    F "13: storage three: colour: unknown option: `culver-plugin doc "
	    "storage_sample' lists those of this plugin\n"
	    F "14: storage four: plugin: there is no storage plugin "
	    "\"sampel\", did you mean sample?\n"
	    F "15: storage nothing: plugin: there is no storage plugin "
	    "\"nothing\" in " TEST_PLUGINS ": wanted one of: sample\n"
	    F "16: storage five: plugin: ./x: wanted a plugin's name or an "
	    "absolute path\n"
	    F "17: storage six: plugin: /nowhere/storage_x.so: No such file "
	    "or directory\n"
	    F "19: storage seven: low: low is above high\n");
}

static void
the_chain_is_checked(void **state)
{
	struct conf_auth_part part;
	struct cf_config c;

	(void)state;
	is_right(&c, ONE("tls{certificate=/c key=/k}\n" REST
	    "auth b { plugin = sample path = /u allow = net\n"
	    " on_unknown = temporary on_wrong = next on_failure = next }\n"));
	cf_auth_part(&c, c.auth, &part);
	assert_string_equal(part.name, "sample");
	assert_int_equal(part.caps, CULVER_AU_VERIFY);
	assert_int_equal(part.on_unknown, CONF_THEN_NEXT);
	assert_int_equal(part.on_wrong, CONF_THEN_STOP);
	assert_int_equal(part.on_failure, CONF_THEN_TEMP);
	assert_int_equal(part.user_data, CONF_NO_SECTION);
	cf_auth_part(&c, c.auth->next, &part);
	assert_int_equal(part.on_unknown, CONF_THEN_TEMP);
	assert_int_equal(part.on_wrong, CONF_THEN_NEXT);
	assert_int_equal(part.on_failure, CONF_THEN_NEXT);
	says(ONE("tls{certificate=/c key=/k}\n" REST
	    "auth b { plugin = sample path = /u allow = net\n"
	    " provides = {users} on_wrong = maybe\n"
	    " user_data = nobody }\n"
	    "auth c { plugin = sample path = /u allow = net\n"
	    " provides = {mail} user_data = sample }\n"),
	    F "5: auth b: on_wrong: \"maybe\" is not one of stop, next\n"
	    F "5: auth b: provides: the plugin sample can answer for nothing "
	    "of that\n"
	    F "6: auth b: user_data: there is no section `auth nobody'\n"
	    F "8: auth c: provides: \"mail\" is not one of passwords, users\n"
	    F "8: auth c: user_data: section sample does not say where mail "
	    "is: its plugin cannot, or it is not asked (provides)\n");
}

static void
secrets_are_not_quoted(void **state)
{
	struct cf_config c;
	char *text;

	(void)state;
	text = world_load(&c, ONE("tls{certificate=/c key=/k}\n"
	    "auth sample{path=/u allow=net}\nstorage sample { path = /m\n"
	    " api_key = \"0123456789012345678901234567890123456789012345678901"
	    "2345678901234567890\" }\n"));
	assert_non_null(strstr(text, "api_key: it has 7"));
	assert_null(strstr(text, "0123456789"));
	free(text);
	is_right(&c, ONE("tls{certificate=/c key=/k}\n"
	    "auth sample{path=/u allow=net}\nstorage sample { path = /m\n"
	    " api_key = s3cret }\n"));
	assert_string_equal(option(c.storage, "api_key")->u.s.p, "s3cret");
}

static void
includes_are_bounded(void **state)
{
	(void)state;
	says(((const struct world_file[]){
	    {"", "tls{certificate=/c key=/k}\n" REST "include \"a\"\n"
		"include b\nauth y { plugin = sample include c }\n"},
	    {"a", "include a\nlog_level = debug\ninclude \"\"\n"},
	    {NULL, NULL}}),
	    F "5: include \"b\": No such file or directory: wanted a file "
	    "below the main file's folder that only root (or who runs this) "
	    "may write\n"
	    F "6: include \"c\" stands inside a section: move it outside of "
	    "all sections\n"
	    F "6: auth y: plugin: " TEST_PLUGINS "/auth_sample.so: needs: it "
	    "needs net, and its section allows nothing: to trust it, add "
	    "`allow = {net}'\n"
	    "/etc/culver/a:1: include \"a\": this file is being read already: "
	    "it would include itself\n"
	    "/etc/culver/a:3: include \"\": the name of a file is missing\n");
}

static void
a_hundred_files_and_no_more(void **state)
{
	static struct world_file files[104];
	static char main_text[4096], names[104][16];
	struct cf_config c;
	size_t n = 0;
	char *text;

	(void)state;
	n = (size_t)snprintf(main_text, sizeof(main_text),
	    "tls{certificate=/c key=/k}\n" REST);
	for (int i = 1; i <= 101; i++) {
		snprintf(names[i], sizeof(names[i]), "f%d", i);
		files[i] = (struct world_file){names[i], "# nothing\n"};
		if (i <= 100)
			n += (size_t)snprintf(main_text + n,
			    sizeof(main_text) - n, "include f%d\n", i);
	}
	files[0] = (struct world_file){"", main_text};
	is_right(&c, files);
	snprintf(main_text + n, sizeof(main_text) - n, "include f101\n");
	text = world_load(&c, files);
	assert_string_equal(text, F "104: include \"f101\": more than 100 "
	    "files are included: join some\n");
	free(text);
}

static void
no_file_is_one_line(void **state)
{
	(void)state;
	says((const struct world_file[]){{NULL, NULL}},
	    F "1: cannot be read: No such file or directory\n");
	says(ONE(""), F "1: warning: listen pop3: without TLS only clients on "
	    "this machine can log in: add a certificate, or set plain_login "
	    "= always\n"
	    F "1: auth: there is no such section, so nobody could "
	    "log in: add `auth passwdfile { path = \"/etc/culver/users\" }'\n"
	    F "1: storage: there is no such section, so nobody has a mailbox: "
	    "add `storage maildir { path = \"~/Maildir\" }'\n");
}

static void
values_are_shown_as_one_writes_them(void **state)
{
	static const char *const texts[] = {"1500ms", "10m", "2h", "3d", "0s"};
	const struct culver_option o = {.name = "t", .type = CULVER_OPT_TIME};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct cf_value raw = {.n = 1, .text = (const char *[]){
		    texts[i]}};
		struct culver_value v;
		char err[CONVERT_ERR];

		assert_true(convert_value(&o, &raw, &v, err));
		assert_string_equal(convert_show_time(v.u.i), texts[i]);
	}
	assert_string_equal(convert_quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(little_is_enough, end),
	    cmocka_unit_test_teardown(a_certificate_brings_tls_listeners, end),
	    cmocka_unit_test_teardown(the_designs_example_is_right, end),
	    cmocka_unit_test_teardown(later_files_override, end),
	    cmocka_unit_test_teardown(texts_keep_every_octet, end),
	    cmocka_unit_test_teardown(paths_are_normalised, end),
	    cmocka_unit_test_teardown(numbers_have_suffixes_and_bounds, end),
	    cmocka_unit_test_teardown(lengths_and_words_have_bounds, end),
	    cmocka_unit_test_teardown(plugins_speak_for_themselves, end),
	    cmocka_unit_test_teardown(the_chain_is_checked, end),
	    cmocka_unit_test_teardown(secrets_are_not_quoted, end),
	    cmocka_unit_test_teardown(includes_are_bounded, end),
	    cmocka_unit_test_teardown(a_hundred_files_and_no_more, end),
	    cmocka_unit_test_teardown(no_file_is_one_line, end),
	    cmocka_unit_test_teardown(values_are_shown_as_one_writes_them,
		end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
