/*
 * command.h - the commands of POP3 and the grammar of their arguments.
 *
 * Runs in gate (AUTHORIZATION) and worker (TRANSACTION).  A line is hostile
 * until it is parsed; nothing of it is ever sent back.
 */
#ifndef POP3_COMMAND_H
#define POP3_COMMAND_H

#include <stddef.h>
#include <stdint.h>

enum pop3_state {		/* bits, so that a table can name several */
	POP3_AUTHORIZATION = 1u << 0,
	POP3_TRANSACTION = 1u << 1
};

enum pop3_verb {
	POP3_QUIT, POP3_CAPA,				/* both states */
	POP3_USER, POP3_PASS, POP3_AUTH, POP3_STLS,	/* AUTHORIZATION */
	POP3_STAT, POP3_LIST, POP3_RETR, POP3_DELE,	/* TRANSACTION */
	POP3_NOOP, POP3_RSET, POP3_TOP, POP3_UIDL,
	POP3_APOP, POP3_UTF8, POP3_LANG,		/* known, not offered */
	POP3_N_VERBS
};

enum pop3_parsed {
	POP3_PARSED,
	POP3_UNKNOWN,		/* no such command */
	POP3_OCTET,		/* NUL or CR inside the line */
	POP3_NOT_OFFERED,	/* a command that this server does not have */
	POP3_WRONG_STATE,
	POP3_SYNTAX,		/* too few or too many arguments */
	POP3_NUMBER		/* not a decimal number */
};

struct pop3_arg {		/* borrowed from the line */
	const uint8_t *p;
	size_t n;
};

struct pop3_command {
	enum pop3_verb verb;	/* POP3_N_VERBS if unknown */
	unsigned n_args;
	struct pop3_arg arg[2];	/* USER: name; PASS: password; AUTH: mechanism
				 * and initial response, as sent */
	uint64_t number[2];	/* LIST RETR DELE TOP UIDL: message; TOP: lines;
				 * UINT64_MAX stands for all that is larger */
};

/*
 * Parse a line (without its end) that came in STATE.  Keywords in any case;
 * one space between arguments, spaces at the end are ignored but in PASS
 * (README.md says what else was decided).  A number is only checked to be
 * one: 0 and what is beyond the mailbox are the caller's "no such message".
 * *out is filled as far as it was understood, its verb always.
 */
enum pop3_parsed pop3_parse(const uint8_t *line, size_t n,
    enum pop3_state state, struct pop3_command *out);

/* "RETR"; "?" for POP3_N_VERBS.  For log lines and tests. */
const char *pop3_verb_name(enum pop3_verb verb);

#endif /* POP3_COMMAND_H */
