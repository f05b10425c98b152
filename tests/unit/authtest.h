/*
 * authtest.h - a section of an auth plugin over one file in a temporary
 * directory, called in one process, for unit tests.
 */
#ifndef TESTS_UNIT_AUTHTEST_H
#define TESTS_UNIT_AUTHTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <culver/auth.h>

#include "tests/unit/fakehost.h"

enum { AUTHTEST_OPTIONS = 32 };

struct authtest {
	char dir[64], path[96];		/* the file is not made */
	struct culver_value v[AUTHTEST_OPTIONS];	/* as the plugin's */
	struct culver_values vals;
	struct culver_str weak[2];	/* for a list of options */
	struct fakehost host;
	const struct culver_plugin *plugin;
	const struct culver_auth_ops *ops;
	struct culver_auth *au;		/* NULL until authtest_start() */
	struct culver_auth_ok ok;	/* of the last authtest_verify() */
};

/* A section of PLUGIN that has not started, all its options unset, in a new
 * directory with room for a file NAME. */
struct authtest *authtest_new(const struct culver_plugin *plugin,
    const char *name);

/* A cmocka fixture: ends it, removes file and directory. */
int authtest_teardown(void **state);

/* Option I is TEXT, which is borrowed. */
void authtest_text(struct authtest *s, unsigned i, const char *text);
struct culver_str authtest_str(const char *text);

/* check_options() and create() with the options that S has by now; both must
 * work. */
void authtest_start(struct authtest *s);

/* Ask for USER's password PW; the N octets at PW. */
culver_status authtest_verify(struct authtest *s, const char *user,
    const char *pw);
culver_status authtest_verify_n(struct authtest *s, const char *user,
    const char *pw, size_t n);

/* Ask who USER is; OUT lives until the end of the test. */
culver_status authtest_lookup(struct authtest *s, const char *user,
    struct culver_user *out);

#endif /* TESTS_UNIT_AUTHTEST_H */
