/*
 * auth_login.c - may this client log in?  Passwords, and what SCRAM needs,
 * from what is stored of a user.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients, hashes from an administrator.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/common/auth.h"
#include "plugins/common/quote.h"
#include "plugins/common/scram.h"

/* --- costs ---------------------------------------------------------------- */

void
auth_costs_usual(struct auth_costs *c, struct span scheme)
{
	c->method = method_find(scheme);
	if (c->method == NULL)
		c->method = method_find((struct span){"YESCRYPT", 8});
	snprintf(c->hash, sizeof(c->hash), "%s", c->method->setting);
	c->cost = hash_cost(c->method, (struct span){c->hash,
	    strlen(c->hash)});
}

void
auth_costs_like(struct auth_costs *c, const struct hash *h)
{
	c->method = h->method;
	c->cost = hash_cost(h->method, h->text);
	snprintf(c->hash, sizeof(c->hash), "%.*s",
	    h->method == method_plain ? 0 : (int)h->text.n, h->text.p);
}

void
auth_costs_learn(struct auth_costs *c, const struct hash *h)
{
	struct hash_cost cost = hash_cost(h->method, h->text);

	c->has_plain |= h->method == method_plain;
	if (c->method != h->method || c->cost.usec != cost.usec ||
	    c->cost.kib != cost.kib)
		auth_costs_like(c, h);
}

void
auth_check_begin(struct auth_check *c, const struct culver_host *host,
    const struct culver_value *v, struct auth_costs *costs)
{
	*c = (struct auth_check){.host = host,
	    .scheme = span_option(&v[AUTH_SCHEME]),
	    .allow_weak = &v[AUTH_ALLOW_WEAK], .costs = costs};
	auth_costs_usual(costs, c->scheme);
}

void
auth_check_end(struct auth_check *c)
{
	c->host->wipe(&c->work, sizeof(c->work));
	c->host->wipe(c->costs, sizeof(*c->costs));
}

/* Do the work of checking a password without a result: nobody may see from
 * the time whether a user is there. */
static culver_status
burn(struct auth_check *c, const struct culver_str *password,
    culver_status status)
{
	if (c->costs->method != NULL)
		(void)hash_verify(c->costs->method, c->costs->hash, password,
		    &c->work);
	c->host->wipe(&c->work, sizeof(c->work));
	return status;
}

/* --- the account ---------------------------------------------------------- */

static _Bool
weak_allowed(const struct auth_check *c, const struct method *m)
{
	const struct culver_value *v = c->allow_weak;

	for (size_t i = 0; i < v->u.list.n; i++)
		if (method_find((struct span){v->u.list.v[i].p,
		    v->u.list.v[i].n}) == m)
			return 1;
	return 0;
}

culver_status
auth_hash(const struct auth_check *c, struct auth_account *a,
    struct span password, struct culver_call *call)
{
	const struct hash *h = &a->hash;
	struct quoted q;

	a->hash = hash_parse(password, c->scheme);
	switch (h->state) {
	case HASH_LOCKED:
		return CULVER_E_DISABLED;
	case HASH_UNKNOWN:
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: the "
		    "password scheme {%.*s} of user %s is not supported",
		    a->where, (int)h->scheme.n, h->scheme.p, a->user);
	case HASH_BROKEN:
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: the hash "
		    "of user %s is not one of {%.*s}", a->where, a->user,
		    (int)h->scheme.n, h->scheme.p);
	case HASH_COSTLY:
		return culver_fail(call, CULVER_E_TEMP, 0, "%s: to check the "
		    "hash of user %s would take too much time or memory",
		    a->where, a->user);
	case HASH_GOOD:
		break;
	}
	if (!h->method->weak || weak_allowed(c, h->method))
		return CULVER_OK;
	culver_logf(c->host, CULVER_LOG_WARN, "%s: user %s is refused: the "
	    "scheme %s is weak (allow_weak = {%s} accepts it)", a->where,
	    quote(&q, a->user), h->method->name, h->method->name);
	return CULVER_E_DISABLED;
}

/* What is not known here cannot be heeded, and not to heed it would open an
 * account that was meant to be closed. */
_Bool
auth_field_closes(const struct auth_check *c, const struct auth_account *a,
    struct span name, struct span value)
{
	static const char *const closed[] = {"allow_real_nets", "proxy",
	    "proxy_maybe", "nopassword", "noauthenticate"};
	struct quoted q;

	if (span_is(name, "nologin"))
		return !span_is(value, "no") && !span_is(value, "n");
	if (span_is(name, "allow_nets")) {
		if (auth_nets_have(value, a->remote))
			return 0;
		culver_logf(c->host, CULVER_LOG_WARN, "%s: user %s is refused: "
		    "the field allow_nets does not have %s", a->where,
		    quote(&q, a->user), a->remote[0] != 0 ? a->remote :
		    "local");
		return 1;
	}
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
		if (span_is(name, closed[i])) {
			culver_logf(c->host, CULVER_LOG_WARN, "%s: user %s is "
			    "refused: the field %s is not supported",
			    a->where, quote(&q, a->user), closed[i]);
			return 1;
		}
	return 0;
}

/* Would it take long to go on with ST? */
static _Bool
takes_long(const struct auth_check *c, const struct auth_account *a,
    culver_status st)
{
	struct hash_cost cost = c->costs->cost;

	if (st == CULVER_OK)
		cost = hash_cost(a->hash.method, a->hash.text);
	else if (c->costs->method == NULL)
		return 0;
	return !hash_cost_little(&cost);
}

culver_status
auth_verify(struct auth_check *c, const struct auth_account *a,
    culver_status st, const struct culver_str *password,
    struct culver_call *call)
{
	char *text;

	if (a->quick && takes_long(c, a, st))
		return CULVER_E_UNSUPPORTED;
	if (st != CULVER_OK)
		return burn(c, password, st);
	text = culver_strndup(c->host, call, a->hash.text.p, a->hash.text.n);
	if (text == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "password");
	st = hash_verify(a->hash.method, text, password, &c->work);
	c->host->wipe(&c->work, sizeof(c->work));
	if (st == CULVER_E_TEMP)
		return culver_fail(call, st, 0, "%s: the hash of user %s "
		    "cannot be checked", a->where, a->user);
	return st;
}

/* --- credentials ---------------------------------------------------------- */

/* Octets into the arena, with a NUL behind them. */
static _Bool
octets_dup(const struct auth_check *c, struct culver_call *call,
    const void *p, size_t n, struct culver_str *out)
{
	char *copy = culver_strndup(c->host, call, p, n);

	*out = (struct culver_str){copy, copy != NULL ? n : 0};
	return copy != NULL;
}

static _Bool
cred_fill(const struct auth_check *c, const struct plug_scram *k,
    struct culver_cred *out, struct culver_call *call)
{
	out->iterations = k->iterations;
	return octets_dup(c, call, k->salt, k->salt_n, &out->salt) &&
	    octets_dup(c, call, k->stored, k->key_n, &out->stored_key) &&
	    octets_dup(c, call, k->server, k->key_n, &out->server_key);
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
keys_find(const struct auth_check *c, const struct auth_account *a,
    culver_status st, struct culver_cred *out, struct culver_call *call)
{
	static const char nobody[] = "nobody's";
	const struct hash *h = &a->hash;
	struct plug_scram k, other;
	_Bool is_plain = st == CULVER_OK && h->method == method_plain;
	_Bool is_scram = st == CULVER_OK && !is_plain && h->method->scram ==
	    (out->form == CULVER_CRED_SCRAM_SHA256 ? 256 : 1);
	_Bool ok = 0;

	if (is_plain || c->costs->has_plain)
		ok = keys_make(out, is_plain ? h->text : (struct span){nobody,
		    sizeof(nobody) - 1}, &k);
	if (is_scram)
		ok = plug_scram_parse(out->form == CULVER_CRED_SCRAM_SHA256,
		    h->text.p, h->text.n, &other);
	if (is_plain || is_scram)
		st = ok && cred_fill(c, is_scram ? &other : &k, out, call) ?
		    CULVER_OK : culver_fail(call, CULVER_E_TEMP, 0, "%s: keys "
		    "for SCRAM cannot be made", a->where);
	else if (st == CULVER_OK)
		st = CULVER_E_UNSUPPORTED;
	c->host->wipe(&k, sizeof(k));
	c->host->wipe(&other, sizeof(other));
	return st;
}

culver_status
auth_creds(struct auth_check *c, const struct auth_account *a,
    culver_status st, struct culver_cred *out, struct culver_call *call)
{
	if (out->form != CULVER_CRED_PLAIN &&
	    out->form != CULVER_CRED_SCRAM_SHA1 &&
	    out->form != CULVER_CRED_SCRAM_SHA256)
		return CULVER_E_UNSUPPORTED;
	if (out->form != CULVER_CRED_PLAIN)
		return keys_find(c, a, st, out, call);
	if (st != CULVER_OK)
		return st;
	if (a->hash.method != method_plain)
		return CULVER_E_UNSUPPORTED;
	return octets_dup(c, call, a->hash.text.p, a->hash.text.n,
	    &out->secret) ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "password");
}
