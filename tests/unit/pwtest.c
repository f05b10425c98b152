/*
 * pwtest.c - the passwd-file plugin over a temporary file; see pwtest.h.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/pwtest.h"

static const struct culver_auth_req request = {
	.size = sizeof(request), .service = "pop3", .remote = "192.0.2.1",
	.local = "192.0.2.2", .session = "1",
};

struct culver_str
pwtest_str(const char *text)
{
	return (struct culver_str){text, strlen(text)};
}

void
pwtest_write(struct pwtest *s, const char *text, size_t n)
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
pwtest_start(struct pwtest *s)
{
	assert_int_equal(s->ops->create(&s->au, &s->host.host, &s->vals,
	    fakehost_call(&s->host)), CULVER_OK);
}

int
pwtest_setup(void **state)
{
	struct pwtest *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/culver-pf-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/users", s->dir);
	s->v[0].u.s = pwtest_str(s->path);
	s->v[1].u.s = pwtest_str("CRYPT");
	s->vals = (struct culver_values){.size = sizeof(s->vals), .n = 6,
	    .v = s->v};
	s->ops = auth_passwdfile_LTX_culver_plugin.ops.auth;
	fakehost_init(&s->host);
	s->host.clock = 1;
	*state = s;
	return 0;
}

int
pwtest_teardown(void **state)
{
	struct pwtest *s = *state;

	s->ops->destroy(s->au);
	unlink(s->path);
	rmdir(s->dir);
	fakehost_free(&s->host);
	free(s);
	return 0;
}

void
pwtest_users(struct pwtest *s, const char *text)
{
	pwtest_write(s, text, strlen(text));
	if (s->au == NULL)
		pwtest_start(s);
}

culver_status
pwtest_verify_n(struct pwtest *s, const char *user, const char *pw, size_t n)
{
	struct culver_auth_req rq = request;
	struct culver_auth_ok ok = {.size = sizeof(ok)};
	struct culver_str p = {pw, n};

	rq.user = user;
	return s->ops->verify_plain(s->au, &rq, &p, &ok,
	    fakehost_call(&s->host));
}

culver_status
pwtest_verify(struct pwtest *s, const char *user, const char *pw)
{
	return pwtest_verify_n(s, user, pw, strlen(pw));
}

culver_status
pwtest_lookup(struct pwtest *s, const char *user, struct culver_user *out)
{
	struct culver_auth_req rq = request;

	rq.user = user;
	*out = (struct culver_user){.size = sizeof(*out)};
	return s->ops->lookup_user(s->au, &rq, out, fakehost_call(&s->host));
}

const char *
pwtest_crypt(const char *setting, const char *pw)
{
	static struct crypt_data cd;
	const char *h = crypt_rn(pw, setting, &cd, sizeof(cd));

	assert_non_null(h);
	return h;
}
