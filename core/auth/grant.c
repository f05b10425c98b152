/*
 * grant.c - turn a pool's answer into a grant for master.
 *
 * Runs in the auth coordinator.  A pool runs a plugin: what it says is checked
 * here, before it is worth anybody's uid.
 */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/auth/coord-private.h"

#define MASTER_WAIT 5000	/* ms */

#define PASSED_ON (IPC_TLS | IPC_LOOPBACK | IPC_STLS | \
	~((1u << IPC_MECHS) - 1))

static char why_text[160];

/* The index of the storage section NAME; "" is the first.  -1: unknown. */
static int
storage_find(const struct conf_auth *conf, const char *name)
{
	if (name[0] == 0)
		return conf->n_storage > 0 ? 0 : -1;
	for (uint32_t i = 0; i < conf->n_storage; i++)
		if (strcmp(conf->storage[i], name) == 0)
			return (int)i;
	return -1;
}

/* name NUL value NUL ..., with no name empty */
static _Bool
fields_check(const struct ipc_bytes *b)
{
	const uint8_t *p = b->p, *end = b->p + b->n, *nul;

	for (unsigned i = 0; p < end; i++) {
		nul = memchr(p, 0, (size_t)(end - p));
		if (nul == NULL || (i % 2 == 0 && nul == p))
			return 0;
		p = nul + 1;
		if (p == end)
			return i % 2 == 1;
	}
	return 1;
}

static _Bool
has_control(const char *s)
{
	for (; *s != 0; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return 1;
	return 0;
}

/* NULL, or why USER cannot have the uid that somebody else has.  Not as root
 * all have the coordinator's own, and nobody promised anything. */
static const char *
sharing_check(struct coord *c, uint32_t uid, const char *user)
{
	const char *other = !c->setup.one_user || uid == getuid() ? NULL :
	    owners_take(&c->owners, uid, user);

	if (other == NULL)
		return NULL;
	snprintf(why_text, sizeof(why_text), "uid %u is user %.60s's, too, "
	    "and this kernel cannot keep two apart (shared_uid)", uid, other);
	return *other != 0 ? why_text : "no memory";
}

/* NULL, or what is wrong with the answer. */
static const char *
answer_check(const struct conf_auth *conf, const struct ipc_pool_answer *m)
{
	if (m->uid == 0 || m->gid == 0 || m->uid == UINT32_MAX ||
	    m->gid == UINT32_MAX)
		return "uid or gid 0";
	if (m->uid < conf->uid_min) {
		snprintf(why_text, sizeof(why_text),
		    "uid %u is below uid_min (%u)", m->uid, conf->uid_min);
		return why_text;
	}
	if (m->gid < conf->gid_min) {
		snprintf(why_text, sizeof(why_text),
		    "gid %u is below gid_min (%u)", m->gid, conf->gid_min);
		return why_text;
	}
	if (storage_find(conf, m->storage) < 0) {
		snprintf(why_text, sizeof(why_text),
		    "no storage section \"%.63s\"", m->storage);
		return why_text;
	}
	if (m->home[0] != 0 && m->home[0] != '/')
		return "home is not an absolute path";
	if (has_control(m->home) || has_control(m->location))
		return "control octets in home or location";
	return fields_check(&m->fields) ? NULL : "malformed fields";
}

static culver_status
tail_encode(const struct job *j, const struct ipc_pool_answer *m,
    const char *user, uint8_t *buf, size_t *n)
{
	struct ipc_userdata data = {.user = user, .home = m->home,
	    .location = m->location, .quota_octets = m->quota_octets,
	    .quota_messages = m->quota_messages,
	    .login_delay = j->login_delay, .expire_days = j->expire_days,
	    .fields = m->fields};

	*n = ipc_encode(IPC_USERDATA, &data, 0, buf, *n);
	return *n > 0 ? CULVER_OK : CULVER_E_TEMP;
}

/*
 * Master takes a grant, and forks for one, more slowly than passwords are
 * compared: where hundreds log in at once its channel is full, and no login
 * gets on before it has read some.  Who does not read for MASTER_WAIT is not
 * waited for again until it does.
 */
static culver_status
grant_put(struct coord *c, const struct ipc_grant *g)
{
	struct pollfd room = {.fd = c->setup.master, .events = POLLOUT};
	culver_status st = ipc_send(room.fd, IPC_GRANT, g, NULL, 0);

	if (st == CULVER_E_TEMP && !c->master_stuck &&
	    poll(&room, 1, MASTER_WAIT) > 0)
		st = ipc_send(room.fd, IPC_GRANT, g, NULL, 0);
	c->master_stuck = st == CULVER_E_TEMP;
	return st;
}

culver_status
grant_send(struct job *j, const struct ipc_pool_answer *m, uint64_t *id_r,
    const char **why)
{
	static uint8_t tail[16384];
	struct coord *c = j->gate->coord;
	_Bool login = j->kind == KIND_LOGIN;
	char user[USER_MAX + 1];
	size_t n = sizeof(tail);
	culver_status st;
	struct ipc_grant g = {.gate = j->gate->id, .serial = j->serial,
	    .kind = login ? IPC_GRANT_SESSION : IPC_GRANT_DELIVERY,
	    .flags = login ? j->flags & PASSED_ON : IPC_DELIVERY,
	    .mech = login ? j->sasl.mech->name : "LMTP",
	    .uid = m->uid, .gid = m->gid, .user = user, .remote = j->remote,
	    .master = j->master};

	*why = answer_check(c->conf, m);
	if (*why == NULL && !user_check(m->user[0] != 0 ? m->user : j->user, 0,
	    user))
		*why = "its canonical name is not one";
	if (*why != NULL)
		return CULVER_E_TEMP;
	if (id_r == NULL)
		return CULVER_OK;
	*why = sharing_check(c, m->uid, user);
	if (*why != NULL)
		return CULVER_E_TEMP;
	*why = "its data is too long";
	if (tail_encode(j, m, user, tail, &n) != CULVER_OK)
		return CULVER_E_TEMP;
	g.id = (uint64_t)c->setup.generation << 40 |
	    (++c->grants & ((UINT64_C(1) << 40) - 1));
	g.section = (uint32_t)storage_find(c->conf, m->storage);
	g.tail = (struct ipc_bytes){.p = tail, .n = (uint32_t)n};
	*why = "master does not take grants";
	st = grant_put(c, &g);
	if (st != CULVER_OK)
		return CULVER_E_TEMP;
	*id_r = g.id;
	return CULVER_OK;
}
