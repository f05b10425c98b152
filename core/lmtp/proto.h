/*
 * proto.h - LMTP (RFC 2033) as pure functions over octets: command grammar,
 * session state, replies, the text of a message, trace headers.
 *
 * Runs in lmtp.  Every octet comes from the network; nothing of it is sent
 * back.  No sockets, no files, no clock.  Extensions: PIPELINING (2920),
 * 8BITMIME (6152), SIZE (1870), CHUNKING (3030, without BINARYMIME), SMTPUTF8
 * (6531), ENHANCEDSTATUSCODES (2034, codes of 3463).
 *
 * DATA ends with CRLF "." CRLF and nothing else.  A LF without CR is taken for
 * a line end that a careless program wrote: it becomes CRLF, but begins no
 * line for the dot's rules; a CR without LF is kept.  So no text that another
 * server sees as one message can be two here ("SMTP smuggling").
 */
#ifndef LMTP_PROTO_H
#define LMTP_PROTO_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <culver/abi.h>

enum {
	LMTP_LINE_MAX = 2048,	/* of a command, line end included; RFC 5321
				 * 4.5.3.1.4 asks for 512 and more */
	LMTP_PATH_MAX = 254,	/* RFC 5321 4.5.3.1.3, without <> */
	LMTP_RCPT_MAX = 1000,	/* of one message */
	LMTP_BAD_MAX = 20,	/* wrong commands, then it is over */
	LMTP_REPLY_MAX = 512,
	LMTP_HEAD_MAX = 2048	/* of what lmtp_head() makes */
};

/* --- the grammar (command.c) ---------------------------------------------- */

enum lmtp_verb {
	LMTP_LHLO, LMTP_MAIL, LMTP_RCPT, LMTP_DATA, LMTP_BDAT, LMTP_RSET,
	LMTP_NOOP, LMTP_QUIT, LMTP_VRFY, LMTP_HELO, LMTP_EHLO, LMTP_UNKNOWN
};

struct lmtp_addr {
	char raw[LMTP_PATH_MAX + 1];	/* as sent, without <> and route */
	char name[LMTP_PATH_MAX + 1];	/* unquoted: local part @ domain */
	uint16_t local_n;		/* octets of the local part in it */
	_Bool utf8;			/* has octets above 0x7f */
};

enum lmtp_wrong {			/* what is wrong with a command */
	LMTP_RIGHT, LMTP_SYNTAX, LMTP_ADDRESS, LMTP_PARAMETER
};

struct lmtp_command {
	enum lmtp_verb verb;
	const char *text;		/* LHLO: its argument, borrowed */
	size_t text_n;
	struct lmtp_addr addr;		/* MAIL, RCPT */
	uint64_t size;			/* MAIL: SIZE or 0; BDAT: octets */
	_Bool has_size, smtputf8, eight_bit, last;
};

/* Parse a line without its end.  *out is filled as far as it was understood,
 * its verb always. */
enum lmtp_wrong lmtp_parse(const uint8_t *line, size_t n,
    struct lmtp_command *out);

/* Parse a path "<...>" (RFC 5321 4.1.2) in the N octets at P; a source route
 * is dropped, "<>" gives an empty RAW.  Octets used; 0: it is none. */
size_t lmtp_path(const uint8_t *p, size_t n, struct lmtp_addr *out);

/*
 * Look for a line in the N octets at BUF: octets up to its LF included, 0:
 * there is none yet; *len: octets without the line end.
 */
size_t lmtp_line_end(const uint8_t *buf, size_t n, size_t *len);

/* --- the session (session.c) ---------------------------------------------- */

enum lmtp_state { LMTP_START, LMTP_READY, LMTP_HAS_SENDER };

struct lmtp_rcpt {
	struct lmtp_addr addr;
	char user[256];		/* who that is: lmtp_recipient() */
};

struct lmtp_session {
	const char *hostname;
	uint64_t size_max;	/* of one message */
	enum lmtp_state state;
	unsigned bad;		/* wrong commands */
	char helo[256];		/* printable, no space */
	struct lmtp_addr sender;
	uint64_t size;		/* that MAIL declared; 0: none */
	_Bool smtputf8;
	unsigned chunks;	/* BDATs in this transaction */
	_Bool last;		/* it was the last one */
	_Bool failed;		/* and this transaction is lost */
	uint64_t chunk;		/* octets of the BDAT in hand */
	struct lmtp_addr asked;	/* LMTP_ASK */
	struct lmtp_rcpt *rcpt;
	unsigned n_rcpt, cap_rcpt;
};

struct lmtp_reply {
	size_t n;
	char text[LMTP_REPLY_MAX];
};

enum lmtp_act {
	LMTP_GO_ON,	/* say the reply */
	LMTP_ASK,	/* no reply yet: look s->asked up, lmtp_recipient() */
	LMTP_TEXT,	/* say the reply; the text follows, up to its dot */
	LMTP_CHUNK,	/* s->chunk octets follow; then lmtp_chunk() */
	LMTP_SKIP,	/* the same, but nobody wants them: only say the reply
			 * when they are gone */
	LMTP_CLOSE	/* say the reply and close */
};

void lmtp_session_start(struct lmtp_session *s, const char *hostname,
    uint64_t size_max);
void lmtp_session_free(struct lmtp_session *s);

/* The first reply. */
void lmtp_greet(const struct lmtp_session *s, struct lmtp_reply *out);

/* A whole line, without its end, in the state that S is in. */
enum lmtp_act lmtp_line(struct lmtp_session *s, const uint8_t *line, size_t n,
    struct lmtp_reply *out);

/* The line was too long. */
enum lmtp_act lmtp_long(struct lmtp_session *s, struct lmtp_reply *out);

/*
 * What became of s->asked: OK with the name of the USER, NOUSER, DISABLED,
 * QUOTA (PERMANENT: as a failure for good), PERM (the client may not deliver
 * to him), or else a failure that passes.
 */
void lmtp_recipient(struct lmtp_session *s, culver_status st, const char *user,
    _Bool permanent, struct lmtp_reply *out);

/*
 * The octets of a chunk are there, or were lost for the reason ST (as of
 * lmtp_result()).  True: the reply is complete; false: it was the last one of
 * a message, which is to be delivered now.
 */
_Bool lmtp_chunk(struct lmtp_session *s, culver_status st,
    struct lmtp_reply *out);

/*
 * The reply for recipient I: OK; QUOTA and PERMANENT as above; NOSPACE: the
 * spool is full; LMTP_TOO_LARGE; NOUSER, DISABLED, PERM; others pass.
 */
#define LMTP_TOO_LARGE 100
void lmtp_result(const struct lmtp_session *s, unsigned i, culver_status st,
    _Bool permanent, struct lmtp_reply *out);

/* The transaction is over. */
void lmtp_reset(struct lmtp_session *s);

/* --- the text of a message (body.c) --------------------------------------- */

enum lmtp_at { LMTP_AT_LINE, LMTP_AT_DOT, LMTP_AT_DOT_CR, LMTP_AT_MIDDLE,
	LMTP_AT_CR };

struct lmtp_body {
	enum lmtp_at at;
	_Bool dots;		/* DATA, not BDAT */
	_Bool ended;		/* its last dot came */
	_Bool some;		/* something was written, last: */
	uint8_t last;
};

/* Octets that N octets of input become at most. */
#define LMTP_BODY_ROOM(n) (2 * (n) + 2)

void lmtp_body_start(struct lmtp_body *b, _Bool dots);

/*
 * Take up to N octets at IN, write the message's to OUT (LMTP_BODY_ROOM(n)).
 * Octets that were taken: fewer than N only when b->ended.  The same octets
 * give the same message however they are cut into calls.
 */
size_t lmtp_body_add(struct lmtp_body *b, const uint8_t *in, size_t n,
    uint8_t *out, size_t *out_n);

/* The end of a message in chunks: up to 3 octets. */
size_t lmtp_body_end(struct lmtp_body *b, uint8_t *out);

/* --- trace headers (trace.c) ---------------------------------------------- */

/*
 * Return-Path, Delivered-To and Received (RFC 5321 4.4) for recipient I into
 * OUT; octets.  REMOTE is the client's address, ID a word for both logs.
 */
size_t lmtp_head(const struct lmtp_session *s, unsigned i, const char *remote,
    const char *id, time_t now, char out[LMTP_HEAD_MAX]);

/* --- which users a recipient may be (user.c) ------------------------------ */

enum lmtp_names { LMTP_ANY_NAME, LMTP_WHOLE_NAME, LMTP_LOCAL_NAME };

/*
 * Candidate K (from 0) for the user that A means: its address or only the
 * part before the last @, as NAMES says, each first as it is and then without
 * what follows the first of DELIMITERS in the local part.  False: no more.
 */
_Bool lmtp_user(const struct lmtp_addr *a, enum lmtp_names names,
    const char *delimiters, unsigned k, char out[256]);

#endif /* LMTP_PROTO_H */
