/*
 * snap_master.c - what master is told: where to listen, whom to let in.
 *
 * Runs in the config role.  All of it is numbers and fixed texts: master
 * parses nothing.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/config/convert.h"
#include "core/config/mem.h"
#include "core/config/snap-private.h"

static void
listen_fill(const struct snapper *s, const struct cf_section *sec,
    const char *address, struct conf_listen *out)
{
	struct cf_addr a;
	char err[CONVERT_ERR];

	cf_addr_parse(address, &a, err);
	*out = (struct conf_listen){.addr = a.ss, .addr_len = a.len,
	    .type = SOCK_STREAM, .uid = UINT32_MAX, .gid = UINT32_MAX,
	    .line = sec->at.line,
	    .protocol = (uint32_t)sec->v[O_PROTOCOL].u.i};
	/* who comes in by LMTP may write to anybody, but at our own listener */
	out->mode = out->protocol != CONF_SPEAKS_POP3 && !sec->implied ?
	    0660 : 0666;
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
		out->processes = cf_auth_processes(sec);
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
	m->lacks = s->env->lacks | s->c->lacks;
	m->reload_grace = (uint64_t)lim->v[O_RELOAD_GRACE].u.i;
	m->stop_grace = (uint64_t)lim->v[O_STOP_GRACE].u.i;
	for (const struct cf_section *l = s->c->listen; l != NULL; l = l->next)
		for (size_t i = 0; i < l->v[O_ADDRESS].u.list.n; i++)
			listen_fill(s, l, l->v[O_ADDRESS].u.list.v[i].p,
			    &m->listen[m->n_listen++]);
	control_fill(s, &m->listen[m->n_listen]);
	master_sections(s, m);
}

_Bool
snap_master(const struct snapper *s)
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
	return snap_seal(s, &(struct part){.kind = CONF_MASTER, .fixed = m,
	    .size = sizeof(*m), .extra = files,
	    .extra_n = s->n_certs * sizeof(*files)});
}
