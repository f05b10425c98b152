/*
 * authtest.c - a section of an auth plugin in one process; see authtest.h.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/authtest.h"

static const struct culver_auth_req request = {
	.size = sizeof(request), .service = "pop3", .remote = "192.0.2.1",
	.local = "192.0.2.2", .session = "1",
};

struct authtest *
authtest_new(const struct culver_plugin *plugin, const char *name)
{
	struct authtest *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	assert_in_range(plugin->n_options, 0, AUTHTEST_OPTIONS);
	snprintf(s->dir, sizeof(s->dir), "/tmp/culver-auth-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	s->vals = (struct culver_values){.size = sizeof(s->vals),
	    .n = plugin->n_options, .v = s->v};
	s->plugin = plugin;
	s->ops = plugin->ops.auth;
	fakehost_init(&s->host);
	return s;
}

int
authtest_teardown(void **state)
{
	struct authtest *s = *state;

	s->ops->destroy(s->au);
	unlink(s->path);
	rmdir(s->dir);
	fakehost_free(&s->host);
	free(s);
	return 0;
}

struct culver_str
authtest_str(const char *text)
{
	return (struct culver_str){text, strlen(text)};
}

void
authtest_text(struct authtest *s, unsigned i, const char *text)
{
	s->v[i].is_set = 1;
	s->v[i].u.s = authtest_str(text);
}

void
authtest_start(struct authtest *s)
{
	uint32_t bad;

	assert_int_equal(s->plugin->check_options(&s->host.host, &s->vals,
	    &bad, fakehost_call(&s->host)), CULVER_OK);
	assert_int_equal(s->ops->create(&s->au, &s->host.host, &s->vals,
	    fakehost_call(&s->host)), CULVER_OK);
}

culver_status
authtest_verify_n(struct authtest *s, const char *user, const char *pw,
    size_t n)
{
	struct culver_auth_req rq = request;
	struct culver_str p = {pw, n};

	rq.user = user;
	s->ok = (struct culver_auth_ok){.size = sizeof(s->ok)};
	return s->ops->verify_plain(s->au, &rq, &p, &s->ok,
	    fakehost_call(&s->host));
}

culver_status
authtest_verify(struct authtest *s, const char *user, const char *pw)
{
	return authtest_verify_n(s, user, pw, strlen(pw));
}

culver_status
authtest_lookup(struct authtest *s, const char *user, struct culver_user *out)
{
	struct culver_auth_req rq = request;

	rq.user = user;
	*out = (struct culver_user){.size = sizeof(*out)};
	return s->ops->lookup_user(s->au, &rq, out, fakehost_call(&s->host));
}
