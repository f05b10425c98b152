/*
 * authz.c - the commands of the AUTHORIZATION state and SASL responses.
 *
 * Runs in gate.  A line is hostile; core/pop3 parses it.  No credentials are
 * looked at where the listener's `plain_login` does not allow them.
 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "core/gate/gate.h"
#include "core/pop3/capa.h"
#include "core/pop3/command.h"
#include "core/pop3/reply.h"
#include "core/sasl/base64.h"
#include "core/sasl/mechs.h"
#include "core/tls/tls.h"

enum { STAMP_TEXT = 320 };	/* "<...@hostname>" and a NUL */

static bool
has_tls(const struct conn *c)
{
	return c->ssl != NULL || c->proxy_tls;
}

/* Behind a proxy both the client and the proxy must be. */
static bool
is_local(const struct conn *c)
{
	return !c->far && peer_is_local(&c->peer);
}

static bool
may_log_in(const struct conn *c)
{
	if (has_tls(c))
		return true;
	switch (c->gate->conf.listen[c->listen].plain_login) {
	case CONF_PLAIN_ALWAYS:
		return true;
	case CONF_PLAIN_LOCAL:
		return is_local(c);
	default:
		return false;
	}
}

static bool
may_start_tls(const struct conn *c)
{
	return !has_tls(c) && tls_ready(c->gate->tls) &&
	    c->gate->conf.listen[c->listen].tls == CONF_TLS_STARTTLS;
}

static bool
has_cert(const struct conn *c)
{
	char user[TLS_CLIENT_USER];

	return c->ssl != NULL && tls_client_user(c->gate->tls, c->ssl, user);
}

/* Of MASK, what this client could use now. */
static uint32_t
usable(const struct conn *c, uint32_t mask)
{
	uint32_t can = 0;

	if (!may_log_in(c))
		return 0;
	for (unsigned i = 0; i < SASL_MECHS; i++) {
		unsigned needs = sasl_mechs[i].flags;

		if ((mask & SASL_BIT(i)) != 0 &&
		    ((needs & SASL_F_BINDING) == 0 || c->ssl != NULL) &&
		    ((needs & SASL_F_CERT) == 0 || has_cert(c)))
			can |= SASL_BIT(i);
	}
	return can;
}

uint32_t
authz_flags(const struct conn *c)
{
	return usable(c, c->gate->conf.announced) << IPC_MECHS |
	    (has_tls(c) ? IPC_TLS : 0u) |
	    (is_local(c) ? IPC_LOOPBACK : 0u) |
	    (may_start_tls(c) ? IPC_STLS : 0u);
}

void
authz_bad(struct conn *c, const char *reply)
{
	if (++c->bad < c->gate->conf.bad_commands) {
		conn_say(c, reply);
		return;
	}
	conn_say(c, POP3_TOO_MANY);
	conn_finish(c, "bad-commands");
}

/* Only here, so that the log has it once a login. */
static void
refuse_plain(struct conn *c)
{
	limit_say(c->gate, LIMIT_REFUSED, "login-refused", &c->peer, "reason",
	    "no-tls");
	authz_bad(c, POP3_NEED_TLS);
}

static void
do_user(struct conn *c, const struct pop3_arg *name)
{
	if (!may_log_in(c)) {
		refuse_plain(c);
		return;
	}
	if ((c->gate->conf.mechs & SASL_BIT(SASL_USER)) == 0) {
		authz_bad(c, POP3_NO_MECH);
		return;
	}
	c->user = strndup((const char *)name->p, name->n);
	conn_say(c, c->user != NULL ? POP3_SEND_PASS :
	    pop3_status_reply(CULVER_E_TEMP, POP3_AT_COMMAND));
}

static void
do_pass(struct conn *c, char *user, const struct pop3_arg *password)
{
	uint8_t data[2 * POP3_LINE_MAX];
	size_t n;

	if (!may_log_in(c)) {
		authz_bad(c, POP3_NEED_TLS);
		return;
	}
	if (user == NULL) {
		authz_bad(c, POP3_NEED_USER);
		return;
	}
	n = strlen(user) + 1;	/* both came in lines of POP3_LINE_MAX */
	memcpy(data, user, n);
	memcpy(data + n, password->p, password->n);
	n += password->n;
	login_begin(c, SASL_USER, false, data, n);
	explicit_bzero(data, n);
}

/* RFC 1939 7: what no other greeting ever had; "" without APOP. */
static void
stamp_text(const struct conn *c, char text[STAMP_TEXT])
{
	text[0] = 0;
	if (c->stamp[0] != 0)
		snprintf(text, STAMP_TEXT, "<%016llx.%016llx@%s>",
		    (unsigned long long)c->stamp[0],
		    (unsigned long long)c->stamp[1], c->gate->conf.hostname);
}

void
authz_greet(struct conn *c)
{
	char stamp[STAMP_TEXT], text[POP3_REPLY_MAX];

	if ((c->gate->conf.announced & SASL_BIT(SASL_APOP)) == 0 ||
	    RAND_bytes((unsigned char *)c->stamp, sizeof(c->stamp)) != 1) {
		memset(c->stamp, 0, sizeof(c->stamp));
		conn_say(c, POP3_GREETING);
		return;
	}
	c->stamp[0] |= 1;
	stamp_text(c, stamp);
	conn_say_n(c, text, (size_t)snprintf(text, sizeof(text),
	    POP3_GREETING_APOP, stamp));
}

/* NAME SP DIGEST; the name may have spaces. */
static void
do_apop(struct conn *c, const struct pop3_arg *arg)
{
	const uint8_t *space = memrchr(arg->p, ' ', arg->n);
	uint8_t data[STAMP_TEXT + POP3_LINE_MAX];
	char stamp[STAMP_TEXT];
	size_t n;

	stamp_text(c, stamp);
	if (!may_log_in(c)) {
		refuse_plain(c);
	} else if (stamp[0] == 0) {
		authz_bad(c, pop3_parse_reply(POP3_NOT_OFFERED,
		    POP3_AUTHORIZATION));
	} else if (space == NULL) {
		authz_bad(c, pop3_parse_reply(POP3_SYNTAX,
		    POP3_AUTHORIZATION));
	} else {
		n = strlen(stamp) + 1;
		memcpy(data, stamp, n);
		memcpy(data + n, arg->p, arg->n);
		data[n + (size_t)(space - arg->p)] = 0;
		login_begin(c, SASL_APOP, false, data, n + arg->n);
	}
}

/* Also one that CAPA does not show may be asked for; SASL_MECHS: there is no
 * such for this client. */
static enum sasl_id
find_mech(const struct conn *c, const struct pop3_arg *arg)
{
	enum sasl_id id = sasl_find((const char *)arg->p, arg->n);

	return id < SASL_MECHS && (sasl_mechs[id].flags & SASL_F_COMMAND) == 0
	    && (usable(c, c->gate->conf.mechs) & SASL_BIT(id)) != 0 ? id :
	    SASL_MECHS;
}

static void
list_mechs(struct conn *c)
{
	char list[SASL_LIST_MAX];

	if (!may_log_in(c)) {
		conn_say(c, "+OK No mechanism without TLS\r\n.\r\n");
		return;
	}
	conn_say(c, "+OK Mechanisms follow\r\n");
	if (sasl_list(usable(c, c->gate->conf.announced), "\r\n", list) > 0) {
		conn_say(c, list);
		conn_say(c, "\r\n");
	}
	conn_say(c, ".\r\n");
}

/* RFC 5034 4: "=" is an initial response of no octets. */
static void
do_auth(struct conn *c, const struct pop3_command *cmd)
{
	uint8_t data[POP3_AUTH_MAX];
	const struct pop3_arg *ir = &cmd->arg[1];
	enum sasl_id mech;
	size_t n = 0;

	if (cmd->n_args == 0) {
		list_mechs(c);
		return;
	}
	mech = find_mech(c, &cmd->arg[0]);
	if (!may_log_in(c))
		refuse_plain(c);
	else if (mech == SASL_MECHS)
		authz_bad(c, POP3_NO_MECH);
	else if (cmd->n_args == 1)
		login_begin(c, mech, false, NULL, 0);
	else if (ir->n == 1 && ir->p[0] == '=')
		login_begin(c, mech, true, NULL, 0);
	else if (!base64_decode(ir->p, ir->n, data, sizeof(data), &n))
		authz_bad(c, POP3_BAD_BASE64);
	else
		login_begin(c, mech, true, data, n);
	explicit_bzero(data, sizeof(data));
}

static void
do_response(struct conn *c, const uint8_t *line, size_t len)
{
	uint8_t data[POP3_AUTH_MAX];
	size_t n = 0;

	if (len == 1 && line[0] == '*') {
		login_cancel(c);
		conn_say(c, POP3_CANCELLED);
	} else if (!base64_decode(line, len, data, sizeof(data), &n)) {
		login_cancel(c);
		authz_bad(c, POP3_BAD_BASE64);
	} else {
		login_continue(c, data, n);
	}
	explicit_bzero(data, sizeof(data));
}

static void
do_capa(struct conn *c)
{
	uint32_t mechs = usable(c, c->gate->conf.announced);
	struct pop3_capa capa = {.stls = may_start_tls(c),
	    .user = (mechs & SASL_BIT(SASL_USER)) != 0,
	    .expire_days = c->gate->conf.expire_days};
	char text[POP3_CAPA_MAX], list[SASL_LIST_MAX];

	sasl_list(mechs, " ", list);
	capa.sasl = list;
	conn_say_n(c, text, pop3_capa(&capa, text, sizeof(text)));
}

static void
do_stls(struct conn *c)
{
	if (c->ssl != NULL) {
		authz_bad(c, POP3_IN_TLS);
	} else if (!may_start_tls(c)) {
		authz_bad(c, POP3_NO_TLS);
	} else {
		conn_say(c, POP3_BEGIN_TLS);
		conn_enter(c, CONN_HANDSHAKE, 0);
	}
}

void
authz_line(struct conn *c, const uint8_t *line, size_t n)
{
	struct pop3_command cmd;
	enum pop3_parsed parsed;
	char *user = c->user;

	if (c->state == CONN_SASL) {
		do_response(c, line, n);
		return;
	}
	c->user = NULL;		/* PASS counts only right after USER */
	parsed = pop3_parse(line, n, POP3_AUTHORIZATION, &cmd);
	if (parsed != POP3_PARSED)
		authz_bad(c, pop3_parse_reply(parsed, POP3_AUTHORIZATION));
	else if (cmd.verb == POP3_USER)
		do_user(c, &cmd.arg[0]);
	else if (cmd.verb == POP3_PASS)
		do_pass(c, user, &cmd.arg[0]);
	else if (cmd.verb == POP3_APOP)
		do_apop(c, &cmd.arg[0]);
	else if (cmd.verb == POP3_AUTH)
		do_auth(c, &cmd);
	else if (cmd.verb == POP3_CAPA)
		do_capa(c);
	else if (cmd.verb == POP3_STLS)
		do_stls(c);
	else {
		conn_say(c, POP3_BYE);
		conn_finish(c, "quit");
	}
	free(user);
}
