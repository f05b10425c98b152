/*
 * deliver.c - from a recipient to a stored message: the coordinator says who
 * it is and gives a grant, master starts a worker for it, the worker gets the
 * message through a socket of its own and says what became of it.
 *
 * Runs in lmtp.  A worker that ends without a word has stored the message, or
 * has not: the client is told to try again, which is the lesser evil, and the
 * log says so.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/lmtp/lmtp.h"

static struct conn *
find(uint64_t serial)
{
	struct conn *c = server.all;

	while (c != NULL && (c->serial != serial || serial == 0))
		c = c->next;
	return c;
}

static void
worker_close(struct conn *c)
{
	if (c->worker.fd < 0)
		return;
	loop_unwatch(server.loop, &c->worker);
	close(c->worker.fd);
	c->worker.fd = -1;
}

void
deliver_forget(struct conn *c)
{
	c->serial = 0;
	worker_close(c);
}

/* Ask about USER; the answer comes to deliver_found(). */
static _Bool
ask(struct conn *c, const char *user, _Bool want_grant, enum conn_state state)
{
	const struct ipc_auth_user m = {.serial = ++server.serial,
	    .want_grant = want_grant, .user = user, .remote = c->remote};

	if (!server_ask(IPC_AUTH_USER, &m))
		return 0;
	c->serial = m.serial;
	conn_enter(c, state, ASK_TIME);
	return 1;
}

/* --- RCPT ------------------------------------------------------------------- */

static void
log_refused(const struct conn *c, culver_status st)
{
	struct kv kv;

	kv_start(&kv, "recipient-refused");
	kv_text(&kv, "recipient", c->s.asked.raw);
	kv_text(&kv, "sender", c->s.sender.raw);
	kv_text(&kv, "remote", c->remote);
	kv_text(&kv, "reason", st == CULVER_E_NOUSER ? "unknown-user" :
	    st == CULVER_E_DISABLED ? "disabled" :
	    st == CULVER_E_QUOTA ? "over-quota" :
	    st == CULVER_E_PERM ? "not-permitted" : "try-later");
	log_info("%s", kv.buf);
}

static void
recipient_answer(struct conn *c, culver_status st, const char *user)
{
	struct lmtp_reply r = {.n = 0};

	c->serial = 0;
	if (st != CULVER_OK)
		log_refused(c, st);
	/* a quota of a minute ago is no reason to give up */
	lmtp_recipient(&c->s, st, user, 0, &r);
	conn_say(c, &r);
	conn_enter(c, CONN_LINE, server.conf.idle_time);
}

/* Ask for the next name that the recipient may have. */
static void
candidate_ask(struct conn *c)
{
	char name[256];

	if (!lmtp_user(&c->s.asked, (enum lmtp_names)server.conf.names,
	    server.conf.delimiters, c->candidate, name))
		recipient_answer(c, CULVER_E_NOUSER, "");
	else if (!ask(c, name, 0, CONN_ASKED))
		recipient_answer(c, CULVER_E_TEMP, "");
}

void
recipient_ask(struct conn *c)
{
	c->candidate = 0;
	candidate_ask(c);
}

/* All but these passes. */
static culver_status
found_status(const struct ipc_auth_found *m)
{
	culver_status st = (culver_status)m->status;

	return st == CULVER_OK || st == CULVER_E_NOUSER ||
	    st == CULVER_E_DISABLED ? st : CULVER_E_TEMP;
}

static void
recipient_found(struct conn *c, const struct ipc_auth_found *m)
{
	culver_status st = found_status(m);

	if (st == CULVER_E_NOUSER) {
		c->candidate++;
		candidate_ask(c);
		return;
	}
	if (st == CULVER_OK && c->own_only && m->uid != c->own_uid)
		st = CULVER_E_PERM;
	else if (st == CULVER_OK && full_has(m->user, c->s.size))
		st = CULVER_E_QUOTA;
	recipient_answer(c, st, m->user);
}

/* --- one recipient after another ---------------------------------------------- */

static void
next_recipient(struct conn *c)
{
	struct lmtp_reply r = {.n = 0};

	while (c->at < c->s.n_rcpt) {
		if (c->spool.status == CULVER_OK &&
		    ask(c, c->s.rcpt[c->at].user, 1, CONN_GRANT))
			return;
		lmtp_result(&c->s, c->at, c->spool.status != CULVER_OK ?
		    c->spool.status : CULVER_E_TEMP,
		    server.conf.quota_permanent != 0, &r);
		conn_say(c, &r);
		c->at++;
	}
	spool_close(&c->spool);
	lmtp_reset(&c->s);
	conn_enter(c, CONN_LINE, server.conf.idle_time);
}

/* The answer for recipient c->at. */
static void
result(struct conn *c, culver_status st)
{
	const char *user = c->s.rcpt[c->at].user;
	struct lmtp_reply r = {.n = 0};

	deliver_forget(c);
	if (st == CULVER_E_QUOTA)
		full_add(user, c->spool.size);
	else if (st == CULVER_OK)
		full_forget(user);
	lmtp_result(&c->s, c->at, st, server.conf.quota_permanent != 0, &r);
	conn_say(c, &r);
	c->at++;
	next_recipient(c);
}

void
deliver_all(struct conn *c)
{
	c->at = 0;
	snprintf(c->id, sizeof(c->id), "%" PRIx32 "-%" PRIx64, server.id,
	    ++server.serial);
	if (c->spool.status == CULVER_OK) {
		close(c->spool.write_fd);
		c->spool.write_fd = -1;
	}
	next_recipient(c);
}

static void
on_worker(struct loop_io *io, unsigned events)
{
	struct conn *c = (struct conn *)(void *)((char *)io -
	    offsetof(struct conn, worker));
	culver_status st = CULVER_E_TEMP;

	(void)events;
	switch (ipc_recv(io->fd, &server.msg, R_WORKER, R_LMTP, P_RUN)) {
	case IPC_AGAIN:
		return;
	case IPC_GOT:
		st = (culver_status)server.msg.m.delivered.status;
		ipc_done(&server.msg);
		break;
	case IPC_EOF:
	case IPC_BREACH:
		log_warnx("delivery id=%s: the process for user %s ended "
		    "without an answer; the sender is told to try again, and "
		    "the message may arrive twice", c->id,
		    c->s.rcpt[c->at].user);
	}
	/* what only a session can see, or nobody knows, passes */
	if (st != CULVER_OK && st != CULVER_E_QUOTA && st != CULVER_E_NOSPACE)
		st = CULVER_E_TEMP;
	result(c, st);
	conn_go_on(c);
}

/* Give the message to a worker that master is asked to start. */
static _Bool
hand_over(struct conn *c, uint64_t grant)
{
	const struct lmtp_rcpt *r = &c->s.rcpt[c->at];
	const struct ipc_handover h = {.grant = grant, .serial = c->serial};
	char head[LMTP_HEAD_MAX];
	struct ipc_deliver d = {.octets = c->spool.size,
	    .sender = c->s.sender.raw, .recipient = r->addr.raw,
	    .head = {.p = (const uint8_t *)head}};
	int pair[2];
	_Bool ok;

	d.head.n = (uint32_t)lmtp_head(&c->s, c->at, c->remote, c->id,
	    time(NULL), head);
	if (d.head.n == 0 || !ipc_pair(pair)) {
		log_warn("cannot hand a message over");
		return 0;
	}
	ok = ipc_send(pair[0], IPC_DELIVER, &d, &c->spool.read_fd, 1) ==
	    CULVER_OK && server_tell_master(IPC_HANDOVER, &h, pair[1]);
	close(pair[1]);
	c->worker = (struct loop_io){.fd = pair[0], .ready = on_worker};
	if (ok && loop_watch(server.loop, &c->worker, LOOP_READ))
		return 1;
	close(pair[0]);
	c->worker.fd = -1;
	return 0;
}

/* Nobody will use the grant in M, if there is one: master need not keep it. */
static void
release(const struct ipc_auth_found *m)
{
	const struct ipc_release r = {.grant = m->grant, .serial = m->serial};

	if (m->grant != 0)
		(void)server_tell_master(IPC_RELEASE, &r, -1);
}

static void
granted(struct conn *c, const struct ipc_auth_found *m)
{
	_Bool mine = !c->own_only || m->uid == c->own_uid;

	if (m->status != CULVER_OK || m->grant == 0) {
		result(c, m->status != CULVER_OK ? found_status(m) :
		    CULVER_E_TEMP);
	} else if (mine && hand_over(c, m->grant)) {
		conn_enter(c, CONN_STORE, STORE_TIME);
	} else {
		release(m);
		result(c, mine ? CULVER_E_TEMP : CULVER_E_PERM);
	}
}

void
deliver_found(const struct ipc_auth_found *m)
{
	struct conn *c = find(m->serial);

	if (c == NULL) {
		release(m);	/* it went away meanwhile */
		return;
	}
	if (c->state == CONN_ASKED)
		recipient_found(c, m);
	else if (c->state == CONN_GRANT)
		granted(c, m);
	else
		return;
	conn_go_on(c);
}

void
deliver_refused(uint64_t serial, culver_status st)
{
	struct conn *c = find(serial);

	(void)st;
	if (c == NULL || c->state != CONN_STORE)
		return;
	result(c, CULVER_E_TEMP);
	conn_go_on(c);
}

void
deliver_late(struct conn *c)
{
	log_warnx("%s takes too long", c->state == CONN_STORE ?
	    "a delivery" : "the auth coordinator");
	if (c->state == CONN_ASKED)
		recipient_answer(c, CULVER_E_TEMP, "");
	else
		result(c, CULVER_E_TEMP);
	conn_go_on(c);
}
