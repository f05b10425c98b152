/*
 * check_listen.c - the sections listen: addresses, and which logins can work
 * there.
 *
 * Runs in the config role.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/config/check-private.h"
#include "core/config/conf.h"
#include "core/config/convert.h"
#include "core/config/mem.h"

/* The unix socket NAME in run_dir. */
static void
run_address(struct cf_config *c, struct cf_section *s, const char *name)
{
	const char *run = c->top.v[O_RUN_DIR].u.s.p;
	size_t n = sizeof("unix:/") + strlen(name) +
	    (run != NULL ? strlen(run) : 0);
	struct culver_str *one = mem_get(sizeof(*one));
	char *text = mem_get(n);

	snprintf(text, n, "unix:%s/%s", run != NULL ? run : "", name);
	*one = (struct culver_str){text, strlen(text)};
	s->v[O_ADDRESS].u.list.v = one;
	s->v[O_ADDRESS].u.list.n = 1;
}

static void
default_address(struct cf_config *c, struct cf_section *s)
{
	static const struct culver_str pop3[] = {{"0.0.0.0:110", 11},
	    {"[::]:110", 8}};
	static const struct culver_str pop3s[] = {{"0.0.0.0:995", 11},
	    {"[::]:995", 8}};
	struct culver_value *v = &s->v[O_ADDRESS];

	if (s->set[O_ADDRESS] != NULL)
		return;
	if (cf_is_metrics(s)) {
		run_address(c, s, "metrics");
		return;
	}
	if (cf_is_lmtp(s)) {
		if (!s->implied)
			cf_blame(s, O_ADDRESS, "required option is missing, "
			    "as in `address = {\"unix:/run/culver/lmtp\"}'");
		return;
	}
	if (strcmp(s->name, "pop3") == 0)
		v->u.list.v = pop3;
	else if (strcmp(s->name, "pop3s") == 0)
		v->u.list.v = pop3s;
	else
		cf_blame(s, O_ADDRESS, "required option is missing, as in "
		    "`address = {\"0.0.0.0:110\", \"[::]:110\"}'");
	if (!s->bad[O_ADDRESS])
		v->u.list.n = 2;
}

/* Where culver-deliver connects to: always there with LMTP. */
static void
own_address(struct cf_config *c, struct cf_section *s)
{
	s->v[O_PROTOCOL].u.i = CONF_SPEAKS_LMTP;
	run_address(c, s, "deliver");
}

static _Bool
same_address(const struct cf_addr *a, const struct cf_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

/* Address I of S, or the section that has it before that (as *WHO). */
static _Bool
is_taken(const struct cf_config *c, const struct cf_section *s, size_t i,
    const struct cf_addr *mine, const struct cf_section **who)
{
	struct cf_addr other;
	char err[CONVERT_ERR];

	for (*who = c->listen; *who != NULL; *who = (*who)->next) {
		const struct culver_value *v = &(*who)->v[O_ADDRESS];

		for (size_t k = 0; k < v->u.list.n; k++) {
			if (*who == s && k == i)
				return 0;
			if (cf_addr_parse(v->u.list.v[k].p, &other, err) &&
			    same_address(mine, &other))
				return 1;
		}
	}
	return 0;
}

struct kinds {			/* of the addresses of a section */
	_Bool has_unix, has_inet, all_local;
};

static void
check_addresses(const struct cf_config *c, struct cf_section *s,
    struct kinds *k)
{
	const struct culver_value *v = &s->v[O_ADDRESS];
	const struct cf_section *who;
	struct cf_addr a;
	char err[CONVERT_ERR];

	*k = (struct kinds){.all_local = 1};
	if (!s->bad[O_ADDRESS] && v->u.list.n == 0)
		cf_blame(s, O_ADDRESS, "the list is empty: wanted at least "
		    "one address");
	for (size_t i = 0; i < v->u.list.n && !s->bad[O_ADDRESS]; i++) {
		if (!cf_addr_parse(v->u.list.v[i].p, &a, err)) {
			cf_blame(s, O_ADDRESS, "%s", err);
		} else if (is_taken(c, s, i, &a, &who)) {
			if (who == s)
				cf_blame(s, O_ADDRESS, "\"%s\" is there "
				    "twice: remove one", v->u.list.v[i].p);
			else
				cf_blame(s, O_ADDRESS, "\"%s\" is used by "
				    "`listen %s' already, in %s:%u: remove "
				    "one", v->u.list.v[i].p, who->name,
				    who->at.file->path,
				    (unsigned)who->at.line);
		}
		k->has_unix |= a.is_unix;
		k->has_inet |= !a.is_unix;
		k->all_local &= a.is_local;
	}
}

/* The networks of option O. */
static void
check_nets(struct cf_section *s, enum cf_opt o, const struct kinds *k)
{
	const struct culver_value *v = &s->v[o];
	struct conf_net net;
	char err[CONVERT_ERR];

	if (s->set[o] == NULL)
		return;
	for (size_t i = 0; i < v->u.list.n && !s->bad[o]; i++)
		if (!cf_net_parse(v->u.list.v[i].p, &net, err))
			cf_blame(s, o, "%s", err);
	if (!s->bad[o] && v->u.list.n > 0 && !k->has_inet &&
	    !s->bad[O_ADDRESS])
		cf_blame(s, o, "only an IPV4:PORT or [IPV6]:PORT address has "
		    "clients with networks, and this section has none");
}

/* What is there too much would be left out of `deny', too. */
static void
count_nets(const struct cf_config *c)
{
	static const enum cf_opt lists[] = {O_LISTEN_ALLOW, O_LISTEN_DENY,
	    O_PROXY};
	const struct cf_section *last = NULL;
	size_t n = 0;

	for (struct cf_section *s = c->listen; s != NULL; s = s->next) {
		n += 2;		/* what `allow' is by default */
		for (int i = 0; i < 3; i++)
			n += s->v[lists[i]].u.list.n;
		last = s;
	}
	if (n > CONF_MAX_NET)
		diag_error(last->at, cf_where(last, NULL), "there are %zu "
		    "networks with this section (two for `listen' itself): "
		    "wanted at most %d", n, CONF_MAX_NET);
}

static void
check_proxy(struct cf_section *s, const struct kinds *k)
{
	check_nets(s, O_PROXY, k);
	if (cf_is_good(s, O_PROXY_TLS) && s->v[O_PROXY_TLS].u.i != 0 &&
	    s->v[O_PROXY].u.list.n == 0 && !s->bad[O_PROXY])
		cf_blame(s, O_PROXY_TLS, "there is no proxy: add `proxy = "
		    "{\"192.0.2.1\"}' with its address");
}

static void
check_tls_use(const struct cf_config *c, struct cf_section *s,
    _Bool all_local)
{
	_Bool has_cert = c->tls.set[O_CERTIFICATE] != NULL ||
	    c->tls.set[O_KEY] != NULL;
	struct culver_value *v = &s->v[O_TLS];

	if (s->set[O_TLS] == NULL)
		v->u.i = strcmp(s->name, "pop3s") == 0 ? CONF_TLS_IMPLICIT :
		    has_cert ? CONF_TLS_STARTTLS : CONF_TLS_OFF;
	if (s->bad[O_TLS])
		return;
	if (v->u.i != CONF_TLS_OFF && !has_cert)
		cf_blame(s, O_TLS, "there is no certificate: add `tls { "
		    "certificate = \"...\" key = \"...\" }'");
	if (s->v[O_PROXY_TLS].u.i != 0)
		return;		/* the proxy has TLS for them */
	if (v->u.i == CONF_TLS_OFF && !s->bad[O_PLAIN_LOGIN] &&
	    s->v[O_PLAIN_LOGIN].u.i == CONF_PLAIN_NEVER)
		cf_blame(s, O_PLAIN_LOGIN, "without TLS nobody can log in: "
		    "add a certificate, or allow plain logins");
	else if (v->u.i == CONF_TLS_OFF && !s->bad[O_PLAIN_LOGIN] &&
	    s->v[O_PLAIN_LOGIN].u.i == CONF_PLAIN_LOCAL && !all_local)
		diag_warning(s->at, cf_where(s, NULL), "without TLS only "
		    "clients on this machine can log in: add a certificate, "
		    "or set plain_login = always");
}

static void
check_unix(struct cf_section *s, const struct cf_env *env, _Bool has_unix)
{
	const char *mode = s->v[O_MODE].u.s.p;
	char err[CONVERT_ERR];
	uint32_t id;

	for (int o = O_MODE; o <= O_GROUP; o++)
		if (cf_is_good(s, (enum cf_opt)o) && !has_unix &&
		    !s->bad[O_ADDRESS])
			cf_blame(s, (enum cf_opt)o, "only a unix:PATH address "
			    "has one, and this section has none");
	if (cf_is_good(s, O_MODE) &&
	    (strspn(mode, "01234567") != strlen(mode) ||
	    (strlen(mode) == 4 && mode[0] != '0')))
		cf_blame(s, O_MODE, "\"%s\" is no mode: wanted octal digits, "
		    "as in 0660", mode);
	if (cf_is_good(s, O_OWNER) &&
	    !cf_user_id(env->passwd, s->v[O_OWNER].u.s.p, &id, err))
		cf_blame(s, O_OWNER, "%s", err);
	if (cf_is_good(s, O_GROUP) &&
	    !cf_group_id(env->group, s->v[O_GROUP].u.s.p, &id, err))
		cf_blame(s, O_GROUP, "%s", err);
}

/* N options that mean nothing for the protocol of S. */
static void
not_for(struct cf_section *s, const enum cf_opt *o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->set[o[i]] != NULL && (o[i] != O_TLS ||
		    s->v[O_TLS].u.i != CONF_TLS_OFF))
			cf_blame(s, o[i], "this is not for protocol = %s: "
			    "remove this line", cf_is_lmtp(s) ? "lmtp" :
			    "metrics");
	s->v[O_TLS].u.i = CONF_TLS_OFF;
}

static void
check_lmtp(const struct cf_config *c, struct cf_section *s,
    const struct cf_env *env)
{
	static const enum cf_opt not_ours[] = {O_TLS, O_PLAIN_LOGIN, O_PROXY,
	    O_PROXY_TLS};
	struct kinds k;

	check_addresses(c, s, &k);
	check_unix(s, env, k.has_unix);
	not_for(s, not_ours, 4);
	check_nets(s, O_LISTEN_ALLOW, &k);
	check_nets(s, O_LISTEN_DENY, &k);
}

/* Whoever may connect is told how much goes on here: no networks. */
static void
check_metrics(const struct cf_config *c, struct cf_section *s,
    const struct cf_env *env)
{
	static const enum cf_opt not_ours[] = {O_TLS, O_PLAIN_LOGIN, O_PROXY,
	    O_PROXY_TLS, O_LISTEN_ALLOW, O_LISTEN_DENY, O_REFUSAL};
	struct kinds k;

	check_addresses(c, s, &k);
	if (!s->bad[O_ADDRESS] && k.has_inet)
		cf_blame(s, O_ADDRESS, "metrics are told through unix sockets "
		    "only: wanted unix:PATH");
	check_unix(s, env, k.has_unix);
	not_for(s, not_ours, 7);
}

static void
check_listen(const struct cf_config *c, struct cf_section *s,
    const struct cf_env *env)
{
	struct kinds k;

	if (cf_is_lmtp(s)) {
		check_lmtp(c, s, env);
		return;
	}
	if (cf_is_metrics(s)) {
		check_metrics(c, s, env);
		return;
	}
	check_addresses(c, s, &k);
	check_nets(s, O_LISTEN_ALLOW, &k);
	check_nets(s, O_LISTEN_DENY, &k);
	check_proxy(s, &k);
	check_tls_use(c, s, k.all_local);
	check_unix(s, env, k.has_unix);
}

/* Is that the protocol of S, which is not converted yet? */
static _Bool
says(const struct cf_section *s, const char *protocol)
{
	const struct cf_key *k = s->set[O_PROTOCOL];

	return k != NULL && k->value.n == 1 &&
	    strcmp(k->value.text[0], protocol) == 0;
}

void
cf_default_listen(struct cf_config *c)
{
	static const char *const names[] = {"pop3", "pop3s"};
	struct cf_section **end = &c->listen;
	int n = c->tls.set[O_CERTIFICATE] != NULL ? 2 : 1;
	_Bool lmtp = 0, mail = 0;

	for (; *end != NULL; end = &(*end)->next)
		mail |= !says(*end, "metrics");
	for (int i = 0; i < n && !mail; i++) {
		*end = mem_get(sizeof(**end));
		(*end)->sect = CF_LISTEN;
		(*end)->name = names[i];
		(*end)->at = c->top.at;
		(*end)->implied = 1;
		end = &(*end)->next;
	}
	for (end = &c->listen; *end != NULL; end = &(*end)->next)
		lmtp |= says(*end, "lmtp");
	if (!lmtp)
		return;
	*end = mem_get(sizeof(**end));
	(*end)->sect = CF_LISTEN;
	(*end)->name = CF_OWN_LISTENER;
	(*end)->at = c->top.at;
	(*end)->implied = 1;
}

void
cf_check_listeners(struct cf_config *c, const struct cf_env *env)
{
	struct cf_section *s, *last = NULL;
	size_t n = 0;

	for (s = c->listen; s != NULL; s = s->next)
		if (s->implied && strcmp(s->name, CF_OWN_LISTENER) == 0)
			own_address(c, s);
		else
			default_address(c, s);
	for (s = c->listen; s != NULL; last = s, s = s->next) {
		check_listen(c, s, env);
		n += s->v[O_ADDRESS].u.list.n;
	}
	count_nets(c);
	if (n > CONF_MAX_LISTEN && last != NULL)
		diag_error(last->at, cf_where(last, NULL), "there are %zu "
		    "addresses with this section: wanted at most %d", n,
		    CONF_MAX_LISTEN);
}
