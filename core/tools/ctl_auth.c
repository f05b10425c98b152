/*
 * ctl_auth.c - ask the auth sections about a user, and `user`, `login-test`.
 *
 * Runs in culverctl as its caller.  Plugins and their secrets are in pool
 * processes that dropped; their answers are checked like a coordinator would
 * (core/auth/job.c has the same order of sections).
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <culver/auth.h>

#include "core/auth/user.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/master/grant.h"
#include "core/tools/ctl_auth.h"
#include "core/tools/password.h"

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
	struct spawn s = {.role = R_POOL, .fd = {-1, -1,
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
section_ask(const struct ctl_conf *c, unsigned section,
    const struct ipc_pool_login *m)
{
	struct ctl_role r;
	_Bool ok;

	if (!pool_start(&r, c, section))
		return 0;
	ok = ipc_send(r.pool, IPC_POOL_LOGIN, m, NULL, 0) == CULVER_OK &&
	    expect(r.pool, IPC_POOL_ANSWER, R_AUTH, P_RUN) &&
	    in.m.pool_answer.id == m->id;
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

/* A plugin's failure: what it said, and the exit status. */
static int
failed(const struct ctl_conf *c, unsigned section, culver_status st)
{
	ctl_warnx("auth section %s: %s (status %d)",
	    c->master.auth[section].name, in.m.pool_answer.error[0] != 0 ?
	    in.m.pool_answer.error : "failed", st);
	return st == CULVER_E_PERM || st == CULVER_E_CORRUPT ? EX_SOFTWARE :
	    EX_TEMPFAIL;
}

static int
refused(const char *user, const char *section, culver_status st)
{
	ctl_warnx("section %s: %s: %s", section, user,
	    st == CULVER_E_AUTH ? "the password is wrong" :
	    st == CULVER_E_DISABLED ? "the account is disabled" :
	    st == CULVER_E_EXPIRED ? "the password has expired" :
	    "not so soon after the last login");
	return EX_NOPERM;
}

static _Bool
passes(culver_status st)
{
	return st == CULVER_E_NOUSER || st == CULVER_E_DECLINE;
}

/* Verify M's password along the chain; the section in *by. */
static int
verify(const struct ctl_conf *c, struct ipc_pool_login *m, unsigned *by)
{
	for (unsigned i = 0; i < conf_auth.n_section; i++) {
		culver_status st;

		if ((conf_auth.section[i].caps & CULVER_AU_VERIFY) == 0)
			continue;
		m->want = IPC_WANT_VERIFY;
		if (conf_auth.section[i].caps & CULVER_AU_USER)
			m->want |= IPC_WANT_USER;
		if (!section_ask(c, i, m))
			return EX_TEMPFAIL;
		st = (culver_status)in.m.pool_answer.verify;
		*by = i;
		if (st == CULVER_OK)
			return 0;
		if (!passes(st))
			return st <= CULVER_E_AUTH && st >= CULVER_E_DELAY ?
			    refused(m->user, c->master.auth[i].name, st) :
			    failed(c, i, st);
	}
	ctl_warnx("%s: no auth section knows this user", m->user);
	return EX_NOUSER;
}

/* Look M's user up, behind section FIRST first; if ASKED, that one knows the
 * password but not where the mail is. */
static int
lookup(const struct ctl_conf *c, struct ipc_pool_login *m, unsigned first,
    _Bool asked, unsigned *by)
{
	m->want = IPC_WANT_USER;
	m->password = (struct ipc_bytes){0};
	for (unsigned i = asked; i < conf_auth.n_section; i++) {
		unsigned s = (first + i) % conf_auth.n_section;
		culver_status st;

		if ((conf_auth.section[s].caps & CULVER_AU_USER) == 0)
			continue;
		if (!section_ask(c, s, m))
			return EX_TEMPFAIL;
		st = (culver_status)in.m.pool_answer.lookup;
		*by = s;
		if (st == CULVER_OK)
			return 0;
		if (!passes(st))
			return failed(c, s, st);
	}
	ctl_warnx(asked ? "%s: no auth section knows this user's uid, gid and "
	    "home" : "%s: no auth section knows this user", m->user);
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

int
auth_ask(struct ctl *ctl, struct ctl_conf *c, const char *user,
    const char *password, size_t n, struct ctl_user *out)
{
	static char name[USER_MAX + 1];
	struct ipc_pool_login m = {.id = 1, .service = "pop3",
	    .deadline = clock_now() + PATIENCE, .flags = IPC_LOOPBACK,
	    .user = name, .remote = "culverctl", .local = "culverctl",
	    .session = "culverctl"};
	_Bool asked = 0;
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
	if (password != NULL) {
		m.password = (struct ipc_bytes){(const uint8_t *)password,
		    (uint32_t)n};
		status = verify(c, &m, &out->verified_by);
		asked = 1;
		if (status == 0 && (m.want & IPC_WANT_USER)) {
			culver_status st =
			    (culver_status)in.m.pool_answer.lookup;

			out->found_by = out->verified_by;
			if (st == CULVER_OK)
				return answer_take(c, name, out);
			if (!passes(st))
				return failed(c, out->found_by, st);
		}
	}
	if (status == 0)
		status = lookup(c, &m, out->verified_by, asked,
		    &out->found_by);
	return status == 0 ? answer_take(c, name, out) : status;
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

/* name NUL value NUL ... as rows, or as the members of an object. */
static void
fields_print(const struct ipc_bytes *b, _Bool json)
{
	const char *p = (const char *)b->p, *end = p + b->n, *value;
	const char *comma = "";

	if (b->n > 0 && end[-1] != 0)
		return;		/* no plugin of ours */
	for (; p < end; p = value + strlen(value) + 1, comma = ", ") {
		value = p + strlen(p) + 1;
		if (value >= end)
			return;
		printf("%s", json ? comma : "field    ");
		json ? json_text(p) : (void)plain_text(p);
		printf(json ? ": " : "=");
		json ? json_text(value) : (void)plain_text(value);
		if (!json)
			putchar('\n');
	}
}

static void
text_print(const char *key, const char *value, _Bool json)
{
	if (json) {
		printf(", ");
		json_text(key);
		printf(": ");
		json_text(value);
	} else if (*value != 0) {
		printf("%-8s ", key);
		plain_text(value);
		putchar('\n');
	}
}

static void
user_print(const struct ctl_conf *c, const struct ctl_user *u, _Bool json)
{
	const struct ipc_pool_answer *a = &u->answer;

	printf(json ? "{\"user\": " : "user     ");
	json ? json_text(u->name) : (void)plain_text(u->name);
	printf(json ? ", \"uid\": %" PRIu32 ", \"gid\": %" PRIu32 :
	    "\nuid      %" PRIu32 "\ngid      %" PRIu32 "\n", a->uid, a->gid);
	text_print("home", a->home, json);
	text_print("location", a->location, json);
	text_print("storage", c->master.storage[u->section].name, json);
	text_print("found-by", c->master.auth[u->found_by].name, json);
	if (json)
		printf(", \"quota_octets\": %" PRIu64 ", \"quota_messages\": %"
		    PRIu64 ", \"fields\": {", a->quota_octets,
		    a->quota_messages);
	else if (a->quota_octets != 0 || a->quota_messages != 0)
		printf("quota    %" PRIu64 " octets, %" PRIu64 " messages\n",
		    a->quota_octets, a->quota_messages);
	fields_print(&a->fields, json);
	if (json)
		printf("}}\n");
}

static int
ask_and_print(struct ctl *ctl, const char *password, size_t n)
{
	static struct ctl_conf c;
	static struct ctl_user u;
	int status = auth_ask(ctl, &c, ctl->argv[1], password, n, &u);

	if (status == 0) {
		if (password != NULL && !ctl->json)
			printf("the password is right (section %s)\n",
			    c.master.auth[u.verified_by].name);
		user_print(&c, &u, ctl->json);
		if (!auth_may_become(&c, &u))
			status = EX_NOPERM;
	}
	ipc_done(&in);
	conf_close(&c);
	return status;
}

int
ctl_user(struct ctl *ctl)
{
	return ctl->argc == 2 ? ask_and_print(ctl, NULL, 0) : ctl_usage(ctl);
}

int
ctl_login_test(struct ctl *ctl)
{
	char password[PASSWORD_MAX];
	int status = EX_NOINPUT;
	ssize_t n;

	if (ctl->argc != 2)
		return ctl_usage(ctl);
	n = password_read("Password: ", password);
	if (n >= 0)
		status = ask_and_print(ctl, password, (size_t)n);
	explicit_bzero(password, sizeof(password));
	return status;
}

static void
log_nothing(int level, const char *text)
{
	(void)level, (void)text;
}

int
ctl_hash(struct ctl *ctl)
{
	static struct ctl_conf c;
	const char *scheme = "";
	char path[640];

	if (ctl->argc == 3 && strcmp(ctl->argv[1], "--scheme") == 0)
		scheme = ctl->argv[2];
	else if (ctl->argc != 1)
		return ctl_usage(ctl);
	/* Only the folder counts here; that is known without accounts too. */
	log_set_sink(log_nothing);
	spawn_setup(&c.env, ctl->override);
	snprintf(path, sizeof(path), "%s/hash", c.env.libexec);
	execl(path, "hash", ctl->json ? "json" : "text", scheme, (char *)NULL);
	ctl_warn("%s (built only where libxcrypt was found)", path);
	return EX_UNAVAILABLE;
}
