/*
 * auth_passwdfile.c - users, passwords and places of mail from a passwd file
 * as Dovecot's; see culver-passwdfile(5).
 *
 * Runs in a pool process as the auth user, confined to the file's folder.
 * Names and passwords come from clients, the file from an administrator.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <culver/auth.h>
#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"
#include "plugins/common/paths.h"
#include "plugins/common/scram.h"

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = {.name = "path", .type = CULVER_OPT_PATH,
	    .flags = CULVER_OPT_REQUIRED,
	    .help = "the passwd file"},
	AUTH_PASSWORD_OPTIONS(OPT_SCHEME),
	AUTH_USER_OPTIONS(OPT_UID),
};

/* --- options ------------------------------------------------------------- */

static culver_status
passwdfile_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	culver_status st = auth_password_options(vals->v, OPT_SCHEME, bad,
	    call);

	(void)host;
	return st == CULVER_OK ?
	    auth_user_options(vals->v, OPT_UID, bad, call) : st;
}

static culver_status
passwdfile_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au = calloc(1, sizeof(*au));

	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	if (!plug_scram_warm()) {
		free(au);
		return culver_fail(call, CULVER_E_TEMP, 0, "libcrypto has no "
		    "PBKDF2");
	}
	au->host = host;
	au->opt = vals->v;
	au->file.host = host;
	au->file.path = vals->v[OPT_PATH].u.s.p;
	auth_check_begin(&au->check, host, &au->opt[OPT_SCHEME],
	    &au->file.costs);
	au->file.scheme = au->check.scheme;
	/* A file that is not there may come; until then lookups say why. */
	if (pwfile_refresh(&au->file, call) != CULVER_OK)
		culver_logf(host, CULVER_LOG_ERROR, "%s%s%s",
		    call->err->text, call->err->sys_errno != 0 ? ": " : "",
		    call->err->sys_errno != 0 ?
		    strerror(call->err->sys_errno) : "");
	*out = au;
	return CULVER_OK;
}

static void
passwdfile_destroy(struct culver_auth *au)
{
	if (au == NULL)
		return;
	pwfile_unload(&au->file);
	auth_check_end(&au->check);
	free(au);
}

/* --- paths --------------------------------------------------------------- */

static culver_status
passwdfile_paths(struct culver_auth *au, struct culver_path *out,
    uint32_t cap, uint32_t *n, struct culver_call *call)
{
	*n = 0;
	return plug_paths_file(au->host, au->file.path, out, cap, n, call);
}

/* --- user ---------------------------------------------------------------- */

/* The fields behind the shell, which replace those of the line. */
static culver_status
extra_set(struct auth_user *u, const struct entry *e, struct culver_call *call)
{
	struct span rest = e->extra, name, value;
	culver_status st = CULVER_OK;

	if (e->extra_is_mail)
		return e->extra.n > 0 ?
		    auth_user_location(u, e->extra, call) : CULVER_OK;
	while (st == CULVER_OK && entry_next_extra(&rest, &name, &value))
		st = auth_user_field(u, name, value, call);
	return st;
}

static culver_status
passwdfile_user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct auth_user u = {.host = au->host, .where = au->where,
	    .out = out};
	struct span rest, name, value;
	struct entry e;
	size_t n = 0;
	culver_status st = login_find(au, rq->user, &e, call);

	if (st != CULVER_OK)
		return st;
	for (rest = e.extra; entry_next_extra(&rest, &name, &value);)
		n++;
	st = auth_user_begin(&u, rq->user, n, call);
	if (st != CULVER_OK)
		return st;
	out->uid = e.uid;
	out->gid = e.gid;
	if (e.home.n > 0)
		st = auth_user_field(&u, (struct span){"home", 4}, e.home,
		    call);
	if (st == CULVER_OK)
		st = extra_set(&u, &e, call);
	return st == CULVER_OK ? auth_user_end(&u, &au->opt[OPT_UID], call) :
	    st;
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = passwdfile_create,
	.destroy = passwdfile_destroy,
	.paths = passwdfile_paths,
	.verify_plain = login_verify,
	.lookup_creds = login_creds,
	.lookup_user = passwdfile_user,
};

CULVER_PLUGIN(auth_passwdfile) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	.caps = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_EXTERNAL |
	    CULVER_AU_USER | CULVER_AU_QUICK,
	.name = "passwdfile",
	.version = VERSION,
	.summary = "users from a passwd file in Dovecot's format",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = passwdfile_check_options,
	.ops = {.auth = &ops},
};
