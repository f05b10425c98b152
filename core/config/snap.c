/*
 * snap.c - a checked configuration as sealed memfds: what they have in common,
 * and those of sections with a plugin.
 *
 * Runs in the config role.  A plugin's secrets go into the snapshot of their
 * own section and nowhere else.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memfd.h"
#include "core/config/mem.h"
#include "core/config/snap-private.h"
#include "core/config/snap.h"
#include "core/plugin/values.h"

static _Bool
write_at(int fd, const void *p, size_t n, off_t at)
{
	return n == 0 || pwrite(fd, p, n, at) == (ssize_t)n;
}

_Bool
snap_seal(const struct snapper *s, const struct part *p)
{
	struct conf_head *h = p->fixed;
	size_t filter_size = (p->filter_n + p->more_n) * sizeof(*p->filter);
	int fd = memfd_new("culver-config");
	_Bool ok;

	*h = (struct conf_head){.magic = CONF_MAGIC, .kind = p->kind,
	    .index = p->index, .fixed = (uint32_t)p->size,
	    .filter_at = (uint32_t)p->size,
	    .filter_n = (uint32_t)p->filter_n,
	    .extra_at = (uint32_t)(p->size + filter_size),
	    .extra_n = (uint32_t)p->extra_n,
	    .size = (uint32_t)(p->size + filter_size + p->extra_n)};
	if (fd < 0)
		return 0;
	ok = write_at(fd, p->fixed, p->size, 0) &&
	    write_at(fd, p->filter, filter_size, h->filter_at) &&
	    write_at(fd, p->extra, p->extra_n, h->extra_at) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK |
		F_SEAL_GROW | F_SEAL_WRITE) == 0 &&
	    s->sink(s->ctx, p->kind, p->index, fd);
	close(fd);
	return ok;
}

_Bool
snap_filter(struct part *p, enum filter_kind kind, uint64_t needs)
{
	p->filter = mem_get(CONF_MAX_FILTER * sizeof(*p->filter));
	p->filter_n = filter_compile(kind, needs, p->filter);
#ifdef WITH_SANDBOX
	return p->filter_n > 0;
#else
	return 1;
#endif
}

/* A second program, of N instructions. */
static _Bool
add_locker_filter(struct part *p, uint32_t *n)
{
	struct sock_filter *both = mem_get(2 * CONF_MAX_FILTER *
	    sizeof(*both));

	memcpy(both, p->filter, p->filter_n * sizeof(*both));
	p->filter = both;
	p->more_n = filter_compile(FILTER_LOCKER, 0, both + p->filter_n);
	*n = (uint32_t)p->more_n;
#ifdef WITH_SANDBOX
	return p->more_n > 0;
#else
	return 1;
#endif
}

uint32_t
snap_expire_days(const struct cf_config *c)
{
	uint32_t days = UINT32_MAX - 1;

	cf_expire_parse(c->limits.v[O_EXPIRE].u.s.p, &days);
	return days;
}

/* --- certificates ---------------------------------------------------- */

static void
certs_add(struct snapper *s, const struct cf_section *sec, enum cf_opt cert,
    enum cf_opt key)
{
	const struct culver_value *c = &sec->v[cert], *k = &sec->v[key];
	struct conf_gate_host *host = &s->hosts[s->n_hosts++];

	TEXT(host->name, sec->name);
	host->first = s->n_certs;
	host->n = (uint32_t)c->u.list.n;
	for (size_t i = 0; i < c->u.list.n; i++) {
		struct conf_cert *out = &s->certs[s->n_certs++];

		out->line = c->line;
		TEXT(out->file, c->file != NULL ? c->file : "");
		TEXT(out->cert, c->u.list.v[i].p);
		TEXT(out->key, k->u.list.v[i].p);
	}
}

/* It goes the way of the others: opened by master, looked at by certcheck. */
static void
ca_add(struct snapper *s)
{
	const struct culver_value *v = &s->c->tls.v[O_CLIENT_CA];
	struct conf_cert *out = &s->certs[s->n_certs];

	if (s->c->tls.set[O_CLIENT_CA] == NULL)
		return;
	out->line = v->line;
	TEXT(out->file, v->file != NULL ? v->file : "");
	TEXT(out->cert, v->u.s.p);
	TEXT(out->key, v->u.s.p);
	s->n_certs++;
	s->has_ca = 1;
}

/* The hosts and the list of certificates: what several snapshots hold. */
static void
hosts_fill(struct snapper *s)
{
	size_t hosts = 1, certs = s->c->tls.v[O_CERTIFICATE].u.list.n;
	const struct cf_section *h;

	if (certs == 0)
		return;
	for (h = s->c->host; h != NULL; h = h->next, hosts++)
		certs += h->v[O_HOST_CERTIFICATE].u.list.n;
	s->hosts = mem_get(hosts * sizeof(*s->hosts));
	s->certs = mem_get((certs + 1) * sizeof(*s->certs));
	certs_add(s, &s->c->tls, O_CERTIFICATE, O_KEY);
	for (h = s->c->host; h != NULL; h = h->next)
		certs_add(s, h, O_HOST_CERTIFICATE, O_HOST_KEY);
	ca_add(s);
}

/* --- sections with a plugin ------------------------------------------ */

static _Bool
section_snap(const struct snapper *s, const struct cf_section *sec,
    uint32_t index)
{
	_Bool is_auth = sec->sect == CF_AUTH, ok;
	const struct cf_section *lim = &s->c->limits;
	struct conf_section *out = mem_get(sizeof(*out));
	struct part p = {.kind = is_auth ? CONF_POOL : CONF_STORAGE,
	    .index = index, .fixed = out, .size = sizeof(*out)};
	uint64_t needs = sec->plugin->desc.needs;
	uint8_t *values = values_encode(sec->plugin, sec->values, &p.extra_n);

	if (values == NULL) {
		errno = ENOMEM;
		return 0;
	}
	TEXT(out->name, sec->name);
	TEXT(out->module, sec->plugin->path);
	out->allow = sec->allow;
	out->owner = s->env->owner;
	TEXT(out->hostname, s->c->top.v[O_HOSTNAME].u.s.p);
	out->idle_time = (uint64_t)lim->v[O_IDLE_TIME].u.i;
	out->takeover = (uint64_t)lim->v[O_TAKEOVER].u.i;
	out->bad_commands = (uint32_t)lim->v[O_BAD_COMMANDS].u.i;
	out->expire_days = snap_expire_days(s->c);
	p.extra = values;
	ok = snap_filter(&p, is_auth ? FILTER_POOL : FILTER_WORKER, needs) &&
	    (is_auth || sec->set[O_LOCK_GROUP] == NULL ||
	    add_locker_filter(&p, &out->locker_filter_n)) &&
	    snap_seal(s, &p);
	explicit_bzero(values, p.extra_n);
	free(values);
	return ok;
}

_Bool
snap_all(const struct cf_config *c, const struct cf_env *env,
    snap_sink *sink, void *ctx)
{
	struct snapper s = {.c = c, .env = env, .sink = sink, .ctx = ctx};
	const struct cf_section *sec;
	uint32_t i;

	hosts_fill(&s);
	if (!snap_master(&s) || !snap_gate(&s) || !snap_auth(&s) ||
	    !snap_log(&s) || !snap_lmtp(&s) || !snap_metrics(&s))
		return 0;
	for (sec = c->auth, i = 0; sec != NULL; sec = sec->next, i++)
		if (!section_snap(&s, sec, i))
			return 0;
	for (sec = c->storage, i = 0; sec != NULL; sec = sec->next, i++)
		if (!section_snap(&s, sec, i))
			return 0;
	return snap_certcheck(&s);
}
