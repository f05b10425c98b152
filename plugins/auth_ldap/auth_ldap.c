/*
 * auth_ldap.c - users from an LDAP directory; see culver-ldap(5).
 *
 * Runs in a pool process as the auth user, confined to the network.  Names and
 * passwords come from clients, filters from an administrator, entries from a
 * directory.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_ldap/dir.h"
#include "plugins/common/scram.h"

static const char *const tls[] = {"off", "require", "verify", NULL};
static const char *const scopes[] = {"sub", "one", "base", NULL};

static const struct culver_option options[N_OPTIONS] = {
	[OPT_URI] = {.name = "uri", .type = CULVER_OPT_LIST,
	    .flags = CULVER_OPT_REQUIRED,
	    .help = "servers, asked in turn until one answers: ldap://NAME, "
		"ldap://NAME:PORT, ldaps://NAME, ldapi://%2Fsocket%2Fpath"},
	[OPT_TLS] = {.name = "tls", .type = CULVER_OPT_ENUM, .choices = tls,
	    .def = "verify",
	    .help = "for ldap:// (by StartTLS) and ldaps://: off (ldap:// "
		"only), require (whoever answers), verify (the server's "
		"certificate)"},
	[OPT_TLS_CA] = {.name = "tls_ca", .type = CULVER_OPT_PATH,
	    .help = "file of certificates that may sign the server's"},
	[OPT_TLS_CERT] = {.name = "tls_certificate", .type = CULVER_OPT_PATH,
	    .help = "own certificate, for servers that want one"},
	[OPT_TLS_KEY] = {.name = "tls_key", .type = CULVER_OPT_PATH,
	    .help = "its key"},
	[OPT_CONNECT_TIMEOUT] = {.name = "connect_timeout",
	    .type = CULVER_OPT_TIME, .def = "3s", .min = 100000000,
	    .max = 60000000000, .help = "how long one server may take to "
		"answer before the next is asked"},
	[OPT_BIND_DN] = {.name = "bind_dn", .type = CULVER_OPT_STRING,
	    .help = "the name to search with; without it, nobody's"},
	[OPT_BIND_PASSWORD] = {.name = "bind_password",
	    .type = CULVER_OPT_STRING, .flags = CULVER_OPT_SECRET,
	    .help = "its password"},
	[OPT_BASE] = {.name = "base", .type = CULVER_OPT_STRING,
	    .help = "the DN below which users are; %{domain} and so on are "
		"replaced"},
	[OPT_SCOPE] = {.name = "scope", .type = CULVER_OPT_ENUM,
	    .choices = scopes, .def = "sub",
	    .help = "how far below it: sub (anywhere), one (right below), "
		"base (only itself)"},
	[OPT_FILTER] = {.name = "filter", .type = CULVER_OPT_STRING,
	    .def = "\"(&(objectClass=posixAccount)(uid=%{user}))\"",
	    .help = "what a user's entry is told by; %{user}, %{name}, "
		"%{domain} and so on are replaced"},
	[OPT_ATTRIBUTES] = {.name = "attributes", .type = CULVER_OPT_LIST,
	    .def = "{\"uidNumber=uid\", \"gidNumber=gid\", "
		"\"homeDirectory=home\"}",
	    .help = "what attributes mean, as ATTRIBUTE=FIELD"},
	[OPT_BIND] = {.name = "bind", .type = CULVER_OPT_BOOL, .def = "yes",
	    .help = "let the server check passwords, by a bind as the user; "
		"no: the attribute that is the field password has a hash"},
	[OPT_AUTH_BIND_DN] = {.name = "auth_bind_dn",
	    .type = CULVER_OPT_STRING,
	    .help = "bind as this without a search before; %{user} and so on "
		"are replaced"},
	[OPT_DUMMY_DN] = {.name = "dummy_dn", .type = CULVER_OPT_STRING,
	    .help = "entry with a password that nobody has: unknown users "
		"cost a bind as this; without it, as base"},
	AUTH_PASSWORD_OPTIONS(OPT_SCHEME),
	AUTH_USER_OPTIONS(OPT_UID),
};

/* --- options ------------------------------------------------------------- */

static bool
is_set(const struct culver_value *v, uint32_t i)
{
	return span_option(&v[i]).n > 0;
}

/* NULL: it is an address of a server; else what is wrong. */
static const char *
uri_check(const char *uri, bool needs_plain)
{
	LDAPURLDesc *u = NULL;
	const char *why = NULL;

	/* libldap would read a list */
	if (strlen(uri) > 500 || strpbrk(uri, " ,\t\n") != NULL ||
	    ldap_url_parse(uri, &u) != LDAP_URL_SUCCESS)
		return "is not ldap://NAME, ldap://NAME:PORT, ldaps://NAME or "
		    "ldapi://%2Fsocket%2Fpath";
	if ((u->lud_dn != NULL && u->lud_dn[0] != 0) || u->lud_attrs != NULL ||
	    u->lud_filter != NULL || u->lud_exts != NULL)
		why = "has more than a server: base and filter are options of "
		    "their own";
	else if (!ldap_is_ldapi_url(uri) &&
	    (u->lud_host == NULL || u->lud_host[0] == 0))
		why = "names no server";
	else if (!ldap_is_ldapi_url(uri) && !ldap_is_ldap_url(uri) &&
	    !ldap_is_ldaps_url(uri))
		why = "is not ldap://, ldaps:// or ldapi://";
	else if (needs_plain && ldap_is_ldaps_url(uri))
		why = "is TLS, and tls = off: write ldap://, or tls = verify";
	ldap_free_urldesc(u);
	return why;
}

static culver_status
uris_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	const struct culver_value *uris = &v[OPT_URI];

	*bad = OPT_URI;
	if (uris->u.list.n == 0 || uris->u.list.n > AUTH_MAX_SERVERS)
		return culver_fail(call, CULVER_E_CONFIG, 0, "from 1 to %d "
		    "are needed", AUTH_MAX_SERVERS);
	for (size_t i = 0; i < uris->u.list.n; i++) {
		const char *uri = uris->u.list.v[i].p;
		const char *why = uri_check(uri,
		    v[OPT_TLS].u.i == DIR_TLS_OFF);

		if (why != NULL)
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.100s\" %s", uri, why);
	}
	*bad = OPT_TLS_KEY;
	if (is_set(v, OPT_TLS_CERT) != is_set(v, OPT_TLS_KEY))
		return culver_fail(call, CULVER_E_CONFIG, 0, "tls_certificate "
		    "and tls_key go together: set both or none");
	*bad = OPT_BIND_PASSWORD;
	if (is_set(v, OPT_BIND_DN) != is_set(v, OPT_BIND_PASSWORD))
		return culver_fail(call, CULVER_E_CONFIG, 0, "bind_dn and "
		    "bind_password go together: set both or none");
	return CULVER_OK;
}

static bool
base_is_dn(struct span base)
{
	static const struct culver_auth_req nobody = {.user = "u@d",
	    .remote = "r", .local = "l", .service = "s"};
	char out[DIR_MAX_EXPANDED];
	const char *why;
	LDAPDN dn = NULL;
	bool ok = dir_expand(base, &nobody, true, out, &why) &&
	    ldap_str2dn(out, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;

	ldap_dnfree(dn);
	return ok;
}

static culver_status
templates_check(const struct culver_value *v, uint32_t *bad,
    struct culver_call *call)
{
	static const uint32_t at[] = {OPT_BASE, OPT_AUTH_BIND_DN,
	    OPT_DUMMY_DN};
	const char *why;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		*bad = at[i];
		if (!dir_template_check(span_option(&v[at[i]]), &why))
			return culver_fail(call, CULVER_E_CONFIG, 0, "%s",
			    why);
	}
	if (dir_template_varies(span_option(&v[OPT_DUMMY_DN])))
		return culver_fail(call, CULVER_E_CONFIG, 0, "it is one "
		    "entry, the same for all");
	*bad = OPT_BASE;
	if (!base_is_dn(span_option(&v[OPT_BASE])))
		return culver_fail(call, CULVER_E_CONFIG, 0, "is not a DN, as "
		    "ou=people,dc=example,dc=org");
	*bad = OPT_AUTH_BIND_DN;
	if (is_set(v, OPT_AUTH_BIND_DN) && (v[OPT_BIND].u.i == 0 ||
	    !dir_template_names(span_option(&v[OPT_AUTH_BIND_DN]))))
		return culver_fail(call, CULVER_E_CONFIG, 0, v[OPT_BIND].u.i ==
		    0 ? "is for bind = yes" : "has no %%{user} in it: all "
		    "would be one");
	*bad = OPT_BASE;
	if (!is_set(v, OPT_BASE) && !is_set(v, OPT_AUTH_BIND_DN))
		return culver_fail(call, CULVER_E_CONFIG, 0, "is needed, or "
		    "auth_bind_dn: how else are users found?");
	return CULVER_OK;
}

static culver_status
dir_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	culver_status st = uris_check(v, bad, call);
	struct dir_filter filter;
	struct dir_map map;
	const char *why;

	(void)host;
	if (st == CULVER_OK)
		st = templates_check(v, bad, call);
	if (st != CULVER_OK)
		return st;
	*bad = OPT_FILTER;
	if (!dir_filter_parse(span_option(&v[OPT_FILTER]), &filter, &why))
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s", why);
	if (is_set(v, OPT_BASE) && !dir_filter_names(&filter) &&
	    !dir_template_names(span_option(&v[OPT_BASE])))
		return culver_fail(call, CULVER_E_CONFIG, 0, "no attribute "
		    "has to be equal to %%{user} or %%{name}: whose entry is "
		    "it?");
	*bad = OPT_ATTRIBUTES;
	if (!dir_map_parse(&v[OPT_ATTRIBUTES], &filter, &map, &why))
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s", why);
	if (v[OPT_BIND].u.i == 0 && !map.has_password)
		return culver_fail(call, CULVER_E_CONFIG, 0, "with bind = no "
		    "one of them is the password: \"userPassword=password\"");
	st = auth_password_options(v, OPT_SCHEME, bad, call);
	return st == CULVER_OK ? auth_user_options(v, OPT_UID, bad, call) :
	    st;
}

/* --- life ---------------------------------------------------------------- */

static void
dir_destroy(struct culver_auth *au)
{
	if (au == NULL)
		return;
	dir_link_close(&au->search);
	dir_link_close(&au->user);
	auth_kept_drop(&au->kept);
	auth_check_end(&au->check);
	free(au);
}

/*
 * libldap begins by reading /etc/ldap/ldap.conf, ~/.ldaprc and variables, any
 * of which could weaken what the section says; LDAPNOINIT keeps it from that.
 * It begins once, and the environment stays what it was.
 */
static bool
library_start(void)
{
	static char no_init[] = "LDAPNOINIT=1";
	static char *nothing[] = {no_init, NULL};
	char **saved = environ;
	LDAP *ld = NULL;
	int rc;

	environ = nothing;
	rc = ldap_create(&ld);
	environ = saved;
	if (rc == LDAP_SUCCESS)
		ldap_destroy(ld);
	return rc == LDAP_SUCCESS;
}

static void
servers_set(struct culver_auth *au)
{
	const struct culver_value *uris = &au->opt[OPT_URI];
	struct auth_servers *s = &au->servers;

	*s = (struct auth_servers){.host = au->host, .what = "directory",
	    .timeout = (uint64_t)au->opt[OPT_CONNECT_TIMEOUT].u.i};
	for (size_t i = 0; i < uris->u.list.n && i < AUTH_MAX_SERVERS; i++)
		s->v[s->n++].name = uris->u.list.v[i].p;
}

static culver_status
dir_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au = calloc(1, sizeof(*au));
	const char *why = "libldap";
	bool ok;

	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	au->host = host;
	au->opt = vals->v;
	au->search = (struct dir_link){.au = au, .is_search = true};
	au->user = (struct dir_link){.au = au};
	auth_check_begin(&au->check, host, &au->opt[OPT_SCHEME], &au->costs);
	servers_set(au);
	ok = plug_scram_warm() && library_start() &&
	    dir_filter_parse(span_option(&au->opt[OPT_FILTER]), &au->filter,
	    &why) && dir_map_parse(&au->opt[OPT_ATTRIBUTES], &au->filter,
	    &au->map, &why);
	if (!ok) {
		dir_destroy(au);
		return culver_fail(call, CULVER_E_TEMP, 0, "cannot start: %s",
		    why);
	}
	*out = au;
	return CULVER_OK;
}

static culver_status
dir_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const char *const files[] = {au->opt[OPT_TLS_CA].u.s.p,
	    au->opt[OPT_TLS_CERT].u.s.p, au->opt[OPT_TLS_KEY].u.s.p};

	(void)call;
	*n = 0;
	plug_paths_net(out, cap, n);
	plug_paths_present(files, sizeof(files) / sizeof(files[0]), out, cap,
	    n);
	return CULVER_OK;
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = dir_create,
	.destroy = dir_destroy,
	.paths = dir_paths,
	.verify_plain = dir_login_verify,
	.lookup_creds = dir_login_creds,
	.lookup_user = dir_user_lookup,
};

CULVER_PLUGIN(auth_ldap) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	.caps = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_EXTERNAL |
	    CULVER_AU_USER,
	.needs = CULVER_NEED_NET,
	.name = "ldap",
	.version = VERSION,
	.summary = "users from an LDAP directory",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = dir_check_options,
	.ops = {.auth = &ops},
};
