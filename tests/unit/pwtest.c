/*
 * pwtest.c - the passwd-file plugin over a temporary file; see pwtest.h.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/pwtest.h"

int
pwtest_setup(void **state)
{
	struct authtest *s = authtest_new(&auth_passwdfile_LTX_culver_plugin,
	    "users");

	s->v[OPT_PATH].u.s = authtest_str(s->path);
	s->v[OPT_SCHEME].u.s = authtest_str("CRYPT");
	s->host.clock = 1;
	*state = s;
	return 0;
}

void
pwtest_write(struct authtest *s, const char *text, size_t n)
{
	char tmp[128];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", s->path);
	f = fopen(tmp, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(tmp, s->path), 0);
}

void
pwtest_users(struct authtest *s, const char *text)
{
	pwtest_write(s, text, strlen(text));
	if (s->au == NULL)
		authtest_start(s);
}

const char *
pwtest_crypt(const char *setting, const char *pw)
{
	static struct crypt_data cd;
	const char *h = crypt_rn(pw, setting, &cd, sizeof(cd));

	assert_non_null(h);
	return h;
}
