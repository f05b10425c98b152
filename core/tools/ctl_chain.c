/*
 * ctl_chain.c - ask the auth sections about a user, in the order in which the
 * coordinator does (core/auth/chain.c, lookup.c).
 *
 * Runs in culverctl as its caller.  Plugins and their secrets are in pool
 * processes that dropped; their answers are checked like a coordinator would.
 */
#include "config.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <culver/auth.h>

#include "core/auth/then.h"
#include "core/auth/user.h"
#include "core/base/clock.h"
#include "core/master/grant.h"
#include "core/tools/ctl_auth.h"

#define PATIENCE (30 * NS_PER_S)

static struct ipc_in in;
static struct conf_auth conf_auth;

/* One message from FROM on FD, in time. */
static _Bool
expect(int fd, enum ipc_type type, enum ipc_role to, enum ipc_phase phase)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, (int)(PATIENCE / NS_PER_MS)) == 1 &&
	    ipc_recv(fd, &in, R_POOL, to, phase) == IPC_GOT &&
	    in.type == type;
}

static _Bool
pool_start(struct ctl_role *r, const struct ctl_conf *c, unsigned section)
{
	struct spawn s = {.role = R_POOL,
	    .group = c->master.auth[section].gid, .fd = {-1, -1,
	    c->pool_snap[section], -1, -1, -1}};

	if (!role_start(r, &c->env, &s, 1))
		return 0;
	if (expect(r->channel, IPC_READY, R_MANAGER, P_START) &&
	    in.m.ready.status == 0)
		return 1;
	ctl_warnx("auth section %s: its process did not start",
	    c->master.auth[section].name);
	kill(r->pid, SIGKILL);
	role_end(r, 1);
	return 0;
}

/* Ask SECTION; false after a message if there was no answer. */
static _Bool
pool_ask(const struct ctl_conf *c, unsigned section,
    const struct ipc_pool_login *m)
{
	struct ctl_role r;
	_Bool ok;

	if (!pool_start(&r, c, section))
		return 0;
	/* both answers begin with the number */
	ok = ipc_send(r.pool, IPC_POOL_LOGIN, m, NULL, 0) == CULVER_OK &&
	    expect(r.pool, m->want & IPC_WANT_CREDS ? IPC_POOL_CREDS :
	    IPC_POOL_ANSWER, R_AUTH, P_RUN) && in.m.pool_answer.id == m->id;
	if (!ok)
		kill(r.pid, SIGKILL);
	close(r.pool);		/* an old pool ends with its coordinator */
	r.pool = -1;
	role_end(&r, !ok);
	if (!ok)
		ctl_warnx("auth section %s: no answer",
		    c->master.auth[section].name);
	return ok;
}

/* SECTION said ST in the last answer: if it could not tell, say why. */
static void
complain(const struct ctl_conf *c, unsigned section, culver_status st,
    struct ctl_user *u)
{
	if (!chain_is_failure(st))
		return;
	u->unsure = 1;
	ctl_warnx("auth section %s: %s (status %d)",
	    c->master.auth[section].name, in.m.pool_answer.error[0] != 0 ?
	    in.m.pool_answer.error : "failed", st);
}

/* Would a running culverd remember this answer? */
static _Bool
is_kept(const struct ctl_said *said)
{
	_Bool yes = conf_auth.cache_time > 0 || conf_auth.cache_away_time > 0;

	return (conf_auth.section[said->section].caps &
	    CULVER_AU_NO_CACHE) == 0 && (said->status == CULVER_OK ? yes :
	    said->status == CULVER_E_NOUSER &&
	    conf_auth.cache_negative_time > 0);
}

/* Ask SECTION what M->want says, and note what it said in U: what that leads
 * to, CONF_THEN_STOP if it is a yes. */
static enum conf_then
section_ask(const struct ctl_conf *c, unsigned section,
    const struct ipc_pool_login *m, struct ctl_user *u)
{
	struct ctl_said *said = &u->said[u->n_said];
	_Bool verify = (m->want & IPC_WANT_VERIFY) != 0;

	if (u->n_said < CTL_MAX_SAID - 1)
		u->n_said++;
	*said = (struct ctl_said){.section = section, .verify = verify,
	    .status = CULVER_E_TEMP};
	if (pool_ask(c, section, m)) {
		said->status = (culver_status)(verify ?
		    in.m.pool_answer.verify : in.m.pool_answer.lookup);
		complain(c, section, said->status, u);
	} else {
		u->unsure = 1;
	}
	said->kept = is_kept(said);
	return said->status == CULVER_OK ? CONF_THEN_STOP :
	    chain_then(&conf_auth.section[section], said->status);
}

static culver_status
last_said(const struct ctl_user *u)
{
	return u->said[u->n_said - 1].status;
}

/* The exit status of a chain that ended with ST, after a message. */
static int
refused(const struct ctl_user *u, const char *user, culver_status st)
{
	const char *why = st == CULVER_E_AUTH ? "the password is wrong" :
	    st == CULVER_E_DISABLED ? "the account is disabled" :
	    st == CULVER_E_EXPIRED ? "the password has expired" :
	    st == CULVER_E_DELAY ? "not so soon after the last login" : NULL;

	if (chain_is_failure(st) || (why == NULL && u->unsure))
		return st == CULVER_E_PERM || st == CULVER_E_CORRUPT ?
		    EX_SOFTWARE : EX_TEMPFAIL;
	if (why == NULL)
		ctl_warnx("%s: no auth section knows this user", user);
	else
		ctl_warnx("%s: %s", user, why);
	return why == NULL ? EX_NOUSER : EX_NOPERM;
}

/* Verify M's password along the chain, of MASTERS or of the others; 0, or an
 * exit status. */
static int
verify(const struct ctl_conf *c, struct ipc_pool_login *m, _Bool masters,
    struct ctl_user *u)
{
	culver_status no = CULVER_E_NOUSER;

	for (unsigned i = 0; i < conf_auth.n_section; i++) {
		const struct conf_auth_part *s = &conf_auth.section[i];
		enum conf_then then;

		if ((s->caps & CULVER_AU_VERIFY) == 0 ||
		    (s->masters != 0) != masters)
			continue;
		m->want = IPC_WANT_VERIFY;
		if ((s->caps & CULVER_AU_USER) != 0 &&
		    (s->user_data == CONF_NO_SECTION || s->user_data == i))
			m->want |= IPC_WANT_USER;
		then = section_ask(c, i, m, u);
		u->verified_by = i;
		if (last_said(u) == CULVER_OK)
			return 0;
		if (last_said(u) == CULVER_E_AUTH || then == CONF_THEN_STOP)
			no = last_said(u);
		if (then == CONF_THEN_TEMP)
			return refused(u, m->user, CULVER_E_TEMP);
		if (then == CONF_THEN_STOP)
			break;
	}
	return refused(u, m->user, no);
}

/* Look M's user up, from section FIRST on, or only there with ONLY; those in
 * the set ASKED have answered already. */
static int
lookup(const struct ctl_conf *c, struct ipc_pool_login *m, unsigned first,
    _Bool only, uint32_t asked, struct ctl_user *u)
{
	m->want = IPC_WANT_USER;
	m->password = (struct ipc_bytes){0};
	for (unsigned i = 0; i < (only ? 1 : conf_auth.n_section); i++) {
		unsigned s = (first + i) % conf_auth.n_section;
		enum conf_then then;

		if ((conf_auth.section[s].caps & CULVER_AU_USER) == 0 ||
		    (asked & 1u << s) != 0)
			continue;
		then = section_ask(c, s, m, u);
		u->found_by = s;
		if (last_said(u) == CULVER_OK)
			return 0;
		if (then == CONF_THEN_TEMP)
			return refused(u, m->user, CULVER_E_TEMP);
		if (then == CONF_THEN_STOP)
			return refused(u, m->user, last_said(u));
	}
	if (!u->unsure && asked != 0)
		ctl_warnx("%s: no auth section knows this user's uid, gid and "
		    "home", m->user);
	else
		return refused(u, m->user, CULVER_E_NOUSER);
	return EX_NOUSER;
}

/* The answer of a lookup, with the storage section that it names. */
static int
answer_take(const struct ctl_conf *c, const char *user, struct ctl_user *out)
{
	const struct ipc_pool_answer *a = &in.m.pool_answer;

	out->answer = *a;
	snprintf(out->name, sizeof(out->name), "%s", a->user[0] != 0 ?
	    a->user : user);
	for (uint32_t i = 0; i < c->master.n_storage; i++)
		if (a->storage[0] == 0 ||
		    strcmp(c->master.storage[i].name, a->storage) == 0) {
			out->section = i;
			return 0;
		}
	ctl_warnx("%s: no storage section \"%s\"", user, a->storage);
	return EX_CONFIG;
}

/* Is M's user, whom a master wants to be, a master?  0, or an exit status. */
static int
target_check(const struct ctl_conf *c, struct ipc_pool_login *m)
{
	m->want = IPC_WANT_CREDS;
	m->form = CULVER_CRED_PLAIN;
	for (unsigned i = 0; i < conf_auth.n_section; i++) {
		const struct conf_auth_part *s = &conf_auth.section[i];
		culver_status st;

		if (s->masters == 0 || (s->caps & CULVER_AU_CREDS) == 0)
			continue;
		if (!pool_ask(c, i, m))
			return EX_TEMPFAIL;
		st = (culver_status)in.m.pool_creds.status;
		if (st == CULVER_E_NOUSER || st == CULVER_E_DECLINE)
			continue;
		ctl_warnx("section %s: %s %s", c->master.auth[i].name,
		    m->user, chain_is_failure(st) && st !=
		    CULVER_E_UNSUPPORTED ? "could be a master: it cannot "
		    "tell" : "is a master, and nobody can become one");
		return EX_NOPERM;
	}
	return 0;
}

/* NAME is TARGET's, with a master behind it. */
static int
master_ask(const struct ctl_conf *c, struct ipc_pool_login *m,
    const char *target, struct ctl_user *u)
{
	int status = verify(c, m, 1, u);

	m->user = target;
	m->password = (struct ipc_bytes){0};
	if (status == 0)
		status = target_check(c, m);
	if (status == 0)
		status = lookup(c, m, 0, 0, 0, u);
	return status == 0 ? answer_take(c, target, u) : status;
}

/* Who is it whose password was found right? */
static int
verified_lookup(const struct ctl_conf *c, struct ipc_pool_login *m,
    const char *name, struct ctl_user *u)
{
	uint32_t by = u->verified_by;
	uint32_t data = conf_auth.section[by].user_data;
	struct ctl_said *said = &u->said[u->n_said];
	_Bool only = data < conf_auth.n_section;
	int status;

	if (m->want & IPC_WANT_USER) {
		*said = (struct ctl_said){.section = by,
		    .status = (culver_status)in.m.pool_answer.lookup};
		said->kept = is_kept(said);
		u->n_said++;
		u->found_by = by;
		if (said->status == CULVER_OK)
			return answer_take(c, name, u);
		complain(c, by, said->status, u);
		if (only || chain_then(&conf_auth.section[by],
		    said->status) != CONF_THEN_NEXT)
			return refused(u, name, said->status);
	}
	status = lookup(c, m, only ? data : by + 1, only,
	    m->want & IPC_WANT_USER ? 1u << by : 1u << 31, u);
	return status == 0 ? answer_take(c, name, u) : status;
}

int
auth_ask(struct ctl *ctl, struct ctl_conf *c, const char *user,
    const char *password, size_t n, struct ctl_user *out)
{
	static char name[USER_MAX + 1], target[USER_MAX + 1];
	char master[USER_MAX + 1];
	struct ipc_pool_login m = {.id = 1, .service = "pop3",
	    .deadline = clock_now() + PATIENCE, .flags = IPC_LOOPBACK,
	    .user = name, .remote = "127.0.0.1", .local = "127.0.0.1",
	    .session = "culverctl"};
	int status;

	memset(out, 0, sizeof(*out));
	if ((status = conf_load(ctl, "run", c, NULL)) != 0)
		return status;
	if (!conf_read(c->auth_snap, CONF_AUTH, &conf_auth,
	    sizeof(conf_auth))) {
		ctl_warnx("the config role left something out");
		return EX_SOFTWARE;
	}
	if (!user_check(user, conf_auth.user_case == 1, name)) {
		ctl_warnx("%s: this cannot be the name of a user", user);
		return EX_NOUSER;
	}
	if (password == NULL) {
		status = lookup(c, &m, 0, 0, 0, out);
		return status == 0 ? answer_take(c, name, out) : status;
	}
	m.password = (struct ipc_bytes){(const uint8_t *)password,
	    (uint32_t)n};
	if (master_split(name, (char)conf_auth.master_separator, target,
	    master)) {
		m.user = master;
		out->by_master = 1;
		return master_ask(c, &m, target, out);
	}
	status = verify(c, &m, 0, out);
	return status == 0 ? verified_lookup(c, &m, name, out) : status;
}

void
auth_done(void)
{
	ipc_done(&in);
}

_Bool
auth_may_become(const struct ctl_conf *c, const struct ctl_user *u)
{
	const struct ipc_grant g = {.uid = u->answer.uid,
	    .gid = u->answer.gid, .section = u->section};
	const char *wrong = grant_check(&c->master, &c->env, &g);

	if (wrong != NULL)
		ctl_warnx("%s: uid %" PRIu32 ", gid %" PRIu32 ": %s", u->name,
		    g.uid, g.gid, wrong);
	return wrong == NULL;
}
