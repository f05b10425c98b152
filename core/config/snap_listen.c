/*
 * snap_listen.c - the listeners of gates and of lmtp, and the networks that
 * may connect to each.
 *
 * Runs in the config role, on a configuration without mistakes.
 */
#include "config.h"

#include <string.h>

#include "core/config/check-private.h"
#include "core/config/convert.h"
#include "core/config/snap-private.h"

/* The networks of LIST, into the table that all listeners share; check_listen.c
 * counted them. */
static struct conf_nets
nets_fill(const struct culver_str *list, size_t n, struct conf_net_table *t)
{
	struct conf_nets out = {.first = t->n};
	char err[CONVERT_ERR];

	for (size_t i = 0; i < n && t->n < CONF_MAX_NET; i++)
		cf_net_parse(list[i].p, &t->net[t->n++], err);
	out.n = t->n - out.first;
	return out;
}

static struct conf_nets
option_fill(const struct cf_section *s, enum cf_opt o,
    struct conf_net_table *t)
{
	return nets_fill(s->v[o].u.list.v, s->v[o].u.list.n, t);
}

static void
admit_fill(const struct cf_section *s, struct conf_admit *out,
    struct conf_net_table *t)
{
	static const struct culver_str local[] = {{"127.0.0.0/8", 11},
	    {"::1", 3}};

	out->only = s->set[O_LISTEN_ALLOW] != NULL || cf_is_lmtp(s);
	out->allow = s->set[O_LISTEN_ALLOW] != NULL || !cf_is_lmtp(s) ?
	    option_fill(s, O_LISTEN_ALLOW, t) : nets_fill(local, 2, t);
	out->deny = option_fill(s, O_LISTEN_DENY, t);
	out->silent = s->v[O_REFUSAL].u.i == 1;
}

static _Bool
is_unix(const struct culver_str *address)
{
	return strncmp(address->p, "unix:", 5) == 0;
}

void
snap_gate_listeners(const struct cf_config *c, struct conf_gate *g)
{
	for (const struct cf_section *s = c->listen; s != NULL; s = s->next) {
		const struct culver_value *v = &s->v[O_ADDRESS];
		struct conf_gate_listen first = {
		    .tls = (uint32_t)s->v[O_TLS].u.i,
		    .plain_login = (uint32_t)s->v[O_PLAIN_LOGIN].u.i,
		    .proxy_tls = s->v[O_PROXY_TLS].u.i != 0};

		if (!cf_is_lmtp(s)) {
			admit_fill(s, &first.admit, &g->nets);
			first.proxy = option_fill(s, O_PROXY, &g->nets);
		}
		TEXT(first.name, s->name);
		for (size_t i = 0; i < v->u.list.n; i++) {
			first.is_unix = is_unix(&v->u.list.v[i]);
			g->listen[g->n_listen++] = first;
		}
	}
}

void
snap_lmtp_listeners(const struct cf_config *c, struct conf_lmtp *l)
{
	for (const struct cf_section *s = c->listen; s != NULL; s = s->next) {
		const struct culver_value *v = &s->v[O_ADDRESS];
		struct conf_lmtp_listen first = {.on = cf_is_lmtp(s),
		    .own = s->implied && strcmp(s->name,
		    CF_OWN_LISTENER) == 0};

		if (first.on)
			admit_fill(s, &first.admit, &l->nets);
		for (size_t i = 0; i < v->u.list.n; i++) {
			first.is_unix = is_unix(&v->u.list.v[i]);
			l->listen[l->n_listen++] = first;
		}
	}
}
