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
#include <strings.h>
#include <unistd.h>

#include <culver/auth.h>
#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"
#include "plugins/common/scram.h"

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = {.name = "path", .type = CULVER_OPT_PATH,
	    .flags = CULVER_OPT_REQUIRED,
	    .help = "the passwd file"},
	[OPT_SCHEME] = {.name = "scheme", .type = CULVER_OPT_STRING,
	    .def = "CRYPT",
	    .help = "scheme of passwords that name none"},
	[OPT_ALLOW_WEAK] = {.name = "allow_weak", .type = CULVER_OPT_LIST,
	    .help = "weak schemes that are accepted all the same: MD5-CRYPT, "
		"DES-CRYPT"},
	[OPT_UID] = {.name = "uid", .type = CULVER_OPT_INT, .min = 0,
	    .max = UINT32_MAX - 1, .def = "0",
	    .help = "uid of users without one; 0: none"},
	[OPT_GID] = {.name = "gid", .type = CULVER_OPT_INT, .min = 0,
	    .max = UINT32_MAX - 1, .def = "0",
	    .help = "gid of users without one; 0: none"},
	[OPT_HOME] = {.name = "home", .type = CULVER_OPT_STRING,
	    .help = "home of users without one; %{user}, %{name} and "
		"%{domain} are replaced"},
};

/* --- options ------------------------------------------------------------- */

static struct span
opt_text(const struct culver_value *v)
{
	return (struct span){v->u.s.p != NULL ? v->u.s.p : "", v->u.s.n};
}

static culver_status
passwdfile_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	const struct culver_value *v = vals->v;
	struct span home = opt_text(&v[OPT_HOME]);
	char out[PF_MAX_VALUE + 1];
	const char *why;

	(void)host;
	*bad = OPT_SCHEME;
	if (!scheme_known(opt_text(&v[OPT_SCHEME])))
		return culver_fail(call, CULVER_E_CONFIG, 0, "not one of "
		    "CRYPT, YESCRYPT, SHA512-CRYPT, SHA256-CRYPT, BLF-CRYPT, "
		    "SCRYPT, PLAIN, SCRAM-SHA-256, SCRAM-SHA-1, MD5-CRYPT, "
		    "DES-CRYPT");
	*bad = OPT_ALLOW_WEAK;
	for (size_t i = 0; i < v[OPT_ALLOW_WEAK].u.list.n; i++) {
		const struct culver_str *s = &v[OPT_ALLOW_WEAK].u.list.v[i];
		const struct method *m = method_find((struct span){s->p, s->n});

		if (m == NULL || !m->weak)
			return culver_fail(call, CULVER_E_CONFIG, 0,
			    "\"%.40s\" is not one of MD5-CRYPT, DES-CRYPT",
			    s->p);
	}
	*bad = OPT_GID;
	if ((v[OPT_UID].u.i == 0) != (v[OPT_GID].u.i == 0))
		return culver_fail(call, CULVER_E_CONFIG, 0, "uid and gid "
		    "go together: set both or none");
	*bad = OPT_HOME;
	if (home.n > 0 && !home_expand(home.p, NULL, out, &why))
		return culver_fail(call, CULVER_E_CONFIG, 0, "%s", why);
	return CULVER_OK;
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
	au->file.scheme = opt_text(&vals->v[OPT_SCHEME]);
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
	au->host->wipe(&au->work, sizeof(au->work));
	free(au);
}

/* --- paths --------------------------------------------------------------- */

/* The folder of PATH into the arena; NULL: no memory. */
static char *
folder_of(struct culver_auth *au, const char *path, struct culver_call *call)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL || slash == path ? 1 : (size_t)(slash - path);

	return culver_strndup(au->host, call, path, n);
}

/* The file is replaced by rename, so its folder is what has to be open; if it
 * is a symbolic link, the folder of what it names too. */
static culver_status
passwdfile_paths(struct culver_auth *au, struct culver_path *out,
    uint32_t cap, uint32_t *n, struct culver_call *call)
{
	char *real = realpath(au->file.path, NULL);
	char *dir[2] = {folder_of(au, au->file.path, call),
	    real != NULL ? folder_of(au, real, call) : NULL};

	*n = real != NULL ? 2 : 1;
	free(real);
	for (uint32_t i = 0; i < *n; i++) {
		if (dir[i] == NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "paths");
		if (i < cap)
			out[i] = (struct culver_path){.path = dir[i],
			    .access = CULVER_PATH_READ | CULVER_PATH_DIR};
	}
	return CULVER_OK;
}

/* --- user ---------------------------------------------------------------- */

/* Dovecot writes "maildir:/path"; the storage section knows the format. */
static culver_status
location_set(struct culver_auth *au, struct culver_user *out, struct span v,
    struct culver_call *call)
{
	static const char *const formats[] = {"maildir:", "mbox:", "sqlite:"};
	size_t strip = 0;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = strlen(formats[i]);

		if (v.n > n && memcmp(v.p, formats[i], n) == 0)
			strip = n;
	}
	v.p += strip;
	v.n -= strip;
	if (v.n == 0 || v.n > PF_MAX_VALUE ||
	    (v.p[0] != '/' && v.p[0] != '~') ||
	    (strip > 0 && memchr(v.p, ':', v.n) != NULL))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s: "
		    "mail=%.*s is not a path from / or ~/ without options",
		    au->file.path, out->name, (int)(v.n < 60 ? v.n : 60), v.p);
	out->location = culver_strndup(au->host, call, v.p, v.n);
	return out->location != NULL ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

/* What the core has a member for; E_UNSUPPORTED: a field like any other. */
static culver_status
known_set(struct culver_auth *au, struct culver_user *out, struct span name,
    struct span v, struct culver_call *call)
{
	uint32_t *id = span_is(name, "uid") ? &out->uid :
	    span_is(name, "gid") ? &out->gid : NULL;
	const char **text = span_is(name, "home") ? &out->home :
	    span_is(name, "storage") ? &out->storage : NULL;

	if (span_is(name, "mail"))
		return location_set(au, out, v, call);
	if (id != NULL)
		return entry_id(v, id) ? CULVER_OK :
		    culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s: %.*s "
			"is not a number above 0", au->file.path, out->name,
			(int)name.n, name.p);
	if (text == NULL)
		return CULVER_E_UNSUPPORTED;
	*text = culver_strndup(au->host, call, v.p, v.n);
	return *text != NULL ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

/* The fields behind the shell: those for the user, with or without userdb_. */
static culver_status
extra_set(struct culver_auth *au, struct culver_user *out,
    const struct entry *e, struct culver_call *call)
{
	static const char prefix[] = "userdb_";
	struct span rest = e->extra, name, value;
	struct culver_field *fields;
	culver_status st;
	uint32_t n = 0;

	while (entry_next_extra(&rest, &name, &value))
		n++;
	fields = culver_alloc(au->host, call, (n + 1) * sizeof(*fields));
	if (fields == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "user");
	out->fields = fields;
	for (rest = e->extra; entry_next_extra(&rest, &name, &value);) {
		if (name.n > sizeof(prefix) - 1 &&
		    memcmp(name.p, prefix, sizeof(prefix) - 1) == 0) {
			name.p += sizeof(prefix) - 1;
			name.n -= sizeof(prefix) - 1;
		}
		st = known_set(au, out, name, value, call);
		if (st == CULVER_OK)
			continue;
		if (st != CULVER_E_UNSUPPORTED)
			return st;
		fields[out->n_fields].name = culver_strndup(au->host, call,
		    name.p, name.n);
		fields[out->n_fields].value = culver_strndup(au->host, call,
		    value.p, value.n);
		if (span_is(name, "quota_rule") && !quota_parse(value, out))
			return culver_fail(call, CULVER_E_TEMP, 0, "user %s: "
			    "quota_rule is not one that is known: wanted "
			    "*:storage=SIZE:messages=COUNT", out->name);
		if (fields[out->n_fields].name == NULL ||
		    fields[out->n_fields].value == NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "user");
		out->n_fields++;
	}
	return CULVER_OK;
}

static culver_status
home_set(struct culver_auth *au, struct culver_user *out,
    const struct entry *e, struct culver_call *call)
{
	struct span option = opt_text(&au->opt[OPT_HOME]);
	char made[PF_MAX_VALUE + 1];
	const char *why;

	if (e->home.n > 0) {
		out->home = culver_strndup(au->host, call, e->home.p,
		    e->home.n);
	} else if (option.n > 0) {
		if (!home_expand(option.p, out->name, made, &why))
			return culver_fail(call, CULVER_E_TEMP, 0, "home of "
			    "user %s: %s", out->name, why);
		out->home = culver_strndup(au->host, call, made,
		    strlen(made));
	} else {
		return CULVER_OK;
	}
	return out->home != NULL ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

static culver_status
passwdfile_user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct entry e;
	uint32_t line_nr;
	culver_status st = login_find(au, rq->user, &e, &line_nr, call);

	if (st != CULVER_OK)
		return st;
	out->name = culver_strndup(au->host, call, e.user.p, e.user.n);
	if (out->name == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "user");
	out->uid = e.uid != 0 ? e.uid : (uint32_t)au->opt[OPT_UID].u.i;
	out->gid = e.gid != 0 ? e.gid : (uint32_t)au->opt[OPT_GID].u.i;
	st = home_set(au, out, &e, call);
	if (st == CULVER_OK)
		st = e.extra_is_mail && e.extra.n > 0 ?
		    location_set(au, out, e.extra, call) :
		    e.extra_is_mail ? CULVER_OK :
		    extra_set(au, out, &e, call);
	if (st != CULVER_OK)
		return st;
	/* A file of passwords only leaves the rest to another section. */
	if (out->uid == 0 && out->gid == 0)
		return culver_fail(call, CULVER_E_DECLINE, 0, "%s:%u: user %s "
		    "has no uid, and the section sets none", au->file.path,
		    line_nr, rq->user);
	if (out->uid == 0 || out->gid == 0)
		return culver_fail(call, CULVER_E_TEMP, 0, "%s:%u: user %s "
		    "has no %s", au->file.path, line_nr, rq->user,
		    out->uid == 0 ? "uid" : "gid");
	return CULVER_OK;
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
	    CULVER_AU_USER,
	.name = "passwdfile",
	.version = VERSION,
	.summary = "users from a passwd file in Dovecot's format",
	.options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.check_options = passwdfile_check_options,
	.ops = {.auth = &ops},
};
