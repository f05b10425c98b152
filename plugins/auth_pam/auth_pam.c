/*
 * auth_pam.c - users of this machine, by PAM and NSS; see culver-pam(5).
 *
 * Runs in a pool process as the auth user, with the group of the shadow file
 * and no_new_privs: so setuid helpers are of no use, and the file is read by
 * its group.  Names and passwords come from clients.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_pam/pam.h"
#include "plugins/common/auth.h"

static const struct culver_option options[N_OPTIONS] = {
	[OPT_SERVICE] = {.name = "service", .type = CULVER_OPT_STRING,
	    .min = 1, .max = 64, .def = "culver",
	    .help = "the PAM service: a file of this name in /etc/pam.d"},
	[OPT_ACCOUNT] = {.name = "account", .type = CULVER_OPT_BOOL,
	    .def = "yes",
	    .help = "whether the service's account rules are asked, too, "
		"once the password is right: expired, not at this time, not "
		"from there"},
	[OPT_TIMEOUT] = {.name = "timeout", .type = CULVER_OPT_TIME,
	    .def = "20s", .min = 100000000, .max = 30000000000,
	    .help = "how long the service may take to answer; a login has "
		"30 s for all sections"},
	[OPT_PATHS] = {.name = "paths", .type = CULVER_OPT_LIST,
	    .help = "further files and folders that modules may read and "
		"execute, besides /etc, /usr, /bin, /sbin, /lib, /run"},
	[OPT_UID_MIN] = {.name = "uid_min", .type = CULVER_OPT_INT,
	    .min = 1, .max = UINT32_MAX - 1, .def = "500",
	    .help = "accounts with a uid below this one are refused without "
		"asking PAM; if it is not set, that of limits"},
	AUTH_USER_OPTIONS(OPT_UID),
};

/* --- options ------------------------------------------------------------- */

static bool
is_service(const struct culver_str *s)
{
	return s->n > 0 && s->p[0] != '.' && strspn(s->p,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789._-") == s->n;
}

static culver_status
au_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v, *paths = &v[OPT_PATHS];

	(void)host;
	*bad = OPT_SERVICE;
	if (!is_service(&v[OPT_SERVICE].u.s))
		return culver_fail(call, CULVER_E_CONFIG, 0, "a service is a "
		    "file's name: letters, digits, dots, dashes, underscores");
	*bad = OPT_PATHS;
	for (size_t i = 0; i < paths->u.list.n; i++)
		if (paths->u.list.v[i].p[0] != '/')
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.100s\" is not an absolute path",
			    paths->u.list.v[i].p);
	return auth_user_options(v, OPT_UID, bad, call);
}

/* --- start --------------------------------------------------------------- */

/* libpam would take the service "other" for one that is not there. */
static bool
service_exists(const char *name)
{
	static const char *const dirs[] = {"/etc/pam.d", "/usr/lib/pam.d",
	    "/usr/etc/pam.d", "/usr/share/pam.d"};
	char path[128];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

/* Without it pam_unix calls every password wrong; another module may do. */
static void
shadow_check(const struct culver_host *host)
{
	struct stat st;

	if (access("/etc/shadow", R_OK) == 0 || errno == ENOENT ||
	    stat("/etc/shadow", &st) != 0)
		return;
	if (st.st_gid == 0 || (st.st_mode & S_IRGRP) == 0)
		culver_logf(host, CULVER_LOG_WARN, "cannot read /etc/shadow, "
		    "which no group but root's may: pam_unix will call every "
		    "password wrong");
	else
		culver_logf(host, CULVER_LOG_WARN, "cannot read /etc/shadow: "
		    "pam_unix will call every password wrong; culverd must "
		    "be started as root, and the section have group = \"%u\"",
		    (unsigned)st.st_gid);
}

static void
au_destroy(struct culver_auth *au)
{
	int status;

	if (au != NULL)
		program_end(&au->child, 0, &status);
	free(au);
}

static culver_status
au_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	const char *service = vals->v[OPT_SERVICE].u.s.p;
	struct culver_auth *au;

	if (!service_exists(service))
		return culver_fail(call, CULVER_E_TEMP, 0, "there is no PAM "
		    "service \"%s\" that uid %u can read: make /etc/pam.d/%s, "
		    "as in culver-pam(5)", service, (unsigned)geteuid(),
		    service);
	au = calloc(1, sizeof(*au));
	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	*au = (struct culver_auth){.host = host, .opt = vals->v,
	    .service = service,
	    .child = {.host = host, .name = "PAM", .err = -1}};
	shadow_check(host);
	*out = au;
	return CULVER_OK;
}

/* --- paths --------------------------------------------------------------- */

#define RUN (CULVER_PATH_READ | CULVER_PATH_EXEC)

static void
path_add(const char *path, uint32_t how, struct culver_path *out,
    uint32_t cap, uint32_t *n)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		how |= CULVER_PATH_DIR;
	if (*n < cap)
		out[*n] = (struct culver_path){.path = path, .access = how};
	(*n)++;
}

/* /run: pam_nologin, which says yes where it cannot look, and the sockets'
 * folders of NSS; /usr: modules, helpers, time zones. */
static culver_status
au_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	static const struct culver_path usual[] = {
		{"/etc", CULVER_PATH_READ, 0}, {"/run", CULVER_PATH_READ, 0},
		{"/usr", RUN, 0}, {"/bin", RUN, 0}, {"/sbin", RUN, 0},
		{"/lib", RUN, 0}, {"/lib32", RUN, 0}, {"/lib64", RUN, 0},
		{"/var/lib/sss", CULVER_PATH_READ, 0},
		{"/dev/urandom", CULVER_PATH_READ, 0},
		{"/dev/null", CULVER_PATH_READ | CULVER_PATH_WRITE, 0},
	};
	const struct culver_value *more = &au->opt[OPT_PATHS];

	(void)call;
	*n = 0;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (access(usual[i].path, R_OK) == 0)
			path_add(usual[i].path, usual[i].access, out, cap, n);
	for (size_t i = 0; i < more->u.list.n; i++)
		path_add(more->u.list.v[i].p, RUN, out, cap, n);
	return CULVER_OK;
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = au_create,
	.destroy = au_destroy,
	.paths = au_paths,
	.verify_plain = pam_login_verify,
	.lookup_user = pam_user_lookup,
};

CULVER_PLUGIN(auth_pam) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	/* times, addresses and other logins decide, too */
	.caps = CULVER_AU_VERIFY | CULVER_AU_USER | CULVER_AU_NO_CACHE,
	.needs = CULVER_NEED_EXEC,
	.wants = CULVER_NEED_NET,
	.name = "pam",
	.version = VERSION,
	.summary = "users of this machine, by PAM and NSS",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = au_check_options,
	.ops = {.auth = &ops},
};
