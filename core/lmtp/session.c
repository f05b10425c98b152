/*
 * session.c - the states of an LMTP session and its replies; see proto.h.
 *
 * Runs in lmtp.  Replies are constant but for the server's own name and the
 * names of users, which the coordinator has checked: nothing that a client
 * sent is sent back.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lmtp/proto.h"

static void __attribute__((format(printf, 2, 3)))
say(struct lmtp_reply *out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out->text, sizeof(out->text), fmt, ap);
	va_end(ap);
	out->n = n < 0 ? 0 : (size_t)n < sizeof(out->text) ? (size_t)n :
	    sizeof(out->text) - 1;
}

void
lmtp_session_start(struct lmtp_session *s, const char *hostname,
    uint64_t size_max)
{
	memset(s, 0, sizeof(*s));
	s->hostname = hostname;
	s->size_max = size_max;
}

void
lmtp_session_free(struct lmtp_session *s)
{
	free(s->rcpt);
	s->rcpt = NULL;
	s->n_rcpt = s->cap_rcpt = 0;
}

void
lmtp_reset(struct lmtp_session *s)
{
	lmtp_session_free(s);
	if (s->state == LMTP_HAS_SENDER)
		s->state = LMTP_READY;
	s->last = s->failed = s->smtputf8 = 0;
	s->chunk = 0;
	s->chunks = 0;
}

void
lmtp_greet(const struct lmtp_session *s, struct lmtp_reply *out)
{
	say(out, "220 %s LMTP\r\n", s->hostname);
}

/* A command that cannot be: so many, and it is over. */
static enum lmtp_act
bad(struct lmtp_session *s, struct lmtp_reply *out, const char *reply)
{
	if (++s->bad < LMTP_BAD_MAX) {
		say(out, "%s\r\n", reply);
		return LMTP_GO_ON;
	}
	say(out, "421 4.7.0 %s Too many wrong commands\r\n", s->hostname);
	return LMTP_CLOSE;
}

enum lmtp_act
lmtp_long(struct lmtp_session *s, struct lmtp_reply *out)
{
	return bad(s, out, "500 5.5.6 Line too long");
}

static enum lmtp_act
wrong(struct lmtp_session *s, const struct lmtp_command *c,
    enum lmtp_wrong what, struct lmtp_reply *out)
{
	if (c->verb == LMTP_BDAT) {
		/* its octets follow, and nobody knows how many */
		say(out, "501 5.5.4 Syntax error\r\n");
		return LMTP_CLOSE;
	}
	if (what == LMTP_PARAMETER)
		return bad(s, out, "555 5.5.4 Parameter not known");
	if (what == LMTP_ADDRESS)
		return bad(s, out, c->verb == LMTP_MAIL ?
		    "501 5.1.7 Bad sender address" :
		    "501 5.1.3 Bad recipient address");
	return bad(s, out, c->verb == LMTP_UNKNOWN ?
	    "500 5.5.2 Not a command" : "501 5.5.4 Syntax error");
}

static void
on_lhlo(struct lmtp_session *s, const struct lmtp_command *c,
    struct lmtp_reply *out)
{
	size_t n = 0;

	lmtp_reset(s);
	s->state = LMTP_READY;
	for (; n < c->text_n && n < sizeof(s->helo) - 1; n++) {
		char b = c->text[n];

		/* it goes into a header: no comment, no structure */
		s->helo[n] = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') ||
		    (b >= 'A' && b <= 'Z') || (b != 0 && strchr(".-_:[]", b)) ?
		    b : '?';
	}
	s->helo[n] = 0;
	say(out, "250-%s\r\n250-PIPELINING\r\n250-SIZE %" PRIu64 "\r\n"
	    "250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
	    "250 ENHANCEDSTATUSCODES\r\n", s->hostname, s->size_max);
}

static enum lmtp_act
on_mail(struct lmtp_session *s, const struct lmtp_command *c,
    struct lmtp_reply *out)
{
	if (s->state != LMTP_READY)
		return bad(s, out, s->state == LMTP_START ?
		    "503 5.5.1 LHLO first" : "503 5.5.1 One sender only");
	if (c->addr.utf8 && !c->smtputf8) {
		say(out, "553 5.6.7 Address needs SMTPUTF8\r\n");
	} else if (c->size > s->size_max) {
		say(out, "552 5.3.4 Message too large\r\n");
	} else {
		s->state = LMTP_HAS_SENDER;
		s->sender = c->addr;
		s->size = c->size;
		s->smtputf8 = c->smtputf8;
		say(out, "250 2.1.0 Sender ok\r\n");
	}
	return LMTP_GO_ON;
}

static enum lmtp_act
on_rcpt(struct lmtp_session *s, const struct lmtp_command *c,
    struct lmtp_reply *out)
{
	if (s->state != LMTP_HAS_SENDER || s->chunks > 0)
		return bad(s, out, "503 5.5.1 MAIL first");
	if (c->addr.utf8 && !s->smtputf8) {
		say(out, "553 5.6.7 Address needs SMTPUTF8\r\n");
		return LMTP_GO_ON;
	}
	if (s->n_rcpt >= LMTP_RCPT_MAX) {
		say(out, "452 4.5.3 Too many recipients\r\n");
		return LMTP_GO_ON;
	}
	s->asked = c->addr;
	return LMTP_ASK;
}

static enum lmtp_act
on_data(struct lmtp_session *s, struct lmtp_reply *out)
{
	if (s->state != LMTP_HAS_SENDER || s->chunks > 0)
		return bad(s, out, "503 5.5.1 MAIL and RCPT first");
	if (s->n_rcpt == 0) {
		say(out, "503 5.5.1 No valid recipients\r\n");
		return LMTP_GO_ON;
	}
	say(out, "354 Go on, end with a dot\r\n");
	return LMTP_TEXT;
}

/* Its octets come whether or not they are wanted. */
static enum lmtp_act
on_bdat(struct lmtp_session *s, const struct lmtp_command *c,
    struct lmtp_reply *out)
{
	s->chunk = c->size;
	if (s->state != LMTP_HAS_SENDER || s->n_rcpt == 0 || s->failed) {
		say(out, "503 5.5.1 No valid recipients\r\n");
		return LMTP_SKIP;
	}
	s->chunks++;
	s->last = c->last;
	out->n = 0;
	return LMTP_CHUNK;
}

enum lmtp_act
lmtp_line(struct lmtp_session *s, const uint8_t *line, size_t n,
    struct lmtp_reply *out)
{
	struct lmtp_command c;
	enum lmtp_wrong what = lmtp_parse(line, n, &c);

	out->n = 0;
	if (what != LMTP_RIGHT)
		return wrong(s, &c, what, out);
	switch (c.verb) {
	case LMTP_LHLO:
		on_lhlo(s, &c, out);
		return LMTP_GO_ON;
	case LMTP_MAIL:
		return on_mail(s, &c, out);
	case LMTP_RCPT:
		return on_rcpt(s, &c, out);
	case LMTP_DATA:
		return on_data(s, out);
	case LMTP_BDAT:
		return on_bdat(s, &c, out);
	case LMTP_RSET:
		lmtp_reset(s);
		say(out, "250 2.0.0 Ok\r\n");
		return LMTP_GO_ON;
	case LMTP_NOOP:
		say(out, "250 2.0.0 Ok\r\n");
		return LMTP_GO_ON;
	case LMTP_QUIT:
		say(out, "221 2.0.0 Bye\r\n");
		return LMTP_CLOSE;
	case LMTP_VRFY:
		say(out, "252 2.0.0 Try RCPT\r\n");
		return LMTP_GO_ON;
	case LMTP_HELO:
	case LMTP_EHLO:
		return bad(s, out, "500 5.5.1 This is LMTP: say LHLO");
	case LMTP_UNKNOWN:
		break;
	}
	return bad(s, out, "500 5.5.2 Not a command");
}

static _Bool
rcpt_add(struct lmtp_session *s, const char *user)
{
	struct lmtp_rcpt *r;

	if (s->n_rcpt == s->cap_rcpt) {
		unsigned cap = s->cap_rcpt == 0 ? 4 : s->cap_rcpt * 2;

		r = reallocarray(s->rcpt, cap, sizeof(*r));
		if (r == NULL)
			return 0;
		s->rcpt = r;
		s->cap_rcpt = cap;
	}
	r = &s->rcpt[s->n_rcpt++];
	r->addr = s->asked;
	snprintf(r->user, sizeof(r->user), "%s", user);
	return 1;
}

/* What a status means for one recipient. */
static const char *
status_text(culver_status st, _Bool permanent)
{
	switch (st) {
	case CULVER_E_NOUSER:
		return "550 5.1.1 No such user";
	case CULVER_E_DISABLED:
		return "550 5.2.1 Mailbox disabled";
	case CULVER_E_PERM:
		return "550 5.7.1 Not permitted";
	case CULVER_E_QUOTA:
		return permanent ? "552 5.2.2 Mailbox full" :
		    "452 4.2.2 Mailbox full";
	case CULVER_E_NOSPACE:
		return "452 4.3.1 No space";
	case LMTP_TOO_LARGE:
		return "552 5.3.4 Message too large";
	default:
		return "451 4.3.0 Try again later";
	}
}

void
lmtp_recipient(struct lmtp_session *s, culver_status st, const char *user,
    _Bool permanent, struct lmtp_reply *out)
{
	if (st == CULVER_OK && !rcpt_add(s, user))
		st = CULVER_E_NOMEM;
	say(out, "%s\r\n", st == CULVER_OK ? "250 2.1.5 Recipient ok" :
	    status_text(st, permanent));
}

_Bool
lmtp_chunk(struct lmtp_session *s, culver_status st, struct lmtp_reply *out)
{
	out->n = 0;
	if (s->last)
		return 0;
	if (st == CULVER_OK) {
		say(out, "250 2.0.0 Chunk ok\r\n");
		return 1;
	}
	s->failed = 1;		/* until RSET, MAIL is refused, too */
	say(out, "%s\r\n", status_text(st, 0));
	return 1;
}

void
lmtp_result(const struct lmtp_session *s, unsigned i, culver_status st,
    _Bool permanent, struct lmtp_reply *out)
{
	if (st == CULVER_OK)
		say(out, "250 2.0.0 <%s> delivered\r\n", s->rcpt[i].user);
	else
		say(out, "%s\r\n", status_text(st, permanent));
}
