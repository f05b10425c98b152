/*
 * test_ldap.c - the LDAP plugin without a server: what clients send into
 * filters and DNs, the reading of filters and attributes, what answers mean,
 * and that no file or variable of libldap's has a say.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugins/auth_ldap/dir.h"
#include "tests/unit/authtest.h"

extern const struct culver_plugin auth_ldap_LTX_culver_plugin;

static struct span
span_of(const char *text)
{
	return (struct span){text, strlen(text)};
}

/* --- templates ------------------------------------------------------------- */

static void
test_expand(void **state)
{
	static const struct {
		const char *text, *user, *quoted, *raw;
	} rows[] = {
		{"(uid=%{user})", "tim", "(uid=tim)", "(uid=tim)"},
		{"(uid=%{user})", "*", "(uid=\\2a)", "(uid=*)"},
		{"(uid=%{user})", ")(uid=*", "(uid=\\29\\28uid\\3d\\2a)",
		    "(uid=)(uid=*)"},
		{"(uid=%{user})", "\\", "(uid=\\5c)", "(uid=\\)"},
		{"(uid=%{user})", "\\2a", "(uid=\\5c2a)", "(uid=\\2a)"},
		{"%{user}", "a b-c.d_e@F9", "a\\20b-c.d_e@F9", "a b-c.d_e@F9"},
		{"uid=%{user},dc=x", "#a,+\"<>;=", "uid=\\23a\\2c\\2b\\22\\3c"
		    "\\3e\\3b\\3d,dc=x", "uid=#a,+\"<>;=,dc=x"},
		{"%{user}", "\xc3\xa9", "\\c3\\a9", "\xc3\xa9"},
		{"%{user}", "\n\r\t\x7f", "\\0a\\0d\\09\\7f", "\n\r\t\x7f"},
		{"%{user}", "%{user}%%", "\\25\\7buser\\7d\\25\\25",
		    "%{user}%%"},
		{"%{name}+%{domain}", "a@b@c", "a@b+c", "a@b+c"},
		{"%{name}+%{domain}", "tim", "tim+", "tim+"},
		{"*%%*", "tim", "*%*", "*%*"},
		{"%{remote}%{address}|%{local}|%{service}", "x",
		    "\\3a\\3a1\\3a\\3a1|h|pop3", "::1::1|h|pop3"},
	};
	struct culver_auth_req rq = {.remote = "::1", .local = "h",
	    .service = "pop3"};
	char out[DIR_MAX_EXPANDED];
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rq.user = rows[i].user;
		assert_true(dir_expand(span_of(rows[i].text), &rq, true, out,
		    &why));
		assert_string_equal(out, rows[i].quoted);
		assert_true(dir_expand(span_of(rows[i].text), &rq, false, out,
		    &why));
		assert_string_equal(out, rows[i].raw);
	}
}

/* Every octet comes back as itself, and as nothing else, from libldap's own
 * reader of DNs. */
static void
test_every_octet(void **state)
{
	char user[2] = "", out[DIR_MAX_EXPANDED];
	const struct culver_auth_req rq = {.user = user};
	const char *why;

	(void)state;
	for (unsigned c = 1; c < 256; c++) {
		LDAPDN dn = NULL;

		user[0] = (char)c;
		assert_true(dir_expand(span_of("uid=%{user},dc=x"), &rq, true,
		    out, &why));
		if (c < 0x80) {	/* alone it is no UTF-8 */
			assert_int_equal(ldap_str2dn(out, &dn,
			    LDAP_DN_FORMAT_LDAPV3), LDAP_SUCCESS);
			assert_null(dn[2]);
			assert_null(dn[0][1]);
			assert_int_equal(dn[0][0]->la_value.bv_len, 1);
			assert_int_equal(dn[0][0]->la_value.bv_val[0], c);
		}
		ldap_dnfree(dn);
		assert_null(strpbrk(out + 4, "*()"));
	}
}

static void
test_too_long(void **state)
{
	static char user[DIR_MAX_EXPANDED];
	const struct culver_auth_req rq = {.user = user};
	char out[DIR_MAX_EXPANDED];
	const char *why;

	(void)state;
	memset(user, '*', sizeof(user) - 1);
	assert_false(dir_expand(span_of("%{user}"), &rq, true, out, &why));
	assert_true(dir_expand(span_of("%{user}"), &rq, false, out, &why));
	assert_false(dir_expand(span_of("%{user}x"), &rq, false, out, &why));
	user[(DIR_MAX_EXPANDED - 1) / 3] = 0;
	assert_true(dir_expand(span_of("%{user}"), &rq, true, out, &why));
	assert_int_equal(strlen(out), (DIR_MAX_EXPANDED - 1) / 3 * 3);
}

static void
test_templates_refused(void **state)
{
	static const char *const rows[] = {"%{password}", "%{}", "%{user",
	    "%u", "%", "a%", "100% sure", "%{user}%{x}"};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_false(dir_template_check(span_of(rows[i]), &why));
	assert_true(dir_template_check(span_of("%%{user}"), &why));
	assert_false(dir_template_varies(span_of("%%{user}")));
	assert_true(dir_template_varies(span_of("%%%{user}")));
	assert_false(dir_template_varies(span_of("")));
}

static void
test_plain_names(void **state)
{
	static const char *const bad[] = {"", " a", "a ", "a  b", "\xc3\xa9",
	    "a\tb", "\x7f", "a @b", "a@ b"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(dir_name_is_plain(bad[i]));
	assert_true(dir_name_is_plain("o'brien, tim*@example.org"));
}

/* --- filters --------------------------------------------------------------- */

static void
test_filters(void **state)
{
	static const struct {
		const char *text, *attrs;	/* of its tests */
	} rows[] = {
		{"(uid=%{user})", "uid "},
		{"(&(objectClass=posixAccount)(uid=%{user}))", "uid "},
		{"(uid=x)", ""}, {"(uid=*)", ""},
		{"(|(mail=%{user})(uid=%{name}))", "mail uid "},
		{"(&(uid=%{user})(!(cn=%{user})))", "uid "},
		{"(& (uid=%{name})\n (o=x) )", "uid "},
		{"(uid=%{user}*)", ""}, {"(uid>=%{user})", ""},
		{"(uid~=%{user})", ""}, {"(uid=\\2a%{user})", ""},
		{"(uid:caseExactMatch:=%{user})", ""},
		{"(memberOf:1.2.840.113556.1.4.1941:=cn=x,dc=y)", ""},
		{"(&)", ""}, {"(cn=\\28\\29\\2a\\5c)", ""}, {"(cn=)", ""},
		{"(userCertificate;binary=*)", ""},
	};
	struct dir_filter f;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[64] = "";

		if (!dir_filter_parse(span_of(rows[i].text), &f, &why))
			fail_msg("%s: %s", rows[i].text, why);
		for (unsigned j = 0; j < f.n; j++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got),
			    "%s ", f.test[j].attr);
		assert_string_equal(got, rows[i].attrs);
	}
}

/* Whose entry it is, by what each test says of it: s the same name, o another
 * one, d nothing but the same domain, - not to be read. */
static void
test_judgement(void **state)
{
	static const char pair[] = "(&(uid=%{name})(dc=%{domain}))";
	static const char either[] = "(|(uid=%{user})(mail=%{user}))";
	static const char deep[] = "(|(&(uid=%{name})(|(dc=%{domain})(dc=x)))"
	    "(!(cn=%{user}))(mail=%{user}))";
	static const struct {
		const char *text, *tests;
		enum dir_truth is;
		bool names;
	} rows[] = {
		{"(uid=%{user})", "s", DIR_SAME, true},
		{"(uid=%{user})", "o", DIR_OTHER, true},
		{"(uid=%{user})", "-", DIR_UNREAD, true},
		{pair, "sd", DIR_SAME, true}, {pair, "od", DIR_OTHER, true},
		{pair, "so", DIR_OTHER, true}, {pair, "s-", DIR_UNREAD, true},
		{pair, "-o", DIR_OTHER, true},
		{either, "so", DIR_SAME, true}, {either, "-s", DIR_SAME, true},
		{either, "o-", DIR_OTHER, true},
		{either, "--", DIR_UNREAD, true},
		{deep, "sdo", DIR_SAME, true}, {deep, "oos", DIR_SAME, true},
		{deep, "odo", DIR_OPEN, true}, {deep, "---", DIR_OPEN, true},
		{"(|(cn=x)(uid=%{user}))", "o", DIR_OPEN, true},
		{"(&(cn=x)(host=%{remote})(uid=%{user}))", "o", DIR_OTHER,
		    true},
		{"(dc=%{domain})", "d", DIR_OPEN, false},
		{"(|(host=%{remote})(host=%{service}))", "", DIR_OPEN, false},
		{"(uid:caseExactMatch:=%{user})", "", DIR_OPEN, false},
		{"(&(uid=%{user}*)(!(uid=%{user})))", "", DIR_OPEN, false},
	};
	struct dir_filter f;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum dir_truth of[DIR_MAX_TESTS] = {DIR_OPEN};

		assert_true(dir_filter_parse(span_of(rows[i].text), &f, &why));
		assert_int_equal(f.n, strlen(rows[i].tests));
		for (unsigned j = 0; j < f.n; j++)
			of[j] = rows[i].tests[j] == 's' ? DIR_SAME :
			    rows[i].tests[j] == 'o' ? DIR_OTHER :
			    rows[i].tests[j] == 'd' ? DIR_OPEN : DIR_UNREAD;
		if (dir_filter_judge(&f, of) != rows[i].is ||
		    dir_filter_names(&f) != rows[i].names)
			fail_msg("%s: %s", rows[i].text, rows[i].tests);
	}
}

static void
test_filters_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "is written"}, {"uid=x", "is written"},
		{"(uid=x", "is missing"}, {"(uid=x))", "more behind"},
		{"(uid=x)(cn=y)", "more behind"}, {"()", "a test is"},
		{"(=x)", "a test is"}, {"(uid)", "a test is"},
		{"(%{user}=x)", "a test is"}, {"(uid=(x))", "\\28"},
		{"(uid=\\x)", "hexadecimal"}, {"(uid=\\2)", "hexadecimal"},
		{"(uid=\\)", "hexadecimal"}, {"(uid=%{x})", "only %{user}"},
		{"(uid=%u)", "without a variable"}, {"(!uid=x)", "is written"},
		{"(!(uid=x)(cn=y))", "is missing"}, {"(uid<x)", "a test is"},
		{"(&(uid=x)", "is missing"}, {"(&uid=x)", "is missing"},
	};
	static char deep[400];
	struct dir_filter f;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(dir_filter_parse(span_of(rows[i].text), &f,
		    &why));
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].text, why);
	}
	for (size_t i = 0; i + 2 < sizeof(deep); i += 2)
		memcpy(deep + i, "(!", 3);
	assert_false(dir_filter_parse(span_of(deep), &f, &why));
}

/* --- attributes ------------------------------------------------------------- */

static bool
map(struct dir_map *m, const struct dir_filter *f, size_t n,
    const struct culver_str *list)
{
	struct culver_value v = {.u = {.list = {list, n}}};
	const char *why;

	return dir_map_parse(&v, f, m, &why);
}

#define STR(s) {s, sizeof(s) - 1}

static void
test_attributes(void **state)
{
	const struct culver_str list[] = {STR("uidNumber=uid"),
	    STR("homeDirectory=home"), STR("UID=user"),
	    STR("x-quota=userdb_quota_rule"), STR("userPassword=password")};
	const struct culver_str closing = STR("mailDisabled=nologin");
	const struct dir_filter f = {.n = 2, .test = {{.attr = "uid"},
	    {.attr = "mail"}}};
	const struct dir_filter none = {.n = 0};
	struct dir_map m;

	(void)state;
	assert_true(map(&m, &f, 5, list));
	assert_true(m.has_password);
	assert_string_equal(m.v[0].field, "userdb_uid");
	assert_string_equal(m.v[1].field, "userdb_home");
	assert_string_equal(m.v[2].field, "user");
	assert_string_equal(m.v[3].field, "userdb_quota_rule");
	assert_string_equal(m.v[4].field, "password");
	/* uid is asked for once, whatever its letters */
	assert_string_equal(m.ask[4], "userPassword");
	assert_string_equal(m.ask[5], "mail");
	assert_string_equal(m.ask[6], "pwdAccountLockedTime");
	assert_null(m.ask[7]);
	/* for logins here, and for those whose password is from elsewhere */
	assert_true(map(&m, &none, 1, &closing));
	assert_int_equal(m.n, 2);
	assert_string_equal(m.v[0].field, "nologin");
	assert_string_equal(m.v[1].field, "userdb_nologin");
	assert_true(map(&m, &none, 0, NULL));
	assert_false(m.has_password);
	assert_string_equal(m.ask[0], "pwdAccountLockedTime");
	assert_null(m.ask[1]);
}

static void
test_attributes_refused(void **state)
{
	static const struct culver_str bad[] = {STR(""), STR("uid"),
	    STR("uid="), STR("=uid"), STR("u*d=uid"), STR("uid=a b"),
	    STR("uid=\xc3\xa9"), STR("a(b=c")};
	const struct culver_str twice[] = {STR("a=uid"), STR("b=uid")};
	const struct dir_filter none = {.n = 0};
	struct culver_str many[DIR_MAX_MAPPED + 1];
	static char names[DIR_MAX_MAPPED + 1][16];
	struct dir_map m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(map(&m, &none, 1, &bad[i]));
	assert_false(map(&m, &none, 2, twice));
	for (size_t i = 0; i < DIR_MAX_MAPPED + 1; i++) {
		snprintf(names[i], sizeof(names[i]), "a=f%zu", i);
		many[i] = (struct culver_str){names[i], strlen(names[i])};
	}
	assert_true(map(&m, &none, DIR_MAX_MAPPED, many));
	assert_false(map(&m, &none, DIR_MAX_MAPPED + 1, many));
}

/* --- answers ---------------------------------------------------------------- */

static void
test_answers(void **state)
{
	static const struct {
		int code, policy;
		const char *text;
		culver_status status;
	} rows[] = {
		{LDAP_SUCCESS, PP_noError, "", CULVER_OK},
		{LDAP_SUCCESS, PP_changeAfterReset, "", CULVER_E_EXPIRED},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "", CULVER_E_AUTH},
		{LDAP_INVALID_CREDENTIALS, PP_accountLocked, "",
		    CULVER_E_DISABLED},
		{LDAP_INVALID_CREDENTIALS, PP_passwordExpired, "",
		    CULVER_E_EXPIRED},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "80090308: LdapErr: "
		    "DSID-0C09044E, comment: AcceptSecurityContext error, "
		    "data 52e, v2580", CULVER_E_AUTH},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "data 525, v2580",
		    CULVER_E_NOUSER},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "data 532, v2580",
		    CULVER_E_EXPIRED},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "data 533, v2580",
		    CULVER_E_DISABLED},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "data 773, v2580",
		    CULVER_E_EXPIRED},
		{LDAP_INVALID_CREDENTIALS, PP_noError, "data 775, v2580",
		    CULVER_E_DISABLED},
		{LDAP_NO_SUCH_OBJECT, PP_noError, "", CULVER_E_NOUSER},
		{LDAP_INAPPROPRIATE_AUTH, PP_noError, "", CULVER_E_DISABLED},
		{LDAP_CONSTRAINT_VIOLATION, PP_noError, "Exceed password "
		    "retry limit.", CULVER_E_DISABLED},
		{LDAP_UNWILLING_TO_PERFORM, PP_noError, "Account inactivated."
		    " Contact system administrator.", CULVER_E_DISABLED},
		{LDAP_UNWILLING_TO_PERFORM, PP_noError, "", CULVER_E_TEMP},
		{LDAP_BUSY, PP_noError, "", CULVER_E_TEMP},
		{LDAP_UNAVAILABLE, PP_noError, "", CULVER_E_TEMP},
		{LDAP_INSUFFICIENT_ACCESS, PP_noError, "", CULVER_E_TEMP},
		{LDAP_INVALID_DN_SYNTAX, PP_noError, "", CULVER_E_TEMP},
		{LDAP_REFERRAL, PP_noError, "", CULVER_E_TEMP},
		{LDAP_CONFIDENTIALITY_REQUIRED, PP_noError, "",
		    CULVER_E_TEMP},
		{LDAP_SASL_BIND_IN_PROGRESS, PP_noError, "", CULVER_E_TEMP},
		{LDAP_OTHER, PP_noError, "", CULVER_E_TEMP},
		{12345, PP_noError, "", CULVER_E_TEMP},
		{LDAP_SERVER_DOWN, PP_noError, "", CULVER_E_TEMP},
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dir_answer a = {.code = rows[i].code,
		    .policy = (LDAPPasswordPolicyError)rows[i].policy};

		snprintf(a.text, sizeof(a.text), "%s", rows[i].text);
		why = NULL;
		if (dir_bind_status(&a, &why) != rows[i].status)
			fail_msg("%d %s", rows[i].code, rows[i].text);
		assert_non_null(why);
	}
}

/* --- the library -------------------------------------------------------------- */

/* A variable, as a file, could say that certificates do not matter. */
static void
test_nothing_from_outside(void **state)
{
	struct authtest *s = authtest_new(&auth_ldap_LTX_culver_plugin, "x");
	const struct culver_str uri = authtest_str("ldap://127.0.0.1:1");
	char *text = NULL;
	int n = -1;

	*state = s;
	s->v[OPT_URI].u.list.v = &uri;
	s->v[OPT_URI].u.list.n = 1;
	s->v[OPT_TLS].u.i = DIR_TLS_VERIFY;
	s->v[OPT_BIND].u.i = 1;
	s->v[OPT_CONNECT_TIMEOUT].u.i = 1000000000;
	authtest_text(s, OPT_BASE, "dc=x");
	authtest_text(s, OPT_FILTER, "(uid=%{user})");
	authtest_text(s, OPT_SCHEME, "CRYPT");
	setenv("LDAPTLS_REQCERT", "never", 1);
	setenv("LDAPBASE", "dc=elsewhere", 1);
	setenv("LDAPSIZELIMIT", "7", 1);
	authtest_start(s);
	assert_null(getenv("LDAPNOINIT"));
	assert_non_null(getenv("LDAPBASE"));
	assert_int_equal(ldap_get_option(NULL, LDAP_OPT_X_TLS_REQUIRE_CERT,
	    &n), LDAP_OPT_SUCCESS);
	assert_int_equal(n, LDAP_OPT_X_TLS_DEMAND);
	assert_int_equal(ldap_get_option(NULL, LDAP_OPT_SIZELIMIT, &n),
	    LDAP_OPT_SUCCESS);
	assert_int_equal(n, 0);
	ldap_get_option(NULL, LDAP_OPT_DEFBASE, &text);
	assert_null(text);

	/* nobody is there: no word about the user */
	assert_int_equal(authtest_verify(s, "tim", "x"), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "is away"));
	/* wrong without asking anybody */
	assert_int_equal(authtest_verify(s, "tim", ""), CULVER_E_AUTH);
	assert_int_equal(authtest_verify_n(s, "tim", "x", 2), CULVER_E_AUTH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nothing_from_outside,
		    authtest_teardown),
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_every_octet),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_templates_refused),
		cmocka_unit_test(test_plain_names),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_judgement),
		cmocka_unit_test(test_filters_refused),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_attributes_refused),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
