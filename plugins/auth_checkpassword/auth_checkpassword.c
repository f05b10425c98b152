/*
 * auth_checkpassword.c - users from a program with the checkpassword
 * interface; see culver-checkpassword(5).
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients; the program is an administrator's, is started for each login, and
 * runs below the same confinement.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_checkpassword/checkpassword.h"

#define REPLY "checkpassword-reply"

static const struct culver_option options[N_OPTIONS] = {
	PROGRAM_OPTIONS(OPT_PROGRAM),
	[OPT_LOOKUP] = {.name = "lookup", .type = CULVER_OPT_BOOL,
	    .def = "no",
	    .help = "it can look users up without a password: with "
		"AUTHORIZED, as for Dovecot"},
	[OPT_REPLY] = {.name = "reply", .type = CULVER_OPT_PATH,
	    .help = "the program that it runs for a right password, if not "
		"Culver's checkpassword-reply"},
	AUTH_USER_OPTIONS(OPT_UID),
};

static culver_status
checkpw_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	culver_status st = program_options(v, OPT_PROGRAM, bad, call);

	(void)host;
	return st == CULVER_OK ? auth_user_options(v, OPT_UID, bad, call) :
	    st;
}

/* --- life ----------------------------------------------------------------- */

static void
checkpw_destroy(struct culver_auth *au)
{
	int status;

	if (au == NULL)
		return;
	program_end(&au->program, 0, &status);
	auth_kept_drop(&au->kept);
	free(au->argv);
	free(au->reply);
	free(au);
}

/* The reply program is beside the pool's, wherever Culver is installed. */
static char *
reply_find(const struct culver_value *v)
{
	char path[PATH_MAX + sizeof(REPLY)];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash = NULL;

	if (span_option(v).n > 0)
		return strdup(v->u.s.p);
	if (n > 0 && n < PATH_MAX) {
		path[n] = 0;
		slash = strrchr(path, '/');
	}
	if (slash != NULL) {
		memcpy(slash + 1, REPLY, sizeof(REPLY));
		if (access(path, X_OK) == 0)
			return strdup(path);
	}
	return strdup(PKGLIBEXECDIR "/" REPLY);
}

static culver_status
checkpw_create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	const struct culver_value *program = &vals->v[OPT_PROGRAM];
	struct culver_auth *au;
	uint32_t bad;

	if (checkpw_check_options(host, vals, &bad, call) != CULVER_OK)
		return CULVER_E_CONFIG;
	au = calloc(1, sizeof(*au));
	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	au->host = host;
	au->opt = vals->v;
	au->check = (struct auth_check){.host = host};
	au->program = (struct program){.host = host, .err = -1,
	    .name = program->u.list.v[0].p};
	au->argv = program_argv(program, 1);
	au->reply = reply_find(&vals->v[OPT_REPLY]);
	if (au->argv == NULL || au->reply == NULL) {
		checkpw_destroy(au);
		return culver_fail(call, CULVER_E_NOMEM, errno, "start");
	}
	au->argv[program->u.list.n] = au->reply;
	program_warn(host, au->argv[0]);
	program_warn(host, au->reply);
	*out = au;
	return CULVER_OK;
}

static culver_status
checkpw_paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	culver_status st = program_paths(au->host, au->argv[0],
	    &au->opt[OPT_READ], out, cap, n, call);

	if (*n < cap)
		out[*n] = (struct culver_path){.path = au->reply,
		    .access = CULVER_PATH_READ | CULVER_PATH_EXEC};
	(*n)++;
	return st;
}

/* --- calls ---------------------------------------------------------------- */

static culver_status
bad_status(struct culver_auth *au, int status, const char *hint,
    struct culver_call *call)
{
	return culver_fail(call, CULVER_E_TEMP, 0, "%.100s ended with status "
	    "%d%s", au->program.name, status, hint);
}

/* What a run that was to check a password says by its exit status. */
static culver_status
verified(struct culver_auth *au, int status, struct culver_call *call)
{
	/* 1 is the interface's, for wrong and unknown alike; the others are
	 * those of vpopmail. */
	static const int no[] = {1, 3, 12, 13, 15, 20, 21, 22, 23};

	if (status == 0)
		return CULVER_OK;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (status == no[i])
			return CULVER_E_AUTH;
	return bad_status(au, status, status == 2 ? ", which says that it "
	    "was called wrong" : status == 111 ? ": it cannot say now" : "",
	    call);
}

static culver_status
checkpw_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct auth_account a = {.where = au->program.name, .user = rq->user,
	    .remote = rq->remote != NULL ? rq->remote : ""};
	const char *name = NULL;
	struct auth_row row;
	culver_status st;
	int status = -1;

	auth_kept_drop(&au->kept);
	/* A NUL would end it, and what comes behind would not be compared. */
	if (rq->user[0] == 0 || memchr(password->p, 0, password->n) != NULL ||
	    strlen(rq->user) + password->n + 3 > CHECK_INPUT)
		return CULVER_E_AUTH;
	st = check_run(au, rq, password, &status, &row, call);
	if (st == CULVER_OK)
		st = verified(au, status, call);
	if (st == CULVER_OK && auth_row_closes(&au->check, &a, &row))
		st = CULVER_E_DISABLED;
	if (st == CULVER_OK)
		st = auth_row_user(au->host, a.where, &row, &name, call);
	if (name == NULL)
		name = rq->user;
	/* For the lookup that follows, also if there is nothing else. */
	if (st == CULVER_OK)
		st = auth_row_add(au->host, &row, "userdb_user", name,
		    strlen(name), call);
	if (st != CULVER_OK)
		return st;
	auth_kept_set(&au->kept, rq, name, &row);
	if (CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	return CULVER_OK;
}

/* Ask the program for a user whose password nobody knows. */
static culver_status
look_up(struct culver_auth *au, const struct culver_auth_req *rq,
    struct auth_user *u, struct culver_call *call)
{
	const char *name = NULL;
	struct auth_row row;
	culver_status st;
	int status = -1;

	if (rq->user[0] == 0 || strlen(rq->user) + 3 > CHECK_INPUT)
		return CULVER_E_NOUSER;
	st = check_run(au, rq, NULL, &status, &row, call);
	if (st == CULVER_OK && status == 3)
		return CULVER_E_NOUSER;
	/* 1 says that there was no right password, and so nothing at all. */
	if (st == CULVER_OK && status != 2)
		return bad_status(au, status, ": a lookup sets AUTHORIZED=2 "
		    "and runs its argument, or ends with 3 for an unknown "
		    "user", call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, u->where, &row, &name, call);
	return st == CULVER_OK ? auth_row_give(&row, true, u, name != NULL ?
	    name : rq->user, call) : st;
}

static culver_status
checkpw_user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct auth_user u = {.host = au->host, .out = out,
	    .where = au->program.name};
	culver_status st;

	if (auth_kept_has(&au->kept, rq))
		st = auth_kept_give(&au->kept, &u, rq->user, call);
	else if (au->opt[OPT_LOOKUP].u.i != 0)
		st = look_up(au, rq, &u, call);
	else
		st = culver_fail(call, CULVER_E_DECLINE, 0, "%.100s cannot "
		    "look users up (lookup = no)", au->program.name);
	auth_kept_drop(&au->kept);
	return st == CULVER_OK ? auth_user_end(&u, &au->opt[OPT_UID], call) :
	    st;
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops),
	.create = checkpw_create,
	.destroy = checkpw_destroy,
	.paths = checkpw_paths,
	.verify_plain = checkpw_verify,
	.lookup_user = checkpw_user,
};

CULVER_PLUGIN(auth_checkpassword) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH,
	.caps = CULVER_AU_VERIFY | CULVER_AU_USER,
	.needs = CULVER_NEED_EXEC,
	.wants = CULVER_NEED_NET,
	.name = "checkpassword",
	.version = VERSION,
	.summary = "users from a program with the checkpassword interface",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = checkpw_check_options,
	.ops = {.auth = &ops},
};
