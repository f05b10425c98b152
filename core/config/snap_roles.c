/*
 * snap_roles.c - what the roles without a plugin are told: gate, certcheck,
 * auth, lmtp and log.
 *
 * Runs in the config role.
 */
#include "config.h"

#include <string.h>

#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/config/snap-private.h"

/* Its members may deliver to everybody through run_dir/deliver. */
#define DELIVER_GROUP "culver-deliver"

static void
gate_fill(const struct snapper *s, struct conf_gate *g)
{
	const struct cf_section *lim = &s->c->limits;
	uint32_t gates = (uint32_t)s->c->top.v[O_GATES].u.i;
	uint32_t all = (uint32_t)lim->v[O_CONNECTIONS].u.i;

	TEXT(g->hostname, s->c->top.v[O_HOSTNAME].u.s.p);
	g->login_time = (uint64_t)lim->v[O_LOGIN_TIME].u.i;
	g->idle_time = (uint64_t)lim->v[O_IDLE_TIME].u.i;
	g->connections = (all + gates - 1) / gates;
	g->connections_per_ip = (uint32_t)lim->v[O_CONNECTIONS_PER_IP].u.i;
	g->bad_commands = (uint32_t)lim->v[O_BAD_COMMANDS].u.i;
	g->gate_logins = (uint32_t)lim->v[O_GATE_LOGINS].u.i;
	g->expire_days = snap_expire_days(s->c);
	cf_mechs(s->c, &g->mechs, &g->announced);
	for (const struct cf_section *l = s->c->listen; l != NULL; l = l->next)
		for (size_t i = 0; i < l->v[O_ADDRESS].u.list.n; i++) {
			struct conf_gate_listen *out =
			    &g->listen[g->n_listen++];

			out->tls = (uint32_t)l->v[O_TLS].u.i;
			out->plain_login = (uint32_t)l->v[O_PLAIN_LOGIN].u.i;
			out->is_unix = strncmp(l->v[O_ADDRESS].u.list.v[i].p,
			    "unix:", 5) == 0;
			TEXT(out->name, l->name);
		}
}

_Bool
snap_gate(const struct snapper *s)
{
	struct conf_gate *g = mem_get(sizeof(*g));
	struct part p = {.kind = CONF_GATE, .fixed = g, .size = sizeof(*g)};

	gate_fill(s, g);
	g->n_host = s->n_hosts;
	g->n_cert = s->n_certs;
	g->has_ca = s->has_ca;
	g->client_name = (uint32_t)s->c->tls.v[O_CLIENT_NAME].u.i;
	p.extra = s->hosts;
	p.extra_n = s->n_hosts * sizeof(*s->hosts);
	return snap_filter(&p, FILTER_GATE, 0) && snap_seal(s, &p);
}

_Bool
snap_certcheck(const struct snapper *s)
{
	struct conf_certcheck *c = mem_get(sizeof(*c));
	struct part p = {.kind = CONF_CERTCHECK, .fixed = c,
	    .size = sizeof(*c)};
	size_t hosts = s->n_hosts * sizeof(*s->hosts);
	size_t certs = s->n_certs * sizeof(*s->certs);
	uint8_t *extra;

	TEXT(c->hostname, s->c->top.v[O_HOSTNAME].u.s.p);
	c->n_host = s->n_hosts;
	c->n_cert = s->n_certs;
	c->has_ca = s->has_ca;
	p.extra_n = hosts + certs;
	extra = mem_get(p.extra_n + 1);
	if (hosts > 0) {
		memcpy(extra, s->hosts, hosts);
		memcpy(extra + hosts, s->certs, certs);
	}
	p.extra = extra;
	return snap_filter(&p, FILTER_CERTCHECK, 0) && snap_seal(s, &p);
}

_Bool
snap_auth(const struct snapper *s)
{
	const struct cf_section *lim = &s->c->limits, *sec;
	const struct cf_section *cache = &s->c->cache;
	struct conf_auth *a = mem_get(sizeof(*a));
	struct part p = {.kind = CONF_AUTH, .fixed = a, .size = sizeof(*a)};

	TEXT(a->hostname, s->c->top.v[O_HOSTNAME].u.s.p);
	cf_mechs(s->c, &a->mechs, &a->announced);
	a->failure_delay = (uint64_t)lim->v[O_FAILURE_DELAY].u.i;
	a->failure_delay_max = (uint64_t)lim->v[O_FAILURE_DELAY_MAX].u.i;
	a->user_case = (uint32_t)s->c->top.v[O_USER_CASE].u.i;
	a->master_separator = s->c->top.set[O_MASTER_SEPARATOR] == NULL ? 0 :
	    (uint8_t)s->c->top.v[O_MASTER_SEPARATOR].u.s.p[0];
	a->cache_size = (uint64_t)cache->v[O_CACHE_SIZE].u.i;
	a->cache_time = (uint64_t)cache->v[O_CACHE_TIME].u.i;
	a->cache_negative_time =
	    (uint64_t)cache->v[O_CACHE_NEGATIVE_TIME].u.i;
	a->cache_away_time = (uint64_t)cache->v[O_CACHE_AWAY_TIME].u.i;
	a->uid_min = (uint32_t)lim->v[O_UID_MIN].u.i;
	a->gid_min = (uint32_t)lim->v[O_GID_MIN].u.i;
	a->shared_uid = (uint32_t)lim->v[O_SHARED_UID].u.i;
	for (sec = s->c->auth; sec != NULL; sec = sec->next) {
		struct conf_auth_part *out = &a->section[a->n_section++];

		cf_auth_part(s->c, sec, out);
	}
	for (sec = s->c->storage; sec != NULL; sec = sec->next) {
		TEXT(a->storage[a->n_storage], sec->name);
		a->n_storage++;
	}
	return snap_filter(&p, FILTER_AUTH, 0) && snap_seal(s, &p);
}

/* The networks of SEC, into the list that all share. */
static void
nets_fill(const struct cf_section *sec, struct conf_lmtp *l,
    struct conf_lmtp_listen *out)
{
	static const struct culver_str local[] = {{"127.0.0.0/8", 11},
	    {"::1", 3}};
	const struct culver_value *v = &sec->v[O_LISTEN_ALLOW];
	const struct culver_str *list = v->u.list.v;
	size_t n = v->u.list.n;
	char err[CONVERT_ERR];

	if (sec->set[O_LISTEN_ALLOW] == NULL) {
		list = local;
		n = 2;
	}
	out->first_net = l->n_net;
	for (size_t i = 0; i < n && l->n_net < CONF_MAX_NET; i++)
		cf_net_parse(list[i].p, &l->net[l->n_net++], err);
	out->n_net = l->n_net - out->first_net;
}

static void
lmtp_listen_fill(const struct cf_section *sec, struct conf_lmtp *l)
{
	struct conf_lmtp_listen first = {.on = sec->v[O_PROTOCOL].u.i == 1,
	    .own = sec->implied && strcmp(sec->name, CF_OWN_LISTENER) == 0};

	if (first.on)
		nets_fill(sec, l, &first);
	for (size_t i = 0; i < sec->v[O_ADDRESS].u.list.n; i++) {
		first.is_unix = strncmp(sec->v[O_ADDRESS].u.list.v[i].p,
		    "unix:", 5) == 0;
		l->listen[l->n_listen++] = first;
	}
}

_Bool
snap_lmtp(const struct snapper *s)
{
	const struct cf_section *lim = &s->c->limits, *top = &s->c->top;
	struct conf_lmtp *l = mem_get(sizeof(*l));
	struct part p = {.kind = CONF_LMTP, .fixed = l, .size = sizeof(*l)};
	char err[CONVERT_ERR];

	TEXT(l->hostname, top->v[O_HOSTNAME].u.s.p);
	TEXT(l->delimiters, top->v[O_RECIPIENT_DELIMITER].u.s.p);
	l->names = (uint32_t)top->v[O_RECIPIENT_NAME].u.i;
	l->quota_permanent = top->v[O_QUOTA_FULL].u.i == 1;
	l->deliver_gid = UINT32_MAX;
	if (!cf_group_id(s->env->group, top->set[O_DELIVER_GROUP] != NULL ?
	    top->v[O_DELIVER_GROUP].u.s.p : DELIVER_GROUP, &l->deliver_gid,
	    err))
		l->deliver_gid = UINT32_MAX;
	l->connections = (uint32_t)lim->v[O_CONNECTIONS].u.i;
	l->idle_time = (uint64_t)lim->v[O_IDLE_TIME].u.i;
	l->message_size = (uint64_t)lim->v[O_MESSAGE_SIZE].u.i;
	l->spool = (uint64_t)lim->v[O_SPOOL].u.i;
	for (const struct cf_section *x = s->c->listen; x != NULL; x = x->next)
		lmtp_listen_fill(x, l);
	return snap_filter(&p, FILTER_LMTP, 0) && snap_seal(s, &p);
}

_Bool
snap_log(const struct snapper *s)
{
	struct conf_log *l = mem_get(sizeof(*l));
	struct part p = {.kind = CONF_LOG, .fixed = l, .size = sizeof(*l)};

	l->level = (uint32_t)s->c->top.v[O_LOG_LEVEL].u.i + 1;
	return snap_filter(&p, FILTER_LOG, 0) && snap_seal(s, &p);
}
