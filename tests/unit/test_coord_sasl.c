/*
 * test_coord_sasl.c - mechanisms of several steps through the auth
 * coordinator: SCRAM, CRAM-MD5, APOP, EXTERNAL, tokens; and users that are
 * not there.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <culver/auth.h>

#include "core/sasl/base64.h"
#include "plugins/common/scram.h"
#include "tests/unit/coordkit.h"

#define IR "n,,n=tim,r=abc"
#define TXT(text) text, sizeof(text) - 1

enum { ALL_CAPS = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_USER |
    CULVER_AU_TOKEN | CULVER_AU_EXTERNAL };

static char first[512];		/* the server's first message */

/* The challenge to SERIAL, as text. */
static const char *
challenged(int gate, uint64_t serial)
{
	static char text[1024];

	expect(gate, R_GATE, IPC_AUTH_CHALLENGE);
	assert_int_equal(in.m.auth_challenge.serial, serial);
	snprintf(text, sizeof(text), "%.*s", (int)in.m.auth_challenge.data.n,
	    (const char *)in.m.auth_challenge.data.p);
	return text;
}

/* The pool is asked for credentials; says ST, with the keys of PASSWORD. */
static void
give(int pool, culver_status st, const char *password)
{
	struct plug_scram k = {.sha256 = 1, .iterations = 4096,
	    .salt_n = 4, .salt = "salt"};
	struct ipc_pool_creds m = {.status = (uint32_t)st, .user = "",
	    .error = "disk on fire", .iterations = k.iterations,
	    .login_delay = 11, .expire_days = 7};

	m.id = asked(pool);
	assert_int_equal(in.m.pool_login.want, IPC_WANT_CREDS);
	assert_int_equal(in.m.pool_login.password.n, 0);
	if (in.m.pool_login.form == CULVER_CRED_PLAIN) {
		m.password = (struct ipc_bytes){(const uint8_t *)password,
		    (uint32_t)strlen(password)};
	} else {
		assert_int_equal(in.m.pool_login.form,
		    CULVER_CRED_SCRAM_SHA256);
		assert_int_equal(in.m.pool_login.salt.n, SASL_SALT);
		assert_int_equal(in.m.pool_login.iterations, 4096);
		assert_true(plug_scram_make(&k, password, strlen(password)));
		m.salt = (struct ipc_bytes){k.salt, 4};
		m.stored_key = (struct ipc_bytes){k.stored, 32};
		m.server_key = (struct ipc_bytes){k.server, 32};
	}
	assert_int_equal(ipc_send(pool, IPC_POOL_CREDS, &m, NULL, 0),
	    CULVER_OK);
	pump();
}

/* Begin SCRAM and hear the server's first message. */
static void
scram_first(int gate, int pool, uint64_t serial, culver_status st)
{
	begin_mech(gate, serial, "SCRAM-SHA-256", TXT(IR));
	give(pool, st, "sesame");
	snprintf(first, sizeof(first), "%s", challenged(gate, serial));
	assert_int_equal(strncmp(first, "r=abc", 5), 0);
}

/* Answer it as one does who knows PASSWORD. */
static void
scram_final(int gate, uint64_t serial, const char *password)
{
	char bare[256], all[1024], b64[64], final[512];
	uint8_t salt[64], salted[32], key[32], stored[32], sig[32];
	char *s = strstr(first, ",s=") + 3, *i = strstr(first, ",i=");
	size_t n;

	assert_true(base64_decode((const uint8_t *)s, (size_t)(i - s), salt,
	    sizeof(salt), &n));
	snprintf(bare, sizeof(bare), "c=biws,%.*s", (int)(s - 3 - first),
	    first);
	snprintf(all, sizeof(all), "n=tim,r=abc,%s,%s", first, bare);
	PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)n,
	    (int)strtol(i + 3, NULL, 10), EVP_sha256(), 32, salted);
	HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, key,
	    NULL);
	EVP_Digest(key, 32, stored, NULL, EVP_sha256(), NULL);
	HMAC(EVP_sha256(), stored, 32, (const uint8_t *)all, strlen(all), sig,
	    NULL);
	for (int k = 0; k < 32; k++)
		key[k] ^= sig[k];
	base64_encode(key, 32, b64);
	n = (size_t)snprintf(final, sizeof(final), "%s,p=%s", bare, b64);
	cont(gate, serial, final, (uint32_t)n);
}

static void
test_scram(void **state)
{
	int gate, pool;
	struct ipc_pool_answer a;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	scram_first(gate, pool, 5, CULVER_OK);
	scram_final(gate, 5, "sesame");
	assert_int_equal(strncmp(challenged(gate, 5), "v=", 2), 0);
	silent(pool, R_POOL);		/* not before the client is content */
	cont(gate, 5, "", 0);
	a = good_answer(asked(pool));
	assert_int_equal(in.m.pool_login.want, IPC_WANT_USER);
	assert_string_equal(in.m.pool_login.user, "tim");
	answer(pool, &a);
	expect(t.master, R_MASTER, IPC_GRANT);
	assert_string_equal(in.m.grant.user, "tim");
	assert_string_equal(in.m.grant.mech, "SCRAM-SHA-256");
	expect(gate, R_GATE, IPC_AUTH_YES);
	/* a wrong password */
	scram_first(gate, pool, 6, CULVER_OK);
	scram_final(gate, 6, "sesamy");
	assert_int_equal(expect_no(gate, 6, CULVER_E_AUTH), t.now + 1 * S);
	assert_non_null(strstr(logged, "auth-failed user=tim remote=192.0.2.1"
	    " mech=SCRAM-SHA-256 reason=bad-password"));
	close(gate);
	close(pool);
}

/* Somebody who is not there, has nothing that fits or may not log in: the
 * same steps, and always the same salt. */
static void
test_fake(void **state)
{
	static const struct {
		culver_status st;
		const char *reason;
	} rows[] = {
		{CULVER_E_NOUSER, "unknown-user"},
		{CULVER_E_UNSUPPORTED, "no-credentials"},
		{CULVER_E_DISABLED, "disabled"},
		{CULVER_E_EXPIRED, "expired"},
	};
	char salt[64] = "";
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *s;

		logged[0] = 0;
		scram_first(gate, pool, i + 1, rows[i].st);
		s = strstr(first, ",s=");
		assert_non_null(strstr(s, ",i=4096"));
		assert_int_equal(strlen(s), 3 + 24 + 7);
		if (i > 0)
			assert_string_equal(s, salt);
		snprintf(salt, sizeof(salt), "%s", s);
		scram_final(gate, i + 1, "sesame");
		assert_true(expect_no(gate, i + 1, CULVER_E_AUTH) > t.now);
		assert_non_null(strstr(logged, rows[i].reason));
		wait_until(t.now + 1000 * S);
	}
	/* a section that cannot tell is another matter */
	begin_mech(gate, 10, "SCRAM-SHA-256", TXT(IR));
	give(pool, CULVER_E_TEMP, "");
	expect_no(gate, 10, CULVER_E_TEMP);
	assert_non_null(strstr(logged, "disk on fire"));
	close(gate);
	close(pool);
}

/* The next section that has credentials is asked for whom the first one does
 * not know; one that has none is not. */
static void
test_chain(void **state)
{
	int gate, one, two, three;

	(void)state;
	section(0, "one", ALL_CAPS);
	section(1, "two", CULVER_AU_VERIFY | CULVER_AU_USER);
	section(2, "three", ALL_CAPS);
	gate = add_gate(1);
	one = add_pool(0);
	two = add_pool(1);
	three = add_pool(2);
	begin_mech(gate, 1, "SCRAM-SHA-256", TXT(IR));
	give(one, CULVER_E_NOUSER, "");
	silent(two, R_POOL);
	give(three, CULVER_OK, "sesame");
	snprintf(first, sizeof(first), "%s", challenged(gate, 1));
	scram_final(gate, 1, "sesame");
	challenged(gate, 1);
	cont(gate, 1, "", 0);
	/* who had the credentials is asked for the user first */
	silent(one, R_POOL);
	verdict(three, CULVER_E_TEMP, CULVER_OK);
	expect_yes(gate, 1);
	close(gate);
	close(one);
	close(two);
	close(three);
}

/* A proof is looked at when its slot has come, as a password is. */
static void
test_slots(void **state)
{
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	scram_first(gate, pool, 1, CULVER_OK);
	/* others fail meanwhile */
	begin(gate, 2, "tim", "wrong");
	verdict(pool, CULVER_E_AUTH, CULVER_OK);
	assert_int_equal(expect_no(gate, 2, CULVER_E_AUTH), t.now + 1 * S);
	scram_final(gate, 1, "sesame");
	silent(gate, R_GATE);
	wait_until(t.now + 1 * S);
	assert_int_equal(strncmp(challenged(gate, 1), "v=", 2), 0);
	close(gate);
	close(pool);
}

/* Who begins for nothing is slowed down as one who fails. */
static void
test_abandoned(void **state)
{
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	scram_first(gate, pool, 1, CULVER_OK);
	cancel(gate, 1);
	begin_mech(gate, 2, "SCRAM-SHA-256", TXT(IR));
	silent(pool, R_POOL);
	wait_until(t.now + 1 * S);
	give(pool, CULVER_OK, "sesame");
	challenged(gate, 2);
	/* also who never answers */
	wait_until(t.now + 1000 * S);
	begin_mech(gate, 3, "SCRAM-SHA-256", TXT(IR));
	silent(pool, R_POOL);
	cancel(gate, 3);
	/* and who does not wait for the pool */
	wait_until(t.now + 1000 * S);
	begin_mech(gate, 4, "SCRAM-SHA-256", TXT(IR));
	cancel(gate, 4);
	give(pool, CULVER_OK, "sesame");
	begin_mech(gate, 5, "SCRAM-SHA-256", TXT(IR));
	silent(pool, R_POOL);
	wait_until(t.now + 1 * S);
	give(pool, CULVER_OK, "sesame");
	challenged(gate, 5);
	close(gate);
	close(pool);
}

/* CRAM-MD5 and APOP: the digest of what the pool says is the password. */
static void
test_md5(void **state)
{
	static const char apop[] = "<1896.697170952@dbc.mtview.ca.us>\0mrose\0"
	    "c4c9334bac560ecc979e58001b3e22fb";
	char text[256], hex[33];
	uint8_t mac[16];
	int gate, pool;

	(void)state;
	snprintf(t.conf.hostname, sizeof(t.conf.hostname), "mail.example");
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	for (uint64_t i = 1; i <= 2; i++) {
		begin_mech(gate, i, "CRAM-MD5", NULL, 0);
		snprintf(text, sizeof(text), "%s", challenged(gate, i));
		assert_non_null(strstr(text, "@mail.example>"));
		HMAC(EVP_md5(), "sesame", 6, (uint8_t *)text, strlen(text),
		    mac, NULL);
		for (int k = 0; k < 16; k++)
			snprintf(hex + 2 * k, 3, "%02x", mac[k]);
		snprintf(text, sizeof(text), "tim %s", hex);
		cont(gate, i, text, (uint32_t)strlen(text));
		give(pool, CULVER_OK, i == 1 ? "sesame" : "sesamy");
		if (i == 1) {
			verdict(pool, CULVER_E_TEMP, CULVER_OK);
			expect_yes(gate, i);
		} else {
			assert_true(expect_no(gate, i, CULVER_E_AUTH) > t.now);
		}
	}
	wait_until(t.now + 1000 * S);
	begin_mech(gate, 3, "APOP", apop, sizeof(apop) - 1);
	give(pool, CULVER_E_NOUSER, "");
	expect_no(gate, 3, CULVER_E_AUTH);
	close(gate);
	close(pool);
}

static void
test_external(void **state)
{
	struct ipc_auth_begin m = {.serial = 1, .mech = "EXTERNAL",
	    .service = "pop3", .remote = "192.0.2.1", .local = "",
	    .flags = IPC_TLS | IPC_HAS_IR, .cert_user = "tim",
	    .data = {(const uint8_t *)"", 0}};
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	assert_int_equal(ipc_send(gate, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	pump();
	{
		struct ipc_pool_answer a = good_answer(asked(pool));

		assert_string_equal(in.m.pool_login.user, "tim");
		assert_int_equal(in.m.pool_login.flags, IPC_TLS | IPC_CERT);
		assert_int_equal(in.m.pool_login.password.n, 0);
		answer(pool, &a);
	}
	expect_yes(gate, 1);
	/* without TLS there is no certificate, whatever the gate says */
	m.serial = 2;
	m.flags = IPC_HAS_IR;
	assert_int_equal(ipc_send(gate, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	pump();
	expect_no(gate, 2, CULVER_E_AUTH);
	silent(pool, R_POOL);
	close(gate);
	close(pool);
}

static void
test_token(void **state)
{
	char big[9000];
	size_t n = (size_t)snprintf(big, sizeof(big),
	    "n,,\001auth=Bearer %08500d\001\001", 7);
	struct ipc_pool_answer a;
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	begin_mech(gate, 1, "XOAUTH2", TXT("user=tim\001auth=Bearer x.y\001"
	    "\001"));
	a = good_answer(asked(pool));
	assert_int_equal(in.m.pool_login.flags, IPC_TOKEN);
	assert_string_equal(in.m.pool_login.user, "tim");
	assert_memory_equal(in.m.pool_login.password.p, "x.y", 3);
	a.verify = (uint32_t)CULVER_E_AUTH;
	answer(pool, &a);
	/* the client hears why, says that it did, and then hears no */
	assert_int_equal(challenged(gate, 1)[0], '{');
	cont(gate, 1, "", 0);
	assert_int_equal(expect_no(gate, 1, CULVER_E_AUTH), t.now + 1 * S);
	wait_until(t.now + 1000 * S);
	/* a long one that says itself whose it is */
	begin_mech(gate, 2, "OAUTHBEARER", big, (uint32_t)n);
	a = good_answer(asked(pool));
	assert_int_equal(in.m.pool_login.password.n, 8500);
	assert_string_equal(in.m.pool_login.user, "");
	a.user = "tim@example.org";
	answer(pool, &a);
	expect(t.master, R_MASTER, IPC_GRANT);
	assert_string_equal(in.m.grant.user, "tim@example.org");
	expect(gate, R_GATE, IPC_AUTH_YES);
	assert_int_equal(t.coord->n_tokens, 0);
	/* a section that does not say whose is not believed */
	begin_mech(gate, 3, "OAUTHBEARER", big, (uint32_t)n);
	verdict(pool, CULVER_OK, CULVER_OK);
	expect_no(gate, 3, CULVER_E_TEMP);
	close(gate);
	close(pool);
}

/* Bad tokens without a name slow down their own address, and no others that
 * bring one. */
static void
test_nameless(void **state)
{
	static const char text[] = "n,,\001auth=Bearer x.y\001\001";
	struct ipc_auth_begin m = {.serial = 2, .mech = "OAUTHBEARER",
	    .service = "pop3", .remote = "198.51.100.7", .local = "",
	    .flags = IPC_HAS_IR, .data = {(const uint8_t *)text,
	    sizeof(text) - 1}};
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	begin_mech(gate, 1, "OAUTHBEARER", TXT(text));
	verdict(pool, CULVER_E_AUTH, CULVER_OK);
	challenged(gate, 1);
	assert_int_equal(ipc_send(gate, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	pump();
	asked(pool);
	close(pool);
	pool = add_pool(0);
	begin_mech(gate, 3, "OAUTHBEARER", TXT(text));
	silent(pool, R_POOL);
	wait_until(t.now + 1 * S);
	asked(pool);
	close(gate);
	close(pool);
}

/* What a pool must not be believed, and what a gate must not do. */
static void
test_bad_peers(void **state)
{
	static const uint8_t key[64] = {1};
	static const struct ipc_pool_creds rows[] = {
		{.salt = {key, 4}, .stored_key = {key, 20},
		    .server_key = {key, 32}, .iterations = 4096},
		{.salt = {key, 4}, .stored_key = {key, 32},
		    .server_key = {key, 31}, .iterations = 4096},
		{.salt = {key, 0}, .stored_key = {key, 32},
		    .server_key = {key, 32}, .iterations = 4096},
		{.salt = {key, 4}, .stored_key = {key, 32},
		    .server_key = {key, 32}, .iterations = 0},
		{.salt = {key, 4}, .stored_key = {key, 32},
		    .server_key = {key, 32}, .iterations = UINT32_MAX},
		{.salt = {key, 4}, .stored_key = {key, 32},
		    .server_key = {key, 32}, .iterations = 1, .user = "a/b"},
	};
	int gate, pool;

	(void)state;
	section(0, "users", ALL_CAPS);
	gate = add_gate(1);
	pool = add_pool(0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_pool_creds m = rows[i];

		begin_mech(gate, i + 1, "SCRAM-SHA-256", TXT(IR));
		m.id = asked(pool);
		m.error = "";
		m.user = m.user != NULL ? m.user : "";
		assert_int_equal(ipc_send(pool, IPC_POOL_CREDS, &m, NULL, 0),
		    CULVER_OK);
		pump();
		expect_no(gate, i + 1, CULVER_E_TEMP);
	}
	/* the other answer than was asked for ends the pool */
	begin_mech(gate, 100, "SCRAM-SHA-256", TXT(IR));
	{
		struct ipc_pool_answer a = good_answer(asked(pool));

		answer(pool, &a);
	}
	expect_no(gate, 100, CULVER_E_TEMP);
	closed(pool, R_POOL);
	close(pool);
	/* a step of a login that waits for a pool ends the gate */
	pool = add_pool(0);
	begin_mech(gate, 101, "SCRAM-SHA-256", TXT(IR));
	asked(pool);
	cont(gate, 101, "x", 1);
	closed(gate, R_GATE);
	close(gate);
	close(pool);
}

/* A mechanism that is not switched on is not there, whatever a gate says. */
static void
test_switched_off(void **state)
{
	int gate;

	(void)state;
	section(0, "users", ALL_CAPS);
	t.conf.mechs &= ~SASL_BIT(SASL_EXTERNAL);
	gate = add_gate(1);
	begin_mech(gate, 1, "EXTERNAL", "", 0);
	closed(gate, R_GATE);
	close(gate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_scram), T(test_fake), T(test_chain), T(test_slots),
		T(test_abandoned),
		T(test_md5), T(test_external), T(test_token),
		T(test_nameless),
		T(test_bad_peers), T(test_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
