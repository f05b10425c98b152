/*
 * pwtest.h - a section of the passwd-file plugin over a file in a temporary
 * directory, for tests in one process.
 */
#ifndef TESTS_UNIT_PWTEST_H
#define TESTS_UNIT_PWTEST_H

#include "plugins/auth_passwdfile/passwdfile.h"
#include "tests/unit/authtest.h"

extern const struct culver_plugin auth_passwdfile_LTX_culver_plugin;

/* A cmocka fixture: *STATE is an authtest that has not started, and no file. */
int pwtest_setup(void **state);

/* Put another file of N octets in the place of the old one. */
void pwtest_write(struct authtest *s, const char *text, size_t n);

/* The same, and start if that has not been done. */
void pwtest_users(struct authtest *s, const char *text);

/* The hash of PW, until the next call. */
const char *pwtest_crypt(const char *setting, const char *pw);

#define T(f) \
	cmocka_unit_test_setup_teardown(f, pwtest_setup, authtest_teardown)

#endif /* TESTS_UNIT_PWTEST_H */
