/*
 * session.h - one client's session: the commands of a plan, one after the
 * other, and a check of every octet that comes back.  No sockets: load.c has
 * those, and trusts the outcome.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/popload.h"

#define PLAN_MAX 16

enum step_kind {
	STEP_GREET,
	STEP_USER,
	STEP_PASS,
	STEP_STAT,
	STEP_LIST,
	STEP_UIDL,
	STEP_RETR,
	STEP_DELE,
	STEP_NOOP,
	STEP_HOLD,      /* no command: the session stays as it is */
	STEP_QUIT,
	STEP_CLOSE,     /* no command: the server's end of the connection */
	STEP_KINDS
};

struct step {
	enum step_kind kind;
	unsigned long n;        /* RETR newest, DELE oldest, NOOP; 0: all */
};

/* What all sessions of a run do. */
struct plan {
	struct step step[PLAN_MAX];
	unsigned steps;
	unsigned long depth;    /* commands sent ahead of their replies */
	long expected;          /* messages; -1: any number */
	bool thorough;          /* CRCs and bare line ends, which takes time */
};

struct session {
	const struct plan *plan;
	const char *user, *password;
	unsigned at;            /* the step in plan */
	uint64_t since;         /* when it began */
	/* input */
	char line[512];         /* a part of one */
	size_t line_length;
	enum {IN_LINE, IN_LIST, IN_MESSAGE} input;
	enum {LINE_BEGINS, LINE_GOES_ON, AFTER_DOT, AFTER_DOT_CR} where;
	unsigned long octets;   /* of the message so far */
	char mark[MARK_MAX];    /* its first line */
	size_t mark_length;
	bool mark_ended, cr;
	uint32_t crc;           /* of what is behind the mark; or of UIDL */
	/* what the server said of the mailbox */
	unsigned long messages, total, sum;
	uint32_t *sizes;
	/* a run of commands, or the rows of a listing */
	unsigned long first, count, sent, done, last_mark;
	/* output */
	char out[1024];
	size_t out_length;
};

/* Sums over the sessions of a run. */
struct session_totals {
	uint64_t ns[STEP_KINDS];
	unsigned long messages, octets;
	uint32_t uidl_crc;      /* of the last UIDL, if the plan is thorough */
};
extern struct session_totals session_totals;

/* Why the last session that failed did. */
extern char session_why[600];

/* Fills the steps from words as "LOGIN STAT RETR=3 QUIT"; dies if one is
 * unknown.  The greeting is always the first step. */
void plan_read(struct plan *plan, const char *words);

/* A session that awaits the greeting. */
void session_begin(struct session *s, const struct plan *plan,
    const char *user, const char *password);

/* Takes what came, and puts into s->out what is to be sent.  False if it is
 * wrong; session_why says how. */
bool session_input(struct session *s, const char *octets, size_t n);

/* The server closed: true if that was its turn; session_why says if not. */
bool session_end(struct session *s);

/* Whether its step is STEP_HOLD. */
bool session_holds(const struct session *s);

/* The word of the step it is in. */
const char *session_step(const struct session *s);
const char *step_name(enum step_kind kind);

void session_free(struct session *s);

#endif
