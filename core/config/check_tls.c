/*
 * check_tls.c - certificates, keys and hosts, as far as their names say: the
 * files themselves are for the certificate checker.
 *
 * Runs in the config role.
 */
#include "config.h"

#include "core/config/check-private.h"
#include "core/config/conf.h"
#include "core/config/convert.h"
#include "core/config/mem.h"

static void
check_files(struct cf_section *s, enum cf_opt o)
{
	static const struct culver_option path = {.name = "path",
	    .type = CULVER_OPT_PATH};
	const struct culver_value *v = &s->v[o];
	struct culver_str *clean;

	if (!cf_is_good(s, o))
		return;
	clean = mem_get((v->u.list.n + 1) * sizeof(*clean));
	for (size_t i = 0; i < v->u.list.n; i++) {
		struct cf_value raw = {.n = 1,
		    .text = (const char *[]){v->u.list.v[i].p}};
		struct culver_value out;
		char err[CONVERT_ERR];

		if (!convert_value(&path, &raw, &out, err)) {
			cf_blame(s, o, "%s", err);
			return;
		}
		clean[i] = out.u.s;
	}
	s->v[o].u.list.v = clean;
	if (v->u.list.n == 0)
		cf_blame(s, o, "the list is empty: wanted at least one file");
}

/* One certificate, one key. */
static void
check_pairs(struct cf_section *s, enum cf_opt cert, enum cf_opt key)
{
	size_t n = s->v[cert].u.list.n, m = s->v[key].u.list.n;

	check_files(s, cert);
	check_files(s, key);
	if (s->bad[cert] || s->bad[key])
		return;
	if (n > 0 && m == 0)
		cf_blame(s, cert, "it has no key: add `key = \"...\"'");
	else if (m > 0 && n == 0)
		cf_blame(s, key, "it has no certificate: add `certificate = "
		    "\"...\"'");
	else if (n != m)
		cf_blame(s, key, "there are %zu certificates and %zu keys: "
		    "wanted as many, in the same order", n, m);
}

static _Bool
sni_name_ok(const char *name)
{
	if (name[0] == '*' && name[1] == '.')
		name += 2;
	return cf_hostname_ok(name);
}

void
cf_check_tls(struct cf_config *c)
{
	size_t certs = c->tls.v[O_CERTIFICATE].u.list.n, hosts = 1;

	check_pairs(&c->tls, O_CERTIFICATE, O_KEY);
	for (struct cf_section *s = c->host; s != NULL; s = s->next) {
		check_pairs(s, O_HOST_CERTIFICATE, O_HOST_KEY);
		if (!sni_name_ok(s->name))
			diag_error(s->at, cf_where(s, NULL), "this is no host "
			    "name: wanted \"mail.example.org\" or "
			    "\"*.example.org\"");
		certs += s->v[O_HOST_CERTIFICATE].u.list.n;
		hosts++;
	}
	if (cf_is_good(&c->tls, O_CLIENT_CA) &&
	    c->tls.set[O_CERTIFICATE] == NULL)
		cf_blame(&c->tls, O_CLIENT_CA, "there is no TLS without a "
		    "certificate: add `certificate = \"...\" key = "
		    "\"...\"'");
	if (certs > CONF_MAX_CERT || hosts > CONF_MAX_HOST)
		diag_error(c->tls.at, "tls", "there are %zu certificates of "
		    "%zu hosts: wanted at most %d of %d", certs, hosts,
		    CONF_MAX_CERT, CONF_MAX_HOST);
	if (c->host != NULL && c->tls.set[O_CERTIFICATE] == NULL &&
	    c->tls.set[O_KEY] == NULL)
		diag_error(c->tls.at, "tls: certificate", "required option is "
		    "missing: it is for clients that ask for no host");
}
