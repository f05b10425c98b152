/*
 * pwtest.h - a section of the passwd-file plugin over a file in a temporary
 * directory, for tests in one process.
 */
#ifndef TESTS_UNIT_PWTEST_H
#define TESTS_UNIT_PWTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins/auth_passwdfile/passwdfile.h"
#include "tests/unit/fakehost.h"

extern const struct culver_plugin auth_passwdfile_LTX_culver_plugin;

struct pwtest {
	char dir[64], path[96];
	struct culver_value v[6];	/* in the order of its options */
	struct culver_values vals;
	struct culver_str weak[2];	/* for v[2] */
	struct fakehost host;
	const struct culver_auth_ops *ops;
	struct culver_auth *au;		/* NULL until pwtest_start() */
};

/* cmocka fixtures: *STATE is a section that has not started, and no file. */
int pwtest_setup(void **state);
int pwtest_teardown(void **state);

/* create() with the options that S has by now; it must work. */
void pwtest_start(struct pwtest *s);

/* Put another file of N octets in the place of the old one. */
void pwtest_write(struct pwtest *s, const char *text, size_t n);

/* The same, and start if that has not been done. */
void pwtest_users(struct pwtest *s, const char *text);

/* Ask for USER's password PW; the N octets at PW. */
culver_status pwtest_verify(struct pwtest *s, const char *user,
    const char *pw);
culver_status pwtest_verify_n(struct pwtest *s, const char *user,
    const char *pw, size_t n);

/* Ask who USER is; OUT lives until the end of the test. */
culver_status pwtest_lookup(struct pwtest *s, const char *user,
    struct culver_user *out);

/* The hash of PW, until the next call. */
const char *pwtest_crypt(const char *setting, const char *pw);

/* Borrows TEXT. */
struct culver_str pwtest_str(const char *text);

#define T(f) cmocka_unit_test_setup_teardown(f, pwtest_setup, pwtest_teardown)

#endif /* TESTS_UNIT_PWTEST_H */
