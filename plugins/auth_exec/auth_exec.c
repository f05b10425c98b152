/*
 * auth_exec.c - users from a program that answers requests; see
 * culver-exec(5).
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients; the program is an administrator's and runs below the same
 * confinement.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <culver/util.h>

#include "plugins/auth_exec/exec.h"
#include "plugins/common/scram.h"

static const struct culver_option options[N_OPTIONS] = {
	PROGRAM_OPTIONS(OPT_PROGRAM),
	AUTH_PASSWORD_OPTIONS(OPT_SCHEME),
	AUTH_USER_OPTIONS(OPT_UID),
};

static culver_status
exec_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	culver_status st = program_options(v, OPT_PROGRAM, bad, call);

	(void)host;
	if (st == CULVER_OK)
		st = auth_password_options(v, OPT_SCHEME, bad, call);
	return st == CULVER_OK ? auth_user_options(v, OPT_UID, bad, call) :
	    st;
}

static void
exec_destroy(struct culver_auth *au)
{
	if (au == NULL)
		return;
	bridge_close(&au->bridge);
	auth_kept_drop(&au->kept);
	auth_check_end(&au->check);
	free(au);
}

static culver_status
exec_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au;
	uint32_t bad;

	if (exec_check_options(host, vals, &bad, call) != CULVER_OK)
		return CULVER_E_CONFIG;
	au = calloc(1, sizeof(*au));
	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	au->host = host;
	au->opt = vals->v;
	auth_check_begin(&au->check, host, &au->opt[OPT_SCHEME], &au->costs);
	if (!bridge_open(&au->bridge, host, au->opt) || !plug_scram_warm()) {
		exec_destroy(au);
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	}
	program_warn(host, au->bridge.argv[0]);
	*out = au;
	return CULVER_OK;
}

static culver_status
exec_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	return program_paths(au->host, au->bridge.argv[0], &au->opt[OPT_READ],
	    out, cap, n, call);
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = exec_create,
	.destroy = exec_destroy,
	.paths = exec_paths,
	.verify_plain = exec_verify,
	.lookup_creds = exec_creds,
	.lookup_user = exec_user,
};

CULVER_PLUGIN(auth_exec) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	.caps = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_USER |
	    CULVER_AU_TOKEN | CULVER_AU_EXTERNAL,
	.needs = CULVER_NEED_EXEC,
	.wants = CULVER_NEED_NET,
	.name = "exec",
	.version = VERSION,
	.summary = "users from a program in any language",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = exec_check_options,
	.ops = {.auth = &ops},
};
