/*
 * session.c - commands after login, and UPDATE; see session.h.
 *
 * Runs in worker, as the mailbox's owner, on lines from the network.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/pop3/capa.h"
#include "core/pop3/command.h"
#include "core/pop3/reply.h"
#include "core/sasl/mechs.h"
#include "core/worker/rest.h"
#include "core/worker/session.h"

#define TAKEOVER_TIME (3 * NS_PER_S)	/* for an idle session to be gone */

static bool
is_deleted(const struct session *s, uint32_t i)
{
	return (s->store->msg[i].flags & STORE_DELETED) != 0;
}

void
session_fail(struct session *s, culver_status status)
{
	client_text(s->client, pop3_status_reply(status, POP3_AT_COMMAND));
	if (status == CULVER_E_STALE)
		s->reason = "stale";
}

/* The message that a command names, counted from 0; false with a reply if
 * there is none. */
static bool
get_message(struct session *s, const struct pop3_command *cmd, uint32_t *out)
{
	uint64_t number = cmd->number[0];

	if (number == 0 || number > s->store->n) {
		client_text(s->client, POP3_NO_MESSAGE);
		return false;
	}
	*out = (uint32_t)number - 1;
	if (is_deleted(s, *out)) {
		client_text(s->client, POP3_DELETED);
		return false;
	}
	return true;
}

/*
 * Make sure that the size of message I is what RETR sends.  One that another
 * program removed has none: it stays in the listing, because numbers do not
 * change, and RETR says what became of it.
 */
static culver_status
know_size(struct session *s, uint32_t i)
{
	struct store_message *m = &s->store->msg[i];
	culver_status st;

	if ((m->flags & STORE_EXACT) != 0)
		return CULVER_OK;
	st = store_count(s->store, i);
	if (st == CULVER_E_GONE) {
		m->octets = 0;
		m->flags |= STORE_EXACT;
		st = CULVER_OK;
	}
	return st;
}

/* Count and size of what is not deleted; false with a reply. */
static bool
get_totals(struct session *s, uint32_t *n, uint64_t *octets)
{
	culver_status st;
	uint32_t i;

	*n = 0;
	*octets = 0;
	for (i = 0; i < s->store->n; i++) {
		if (is_deleted(s, i))
			continue;
		st = know_size(s, i);
		if (st != CULVER_OK) {
			session_fail(s, st);
			return false;
		}
		++*n;
		*octets += s->store->msg[i].octets;
	}
	return true;
}

/* "NUMBER VALUE", the line of LIST and STAT. */
static void
put_pair(struct client *c, uint64_t a, uint64_t b)
{
	uint8_t *p = client_room(c, 2 * POP3_NUMBER_MAX + 3);
	size_t n = pop3_number(a, p);

	p[n++] = ' ';
	n += pop3_number(b, p + n);
	p[n++] = '\r';
	p[n++] = '\n';
	c->out_n += n;
}

static void
put_uid(struct session *s, uint32_t i)
{
	const struct store_message *m = &s->store->msg[i];
	struct client *c = s->client;
	uint8_t *p = client_room(c, POP3_NUMBER_MAX + 3 + STORE_UID_MAX);
	size_t n = pop3_number((uint64_t)i + 1, p);

	p[n++] = ' ';
	memcpy(p + n, m->uid, m->uid_n);
	n += m->uid_n;
	p[n++] = '\r';
	p[n++] = '\n';
	c->out_n += n;
}

static void
do_stat(struct session *s)
{
	uint32_t n;
	uint64_t octets;

	if (!get_totals(s, &n, &octets))
		return;
	client_text(s->client, "+OK ");
	put_pair(s->client, n, octets);
}

static void
do_list(struct session *s, const struct pop3_command *cmd)
{
	struct client *c = s->client;
	culver_status st;
	uint64_t octets;
	uint32_t i, n;

	if (cmd->n_args > 0) {
		if (!get_message(s, cmd, &i))
			return;
		if ((st = know_size(s, i)) != CULVER_OK) {
			session_fail(s, st);
			return;
		}
		client_text(c, "+OK ");
		put_pair(c, (uint64_t)i + 1, s->store->msg[i].octets);
		return;
	}
	if (!get_totals(s, &n, &octets))
		return;
	client_text(c, "+OK ");
	client_number(c, n);
	client_text(c, " messages (");
	client_number(c, octets);
	client_text(c, " octets)\r\n");
	for (i = 0; i < s->store->n && c->end == CLIENT_OPEN; i++)
		if (!is_deleted(s, i))
			put_pair(c, (uint64_t)i + 1, s->store->msg[i].octets);
	client_text(c, ".\r\n");
}

static void
do_uidl(struct session *s, const struct pop3_command *cmd)
{
	struct client *c = s->client;
	uint32_t i;

	if (cmd->n_args > 0) {
		if (!get_message(s, cmd, &i))
			return;
		client_text(c, "+OK ");
		put_uid(s, i);
		return;
	}
	client_text(c, POP3_OK);
	for (i = 0; i < s->store->n && c->end == CLIENT_OPEN; i++)
		if (!is_deleted(s, i))
			put_uid(s, i);
	client_text(c, ".\r\n");
}

static void
do_dele(struct session *s, const struct pop3_command *cmd)
{
	uint32_t i;

	if (!get_message(s, cmd, &i))
		return;
	if ((s->store->caps & CULVER_ST_READONLY) != 0) {
		client_text(s->client, POP3_READONLY);
		return;
	}
	s->store->msg[i].flags |= STORE_DELETED;
	s->marked++;
	client_text(s->client, POP3_OK);
}

static void
do_rset(struct session *s)
{
	uint32_t i;

	for (i = 0; i < s->store->n; i++)
		s->store->msg[i].flags &= ~(uint32_t)STORE_DELETED;
	s->marked = 0;
	client_text(s->client, POP3_OK);
}

static void
do_capa(struct session *s)
{
	uint32_t mechs = s->flags >> IPC_MECHS;
	char buf[POP3_CAPA_MAX], list[SASL_LIST_MAX];
	struct pop3_capa capa = {
	    .user = (mechs & SASL_BIT(SASL_USER)) != 0, .sasl = list,
	    .stls = (s->flags & IPC_STLS) != 0 && (s->flags & IPC_TLS) == 0,
	    .expire_days = s->expire_days,
	    .login_delay = s->login_delay };

	sasl_list(mechs, " ", list);
	client_put(s->client, buf, pop3_capa(&capa, buf, sizeof(buf)));
}

/* --- UPDATE -------------------------------------------------------------- */

/* Remove what was marked; the status, with s->report filled. */
static culver_status
update(struct session *s)
{
	uint32_t *index = reallocarray(NULL, s->marked, sizeof(*index));
	uint32_t i, n = 0;
	culver_status st;

	if (index == NULL) {
		log_errorx("no memory to remove %u messages", s->marked);
		return CULVER_E_NOMEM;
	}
	for (i = 0; i < s->store->n; i++)
		if (is_deleted(s, i))
			index[n++] = i;
	st = store_expunge(s->store, index, n, &s->report.deleted);
	if (st != CULVER_OK)
		log_warnx("UPDATE: %u of %u deleted messages removed",
		    s->report.deleted, n);
	free(index);
	return st;
}

/* What stays in the mailbox, as far as it is known. */
static void
count_left(struct session *s, bool updated)
{
	uint32_t i;

	s->report.left = s->store->n - s->report.deleted;
	s->report.left_octets = 0;
	for (i = 0; i < s->store->n; i++)
		if (!updated || !is_deleted(s, i))
			s->report.left_octets += s->store->msg[i].octets;
}

static void
do_quit(struct session *s)
{
	culver_status st = CULVER_OK;

	if (s->marked > 0)
		st = update(s);
	count_left(s, st == CULVER_OK);
	/* the lock is free before the client knows */
	store_close(s->store);
	client_text(s->client, st == CULVER_OK ? POP3_BYE :
	    pop3_status_reply(st, POP3_AT_UPDATE));
	s->reason = st == CULVER_OK ? "quit" : "update-failed";
}

/* --- the loop ------------------------------------------------------------ */

static void
bad_command(struct session *s, const char *reply)
{
	s->bad++;
	if (s->bad_commands > 0 && s->bad >= s->bad_commands) {
		client_text(s->client, POP3_TOO_MANY);
		s->reason = "bad-commands";
		return;
	}
	client_text(s->client, reply);
}

static void
do_command(struct session *s, const struct pop3_command *cmd)
{
	uint32_t i;

	switch (cmd->verb) {
	case POP3_STAT:
		do_stat(s);
		break;
	case POP3_LIST:
		do_list(s, cmd);
		break;
	case POP3_UIDL:
		do_uidl(s, cmd);
		break;
	case POP3_RETR:
	case POP3_TOP:
		if (get_message(s, cmd, &i))
			session_send(s, i, cmd->verb == POP3_TOP ?
			    &cmd->number[1] : NULL);
		break;
	case POP3_DELE:
		do_dele(s, cmd);
		break;
	case POP3_RSET:
		do_rset(s);
		break;
	case POP3_NOOP:
		client_text(s->client, POP3_OK);
		break;
	case POP3_CAPA:
		do_capa(s);
		break;
	case POP3_QUIT:
		do_quit(s);
		break;
	default:
		bad_command(s, pop3_parse_reply(POP3_UNKNOWN,
		    POP3_TRANSACTION));
		break;
	}
}

static void
serve(struct session *s)
{
	struct pop3_command cmd;
	struct pop3_line line;
	enum pop3_parsed parsed;
	enum pop3_split got;

	while (s->reason == NULL) {
		got = client_line(s->client, &line);
		if (got == POP3_MORE)
			return;
		if (got == POP3_LONG) {
			bad_command(s, POP3_TOO_LONG);
			continue;
		}
		parsed = pop3_parse(line.p, line.n, POP3_TRANSACTION, &cmd);
		if (parsed == POP3_PARSED)
			do_command(s, &cmd);
		else
			bad_command(s, pop3_parse_reply(parsed,
			    POP3_TRANSACTION));
	}
}

static const char *
reason_of(const struct client *c)
{
	switch (c->end) {
	case CLIENT_IDLE:
		return "timeout";
	case CLIENT_SHUTDOWN:
		return c->kicked ? "kick" : "shutdown";
	case CLIENT_TAKEN:
		return "takeover";
	case CLIENT_FLOOD:
		return "flood";
	case CLIENT_BROKEN:
		return "storage-error";
	case CLIENT_GONE:
	case CLIENT_OPEN:
		break;
	}
	return "disconnect";
}

/* The session waits for its client. */
static void
wait_on(void *ctx, _Bool idle)
{
	struct session *s = ctx;

	if (store_keepalive(s->store) == CULVER_E_STALE) {
		s->reason = "stale";
		s->client->end = CLIENT_BROKEN;
	} else if (idle) {
		client_rest(s->client);
		store_rest();
		rest_memory();
	}
}

void
session_refuse(struct session *s, culver_status status)
{
	client_text(s->client, pop3_status_reply(status, POP3_AT_LOGIN));
	s->reason = status == CULVER_E_IN_USE ? "in-use" : "storage-error";
	s->report.reason = s->reason;
	store_close(s->store);
	client_close(s->client);
}

/* If another session has the mailbox: that may be idle, and give way. */
static culver_status
open_mailbox(struct session *s)
{
	culver_status st = store_open(s->store, CULVER_OPEN_EXCLUSIVE);
	uint64_t until = clock_now() + TAKEOVER_TIME;

	if (st != CULVER_E_IN_USE || !client_ask(s->client))
		return st;
	s->store->waits = true;
	while (st == CULVER_E_IN_USE && client_turn(s->client, until))
		st = store_open(s->store, CULVER_OPEN_EXCLUSIVE);
	s->store->waits = false;
	return st;
}

void
session_run(struct session *s)
{
	culver_status st = open_mailbox(s);

	if (st != CULVER_OK) {
		session_refuse(s, st);
		return;
	}
	s->client->tick = wait_on;
	s->client->ctx = s;
	client_text(s->client, POP3_LOGGED_IN);
	serve(s);
	if (s->reason == NULL)
		s->reason = reason_of(s->client);
	if (s->store->mailbox != NULL)
		count_left(s, false);
	s->report.reason = s->reason;
	store_close(s->store);
	client_close(s->client);
}
