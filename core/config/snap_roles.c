/*
 * snap_roles.c - what the roles without a plugin are told: gate, certcheck,
 * auth, lmtp, log and metrics.
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
	snap_gate_listeners(s->c, g);
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
	snap_lmtp_listeners(s->c, l);
	return snap_filter(&p, FILTER_LMTP, 0) && snap_seal(s, &p);
}

_Bool
snap_log(const struct snapper *s)
{
	struct conf_log *l = mem_get(sizeof(*l));
	struct part p = {.kind = CONF_LOG, .fixed = l, .size = sizeof(*l)};

	l->level = (uint32_t)s->c->top.v[O_LOG_LEVEL].u.i + 1;
	l->json = (uint32_t)s->c->top.v[O_LOG_FORMAT].u.i;
	return snap_filter(&p, FILTER_LOG, 0) && snap_seal(s, &p);
}

_Bool
snap_metrics(const struct snapper *s)
{
	struct conf_metrics *m = mem_get(sizeof(*m));
	struct part p = {.kind = CONF_METRICS, .fixed = m,
	    .size = sizeof(*m)};

	return snap_filter(&p, FILTER_METRICS, 0) && snap_seal(s, &p);
}
