/*
 * pool.c - call the plugin for one login and check what it gives back.
 *
 * Runs in a pool process as the auth user, confined to the plugin's paths.
 * The request comes from the coordinator, the answer from the plugin.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/auth/pool.h"
#include "core/base/clock.h"
#include "core/plugin/host.h"

/* --- check --------------------------------------------------------------- */

/* A status that the ABI has for auth calls; anything else is TEMP. */
static culver_status
status_check(culver_status st)
{
	if (st == CULVER_OK || (st <= CULVER_E_TEMP && st >= CULVER_E_CONFIG) ||
	    (st <= CULVER_E_AUTH && st >= CULVER_E_DECLINE))
		return st;
	return CULVER_E_TEMP;
}

/* The text S (NULL: ""), if it has at most MAX octets and no control octet;
 * NULL if it is not fit for anybody. */
static const char *
text_check(const char *s, size_t max)
{
	size_t n;

	if (s == NULL)
		return "";
	n = strnlen(s, max + 1);
	if (n > max)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return NULL;
	return s;
}

/* name NUL value NUL ... into r->fields; false if they do not fit. */
static _Bool
fields_encode(struct pool_run *r, const struct culver_user *u,
    struct ipc_bytes *out)
{
	const char *text[2];
	size_t n = 0, len;

	if (u->n_fields > POOL_MAX_FIELDS ||
	    (u->n_fields > 0 && u->fields == NULL))
		return 0;
	for (uint32_t i = 0; i < u->n_fields * 2; i++) {
		text[0] = text_check(u->fields[i / 2].name, POOL_FIELDS);
		text[1] = text_check(u->fields[i / 2].value, POOL_FIELDS);
		if (text[0] == NULL || text[1] == NULL || text[0][0] == 0)
			return 0;
		len = strlen(text[i % 2]) + 1;
		if (len > sizeof(r->fields) - n)
			return 0;
		memcpy(r->fields + n, text[i % 2], len);
		n += len;
	}
	*out = (struct ipc_bytes){.p = r->fields, .n = (uint32_t)n};
	return 1;
}

/* The user as the plugin described it; NULL, or what is wrong with that. */
static const char *
user_take(struct pool_run *r, const struct culver_user *u,
    struct ipc_pool_answer *out)
{
	const char *home = text_check(u->home, 4095);
	const char *location = text_check(u->location, 4095);
	const char *storage = text_check(u->storage, 63);
	const char *name = text_check(u->name, 255);

	if (home == NULL || location == NULL || storage == NULL ||
	    name == NULL)
		return "a text that is too long or has control octets";
	if (u->uid == 0 || u->gid == 0 || u->uid == UINT32_MAX ||
	    u->gid == UINT32_MAX)
		return "no uid or gid above 0";
	if (!fields_encode(r, u, &out->fields))
		return "malformed fields, or more than 4 KiB of them";
	out->uid = u->uid;
	out->gid = u->gid;
	out->home = home;
	out->location = location;
	out->storage = storage;
	out->quota_octets = u->quota_octets;
	out->quota_messages = u->quota_messages;
	if (name[0] != 0)
		out->user = name;
	return NULL;
}

/* --- call ---------------------------------------------------------------- */

static void
error_set(struct pool_run *r, const char *what, const char *why)
{
	char reason[64] = "";

	if (why == NULL) {
		why = plugin_error_text(&r->err);
		if (r->err.sys_errno > 0)
			snprintf(reason, sizeof(reason), ": %.60s",
			    strerror(r->err.sys_errno));
	}
	if (r->error[0] == 0)
		snprintf(r->error, sizeof(r->error), "%s: %.*s%s", what,
		    180, why, reason);
}

/* Is ST something to tell the log more about? */
static _Bool
is_failure(culver_status st)
{
	return st != CULVER_OK && st != CULVER_E_NOUSER &&
	    (st > CULVER_E_AUTH || st == CULVER_E_DECLINE);
}

static culver_status
verify(struct pool_run *r, const struct culver_auth_req *rq,
    const struct ipc_pool_login *m, struct ipc_pool_answer *out)
{
	struct culver_str password = {r->password, m->password.n};
	struct culver_auth_ok ok = {.size = sizeof(ok)};
	struct culver_call call = plugin_call(r->arena, &r->err, m->deadline);
	culver_status st;
	const char *name;

	if ((r->caps & (m->flags & IPC_TOKEN ? CULVER_AU_TOKEN :
	    m->flags & IPC_CERT ? CULVER_AU_EXTERNAL : CULVER_AU_VERIFY)) == 0)
		return CULVER_E_DECLINE;
	if (m->password.n >= sizeof(r->password))
		return CULVER_E_TEMP;
	if (m->password.n > 0)
		memcpy(r->password, m->password.p, m->password.n);
	r->password[m->password.n] = 0;
	st = status_check(r->ops->verify_plain(r->au, rq, &password, &ok,
	    &call));
	explicit_bzero(r->password, sizeof(r->password));
	if (is_failure(st) && (st != CULVER_E_UNSUPPORTED ||
	    (m->flags & IPC_QUICK) == 0))
		error_set(r, "verify", NULL);
	if (st != CULVER_OK)
		return st;
	name = text_check(ok.user, 255);
	if (name == NULL) {
		error_set(r, "verify", "a name that is none");
		return CULVER_E_TEMP;
	}
	out->user = name;
	out->login_delay = ok.login_delay;
	out->expire_days = ok.expire_days;
	return CULVER_OK;
}

/* S into OUT if it has from 1 to MAX octets. */
static _Bool
octets_take(const struct culver_str *s, size_t max, struct ipc_bytes *out)
{
	if (s->p == NULL || s->n == 0 || s->n > max)
		return 0;
	*out = (struct ipc_bytes){.p = (const uint8_t *)s->p,
	    .n = (uint32_t)s->n};
	return 1;
}

/* What a plugin gave; NULL, or what is wrong with that. */
static const char *
creds_take(const struct culver_cred *cred, const struct culver_auth_ok *ok,
    struct ipc_pool_creds *out)
{
	const char *name = text_check(ok->user, 255);
	size_t key = cred->form == CULVER_CRED_SCRAM_SHA1 ? 20 : 32;

	if (name == NULL)
		return "a name that is none";
	if (cred->form == CULVER_CRED_PLAIN) {
		if (!octets_take(&cred->secret, POOL_SECRET, &out->password))
			return "a password that is empty or too long";
	} else if (!octets_take(&cred->salt, POOL_SALT, &out->salt) ||
	    !octets_take(&cred->stored_key, key, &out->stored_key) ||
	    !octets_take(&cred->server_key, key, &out->server_key) ||
	    cred->stored_key.n != key || cred->server_key.n != key ||
	    cred->iterations == 0) {
		return "keys for SCRAM that are none";
	}
	out->iterations = cred->iterations;
	out->user = name;
	out->login_delay = ok->login_delay;
	out->expire_days = ok->expire_days;
	return NULL;
}

static culver_status
creds(struct pool_run *r, const struct culver_auth_req *rq,
    const struct ipc_pool_login *m, struct ipc_pool_creds *out)
{
	struct culver_cred cred = {.size = sizeof(cred), .form = m->form,
	    .salt = {(const char *)m->salt.p, m->salt.n},
	    .iterations = m->iterations};
	struct culver_auth_ok ok = {.size = sizeof(ok)};
	struct culver_call call = plugin_call(r->arena, &r->err, m->deadline);
	const char *wrong;
	culver_status st;

	if ((r->caps & CULVER_AU_CREDS) == 0)
		return CULVER_E_DECLINE;
	st = r->ops->lookup_creds(r->au, rq, &cred, &ok, &call);
	if (st == CULVER_E_UNSUPPORTED)
		return st;
	st = status_check(st);
	if (is_failure(st))
		error_set(r, "credentials", NULL);
	if (st != CULVER_OK)
		return st;
	cred.form = m->form;
	wrong = creds_take(&cred, &ok, out);
	if (wrong == NULL)
		return CULVER_OK;
	error_set(r, "credentials", wrong);
	return CULVER_E_TEMP;
}

static culver_status
lookup(struct pool_run *r, const struct culver_auth_req *rq, uint64_t deadline,
    struct ipc_pool_answer *out)
{
	struct culver_user user = {.size = sizeof(user)};
	struct culver_call call = plugin_call(r->arena, &r->err, deadline);
	const char *wrong;
	culver_status st;

	if ((r->caps & CULVER_AU_USER) == 0)
		return CULVER_E_DECLINE;
	st = status_check(r->ops->lookup_user(r->au, rq, &user, &call));
	if (is_failure(st))
		error_set(r, "lookup", NULL);
	if (st != CULVER_OK)
		return st;
	wrong = user_take(r, &user, out);
	if (wrong == NULL)
		return CULVER_OK;
	error_set(r, "lookup", wrong);
	return CULVER_E_TEMP;
}

static struct culver_auth_req
request(const struct ipc_pool_login *m)
{
	static const struct { uint32_t flag, rq; } flags[] = {
		{IPC_TLS, CULVER_RQ_TLS}, {IPC_LOOPBACK, CULVER_RQ_LOOPBACK},
		{IPC_TOKEN, CULVER_RQ_TOKEN}, {IPC_CERT, CULVER_RQ_EXTERNAL},
		{IPC_QUICK, CULVER_RQ_QUICK},
	};
	struct culver_auth_req rq = {.size = sizeof(rq), .user = m->user,
	    .service = m->service, .remote = m->remote, .local = m->local,
	    .session = m->session};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		rq.flags |= m->flags & flags[i].flag ? flags[i].rq : 0u;
	return rq;
}

void
pool_creds(struct pool_run *r, const struct ipc_pool_login *m,
    struct ipc_pool_creds *out)
{
	struct culver_auth_req rq = request(m);

	*out = (struct ipc_pool_creds){.id = m->id,
	    .status = (uint32_t)CULVER_E_TEMP, .error = r->error};
	r->error[0] = 0;
	if (clock_now() >= m->deadline)
		error_set(r, "late", "its time was over before it began");
	else
		out->status = (uint32_t)creds(r, &rq, m, out);
}

void
pool_answer(struct pool_run *r, const struct ipc_pool_login *m,
    struct ipc_pool_answer *out)
{
	struct culver_auth_req rq = request(m);
	culver_status st = CULVER_OK;

	*out = (struct ipc_pool_answer){.id = m->id,
	    .verify = (uint32_t)CULVER_E_TEMP,
	    .lookup = (uint32_t)CULVER_E_TEMP, .error = r->error};
	r->error[0] = 0;
	if (clock_now() >= m->deadline) {
		error_set(r, "late", "its time was over before it began");
		return;
	}
	if (m->want & IPC_WANT_VERIFY) {
		st = verify(r, &rq, m, out);
		out->verify = (uint32_t)st;
	}
	if (st == CULVER_OK && (m->want & IPC_WANT_USER)) {
		if (out->user != NULL && out->user[0] != 0)
			rq.user = out->user;
		out->lookup = (uint32_t)lookup(r, &rq, m->deadline, out);
	}
}

void
pool_clean(struct pool_run *r)
{
	arena_wipe(r->arena);
	explicit_bzero(r->password, sizeof(r->password));
	explicit_bzero(r->fields, sizeof(r->fields));
	explicit_bzero(&r->err, sizeof(r->err));
	r->error[0] = 0;
}
