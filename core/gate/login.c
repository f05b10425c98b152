/*
 * login.c - from credentials to a worker: what a gate asks the coordinator
 * and master, and what it makes of their answers.
 *
 * Runs in gate.  An answer counts only if its serial is that of a connection
 * that waits for such an answer; serials are 64 bits and never used again, so
 * a late answer meets nobody.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gate/gate.h"
#include "core/pop3/reply.h"
#include "core/sasl/base64.h"
#include "core/tls/tls.h"

enum {
	WORKER_S = 30,		/* for master to answer a HANDOVER */
	GRANT_S = 15,		/* to use a grant, which is good for 30 */
	ANSWERS = 64,		/* taken in one round */
	CHALLENGE_MAX = 4096	/* octets */
};

static struct conn **
bucket_of(struct gate *g, uint64_t serial)
{
	return &g->by_serial[serial % GATE_BUCKETS];
}

static struct conn *
find(struct gate *g, uint64_t serial)
{
	struct conn *c = *bucket_of(g, serial);

	while (c != NULL && c->serial != serial)
		c = c->hash_next;
	return c;
}

/* Nobody will use GRANT: master need not keep room for it.  If this does not
 * reach master, it waits until the time of the grant is over. */
static void
release(struct gate *g, uint64_t grant, uint64_t serial)
{
	const struct ipc_release msg = {.grant = grant, .serial = serial};

	(void)ipc_send(g->master.fd, IPC_RELEASE, &msg, NULL, 0);
}

static void
unhold(struct conn *c)
{
	if (!c->is_held)
		return;
	TAILQ_REMOVE(&c->gate->held, c, held_link);
	c->is_held = 0;
	buf_free(&c->held);
}

/* No answer to this attempt counts any more. */
static void
forget(struct conn *c)
{
	struct conn **at = bucket_of(c->gate, c->serial);

	if (c->serial == 0)
		return;
	unhold(c);
	if (c->grant != 0)
		release(c->gate, c->grant, c->serial);
	while (*at != c)
		at = &(*at)->hash_next;
	*at = c->hash_next;
	c->hash_next = NULL;
	c->serial = 0;
	c->grant = 0;
}

/* Another attempt may follow, until the time for all of them is over. */
static void
back(struct conn *c, const char *reply)
{
	forget(c);
	conn_say(c, reply);
	conn_enter(c, CONN_AUTHORIZATION, c->login_by);
}

static void
back_failed(struct conn *c)
{
	back(c, pop3_status_reply(CULVER_E_TEMP, POP3_AT_LOGIN));
}

/* E_TEMP: there is no room in the channel now. */
static culver_status
ask(struct gate *g, enum ipc_type type, const void *msg)
{
	return g->auth_open ? ipc_send(g->auth.fd, type, msg, NULL, 0) :
	    CULVER_E_PERM;
}

/* The server's address as the client sees it. */
static void
local_text(const struct conn *c, char text[PEER_TEXT])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct peer local = {.family = AF_UNIX};

	if (c->local.family != 0)
		local = c->local;
	else if (getsockname(c->io.fd, (struct sockaddr *)&ss, &len) == 0)
		peer_set(&local, (struct sockaddr *)&ss, len);
	peer_text(&local, text);
}

static culver_status
ask_begin(struct conn *c, enum sasl_id mech, _Bool has_ir,
    const uint8_t *data, size_t n)
{
	struct gate *g = c->gate;
	char remote[PEER_TEXT], local[PEER_TEXT];
	char cert_user[TLS_CLIENT_USER];
	struct tls_binding bind;
	struct ipc_auth_begin msg = {.mech = sasl_mechs[mech].name,
	    .service = "pop3",
	    .remote = remote, .local = local, .serial = c->serial,
	    .flags = authz_flags(c) | (has_ir ? IPC_HAS_IR : 0u),
	    .data = {.p = data, .n = (uint32_t)n}};

	peer_text(&c->peer, remote);
	local_text(c, local);
	if (c->ssl != NULL && (sasl_mechs[mech].flags & SASL_F_SCRAM) != 0) {
		tls_binding_get(c->ssl, &bind);
		msg.exporter = (struct ipc_bytes){bind.exporter,
		    (uint32_t)bind.exporter_n};
		msg.endpoint = (struct ipc_bytes){bind.endpoint,
		    (uint32_t)bind.endpoint_n};
		msg.unique = (struct ipc_bytes){bind.unique,
		    (uint32_t)bind.unique_n};
	}
	if (c->ssl != NULL && (sasl_mechs[mech].flags & SASL_F_CERT) != 0 &&
	    tls_client_user(g->tls, c->ssl, cert_user))
		msg.cert_user = cert_user;
	return ask(g, IPC_AUTH_BEGIN, &msg);
}

static culver_status
ask_continue(struct conn *c, const uint8_t *data, size_t n)
{
	struct ipc_auth_cont msg = {.serial = c->serial,
	    .data = {.p = data, .n = (uint32_t)n}};

	return ask(c->gate, IPC_AUTH_CONT, &msg);
}

/*
 * After trying to ask with ST: keep DATA if there was no room for it, as when
 * many log in at once.  Who comes later waits behind those who are held.
 */
static void
ask_or_hold(struct conn *c, culver_status st, const uint8_t *data, size_t n)
{
	struct gate *g = c->gate;

	if (st == CULVER_E_TEMP && buf_set(&c->held, data, n)) {
		TAILQ_INSERT_TAIL(&g->held, c, held_link);
		c->is_held = 1;
		st = loop_watch(g->loop, &g->auth, LOOP_READ | LOOP_WRITE) ?
		    CULVER_OK : CULVER_E_NOMEM;
	}
	if (st == CULVER_OK)
		conn_enter(c, CONN_AUTH, 0);
	else
		back_failed(c);
}

void
login_begin(struct conn *c, enum sasl_id mech, _Bool has_ir,
    const uint8_t *data, size_t n)
{
	struct gate *g = c->gate;

	c->serial = ++g->serial;
	c->hash_next = *bucket_of(g, c->serial);
	*bucket_of(g, c->serial) = c;
	c->held_begins = 1;
	c->held_mech = (uint8_t)mech;
	c->held_ir = has_ir;
	ask_or_hold(c, TAILQ_EMPTY(&g->held) ? ask_begin(c, mech, has_ir,
	    data, n) : CULVER_E_TEMP, data, n);
}

void
login_continue(struct conn *c, const uint8_t *data, size_t n)
{
	c->held_begins = 0;
	ask_or_hold(c, TAILQ_EMPTY(&c->gate->held) ? ask_continue(c, data, n) :
	    CULVER_E_TEMP, data, n);
}

/* There is room again: ask what was held. */
static void
ask_held(struct gate *g)
{
	culver_status st = CULVER_OK;
	struct conn *c;

	while ((c = TAILQ_FIRST(&g->held)) != NULL) {
		st = c->held_begins ? ask_begin(c, (enum sasl_id)c->held_mech,
		    c->held_ir, c->held.p, c->held.n) :
		    ask_continue(c, c->held.p, c->held.n);
		if (st == CULVER_E_TEMP)
			return;
		unhold(c);
		if (st == CULVER_OK)
			continue;
		back_failed(c);
		conn_settle(c);
	}
	if (g->auth_open && !loop_watch(g->loop, &g->auth, LOOP_READ))
		log_warnx("gate: cannot watch the auth coordinator");
}

void
login_cancel(struct conn *c)
{
	struct ipc_auth_cancel msg = {.serial = c->serial};

	/* An attempt that is decided needs no cancelling, nor one that the
	 * coordinator has not heard of; forget() gives a grant back. */
	if (c->serial != 0 && c->grant == 0 &&
	    !(c->is_held && c->held_begins) &&
	    (c->state == CONN_AUTH || c->state == CONN_SASL))
		(void)ask(c->gate, IPC_AUTH_CANCEL, &msg);
	forget(c);
	if (c->state == CONN_SASL)
		conn_enter(c, CONN_AUTHORIZATION, 0);
}

void
login_deny(struct conn *c)
{
	back(c, pop3_status_reply(c->status, POP3_AT_LOGIN));
}

/* Give the client's socket, or the inner end of its TLS, to master. */
static bool
hand_over(struct conn *c)
{
	struct ipc_handover msg = {.grant = c->grant, .serial = c->serial};
	int end = -1, fd = c->io.fd;
	culver_status st;

	if (c->ssl != NULL) {
		if (!relay_prepare(c, &end))
			return false;
		fd = end;
	}
	st = ipc_send(c->gate->master.fd, IPC_HANDOVER, &msg, &fd, 1);
	if (end >= 0)
		close(end);
	if (st == CULVER_OK)
		c->grant = 0;		/* it is used */
	else
		relay_free(c);
	return st == CULVER_OK;
}

void
login_resume(struct conn *c)
{
	/* The client did not take what was said before for so long; and a
	 * hand-over that is too late would be a breach. */
	if (clock_now() > c->grant_by) {
		back_failed(c);
		return;
	}
	if (!hand_over(c)) {
		uint32_t hidden;

		if (limit_log(c->gate, LIMIT_OTHER, &hidden))
			log_warnx("gate: master did not take a client");
		back_failed(c);
		return;
	}
	conn_enter(c, CONN_HANDOVER, clock_now() + WORKER_S * NS_PER_S);
}

static void
on_challenge(struct conn *c, const struct ipc_auth_challenge *m)
{
	char text[BASE64_ROOM(CHALLENGE_MAX)];

	if (m->data.n > CHALLENGE_MAX) {	/* no mechanism says so much */
		login_cancel(c);
		back_failed(c);
		return;
	}
	conn_say(c, "+ ");
	conn_say_n(c, text, base64_encode(m->data.p, m->data.n, text));
	conn_say(c, "\r\n");
	conn_enter(c, CONN_SASL, 0);
}

static void
on_answer(struct gate *g, const struct ipc_in *in)
{
	/* every message of the coordinator begins with the serial */
	struct conn *c = find(g, in->m.auth_no.serial);

	if (c == NULL || c->state != CONN_AUTH || c->grant != 0) {
		/* it went away meanwhile */
		if (in->type == IPC_AUTH_YES && in->m.auth_yes.grant != 0)
			release(g, in->m.auth_yes.grant,
			    in->m.auth_yes.serial);
		return;
	}
	switch (in->type) {
	case IPC_AUTH_CHALLENGE:
		on_challenge(c, &in->m.auth_challenge);
		break;
	case IPC_AUTH_NO:
		c->status = (culver_status)in->m.auth_no.status;
		c->not_before = in->m.auth_no.not_before;
		forget(c);
		conn_enter(c, CONN_DELAY, 0);
		if (c->not_before <= clock_now())
			login_deny(c);
		break;
	case IPC_AUTH_YES:
		c->grant = in->m.auth_yes.grant;
		c->grant_by = clock_now() + GRANT_S * NS_PER_S;
		if (c->grant == 0)
			back_failed(c);
		break;
	default:
		break;
	}
	conn_settle(c);
}

void
login_auth_gone(struct gate *g)
{
	struct conn *next;

	if (!g->auth_open)
		return;
	g->auth_open = 0;
	loop_unwatch(g->loop, &g->auth);
	close(g->auth.fd);
	log_warnx("gate: the auth coordinator is gone");
	for (struct conn *c = g->all; c != NULL; c = next) {
		next = c->next;
		if (c->state != CONN_AUTH || c->grant != 0)
			continue;
		back_failed(c);
		conn_settle(c);
	}
	gate_drain(g);
}

void
login_auth_ready(struct loop_io *io, unsigned events)
{
	struct gate *g = (struct gate *)(void *)((char *)io -
	    offsetof(struct gate, auth));

	if (events & LOOP_WRITE)
		ask_held(g);
	for (int i = 0; i < ANSWERS && g->auth_open; i++) {
		switch (ipc_recv(io->fd, &g->msg, R_AUTH, R_GATE, g->phase)) {
		case IPC_GOT:
			on_answer(g, &g->msg);
			ipc_done(&g->msg);
			break;
		case IPC_AGAIN:
			return;
		case IPC_BREACH:
			log_errorx("gate: malformed message of auth");
			login_auth_gone(g);
			return;
		case IPC_EOF:
			login_auth_gone(g);
			return;
		}
	}
}

static struct conn *
find_handed_over(struct gate *g, uint64_t serial)
{
	struct conn *c = find(g, serial);

	return c != NULL && c->state == CONN_HANDOVER ? c : NULL;
}

void
login_started(struct gate *g, uint64_t serial)
{
	struct conn *c = find_handed_over(g, serial);

	gate_count_login(g);
	if (c == NULL)
		return;		/* it was given up: the worker sees the end */
	forget(c);
	if (c->relay != NULL)
		relay_start(c);
	else
		conn_close(c, "logged-in");
}

void
login_refused(struct gate *g, uint64_t serial, culver_status status)
{
	struct conn *c = find_handed_over(g, serial);

	if (c == NULL)
		return;
	relay_free(c);
	if (c->gone) {
		conn_close(c, "client");
		return;
	}
	back(c, pop3_status_reply(status, POP3_AT_LOGIN));
	conn_settle(c);
}
