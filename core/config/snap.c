/*
 * snap.c - fill the structs of conf.h and seal them.
 *
 * Runs in the config role.  A plugin's secrets go into the snapshot of their
 * own section and nowhere else.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/config/convert.h"
#include "core/config/filter.h"
#include "core/config/mem.h"
#include "core/config/snap.h"
#include "core/plugin/values.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Its members may deliver to everybody through run_dir/deliver. */
#define DELIVER_GROUP "culver-deliver"

struct snapper {
	const struct cf_config *c;
	const struct cf_env *env;
	snap_sink *sink;
	void *ctx;
	struct conf_gate_host *hosts;
	struct conf_cert *certs;
	uint32_t n_hosts, n_certs;
	_Bool has_ca;			/* the last one */
};

static void
text(char *out, size_t size, const char *s)
{
	snprintf(out, size, "%s", s);
}
#define TEXT(array, s) text(array, sizeof(array), s)

static _Bool
write_at(int fd, const void *p, size_t n, off_t at)
{
	return n == 0 || pwrite(fd, p, n, at) == (ssize_t)n;
}

static int
memfd(void)
{
	int fd = memfd_create("culver-config", MFD_CLOEXEC |
	    MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)	/* before Linux 6.3 */
		fd = memfd_create("culver-config",
		    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

struct part {			/* of one snapshot */
	enum conf_kind kind;
	uint32_t index;
	void *fixed;		/* begins with a conf_head */
	size_t size;
	const void *extra;
	size_t extra_n;
	struct sock_filter *filter;	/* of the role, and then others */
	size_t filter_n, more_n;
};

static _Bool
snapshot(const struct snapper *s, const struct part *p)
{
	struct conf_head *h = p->fixed;
	size_t filter_size = (p->filter_n + p->more_n) * sizeof(*p->filter);
	int fd = memfd();
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

static _Bool
add_filter(struct part *p, enum filter_kind kind, uint64_t needs)
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

/* --- master ---------------------------------------------------------- */

static void
listen_fill(const struct snapper *s, const struct cf_section *sec,
    const char *address, struct conf_listen *out)
{
	struct cf_addr a;
	char err[CONVERT_ERR];

	cf_addr_parse(address, &a, err);
	*out = (struct conf_listen){.addr = a.ss, .addr_len = a.len,
	    .type = SOCK_STREAM, .uid = UINT32_MAX, .gid = UINT32_MAX,
	    .line = sec->at.line, .lmtp = sec->v[O_PROTOCOL].u.i == 1};
	/* who comes in by LMTP may write to anybody, but at our own listener */
	out->mode = out->lmtp && !sec->implied ? 0660 : 0666;
	TEXT(out->text, address);
	if (!a.is_unix)
		return;
	if (sec->set[O_MODE] != NULL)
		out->mode = (uint32_t)strtoul(sec->v[O_MODE].u.s.p, NULL, 8);
	if (sec->set[O_OWNER] != NULL)
		cf_user_id(s->env->passwd, sec->v[O_OWNER].u.s.p, &out->uid,
		    err);
	if (sec->set[O_GROUP] != NULL)
		cf_group_id(s->env->group, sec->v[O_GROUP].u.s.p, &out->gid,
		    err);
}

/* culverctl's socket; cf_check() saw that its name fits. */
static void
control_fill(const struct snapper *s, struct conf_listen *out)
{
	const struct cf_section *top = &s->c->top;
	struct sockaddr_un *sun = (struct sockaddr_un *)&out->addr;
	char err[CONVERT_ERR];

	*out = (struct conf_listen){.addr_len = sizeof(*sun),
	    .type = SOCK_SEQPACKET, .mode = 0600, .uid = UINT32_MAX,
	    .gid = UINT32_MAX, .line = top->at.line};
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/control",
	    top->v[O_RUN_DIR].u.s.p);
	snprintf(out->text, sizeof(out->text), "unix:%s", sun->sun_path);
	if (top->set[O_CONTROL_GROUP] == NULL)
		return;
	out->mode = 0660;
	cf_group_id(s->env->group, top->v[O_CONTROL_GROUP].u.s.p, &out->gid,
	    err);
}

static void
ranges_fill(const struct cf_section *limits, struct conf_master *m)
{
	const struct culver_value *v = &limits->v[O_UID_RANGES];
	char err[CONVERT_ERR];

	m->uid_min = (uint32_t)limits->v[O_UID_MIN].u.i;
	m->gid_min = (uint32_t)limits->v[O_GID_MIN].u.i;
	for (size_t i = 0; i < v->u.list.n; i++, m->n_range++)
		cf_range_parse(v->u.list.v[i].p, &m->range[i].first,
		    &m->range[i].last, err);
}

static void
master_sections(const struct snapper *s, struct conf_master *m)
{
	const struct cf_section *sec;
	char err[CONVERT_ERR];

	for (sec = s->c->auth; sec != NULL; sec = sec->next) {
		struct conf_auth_section *out = &m->auth[m->n_auth++];

		TEXT(out->name, sec->name);
		out->processes = (uint32_t)sec->v[O_PROCESSES].u.i;
		if (sec->v[O_AUTH_GROUP].u.s.n > 0)
			cf_group_id(s->env->group,
			    sec->v[O_AUTH_GROUP].u.s.p, &out->gid, err);
	}
	for (sec = s->c->storage; sec != NULL; sec = sec->next) {
		struct conf_storage_section *out = &m->storage[m->n_storage++];
		const struct culver_value *v = &sec->v[O_GROUPS];

		TEXT(out->name, sec->name);
		for (size_t i = 0; i < v->u.list.n; i++)
			cf_group_id(s->env->group, v->u.list.v[i].p,
			    &out->groups[out->n_groups++], err);
		if (sec->set[O_LOCK_GROUP] != NULL)
			cf_group_id(s->env->group,
			    sec->v[O_LOCK_GROUP].u.s.p, &out->lock_gid, err);
	}
}

static void
master_fill(const struct snapper *s, struct conf_master *m)
{
	const struct cf_section *top = &s->c->top, *lim = &s->c->limits;

	TEXT(m->run_dir, top->v[O_RUN_DIR].u.s.p);
	TEXT(m->state_dir, top->v[O_STATE_DIR].u.s.p);
	TEXT(m->log, top->v[O_LOG].u.s.p);
	m->gates = (uint32_t)top->v[O_GATES].u.i;
	ranges_fill(lim, m);
	m->sessions_max = (uint32_t)lim->v[O_SESSIONS].u.i;
	m->connections = (uint32_t)lim->v[O_CONNECTIONS].u.i;
	m->reload_grace = (uint64_t)lim->v[O_RELOAD_GRACE].u.i;
	m->stop_grace = (uint64_t)lim->v[O_STOP_GRACE].u.i;
	for (const struct cf_section *l = s->c->listen; l != NULL; l = l->next)
		for (size_t i = 0; i < l->v[O_ADDRESS].u.list.n; i++)
			listen_fill(s, l, l->v[O_ADDRESS].u.list.v[i].p,
			    &m->listen[m->n_listen++]);
	control_fill(s, &m->listen[m->n_listen]);
	master_sections(s, m);
}

static _Bool
master_snap(const struct snapper *s)
{
	struct conf_master *m = mem_get(sizeof(*m));
	struct conf_cert_files *files;

	master_fill(s, m);
	m->n_cert = s->n_certs;
	files = mem_get((s->n_certs + 1) * sizeof(*files));
	for (uint32_t i = 0; i < s->n_certs; i++) {
		TEXT(files[i].cert, s->certs[i].cert);
		TEXT(files[i].key, s->certs[i].key);
	}
	return snapshot(s, &(struct part){.kind = CONF_MASTER, .fixed = m,
	    .size = sizeof(*m), .extra = files,
	    .extra_n = s->n_certs * sizeof(*files)});
}

/* --- gate, certcheck, auth, log -------------------------------------- */

static uint32_t
expire_days(const struct cf_config *c)
{
	uint32_t days = UINT32_MAX - 1;

	cf_expire_parse(c->limits.v[O_EXPIRE].u.s.p, &days);
	return days;
}

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
	g->expire_days = expire_days(s->c);
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

static _Bool
gate_snap(const struct snapper *s)
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
	return add_filter(&p, FILTER_GATE, 0) && snapshot(s, &p);
}

static _Bool
certcheck_snap(const struct snapper *s)
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
	return add_filter(&p, FILTER_CERTCHECK, 0) && snapshot(s, &p);
}

static _Bool
auth_snap(const struct snapper *s)
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
	return add_filter(&p, FILTER_AUTH, 0) && snapshot(s, &p);
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

static _Bool
lmtp_snap(const struct snapper *s)
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
	return add_filter(&p, FILTER_LMTP, 0) && snapshot(s, &p);
}

static _Bool
log_snap(const struct snapper *s)
{
	struct conf_log *l = mem_get(sizeof(*l));
	struct part p = {.kind = CONF_LOG, .fixed = l, .size = sizeof(*l)};

	l->level = (uint32_t)s->c->top.v[O_LOG_LEVEL].u.i + 1;
	return add_filter(&p, FILTER_LOG, 0) && snapshot(s, &p);
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
	out->bad_commands = (uint32_t)lim->v[O_BAD_COMMANDS].u.i;
	out->expire_days = expire_days(s->c);
	p.extra = values;
	ok = add_filter(&p, is_auth ? FILTER_POOL : FILTER_WORKER, needs) &&
	    (is_auth || sec->set[O_LOCK_GROUP] == NULL ||
	    add_locker_filter(&p, &out->locker_filter_n)) &&
	    snapshot(s, &p);
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
	if (!master_snap(&s) || !gate_snap(&s) || !auth_snap(&s) ||
	    !log_snap(&s) || !lmtp_snap(&s))
		return 0;
	for (sec = c->auth, i = 0; sec != NULL; sec = sec->next, i++)
		if (!section_snap(&s, sec, i))
			return 0;
	for (sec = c->storage, i = 0; sec != NULL; sec = sec->next, i++)
		if (!section_snap(&s, sec, i))
			return 0;
	return certcheck_snap(&s);
}
