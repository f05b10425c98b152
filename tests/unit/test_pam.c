/*
 * test_pam.c - what the PAM plugin answers to modules, keeps of what they say,
 * and makes of their codes; and that it refuses what it need not ask about.
 */
#include "config.h"

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#include "plugins/auth_pam/pam.h"
#include "tests/unit/authtest.h"

extern const struct culver_plugin auth_pam_LTX_culver_plugin;

#define PROMPT {PAM_PROMPT_ECHO_OFF, "Password: "}

/* The conversation about N messages; on success, which answers the password
 * to prompts and nothing else, they are freed as modules do. */
static int
talk(struct talk *t, const struct pam_message *m, int n)
{
	const struct pam_message *list[PAM_MAX_NUM_MSG + 1] = {NULL};
	struct pam_response *r = (struct pam_response *)&t;
	int code;

	for (int i = 0; i < n; i++)
		list[i] = &m[i];
	code = talk_conv(n, list, &r, t);
	if (code != PAM_SUCCESS) {
		assert_ptr_equal(r, &t);	/* left alone */
		return code;
	}
	for (int i = 0; i < n; i++) {
		assert_int_equal(r[i].resp_retcode, 0);
		if (m[i].msg_style == PAM_PROMPT_ECHO_OFF) {
			assert_string_equal(r[i].resp, t->password);
			assert_ptr_not_equal(r[i].resp, t->password);
		} else {
			assert_null(r[i].resp);
		}
		free(r[i].resp);
	}
	free(r);
	return code;
}

static void
password_prompts_are_answered(void **state)
{
	static const struct pam_message one[] = {PROMPT};
	static const struct pam_message mixed[] = {{PAM_TEXT_INFO, "hello"},
	    PROMPT, {PAM_ERROR_MSG, "careful"}, PROMPT};
	struct talk t = {.password = "secret"};

	(void)state;
	assert_int_equal(talk(&t, one, 1), PAM_SUCCESS);
	assert_int_equal(talk(&t, mixed, 4), PAM_SUCCESS);
	assert_int_equal(t.prompts, 3);
	assert_int_equal(t.n_notes, 2);
	assert_string_equal(t.note[0], "hello");
	assert_string_equal(t.note[1], "careful");
	assert_string_equal(t.refused, "");
}

static void
other_prompts_end_it(void **state)
{
	static const struct pam_message questions[][2] = {
		{PROMPT, {PAM_PROMPT_ECHO_ON, "login:\n"}},
		{PROMPT, {PAM_BINARY_PROMPT, "\1\2\3"}},
		{PROMPT, {PAM_RADIO_TYPE, NULL}},
		{PROMPT, {12345, "?"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		struct talk t = {.password = "secret"};

		assert_int_equal(talk(&t, questions[i], 2), PAM_CONV_ERR);
		assert_non_null(strstr(t.refused, "more than a password"));
		if (i == 0)
			assert_non_null(strstr(t.refused, "login:"));
		assert_null(strchr(t.refused, '\n'));
	}
}

static void
there_are_limits(void **state)
{
	static const struct pam_message one[] = {PROMPT};
	static const struct pam_message info[] = {{PAM_TEXT_INFO, "again"}};
	static struct pam_message many[PAM_MAX_NUM_MSG + 1];
	struct talk t = {.password = "secret"};
	struct talk chatter = {.password = "secret"};
	int n = 0;

	(void)state;
	while (n < 1000 && talk(&t, one, 1) == PAM_SUCCESS)
		n++;
	assert_int_equal(n, TALK_PROMPTS);
	assert_non_null(strstr(t.refused, "too often"));
	for (n = 0; n < 1000 && talk(&chatter, info, 1) == PAM_SUCCESS;)
		n++;
	assert_int_equal(n, TALK_ROUNDS);
	for (size_t i = 0; i <= PAM_MAX_NUM_MSG; i++)
		many[i] = info[0];
	chatter.rounds = 0;
	assert_int_equal(talk(&chatter, many, PAM_MAX_NUM_MSG), PAM_SUCCESS);
	assert_int_equal(talk(&chatter, many, PAM_MAX_NUM_MSG + 1),
	    PAM_CONV_ERR);
	assert_int_equal(talk(&chatter, many, 0), PAM_CONV_ERR);
	assert_int_equal(talk(&chatter, many, -1), PAM_CONV_ERR);
	assert_int_equal(chatter.n_notes, 1);
}

static void
what_modules_say_is_one_short_line(void **state)
{
	static char text[8][1000];
	struct talk t = {.password = "secret"};

	(void)state;
	for (int i = 0; i < 8; i++) {
		const struct pam_message m[] = {{PAM_ERROR_MSG, text[i]}};

		memset(text[i], i == 0 ? '\n' : 'a' + i, sizeof(text[i]) - 1);
		text[i][1] = '\x1b';
		text[i][0] = 'X';
		assert_int_equal(talk(&t, m, 1), PAM_SUCCESS);
	}
	assert_int_equal(t.n_notes, TALK_NOTES);
	assert_string_equal(t.note[0], "X?");
	for (unsigned i = 1; i < TALK_NOTES; i++) {
		assert_int_equal(strlen(t.note[i]), TALK_TEXT - 1);
		assert_memory_equal(t.note[i], "X?", 2);
	}
}

static void
codes_mean_what_they_say(void **state)
{
	static const struct {
		int code;
		culver_status auth, account;
	} t[] = {
		{PAM_SUCCESS, CULVER_OK, CULVER_OK},
		{PAM_AUTH_ERR, CULVER_E_AUTH, CULVER_E_DISABLED},
		{PAM_USER_UNKNOWN, CULVER_E_NOUSER, CULVER_E_NOUSER},
		{PAM_PERM_DENIED, CULVER_E_DISABLED, CULVER_E_DISABLED},
		{PAM_MAXTRIES, CULVER_E_DISABLED, CULVER_E_DISABLED},
		{PAM_ACCT_EXPIRED, CULVER_E_EXPIRED, CULVER_E_EXPIRED},
		{PAM_NEW_AUTHTOK_REQD, CULVER_E_EXPIRED, CULVER_E_EXPIRED},
		{PAM_AUTHTOK_EXPIRED, CULVER_E_EXPIRED, CULVER_E_EXPIRED},
		{PAM_AUTHINFO_UNAVAIL, CULVER_E_TEMP, CULVER_E_TEMP},
		{PAM_CONV_ERR, CULVER_E_TEMP, CULVER_E_TEMP},
		{PAM_IGNORE, CULVER_E_TEMP, CULVER_E_TEMP},
		{-1, CULVER_E_TEMP, CULVER_E_TEMP},
		{1000, CULVER_E_TEMP, CULVER_E_TEMP},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(pam_outcome(PHASE_AUTH, t[i].code),
		    t[i].auth);
		assert_int_equal(pam_outcome(PHASE_ACCOUNT, t[i].code),
		    t[i].account);
	}
	assert_int_equal(pam_outcome(PHASE_START, PAM_AUTH_ERR),
	    CULVER_E_TEMP);
}

/* --- a section; its service is one that every machine has ------------------ */

static int
setup(void **state)
{
	struct authtest *s = authtest_new(&auth_pam_LTX_culver_plugin, "none");

	authtest_text(s, OPT_SERVICE, "other");
	s->v[OPT_ACCOUNT].u.i = 1;
	s->v[OPT_TIMEOUT].u.i = INT64_C(20000000000);
	s->v[OPT_UID_MIN].u.i = 500;
	*state = s;
	return 0;
}

static void
some_are_refused_unasked(void **state)
{
	struct authtest *s = *state;
	struct culver_user user;
	char pw[2 * PAM_MAX_RESP_SIZE];

	authtest_start(s);
	memset(pw, 'x', sizeof(pw));
	assert_int_equal(authtest_verify(s, "root", "x"), CULVER_E_NOUSER);
	assert_int_equal(authtest_verify(s, "daemon", "x"),
	    CULVER_E_NOUSER);
	assert_non_null(strstr(s->host.log, "below uid_min"));
	assert_int_equal(authtest_lookup(s, "root", &user),
	    CULVER_E_NOUSER);
	assert_int_equal(user.uid, 0);
	assert_int_equal(authtest_lookup(s, "no such user", &user),
	    CULVER_E_NOUSER);
	/* what a module would cut at the NUL, or at its limit */
	assert_int_equal(authtest_verify_n(s, "nobody", "a\0b", 3),
	    CULVER_E_AUTH);
	assert_int_equal(authtest_verify_n(s, "nobody", pw, PAM_MAX_RESP_SIZE),
	    CULVER_E_AUTH);
}

/* In place of the C library's: NSS services that take more than one spelling
 * of a name. */
int
getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t n,
    struct passwd **result)
{
	static const uid_t ids[] = {0, 1, 5000};
	static const char *const names[] = {"root", "daemon", "anna"};

	*result = NULL;
	for (size_t i = 0; i < 3; i++)
		if (strcasecmp(name, names[i]) == 0) {
			if (n < 64)
				return ERANGE;
			snprintf(buf, n, "%s", names[i]);
			*pw = (struct passwd){.pw_name = buf,
			    .pw_uid = ids[i], .pw_gid = ids[i]};
			*result = pw;
		}
	return 0;
}

static void
a_user_has_the_name_that_nss_has(void **state)
{
	struct authtest *s = *state;
	struct culver_user user;

	authtest_start(s);
	assert_int_equal(authtest_lookup(s, "ANNA", &user), CULVER_OK);
	assert_string_equal(user.name, "anna");
	assert_int_equal(user.uid, 5000);
}

static void
service_must_be_there(void **state)
{
	struct authtest *s = *state;
	struct culver_auth *au = NULL;
	uint32_t bad = 0;

	authtest_text(s, OPT_SERVICE, "no-such-service");
	assert_int_equal(s->ops->create(&au, &s->host.host, &s->vals,
	    fakehost_call(&s->host)), CULVER_E_TEMP);
	assert_non_null(strstr(s->host.err.text, "/etc/pam.d/no-such-service"));
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = {"../x", ".x", "a b", ""};

		authtest_text(s, OPT_SERVICE, names[i]);
		assert_int_equal(s->plugin->check_options(&s->host.host,
		    &s->vals, &bad, fakehost_call(&s->host)),
		    CULVER_E_CONFIG);
		assert_int_equal(bad, OPT_SERVICE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(password_prompts_are_answered),
		cmocka_unit_test(other_prompts_end_it),
		cmocka_unit_test(there_are_limits),
		cmocka_unit_test(what_modules_say_is_one_short_line),
		cmocka_unit_test(codes_mean_what_they_say),
		cmocka_unit_test_setup_teardown(some_are_refused_unasked,
		    setup, authtest_teardown),
		cmocka_unit_test_setup_teardown(
		    a_user_has_the_name_that_nss_has, setup,
		    authtest_teardown),
		cmocka_unit_test_setup_teardown(service_must_be_there, setup,
		    authtest_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
