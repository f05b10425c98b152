/*
 * test_passwdfile_creds.c - what the passwd-file plugin has for SCRAM, CRAM-MD5
 * and APOP, keys of SCRAM as a scheme, and accounts that a certificate opens.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/common/scram.h"
#include "tests/unit/pwtest.h"

/* RFC 7677 3 and RFC 5802 5: "pencil", as Dovecot writes it. */
#define SHA256 "4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SHA1 "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=," \
	"D+CSWLOshSulAsxiupA+qs2/fTE="

static const char users[] =
    "plain:{PLAIN}pencil\n"
    "two:{SCRAM-SHA-256}" SHA256 "\n"
    "one:{SCRAM-SHA-1}" SHA1 "\n"
    "locked:!\n"
    "closed:{PLAIN}pencil::::::nologin\n"
    "broken:{SCRAM-SHA-256}4096,x,y,z\n";

static culver_status
ask(struct authtest *s, const char *user, uint32_t form,
    struct culver_cred *out)
{
	const struct culver_auth_req rq = {.size = sizeof(rq), .user = user,
	    .service = "pop3", .remote = "", .local = "", .session = "1"};
	struct culver_auth_ok ok = {.size = sizeof(ok)};

	*out = (struct culver_cred){.size = sizeof(*out), .form = form,
	    .salt = {"0123456789abcdef", 16}, .iterations = 4096};
	return s->ops->lookup_creds(s->au, &rq, out, &ok,
	    fakehost_call(&s->host));
}

/* Are these the keys of PASSWORD? */
static void
fits(const struct culver_cred *c, const char *password)
{
	struct plug_scram k = {
	    .sha256 = c->form == CULVER_CRED_SCRAM_SHA256,
	    .iterations = c->iterations, .salt_n = c->salt.n};

	assert_in_range(c->salt.n, 1, sizeof(k.salt));
	memcpy(k.salt, c->salt.p, c->salt.n);
	assert_true(plug_scram_make(&k, password, strlen(password)));
	assert_int_equal(c->stored_key.n, k.key_n);
	assert_int_equal(c->server_key.n, k.key_n);
	assert_memory_equal(c->stored_key.p, k.stored, k.key_n);
	assert_memory_equal(c->server_key.p, k.server, k.key_n);
}

static void
test_forms(void **state)
{
	static const struct {
		const char *user;
		culver_status plain, sha1, sha256;
	} rows[] = {
		{"plain", CULVER_OK, CULVER_OK, CULVER_OK},
		{"two", CULVER_E_UNSUPPORTED, CULVER_E_UNSUPPORTED, CULVER_OK},
		{"one", CULVER_E_UNSUPPORTED, CULVER_OK, CULVER_E_UNSUPPORTED},
		{"locked", CULVER_E_DISABLED, CULVER_E_DISABLED,
		    CULVER_E_DISABLED},
		{"closed", CULVER_E_DISABLED, CULVER_E_DISABLED,
		    CULVER_E_DISABLED},
		{"broken", CULVER_E_TEMP, CULVER_E_TEMP, CULVER_E_TEMP},
		{"nobody", CULVER_E_NOUSER, CULVER_E_NOUSER, CULVER_E_NOUSER},
	};
	struct authtest *s = *state;
	struct culver_cred c;
	char text[1024];

	/* a hash that is one */
	snprintf(text, sizeof(text), "%shashed:%s\n", users,
	    pwtest_crypt("$6$ab", "pencil"));
	pwtest_users(s, text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ask(s, rows[i].user, CULVER_CRED_PLAIN, &c),
		    rows[i].plain);
		if (rows[i].plain == CULVER_OK) {
			assert_int_equal(c.secret.n, 6);
			assert_string_equal(c.secret.p, "pencil");
		}
		assert_int_equal(ask(s, rows[i].user, CULVER_CRED_SCRAM_SHA1,
		    &c), rows[i].sha1);
		if (rows[i].sha1 == CULVER_OK)
			fits(&c, "pencil");
		assert_int_equal(ask(s, rows[i].user,
		    CULVER_CRED_SCRAM_SHA256, &c), rows[i].sha256);
		if (rows[i].sha256 == CULVER_OK)
			fits(&c, "pencil");
	}
	assert_int_equal(ask(s, "hashed", CULVER_CRED_SCRAM_SHA256, &c),
	    CULVER_E_UNSUPPORTED);
	/* keys that are made have the core's salt, others their own */
	assert_int_equal(ask(s, "plain", CULVER_CRED_SCRAM_SHA256, &c),
	    CULVER_OK);
	assert_memory_equal(c.salt.p, "0123456789abcdef", 16);
	assert_int_equal(ask(s, "two", CULVER_CRED_SCRAM_SHA256, &c),
	    CULVER_OK);
	assert_int_equal(c.salt.n, 16);
	assert_memory_not_equal(c.salt.p, "0123456789abcdef", 16);
	assert_int_equal(ask(s, "plain", CULVER_CRED_HASH, &c),
	    CULVER_E_UNSUPPORTED);
}

/* The keys check passwords that are sent, too. */
static void
test_passwords(void **state)
{
	struct authtest *s = *state;

	pwtest_users(s, users);
	assert_int_equal(authtest_verify(s, "two", "pencil"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "two", "pencils"), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "one", "pencil"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "one", ""), CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "broken", "pencil"),
	    CULVER_E_TEMP);
}

static void
test_text(void **state)
{
	static const char *const bad[] = {"", ",", "4096", "4096,,,",
	    "0,W22ZaJ0SNY7soEsUEjb6gQ==,", "4096," SHA1, SHA1 ",", SHA1 "=",
	    " " SHA1, "-1" SHA1, "99999999" SHA1, "10000001,QSXCR+Q6sek8bf92,"
	    "6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
	    "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Z=,"
	    "D+CSWLOshSulAsxiupA+qs2/fTE=", SHA256};
	struct plug_scram k;

	(void)state;
	assert_true(plug_scram_parse(0, SHA1, strlen(SHA1), &k));
	assert_int_equal(k.iterations, 4096);
	assert_int_equal(k.salt_n, 12);
	assert_int_equal(k.key_n, 20);
	assert_true(plug_scram_parse(1, SHA256, strlen(SHA256), &k));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(plug_scram_parse(0, bad[i], strlen(bad[i]), &k));
}

static void
test_certificates(void **state)
{
	static const struct {
		const char *user;
		culver_status status;
	} rows[] = {
		{"plain", CULVER_OK}, {"two", CULVER_OK},
		{"broken", CULVER_OK}, {"locked", CULVER_E_DISABLED},
		{"closed", CULVER_E_DISABLED}, {"nobody", CULVER_E_NOUSER},
	};
	struct authtest *s = *state;

	pwtest_users(s, users);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct culver_auth_req rq = {.size = sizeof(rq),
		    .flags = CULVER_RQ_EXTERNAL, .user = rows[i].user,
		    .service = "pop3", .remote = "", .local = "",
		    .session = "1"};
		struct culver_auth_ok ok = {.size = sizeof(ok)};
		const struct culver_str none = {"", 0};

		assert_int_equal(s->ops->verify_plain(s->au, &rq, &none, &ok,
		    fakehost_call(&s->host)), rows[i].status);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_forms), T(test_passwords), T(test_text),
		T(test_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
