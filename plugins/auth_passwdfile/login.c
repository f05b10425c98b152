/*
 * login.c - may this client log in?  Passwords, and what SCRAM needs.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients, hashes from an administrator.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"
#include "plugins/common/scram.h"

/* Do the work of checking a password without a result: nobody may see from
 * the time whether a user is there. */
static culver_status
burn(struct culver_auth *au, const struct culver_str *password,
    culver_status status)
{
	if (au->file.dummy_method != NULL)
		(void)hash_verify(au->file.dummy_method, au->file.dummy,
		    password, &au->work);
	au->host->wipe(&au->work, sizeof(au->work));
	return status;
}

static _Bool
weak_allowed(const struct culver_auth *au, const struct method *m)
{
	const struct culver_value *v = &au->opt[OPT_ALLOW_WEAK];

	for (size_t i = 0; i < v->u.list.n; i++)
		if (method_find((struct span){v->u.list.v[i].p,
		    v->u.list.v[i].n}) == m)
			return 1;
	return 0;
}

/* Fields of Dovecot that close an account, or that open it only to some.  The
 * latter are not known here, and not to heed them would open it to all. */
static _Bool
login_open(struct culver_auth *au, const struct entry *e, const char *user)
{
	static const char *const closed[] = {"allow_nets", "allow_real_nets",
	    "proxy", "proxy_maybe", "nopassword", "noauthenticate"};
	struct span rest = e->extra, name, value;

	if (e->extra_is_mail)
		return 1;
	while (entry_next_extra(&rest, &name, &value)) {
		if (span_is(name, "nologin") && !span_is(value, "no") &&
		    !span_is(value, "n"))
			return 0;
		for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
			if (span_is(name, closed[i])) {
				culver_logf(au->host, CULVER_LOG_WARN, "%s: "
				    "user %s is refused: the field %s is not "
				    "supported", au->file.path, user,
				    closed[i]);
				return 0;
			}
	}
	return 1;
}

/* Why HASH cannot be checked: a status, and what there is to log. */
static culver_status
hash_refused(struct culver_auth *au, const struct hash *h, const char *user,
    uint32_t line_nr, struct culver_call *call)
{
	switch (h->state) {
	case HASH_LOCKED:
		return CULVER_E_DISABLED;
	case HASH_UNKNOWN:
		return culver_fail(call, CULVER_E_TEMP, 0, "%s:%u: the "
		    "password scheme {%.*s} of user %s is not supported",
		    au->file.path, line_nr, (int)h->scheme.n, h->scheme.p,
		    user);
	case HASH_BROKEN:
		return culver_fail(call, CULVER_E_TEMP, 0, "%s:%u: the hash "
		    "of user %s is not one of {%.*s}", au->file.path, line_nr,
		    user, (int)h->scheme.n, h->scheme.p);
	case HASH_GOOD:
		break;
	}
	if (!h->method->weak || weak_allowed(au, h->method))
		return CULVER_OK;
	culver_logf(au->host, CULVER_LOG_WARN, "%s: user %s is refused: the "
	    "scheme %s is weak (allow_weak = {%s} accepts it)", au->file.path,
	    user, h->method->name, h->method->name);
	return CULVER_E_DISABLED;
}

culver_status
login_find(struct culver_auth *au, const char *user, struct entry *e,
    uint32_t *line_nr, struct culver_call *call)
{
	struct span line;
	const char *why;
	culver_status st = pwfile_refresh(&au->file, call);

	if (st != CULVER_OK)
		return st;
	if (!pwfile_find(&au->file, user, &line, line_nr))
		return CULVER_E_NOUSER;
	if (!entry_parse(line.p, line.n, e, &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s:%u: %s",
		    au->file.path, *line_nr, why);
	return CULVER_OK;
}

/* The user's hash; OK if it can be checked and the account is open. */
static culver_status
account_find(struct culver_auth *au, const char *user, struct hash *h,
    uint32_t *line_nr, struct culver_call *call)
{
	struct entry e;
	culver_status st = login_find(au, user, &e, line_nr, call);

	if (st != CULVER_OK)
		return st;
	*h = hash_parse(e.password, au->file.scheme);
	st = hash_refused(au, h, user, *line_nr, call);
	if (st == CULVER_OK && !login_open(au, &e, user))
		st = CULVER_E_DISABLED;
	return st;
}

/* Somebody else says that it is this user: is the account open?  A password
 * that is locked closes it to certificates, too; what kind of hash an open
 * one has does not matter. */
static culver_status
external_verify(struct culver_auth *au, const char *user,
    struct culver_call *call)
{
	struct entry e;
	uint32_t line_nr;
	culver_status st = login_find(au, user, &e, &line_nr, call);

	if (st != CULVER_OK)
		return st;
	return hash_parse(e.password, au->file.scheme).state == HASH_LOCKED ||
	    !login_open(au, &e, user) ? CULVER_E_DISABLED : CULVER_OK;
}

culver_status
login_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct hash h;
	uint32_t line_nr;
	char *text;
	culver_status st;

	(void)ok;
	if (rq->flags & CULVER_RQ_EXTERNAL)
		return external_verify(au, rq->user, call);
	st = account_find(au, rq->user, &h, &line_nr, call);
	if (st != CULVER_OK)
		return burn(au, password, st);
	text = culver_strndup(au->host, call, h.text.p, h.text.n);
	if (text == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "password");
	st = hash_verify(h.method, text, password, &au->work);
	au->host->wipe(&au->work, sizeof(au->work));
	if (st == CULVER_E_TEMP)
		return culver_fail(call, st, 0, "%s:%u: crypt(3) cannot "
		    "check the hash of user %s", au->file.path, line_nr,
		    rq->user);
	return st;
}

/* --- credentials --------------------------------------------------------- */

/* Octets into the arena, with a NUL behind them. */
static _Bool
octets_dup(struct culver_auth *au, struct culver_call *call, const void *p,
    size_t n, struct culver_str *out)
{
	char *copy = culver_strndup(au->host, call, p, n);

	*out = (struct culver_str){copy, copy != NULL ? n : 0};
	return copy != NULL;
}

static _Bool
cred_fill(struct culver_auth *au, const struct plug_scram *k,
    struct culver_cred *out, struct culver_call *call)
{
	out->iterations = k->iterations;
	return octets_dup(au, call, k->salt, k->salt_n, &out->salt) &&
	    octets_dup(au, call, k->stored, k->key_n, &out->stored_key) &&
	    octets_dup(au, call, k->server, k->key_n, &out->server_key);
}

/* Make the keys of PASSWORD with the salt that the core gave. */
static _Bool
keys_make(const struct culver_cred *cred, struct span password,
    struct plug_scram *k)
{
	*k = (struct plug_scram){
	    .sha256 = cred->form == CULVER_CRED_SCRAM_SHA256,
	    .iterations = cred->iterations, .salt_n = cred->salt.n};
	if (cred->salt.n == 0 || cred->salt.n > sizeof(k->salt))
		return 0;
	memcpy(k->salt, cred->salt.p, cred->salt.n);
	return plug_scram_make(k, password.p, password.n);
}

/* The keys of SCRAM.  Where some have to be made, everybody's take as long. */
static culver_status
keys_find(struct culver_auth *au, const struct hash *h, culver_status st,
    struct culver_cred *out, struct culver_call *call)
{
	static const char nobody[] = "nobody's";
	struct plug_scram k, other;
	_Bool is_plain = st == CULVER_OK && h->method == method_plain;
	_Bool is_scram = st == CULVER_OK && !is_plain && h->method->scram ==
	    (out->form == CULVER_CRED_SCRAM_SHA256 ? 256 : 1);
	_Bool ok = 0;

	if (is_plain || au->file.has_plain)
		ok = keys_make(out, is_plain ? h->text : (struct span){nobody,
		    sizeof(nobody) - 1}, &k);
	if (is_scram)
		ok = plug_scram_parse(out->form == CULVER_CRED_SCRAM_SHA256,
		    h->text.p, h->text.n, &other);
	if (is_plain || is_scram)
		st = ok && cred_fill(au, is_scram ? &other : &k, out, call) ?
		    CULVER_OK : culver_fail(call, CULVER_E_TEMP, 0, "%s: keys "
		    "for SCRAM cannot be made", au->file.path);
	else if (st == CULVER_OK)
		st = CULVER_E_UNSUPPORTED;
	au->host->wipe(&k, sizeof(k));
	au->host->wipe(&other, sizeof(other));
	return st;
}

culver_status
login_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	uint32_t line_nr;
	struct hash h;
	culver_status st;

	(void)ok;
	if (out->form != CULVER_CRED_PLAIN &&
	    out->form != CULVER_CRED_SCRAM_SHA1 &&
	    out->form != CULVER_CRED_SCRAM_SHA256)
		return CULVER_E_UNSUPPORTED;
	st = account_find(au, rq->user, &h, &line_nr, call);
	if (out->form != CULVER_CRED_PLAIN)
		return keys_find(au, &h, st, out, call);
	if (st != CULVER_OK)
		return st;
	if (h.method != method_plain)
		return CULVER_E_UNSUPPORTED;
	return octets_dup(au, call, h.text.p, h.text.n, &out->secret) ?
	    CULVER_OK : culver_fail(call, CULVER_E_NOMEM, 0, "password");
}
